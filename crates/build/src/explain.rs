//! The prose of failures: what it was, why, and what to do, in the words of somebody who wants to help.

use crate::error::PlanError;
use crate::plan::Origin;

mod build;
mod start;
mod trace;

pub use build::build_failure;
pub use start::{is_crash_loop, start_failure};

/// A failure for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// One line: what went wrong.
    pub title: String,
    /// Why, as far as it is known.
    pub cause: String,
    /// What to do about it.
    pub fix: String,
}

impl Explanation {
    pub(crate) fn new(title: impl Into<String>, cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { title: title.into(), cause: cause.into(), fix: fix.into() }
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
                format!("Python {asked} is not available"),
                format!("It is asked for {origin}. Available here: {}.", if have.is_empty() { "none" } else { &have }),
                format!("Ask for one of those (3.11 stands for all of 3.11.x), or remove the request to get 3.11.{older}"),
            )
        }
        PlanError::PythonMalformed { text, origin } => Explanation::new(
            format!("`{text}` is not a Python version"),
            format!("It stands {origin}."),
            "Write a version such as 3.11 or 3.11.4 there.",
        ),
        PlanError::Manifest { file, line, why } => Explanation::new(
            format!("{file} can't be read"),
            format!("{}{why}.", line.map(|line| format!("Line {line}: ")).unwrap_or_default()),
            "Correct the file and deploy again.",
        ),
        PlanError::MissingFile { file, by } => Explanation::new(
            format!("{file} is missing"),
            format!("{by} names it, but it is not in the source."),
            format!("Commit {file} (is it in .gitignore?), or remove the line from {by}."),
        ),
        PlanError::OutsideTree { path, by } => Explanation::new(
            format!("`{path}` leads out of the source"),
            format!("{by} names it. A build sees the app's own source and nothing else."),
            "Move what it names into the repository, or publish it as a package.",
        ),
        PlanError::Misspelled { found, meant } => Explanation::new(
            format!("There is no {meant}"),
            format!("There is a file `{found}`, which nothing reads."),
            format!("Rename `{found}` to `{meant}`."),
        ),
        PlanError::StaleLock { lock, manifest, missing } => Explanation::new(
            format!("{lock} is out of date"),
            format!("{manifest} asks for {}, which {lock} does not know.", missing.join(", ")),
            format!("Run `{}` and commit the result.", relock(lock)),
        ),
        PlanError::Aptfile { line, text, why } => Explanation::new(
            "The Aptfile can't be read",
            format!("Line {line}: `{text}` {why}."),
            "Write one name of a Debian package a line, for instance `libpq5`.",
        ),
        PlanError::Procfile(error) => Explanation::new(
            "The Procfile can't be read",
            format!("Line {}: `{}` is not `type: command`.", error.line, error.text),
            "Write, for instance, `web: gunicorn app:app`.",
        ),
        PlanError::Command { what, origin, source } => Explanation::new(
            format!("The {what} command can't be run"),
            format!("It comes {}; {source}.", place(*origin)),
            "Correct it and deploy again.",
        ),
        PlanError::Tree(source) => {
            Explanation::new("The source can't be read", format!("{source}."), "Correct it and deploy again.")
        }
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
