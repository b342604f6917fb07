//! `stack`: make the base systems that apps run on, ahead of their first use.

use std::path::PathBuf;

use build::host::HostSettings;
use build::stack::{DEFAULT_RELEASES, Release, Stack, make};
use serde::Serialize;

use super::{Context, variable};
use crate::explain::{Failure, chain};
use crate::printer::clean;

/// One entry of what `--json` prints.
#[derive(Serialize)]
struct Made<'a> {
    id: &'a str,
    release: &'a str,
    pythons: Vec<String>,
}

/// Runs `stack`.
pub(super) fn run(context: &Context, releases: &[String], dir: Option<PathBuf>, anew: bool) -> Result<(), Failure> {
    let printer = context.printer;
    let parse = |text: &str| Release::parse(text).map_err(|error| Failure::usage(error.to_string(), ""));
    let releases: Vec<Release> = if releases.is_empty() {
        DEFAULT_RELEASES.into_iter().map(parse).collect::<Result<_, _>>()?
    } else {
        releases.iter().map(|release| parse(release)).collect::<Result<_, _>>()?
    };
    let dir = dir
        .or_else(|| variable("ADAPTABLE_STACK_DIR").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from(build::stack::DEFAULT_DIR));
    let dir = std::path::absolute(&dir).map_err(|error| Failure::file("find", &dir, error))?;
    let text = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let host = HostSettings::discover(text, variable("HOME").map(PathBuf::from).as_deref());
    for note in &host.notes {
        printer.note(note);
    }
    let progress = |release: &Release, doing: &str, line: &str| printer.note(&format!("{release}: {doing}: {}", clean(line)));
    let stacks = make::make(&dir, &releases, anew, &host, &progress).map_err(|error| match error {
        make::MakeError::NotRoot => Failure::needs_root("stack"),
        error => Failure::local(chain(&error), "check that Debian's mirrors can be reached, and that mmdebstrap is installed"),
    })?;
    if printer.json() {
        return printer.document(&stacks.iter().map(made).collect::<Vec<_>>());
    }
    for stack in &stacks {
        printer.line(&format!("{} with Python {}", dir.join(&stack.id).display(), made(stack).pythons.join(", ")))?;
    }
    Ok(())
}

fn made(stack: &Stack) -> Made<'_> {
    Made { id: &stack.id, release: stack.release.as_str(), pythons: stack.pythons.iter().map(ToString::to_string).collect() }
}
