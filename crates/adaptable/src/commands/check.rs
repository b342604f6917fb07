//! `check`: looks over a directory before it is deployed, and says what would fail or surprise.

use std::path::Path;

use build::plan::{PlanRequest, Template};
use build::preflight::{self, Check, Report, Repository, Request, State};
use build::tree::DirTree;
use model::Settings;
use serde::Serialize;
use source::{Limits, PackError};

use super::{Context, deploy};
use crate::cli::CheckArgs;
use crate::explain::{Failure, chain, source_refused};
use crate::printer::{BOLD, CYAN, DIM, GREEN, Printer, RED, YELLOW, clean};

/// What scripts get.
#[derive(Serialize)]
struct Document<'a> {
    path: String,
    #[serde(flatten)]
    report: &'a Report,
}

/// Runs `check`.
pub(super) fn run(context: &Context, args: &CheckArgs) -> Result<(), Failure> {
    let request = request(&settings(args)?);
    let root = args.path.canonicalize().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::usage(
            format!("there is no directory {}", args.path.display()),
            "name the directory with the app's source: adaptable check PATH",
        ),
        _ => Failure::file("open", &args.path, error),
    })?;
    if !root.is_dir() {
        return Err(Failure::usage(
            format!("{} is not a directory", args.path.display()),
            "check the directory that holds the app's source",
        ));
    }
    let report = report(&root, &request)?;
    show(context.printer, &root, &report, args.strict)
}

/// The settings that the deployment would have: the document's, then the flags'.
fn settings(args: &CheckArgs) -> Result<Settings, Failure> {
    let mut settings = args.settings.as_deref().map(deploy::settings).transpose()?.unwrap_or_default();
    let set = |place: &mut Option<String>, flag: &Option<String>| {
        if flag.is_some() {
            place.clone_from(flag);
        }
    };
    set(&mut settings.template, &args.template);
    set(&mut settings.start_command, &args.start_command);
    set(&mut settings.repo_subdir, &args.base_directory);
    settings.database_type = args.database.unwrap_or(settings.database_type);
    settings.set_environment(args.env.iter().cloned());
    match deploy::violations(&settings).as_slice() {
        [] => Ok(settings),
        [first, rest @ ..] => Err(Failure::usage(first.clone(), rest.join("\n"))),
    }
}

fn request(settings: &Settings) -> Request {
    Request {
        plan: PlanRequest {
            start_command: settings.start_command.clone(),
            python_version: settings.python_version.clone(),
            install_command: settings.install_command.clone(),
            build_command: settings.build_command.clone(),
            template: settings.template.as_deref().and_then(Template::parse),
        },
        base_directory: settings.repo_subdir.clone(),
        database: settings.database_type,
        variables: settings.environment.keys().map(ToString::to_string).collect(),
        port: settings.environment.get("PORT").cloned(),
        ..Request::default()
    }
}

/// Lists what would be sent, and checks it.
fn report(root: &Path, request: &Request) -> Result<Report, Failure> {
    let packed = match source::list(root, &Limits::default()) {
        Ok(packed) => packed,
        Err(error @ (PackError::Open(..) | PackError::Walk(_))) => return Err(source_refused(&error)),
        Err(error) => {
            let help = "a deployment would be refused for the same reason";
            return Ok(preflight::refused(&chain(&error), help));
        }
    };
    let paths = packed.paths().filter_map(|path| path.as_str()).map(ToOwned::to_owned);
    let tree = DirTree::of(root, paths).map_err(|error| Failure::local(chain(&error), ""))?;
    let repository = Repository::Read { files: packed.files, bytes: packed.bytes };
    Ok(preflight::check(&tree, &repository, request))
}

fn show(printer: Printer, root: &Path, report: &Report, strict: bool) -> Result<(), Failure> {
    let (failed, warned) = (report.count(State::Failed), report.count(State::Warning));
    if printer.json() {
        printer.document(&Document { path: root.display().to_string(), report })?;
    } else {
        let width = report.checks.iter().map(|check| check.title.len()).max().unwrap_or(0);
        for check in &report.checks {
            line(printer, check, width)?;
        }
        let end = match (failed, warned) {
            (0, 0) => printer.err_style("ready to deploy", GREEN.bold()),
            (0, 1) => "ready to deploy, with 1 warning".to_owned(),
            (0, warned) => format!("ready to deploy, with {warned} warnings"),
            (failed, _) => {
                let text = format!("{failed} of {} checks failed", report.checks.len());
                printer.err_style(&text, RED.bold())
            }
        };
        printer.note(&end);
    }
    if failed > 0 || strict && warned > 0 { Err(Failure::Shown) } else { Ok(()) }
}

/// A check: its mark, title and reason; below it where, what to do, and where that is explained.
fn line(printer: Printer, check: &Check, width: usize) -> Result<(), Failure> {
    let (mark, word, style) = match check.state {
        State::Ok => ("✓", "ok  ", GREEN),
        State::Warning => ("!", "warn", YELLOW),
        State::Failed => ("✗", "FAIL", RED),
        State::Skipped => ("–", "skip", DIM),
    };
    let mark = if printer.unicode() { mark } else { word };
    let title = format!("{:width$}", check.title);
    printer.line(&format!(
        "{}  {}  {}",
        printer.out_style(mark, style),
        printer.out_style(&title, BOLD),
        clean(&check.reason)
    ))?;
    if matches!(check.state, State::Ok | State::Skipped) {
        return Ok(());
    }
    let indent = " ".repeat(mark.chars().count() + 2);
    if let Some(file) = &check.file {
        let place = check.line.map_or_else(|| file.clone(), |line| format!("{file}:{line}"));
        printer.line(&format!("{indent}{}", printer.out_style(&clean(&place), CYAN)))?;
    }
    for help in check.help.lines() {
        printer.line(&format!("{indent}{}", clean(help)))?;
    }
    printer.line(&format!("{indent}{}", printer.out_style(&format!("docs/{}", check.page()), DIM)))
}
