//! The start command as a program with its arguments, and whether it is a server for production.

use super::code::Code;
use super::database::line_of;
use super::{Check, Request};
use crate::python::requirement::normalise;
use crate::recognise::start::{Chosen, Context};
use crate::shell;

/// What a command line runs in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Program {
    /// A program by its name: `gunicorn`.
    Named(String),
    /// A script of the source, by its path from the root.
    Script(String),
    /// `python -m name`.
    Module(String),
}

/// A start command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// The directory it runs in, from the root; `""` is the root.
    pub(super) dir: String,
    pub(super) program: Program,
    pub(super) args: Vec<String>,
}

/// Programs that run the program which follows them; the number of words that go with them.
const WRAPPERS: [(&str, usize); 8] = [
    ("poetry", 2),
    ("uv", 2),
    ("pipenv", 2),
    ("pdm", 2),
    ("ddtrace-run", 1),
    ("opentelemetry-instrument", 1),
    ("newrelic-admin", 2),
    ("exec", 1),
];

/// Servers, the distributions that bring them, and whether they are made for production.
const SERVERS: [(&str, &str, bool); 17] = [
    ("gunicorn", "gunicorn", true),
    ("uvicorn", "uvicorn", true),
    ("hypercorn", "hypercorn", true),
    ("daphne", "daphne", true),
    ("granian", "granian", true),
    ("waitress-serve", "waitress", true),
    ("uwsgi", "uwsgi", true),
    ("sanic", "sanic", true),
    ("fastapi", "fastapi", true),
    ("streamlit", "streamlit", true),
    ("chainlit", "chainlit", true),
    ("shiny", "shiny", true),
    ("panel", "panel", true),
    ("mod_wsgi-express", "mod-wsgi", true),
    ("twist", "twisted", true),
    ("flask", "flask", false),
    ("django-admin", "django", false),
];

impl Line {
    /// Reads a command line; nothing where it is more than a command can be read from.
    pub(super) fn read(line: &str) -> Option<Self> {
        let mut words = shell::last_words(line);
        let dir = line.trim().strip_prefix("cd ").and_then(|rest| rest.split_once("&&")).map_or("", |(dir, _)| dir.trim());
        let dir = dir.trim_matches(['\'', '"', '/']).trim_start_matches("./").to_owned();
        while let Some((_, count)) = words.first().and_then(|first| WRAPPERS.iter().find(|(name, _)| name == first)) {
            words.drain(..(*count).min(words.len()));
        }
        if words.is_empty() {
            return None;
        }
        let first = words.remove(0);
        let name = first.rsplit('/').next().unwrap_or(&first).to_owned();
        if !(name == "python"
            || name.strip_prefix("python3").is_some_and(|rest| rest.trim_start_matches('.').bytes().all(|b| b.is_ascii_digit())))
        {
            let program = if first.contains('/') && crate::text::has_extension(&first, "py") {
                Program::Script(in_dir(&dir, &first))
            } else {
                Program::Named(name)
            };
            return Some(Self { dir, program, args: words });
        }
        while words.first().is_some_and(|word| word.starts_with('-') && word != "-m" && word != "-c") {
            let option = words.remove(0);
            if matches!(option.as_str(), "-W" | "-X") && !words.is_empty() {
                words.remove(0);
            }
        }
        match words.first().map(String::as_str) {
            Some("-m") => {
                let module = words.get(1)?.clone();
                let args = words.split_off(2);
                let known = SERVERS.iter().any(|(name, ..)| *name == module);
                let program = if known {
                    Program::Named(module)
                } else if module == "waitress" {
                    Program::Named("waitress-serve".to_owned())
                } else {
                    Program::Module(module)
                };
                Some(Self { dir, program, args })
            }
            Some("-c") | None => None,
            Some(_) => {
                let script = in_dir(&dir, &words.remove(0));
                Some(Self { dir, program: Program::Script(script), args: words })
            }
        }
    }

    /// The value of an option in any of its forms: `--bind X`, `--bind=X`, `-b X`, `-bX`.
    pub(super) fn option(&self, names: &[&str]) -> Option<&str> {
        self.args.iter().enumerate().find_map(|(at, word)| {
            names.iter().find_map(|name| {
                let rest = word.strip_prefix(name)?;
                if rest.is_empty() {
                    return self.args.get(at + 1).map(String::as_str);
                }
                match rest.strip_prefix('=') {
                    Some(value) => Some(value),
                    None => (!name.starts_with("--")).then_some(rest),
                }
            })
        })
    }

    /// The program's name for people.
    pub(super) fn name(&self) -> &str {
        match &self.program {
            Program::Named(name) | Program::Script(name) | Program::Module(name) => name,
        }
    }

    /// Whether it is Django's or Flask's server for those who develop.
    fn is_for_development(&self) -> bool {
        match &self.program {
            Program::Script(path) => path.ends_with("manage.py") && self.args.iter().any(|word| word.starts_with("runserver")),
            Program::Named(name) => match name.as_str() {
                "flask" => self.args.iter().any(|word| word == "run"),
                "django-admin" => self.args.iter().any(|word| word.starts_with("runserver")),
                "fastapi" => self.args.iter().any(|word| word == "dev"),
                _ => false,
            },
            Program::Module(_) => false,
        }
    }
}

/// A path as a command in `dir` names it, from the root.
fn in_dir(dir: &str, path: &str) -> String {
    let path = path.trim_start_matches("./");
    match path.strip_prefix("/app/") {
        Some(inner) => inner.to_owned(),
        None if dir.is_empty() => path.to_owned(),
        None => format!("{dir}/{path}"),
    }
}

/// Whether a server for production serves, and who brings it.
pub(super) fn server(
    context: &Context<'_>,
    chosen: &Chosen,
    line: Option<&Line>,
    manifest: Option<&str>,
    code: &Code,
    request: &Request,
) -> Check {
    const ID: &str = "server";
    if let Some(server) = chosen.start.added_server {
        let why = if request.plan.install_command.is_some() { " (unless the install command brings it)" } else { "" };
        return Check::ok(ID, format!("the app brings none: the platform adds {server}{why}"));
    }
    let Some(line) = line else {
        return Check::skipped(ID, "the start command runs a program that can't be told from its words");
    };
    if line.is_for_development() {
        let help = "take it out of the start command (a production server is chosen then), or name one: gunicorn --bind=0.0.0.0:$PORT module:app";
        return Check::warning(
            ID,
            format!(
                "`{} {}` is a server for development: slow, and not made for visitors",
                line.name(),
                line.args.first().map_or("", String::as_str)
            ),
            help,
        );
    }
    match &line.program {
        Program::Named(name) => {
            let Some((_, distribution, _)) = SERVERS.iter().find(|(known, ..)| known == name) else {
                return Check::skipped(ID, format!("`{name}` is started; whether it serves can't be told"));
            };
            let brought = context.declares(distribution)
                || *distribution == "uvicorn" && context.declares_uvicorn()
                || context.wanted.reqs.iter().any(|req| req.name.is_empty())
                || !context.wanted.projects.is_empty();
            if brought || *distribution == "gunicorn" {
                let at = manifest
                    .and_then(|manifest| Some((manifest, line_of(context.modules.tree, manifest, &normalise(distribution))?)));
                return match at {
                    Some((manifest, at)) => Check::ok(ID, format!("{distribution}, from {manifest}")).at(manifest, Some(at)),
                    None => Check::ok(ID, format!("{distribution}, from the app's dependencies")),
                };
            }
            let help = format!("add {distribution} to the dependencies");
            Check::warning(ID, format!("`{name}` is started, but no dependency names {distribution}"), help)
        }
        Program::Script(path) => {
            let flask = code.files.get(path).and_then(|facts| {
                facts.listens.iter().find(|listens| listens.default.1 == "5000" && listens.name.rsplit('.').next() == Some("run"))
            });
            match flask.filter(|_| context.survey.packages.contains("flask") && !context.declares("flask-socketio")) {
                Some(listens) => {
                    let help = "remove the start command, and the platform runs the app under gunicorn; or name one yourself";
                    let reason = format!("`{}` is Flask's server for development", listens.name);
                    Check::warning(ID, reason, help).at(path.clone(), Some(listens.line))
                }
                None => Check::ok(ID, format!("{path} serves by itself")),
            }
        }
        Program::Module(name) => Check::ok(ID, format!("the module {name} serves by itself")),
    }
}
