//! The prose of failures: what it was, why, and what to do, in the words of somebody who wants to help.

use crate::error::PlanError;
use crate::plan::Origin;

mod build;
mod databases;
mod end;
mod server;
mod start;
mod trace;

pub use build::build_failure;
pub use end::{End, by_end, release_failure};
pub use server::never_answers;
pub use start::{is_crash_loop, start_failure};

/// Every kind of failure that is told apart, and the key of the setting that most likely has to change. Each has a section in
/// `docs/failures.md`.
pub const KINDS: &[(&str, Option<&str>)] = &[
    ("missing-package", None),
    ("wrong-module", Some("startCommand")),
    ("wrong-object", Some("startCommand")),
    ("not-an-app", Some("startCommand")),
    ("syntax-error", None),
    ("wrong-port", Some("startCommand")),
    ("bad-address", Some("startCommand")),
    ("missing-program", Some("startCommand")),
    ("missing-variable", Some("environment")),
    ("database", Some("databaseType")),
    ("database-driver", None),
    ("database-dialect", None),
    ("package-not-found", None),
    ("release-not-found", None),
    ("dependency-conflict", None),
    ("dependency-hash", None),
    ("dependency-file", None),
    ("git-dependency", Some("buildEnvironment")),
    ("python-version", Some("pythonVersion")),
    ("system-library", None),
    ("package-build", Some("pythonVersion")),
    ("out-of-memory", Some("resourceConfig.memory")),
    ("build-memory", None),
    ("disk-full", None),
    ("download", None),
    ("worker-timeout", Some("startCommand")),
    ("release-command", None),
    ("exits-at-once", Some("startCommand")),
    ("circular-import", None),
    ("incompatible-releases", None),
    ("listens-twice", None),
    ("unhealthy", Some("serving.probePath")),
    ("start-command", Some("startCommand")),
    ("missing-table", None),
    ("no-app", Some("repoSubdir")),
    ("source-unreadable", None),
    ("exception", None),
];

/// A failure for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What kind of failure it is: an anchor of `docs/failures.md`; never changes.
    pub id: &'static str,
    /// One line: what went wrong.
    pub title: String,
    /// Why, as far as it is known.
    pub cause: String,
    /// What to do about it.
    pub fix: String,
}

impl Explanation {
    pub(crate) fn new(id: &'static str, title: impl Into<String>, cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { id, title: title.into(), cause: cause.into(), fix: fix.into() }
    }

    /// The key of the setting that most likely has to change, where it is one.
    pub fn setting(&self) -> Option<&'static str> {
        KINDS.iter().find(|(id, _)| *id == self.id).and_then(|(_, setting)| *setting)
    }
}

/// Explains why a source tree gave no plan.
pub fn plan_error(error: &PlanError) -> Explanation {
    match error {
        PlanError::NothingRecognised { other, files } => nothing(other.as_ref(), *files),
        PlanError::NoStart { looked_at, nearest } => no_start(looked_at, nearest.as_deref()),
        PlanError::PythonUnavailable { asked, origin, available } => {
            let have = available.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let asked = asked.trim_start_matches("python-").trim_start_matches("Python ");
            let older = if asked == "3.9" || asked.starts_with("3.9.") {
                " Or have Python 3.9 made on the platform's machine: `sudo adaptable stack bullseye`."
            } else {
                ""
            };
            Explanation::new(
                "python-version",
                format!("Python {asked} is not available"),
                format!("It is asked for {origin}. Available here: {}.", if have.is_empty() { "none" } else { &have }),
                format!("Ask for one of those (3.11 stands for all of 3.11.x), or remove the request to get 3.11.{older}"),
            )
        }
        PlanError::PythonMalformed { text, origin } => Explanation::new(
            "python-version",
            format!("`{text}` is not a Python version"),
            format!("It stands {origin}."),
            "Write a version such as 3.11 or 3.11.4 there.",
        ),
        PlanError::Manifest { file, line, why } => Explanation::new(
            "dependency-file",
            format!("{file} can't be read"),
            format!("{}{why}.", line.map(|line| format!("Line {line}: ")).unwrap_or_default()),
            "Correct the file and deploy again.",
        ),
        PlanError::MissingFile { file, by } => Explanation::new(
            "dependency-file",
            format!("{file} is missing"),
            format!("{by} names it, but it is not in the source."),
            format!("Commit {file} (is it in .gitignore?), or remove the line from {by}."),
        ),
        PlanError::OutsideTree { path, by } => Explanation::new(
            "dependency-file",
            format!("`{path}` leads out of the source"),
            format!("{by} names it. A build sees the app's own source and nothing else."),
            "Move what it names into the repository, or publish it as a package.",
        ),
        PlanError::Misspelled { found, meant } => Explanation::new(
            "dependency-file",
            format!("There is no {meant}"),
            format!("There is a file `{found}`, which nothing reads."),
            format!("Rename `{found}` to `{meant}`."),
        ),
        PlanError::StaleLock { lock, manifest, missing } => Explanation::new(
            "dependency-file",
            format!("{lock} is out of date"),
            format!("{manifest} asks for {}, which {lock} does not know.", missing.join(", ")),
            format!("Run `{}` and commit the result.", relock(lock)),
        ),
        PlanError::Aptfile { line, text, why } => Explanation::new(
            "dependency-file",
            "The Aptfile can't be read",
            format!("Line {line}: `{text}` {why}."),
            "Write one name of a Debian package a line, for instance `libpq5`.",
        ),
        PlanError::Procfile(error) => Explanation::new(
            "start-command",
            "The Procfile can't be read",
            format!("Line {}: `{}` is not `type: command`.", error.line, error.text),
            "Write, for instance, `web: gunicorn app:app`.",
        ),
        PlanError::Command { what, origin, source } => Explanation::new(
            "start-command",
            format!("The {what} command can't be run"),
            format!("It comes {}; {source}.", place(*origin)),
            "Correct it and deploy again.",
        ),
        PlanError::Tree(source) => Explanation::new(
            "source-unreadable",
            "The source can't be read",
            format!("{source}."),
            "Correct it and deploy again.",
        ),
    }
}

fn place(origin: Origin) -> &'static str {
    match origin {
        Origin::Settings => "from the settings",
        Origin::Procfile => "from the Procfile",
        Origin::Inferred => "from the source",
    }
}

fn relock(lock: &str) -> &'static str {
    match lock.rsplit('/').next().unwrap_or(lock) {
        "poetry.lock" => "poetry lock",
        "pdm.lock" => "pdm lock",
        "Pipfile.lock" => "pipenv lock",
        _ => "uv lock",
    }
}

fn nothing(other: Option<&(&'static str, String)>, files: usize) -> Explanation {
    let cause = match other {
        Some((language, file)) => {
            format!("There is a {file}: this looks like {language}, and only Python apps are built so far.")
        }
        None if files == 0 => "The source is empty: was everything ignored by .gitignore, or not committed?".to_owned(),
        None => format!("None of the {files} files is Python (*.py) or one of its manifests."),
    };
    Explanation::new(
        "no-app",
        "No app was recognised",
        cause,
        "Looked for: *.py files, requirements.txt, pyproject.toml, uv.lock, poetry.lock, pdm.lock, Pipfile, setup.py. If the app lies in a \
         directory of the repository, set it as the base directory.",
    )
}

fn no_start(looked_at: &[String], nearest: Option<&str>) -> Explanation {
    let files = if looked_at.is_empty() { "no Python file".to_owned() } else { looked_at.join(", ") };
    let nearest = nearest.map(|nearest| format!(" The nearest: {nearest}.")).unwrap_or_default();
    Explanation::new(
        "start-command",
        "Nothing in the source can be started",
        format!(
            "Looked in {files} for an application object (Flask, FastAPI, Starlette, Quart, Django and others), a factory without required \
             arguments that makes one, a manage.py, a program that serves by itself, and a main.py or app.py.{nearest}"
        ),
        "Set a start command, for instance `gunicorn --bind=0.0.0.0:$PORT myapp:app`, or write it into a Procfile after `web:`.",
    )
}

#[cfg(test)]
mod tests;
