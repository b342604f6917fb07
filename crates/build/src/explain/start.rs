//! Why an app did not start, read from the end of its log and from what it listens on.

use std::net::SocketAddr;

use super::{Explanation, databases, server, trace};

/// Imports whose distribution has another name.
const DISTRIBUTIONS: [(&str, &str); 20] = [
    ("PIL", "pillow"),
    ("bs4", "beautifulsoup4"),
    ("cv2", "opencv-python-headless"),
    ("dateutil", "python-dateutil"),
    ("docx", "python-docx"),
    ("dotenv", "python-dotenv"),
    ("flask_sqlalchemy", "flask-sqlalchemy"),
    ("jose", "python-jose"),
    ("jwt", "pyjwt"),
    ("magic", "python-magic"),
    ("multipart", "python-multipart"),
    ("mysqldb", "mysqlclient"),
    ("MySQLdb", "mysqlclient"),
    ("pkg_resources", "setuptools<81"),
    ("psycopg2", "psycopg2-binary"),
    ("rest_framework", "djangorestframework"),
    ("serial", "pyserial"),
    ("sklearn", "scikit-learn"),
    ("socketio", "python-socketio"),
    ("yaml", "pyyaml"),
];

/// Explains why an app did not come up: `listeners` are the addresses it accepts connections on, `port` is what `$PORT` says.
pub fn start_failure(log_tail: &str, listeners: &[SocketAddr], port: u16) -> Option<Explanation> {
    databases::driver(log_tail)
        .or_else(|| server::target(log_tail))
        .or_else(|| circular(log_tail))
        .or_else(|| missing_module(log_tail))
        .or_else(|| syntax(log_tail))
        .or_else(|| databases::address(log_tail))
        .or_else(|| trace::missing_settings(log_tail))
        .or_else(|| variable(log_tail))
        .or_else(|| library(log_tail))
        .or_else(|| program(log_tail))
        .or_else(|| server::usage(log_tail))
        .or_else(|| in_use(log_tail))
        .or_else(|| memory(log_tail))
        .or_else(|| databases::tables(log_tail))
        .or_else(|| databases::unreachable(log_tail))
        .or_else(|| server::time_out(log_tail))
        .or_else(|| import_name(log_tail))
        .or_else(|| crash_loop(log_tail))
        .or_else(|| elsewhere(listeners, port))
        .or_else(|| trace::exception(log_tail))
}

/// Whether a server's workers die as fast as they are started: it accepts connections, and nobody ever answers them.
pub fn is_crash_loop(log_tail: &str) -> bool {
    let started = log_tail.matches("Booting worker with pid").count();
    let ended = log_tail.matches("Worker exiting (pid").count() + log_tail.matches(" exited with code ").count();
    started >= 4 && ended >= 3
}

/// The last line with a sign: in a traceback, the cause.
pub(super) fn last<'a>(log: &'a str, sign: &str) -> Option<&'a str> {
    log.lines().rev().find(|line| line.contains(sign)).map(str::trim)
}

pub(super) fn quoted(line: &str) -> Option<&str> {
    line.split(['\'', '"', '`']).nth(1)
}

fn missing_module(log: &str) -> Option<Explanation> {
    let line = last(log, "ModuleNotFoundError: No module named").or_else(|| last(log, "ImportError: No module named"))?;
    let module = quoted(line).or_else(|| line.rsplit(' ').next())?;
    let first = module.split('.').next().unwrap_or(module);
    let distribution = DISTRIBUTIONS
        .iter()
        .find(|(import, _)| *import == first)
        .map_or_else(|| first.replace('_', "-"), |(_, name)| (*name).to_owned());
    Some(Explanation::new(
        "missing-package",
        format!("The module `{module}` is not installed"),
        "The app imports it, but no dependency brings it.".to_owned(),
        format!(
            "Add `{distribution}` to requirements.txt (or your project's dependencies). If it is a file of your own, check where the start command looks for it."
        ),
    ))
}

fn syntax(log: &str) -> Option<Explanation> {
    let lines: Vec<&str> = log.lines().map(str::trim).collect();
    let at = lines.iter().rposition(|line| {
        ["SyntaxError:", "IndentationError:", "TabError:"]
            .iter()
            .any(|kind| line.starts_with(kind) || line.contains(&format!(" {kind}")))
    })?;
    let place = lines[..at].iter().rev().find(|line| line.starts_with("File \"") && line.contains("line "));
    let place = place.map(|line| {
        let file = quoted(line).unwrap_or("a file").trim_start_matches("/app/");
        let number: String = line.split("line ").nth(1).unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
        format!("{file}:{number}")
    });
    let old = lines[at].contains("Missing parentheses in call to 'print'");
    Some(Explanation::new(
        "syntax-error",
        format!("There is a syntax error{}", place.map(|place| format!(" in {place}")).unwrap_or_default()),
        lines[at].to_owned(),
        if old { "This is Python 2: convert the file to Python 3." } else { "Correct the line and deploy again." },
    ))
}

fn variable(log: &str) -> Option<Explanation> {
    let missing = |name: &str| {
        Explanation::new(
            "missing-variable",
            format!("The variable {name} is not set"),
            "The app reads it from its environment when it starts.",
            format!("Set it: `adaptable env APP set {name}=…`"),
        )
    };
    // `KeyError: 'SECRET_KEY'` out of os.environ, and what libraries for settings say.
    if let Some(line) = last(log, "KeyError:")
        && let Some(name) = quoted(line).filter(|name| is_variable(name))
        && (log.contains("os.environ") || log.contains("<frozen os>") || log.contains("os.py"))
    {
        return Some(missing(name));
    }
    for sign in ["UndefinedValueError:", "ImproperlyConfigured: Set the", "environ.exceptions", "ValidationError"] {
        if let Some(line) = last(log, sign)
            && let Some(name) = line
                .split_whitespace()
                .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
                .find(|word| is_variable(word))
        {
            return Some(missing(name));
        }
    }
    if last(log, "The SECRET_KEY setting must not be empty").is_some() {
        return Some(missing("SECRET_KEY"));
    }
    // `ValueError: OPENAI_API_KEY is not set`, in whatever words; a name with a `_` is hardly anything else than a variable's.
    trace::speaks_of_a_variable(log)?
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .find(|word| word.contains('_') && is_variable(word))
        .map(missing)
}

fn is_variable(text: &str) -> bool {
    text.len() > 2
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        && text.starts_with(|c: char| c.is_ascii_uppercase())
}

fn library(log: &str) -> Option<Explanation> {
    let line = last(log, "cannot open shared object file")?;
    let file = line.split(':').map(str::trim).find(|part| part.contains(".so"))?.rsplit(' ').next()?;
    Some(Explanation::new(
        "system-library",
        format!("The system library {file} is missing"),
        line.to_owned(),
        "Add the Debian package that has it to a file named Aptfile in the root of the source (one name a line).",
    ))
}

fn program(log: &str) -> Option<Explanation> {
    let line = log.lines().rev().map(str::trim).find(|line| {
        (line.ends_with("not found") || line.ends_with("No such file or directory"))
            && (line.contains("sh: ") || line.contains("exec"))
            && !line.contains("Error")
            || line.ends_with("Permission denied") && line.contains("sh: ")
    })?;
    let denied = line.ends_with("Permission denied");
    let name = line
        .trim_end_matches(": not found")
        .trim_end_matches(": No such file or directory")
        .trim_end_matches(": command not found")
        .trim_end_matches(": Permission denied");
    let name = name.rsplit(": ").next().unwrap_or(name);
    if denied {
        return Some(Explanation::new(
            "missing-program",
            format!("The program `{name}` may not be run"),
            "The start command runs this file, which is not marked as a program.",
            format!("Mark it and push: `chmod +x {name}`, `git update-index --chmod=+x {name}`; or start it as `sh {name}`."),
        ));
    }
    if name.contains('/') {
        return Some(Explanation::new(
            "missing-program",
            format!("The program `{name}` was not found"),
            "The start command names this file, but the source that was deployed has no such file.",
            "Dependencies lie in an environment of their own, which is on the PATH: name programs such as `python` and `gunicorn` without a directory.",
        ));
    }
    Some(Explanation::new(
        "missing-program",
        format!("The program `{name}` was not found"),
        "The start command names it, but nothing installed it.",
        format!("Add `{name}` to the dependencies, or correct the start command."),
    ))
}

fn in_use(log: &str) -> Option<Explanation> {
    let line = last(log, "Address already in use").or_else(|| last(log, "Connection in use"))?;
    Some(Explanation::new(
        "listens-twice",
        "The app listens twice on the same port",
        line.to_owned(),
        "Start one server only: remove `app.run(…)` from the module, or put it below `if __name__ == \"__main__\":`.",
    ))
}

fn memory(log: &str) -> Option<Explanation> {
    let line = last(log, "MemoryError").or_else(|| last(log, "was sent SIGKILL! Perhaps out of memory?"))?;
    Some(Explanation::new(
        "out-of-memory",
        "The app ran out of memory",
        line.to_owned(),
        "Give it more memory, or start fewer workers.",
    ))
}

/// Two modules of the app's own that import each other.
fn circular(log: &str) -> Option<Explanation> {
    let line = last(log, "(most likely due to a circular import)")?;
    let name = quoted(line)?;
    let module = line.split("module ").nth(1).and_then(quoted).unwrap_or("a module");
    Some(Explanation::new(
        "circular-import",
        format!("Modules import each other: `{name}` is not in `{module}` yet"),
        format!("While `{module}` is being imported, it imports a module that needs `{name}` from it."),
        format!(
            "Move the import below the line that makes `{name}`, or make `{name}` in a module of its own that imports none of yours."
        ),
    ))
}

fn import_name(log: &str) -> Option<Explanation> {
    let line = last(log, "ImportError: cannot import name")?;
    let name = quoted(line)?;
    let from = line.split("from ").nth(1).and_then(quoted).unwrap_or("a module");
    let pythons_own = line.contains("/usr/lib/python3");
    if pythons_own {
        return Some(Explanation::new(
            "incompatible-releases",
            format!("`{name}` is no longer in Python's own module `{from}`"),
            "The package that imports it was made for an older Python.",
            "Use a newer release of that package (the traceback in the log names its file), or ask for an older Python in a file .python-version.",
        ));
    }
    Some(Explanation::new(
        "incompatible-releases",
        format!("`{name}` is not in `{from}`"),
        line.to_owned(),
        "Most often the installed release is newer than the one the app was written for: pin the version that worked in requirements.txt.",
    ))
}

fn crash_loop(log: &str) -> Option<Explanation> {
    is_crash_loop(log).then(|| {
        Explanation::new(
            "exits-at-once",
            "The app ends as soon as it is started",
            "The server's workers import it, and it exits at once; they are started again and again.",
            "Remove what ends it (`sys.exit`, `exit`), or see the lines before each \"Worker exiting\" in its log.",
        )
    })
}

fn elsewhere(listeners: &[SocketAddr], port: u16) -> Option<Explanation> {
    let fix =
        format!("Listen on 0.0.0.0 and the port in $PORT (here {port}), for instance `gunicorn --bind=0.0.0.0:$PORT app:app`.");
    if let Some(loopback) = listeners.iter().find(|listener| listener.port() == port && listener.ip().is_loopback()) {
        return Some(Explanation::new(
            "wrong-port",
            format!("The app listens on {loopback} only"),
            "That address is reached from inside its own container, and from nowhere else.",
            fix,
        ));
    }
    let all: Vec<String> = listeners.iter().map(ToString::to_string).collect();
    match all.as_slice() {
        [] => None,
        _ if listeners.iter().any(|listener| listener.port() == port) => None,
        all => Some(Explanation::new(
            "wrong-port",
            format!("The app listens on {} instead of port {port}", all.join(", ")),
            "It has to listen on the port that the variable PORT holds.",
            fix,
        )),
    }
}
