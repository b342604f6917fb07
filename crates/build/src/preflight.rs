//! Checks before a deployment: what of a source would fail, or surprise its owner; the source is read, nothing of it is run.
//!
//! Whoever has a tree may ask: the command line of a directory, the dashboard of a commit. Each check has an explanation of its own
//! in `docs/checks.md`, under its id.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use model::DatabaseType;
use serde::Serialize;

use crate::plan::{Available, PlanRequest, PyVersion, Template};
use crate::tree::SourceTree;

mod below;
mod code;
mod database;
mod disk;
mod facts;
mod listens;
mod planned;
mod secrets;
mod start;
mod target;
mod variables;

/// How long files are looked into, at most; what remains unread is said.
const TIME: Duration = Duration::from_secs(1);
/// The stack of the threads that walk syntax trees.
const STACK: usize = 64 << 20;

/// What became of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// All is well.
    Ok,
    /// It can be deployed, but may not do what its owner expects.
    Warning,
    /// A deployment would fail, or never answer.
    Failed,
    /// It could not be checked, because of another that failed.
    Skipped,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is called in JSON and in `docs/checks.md`; never changes.
    pub id: &'static str,
    /// What was looked at, in a few words.
    pub title: &'static str,
    /// What became of it.
    pub state: State,
    /// Why, in one line.
    pub reason: String,
    /// What to do; empty where there is nothing to do.
    pub help: String,
    /// The file that it is about.
    pub file: Option<String>,
    /// The line in it, from 1.
    pub line: Option<usize>,
}

/// All checks of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What was recognised.
    pub template: Option<Template>,
    /// What would start the app.
    pub start_command: Option<String>,
    /// The checks, always the same ones in the same order.
    pub checks: Vec<Check>,
}

/// What is known of the source as a whole: it was counted by who has it.
#[derive(Debug, Clone)]
pub enum Repository {
    /// It can be taken.
    Read {
        /// How many files it has.
        files: usize,
        /// Their sizes together, in bytes.
        bytes: u64,
    },
    /// It can't.
    Refused {
        /// Why.
        reason: String,
        /// What to do.
        help: String,
    },
}

/// How the source is to be deployed.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is set of the build and the start.
    pub plan: PlanRequest,
    /// The part of the source that build and app see.
    pub base_directory: Option<String>,
    /// The database beside the app.
    pub database: DatabaseType,
    /// The names of the variables that are set.
    pub variables: BTreeSet<String>,
    /// The value of the variable PORT, where it is set.
    pub port: Option<String>,
    /// The Pythons that the platform has.
    pub available: Available,
    /// Pythons that its operator can add, each with the name to ask for: `adaptable stack NAME`.
    pub obtainable: Vec<(PyVersion, &'static str)>,
}

impl Default for Request {
    /// Nothing set, for a platform as it is after its first start.
    fn default() -> Self {
        Self {
            plan: PlanRequest::default(),
            base_directory: None,
            database: DatabaseType::None,
            variables: BTreeSet::new(),
            port: None,
            available: Available { pythons: vec![PyVersion::new(3, 11), PyVersion::new(3, 13)] },
            obtainable: vec![(PyVersion::new(3, 9), "bullseye"), (PyVersion::new(3, 14), "sid")],
        }
    }
}

/// Ids and titles, in the order of a report.
pub const ALL: [(&str, &str); 13] = [
    ("repository", "Source within limits"),
    ("base-directory", "Base Directory"),
    ("template", "Template"),
    ("dependencies", "Dependencies"),
    ("server", "Production server"),
    ("runtime", "Python version"),
    ("start-command", "Start Command"),
    ("start-target", "What it starts"),
    ("listens", "Listens on 0.0.0.0:$PORT"),
    ("disk", "No state on disk"),
    ("secrets", "No secrets in the source"),
    ("variables", "Variables"),
    ("database", "Database"),
];

impl Check {
    fn new(id: &'static str, state: State, reason: impl Into<String>, help: impl Into<String>) -> Self {
        let title = ALL.iter().find(|(known, _)| *known == id).map_or("", |(_, title)| title);
        Self { id, title, state, reason: one_line(&reason.into()), help: help.into(), file: None, line: None }
    }

    fn ok(id: &'static str, reason: impl Into<String>) -> Self {
        Self::new(id, State::Ok, reason, "")
    }

    fn warning(id: &'static str, reason: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(id, State::Warning, reason, help)
    }

    fn failed(id: &'static str, reason: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(id, State::Failed, reason, help)
    }

    fn skipped(id: &'static str, reason: impl Into<String>) -> Self {
        Self::new(id, State::Skipped, reason, "")
    }

    fn at(self, file: impl Into<String>, line: Option<usize>) -> Self {
        Self { file: Some(file.into()), line, ..self }
    }

    /// Where it is explained: a file below `docs/` and the anchor in it.
    pub fn page(&self) -> String {
        format!("checks.md#{}", self.id)
    }
}

impl Report {
    /// How many checks came out so.
    pub fn count(&self, state: State) -> usize {
        self.checks.iter().filter(|check| check.state == state).count()
    }

    /// A report in which everything after `checks` was left out, and why.
    fn ended(mut checks: Vec<Check>, why: &str) -> Self {
        for (id, _) in ALL {
            if !checks.iter().any(|check| check.id == id) {
                checks.push(Check::skipped(id, why));
            }
        }
        Self { template: None, start_command: None, checks }
    }
}

/// Checks a source that can't be read or is too large.
pub fn refused(reason: &str, help: &str) -> Report {
    Report::ended(vec![Check::failed("repository", reason, help)], "the source can't be taken")
}

/// Checks a source. It ends within about a second, whatever the source holds.
pub fn check(tree: &(dyn SourceTree + Sync), repository: &Repository, request: &Request) -> Report {
    let (files, bytes) = match repository {
        Repository::Read { files, bytes } => (*files, *bytes),
        Repository::Refused { reason, help } => return refused(reason, help),
    };
    let until = Instant::now() + TIME;
    let size = format!("{files} file{}, {}.{} MB", plural(files), bytes / 1_000_000, bytes % 1_000_000 / 100_000);
    let mut checks = vec![Check::ok("repository", size)];
    let below = match below::find(tree, request.base_directory.as_deref()) {
        Ok((below, check)) => {
            checks.push(check);
            below
        }
        Err(check) => {
            checks.push(*check);
            return Report::ended(checks, "there is no Base Directory to look into");
        }
    };
    // Syntax trees are walked where there is room for deep ones; and three looks at once take a third of the time.
    let report = std::thread::scope(|scope| {
        let deep = || std::thread::Builder::new().stack_size(STACK);
        let code = deep().spawn_scoped(scope, || code::Code::read(&below, until));
        let secrets = scope.spawn(|| secrets::check(&below, until));
        let planned = deep().spawn_scoped(scope, || {
            planned::checks(&below, request, || match code {
                Ok(code) => joined(code.join()),
                // Without another thread it takes longer, nothing else.
                Err(_) => code::Code::read(&below, until),
            })
        });
        let mut report = match planned {
            Ok(planned) => joined(planned.join()),
            Err(_) => Report::ended(Vec::new(), "this machine has no room for another thread; try again"),
        };
        // Whatever else was skipped, these were looked for.
        report.checks.retain(|check| check.id != "secrets");
        report.checks.push(joined(secrets.join()));
        report
    });
    checks.extend(report.checks);
    checks.sort_by_key(|check| ALL.iter().position(|(id, _)| *id == check.id));
    checks.dedup_by_key(|check| check.id);
    let base = below.base();
    for check in checks.iter_mut().filter(|_| !base.is_empty()) {
        if let Some(file) = check.file.as_mut() {
            *file = format!("{base}/{file}");
        }
    }
    Report { checks, ..report }
}

/// What a thread found; its panic is ours.
fn joined<T>(result: std::thread::Result<T>) -> T {
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

const fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Text of a source in one line, without what could rewrite a terminal, and not endless.
fn one_line(text: &str) -> String {
    const SHOWN: usize = 400;
    let plain: String =
        text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned();
    if text.chars().nth(SHOWN).is_some() { plain + "…" } else { plain }
}

/// The first places of several, and how many more there are.
fn listed(places: &[String]) -> String {
    const NAMED: usize = 5;
    let named = places[..places.len().min(NAMED)].join(", ");
    let more = places.len().saturating_sub(NAMED);
    if more > 0 { format!("{named} and {more} more") } else { named }
}

#[cfg(test)]
mod tests;
