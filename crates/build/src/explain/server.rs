//! What a server says of its command line: the module and object it names, its options, its address, its time.

use super::Explanation;
use super::start::{last, quoted};

/// The start command names a module, a file or an object that is not there, or that is no application.
pub(super) fn target(log: &str) -> Option<Explanation> {
    module(log).or_else(|| attribute(log)).or_else(|| no_application(log)).or_else(|| file(log)).or_else(|| never_answers(log))
}

/// Says that a server was given something which is no application: it calls it for each request, fails itself and not in the app's
/// code, and answers with 500 whatever is asked for.
pub fn never_answers(log: &str) -> Option<Explanation> {
    const SERVERS: [&str; 6] = ["/gunicorn/", "/waitress/", "/uvicorn/", "/hypercorn/", "/daphne/", "/granian/"];
    let at = log.rfind("TypeError: ")?;
    let said = log[at..].lines().next()?.trim_start_matches("TypeError: ").trim();
    let trace = &log[log[..at].rfind("Traceback (most recent call last):")?..at];
    let frame = trace.lines().rev().map(str::trim).find(|line| line.starts_with("File \""))?;
    if !SERVERS.iter().any(|server| frame.contains(server)) {
        return None;
    }
    let refused =
        said.split_once("() takes ").filter(|(_, rest)| rest.ends_with("but 2 were given") || rest.ends_with("but 3 were given"));
    let refused = refused.or_else(|| said.split_once("() missing ")).map(|(name, _)| name.rsplit('.').next().unwrap_or(name));
    let title = match refused {
        Some(name) => format!("`{name}` is no application"),
        None if said.ends_with("object is not iterable") => "What the start command names is no application".to_owned(),
        None => return None,
    };
    Some(Explanation::new(
        "not-an-app",
        title,
        format!("The server calls it for each request, and that fails: {said}."),
        "If it is a function that makes the app, have it called, by parentheses behind its name in Start Command: `myapp:start_app()`. Otherwise name the object that `Flask(__name__)` made.",
    ))
}

/// A server looked for the module itself: nothing of the app had run yet.
fn module(log: &str) -> Option<Explanation> {
    let asgi = last(log, "Error loading ASGI app. Could not import module");
    let flask = last(log, "Error: Could not import '").or_else(|| last(log, "Error: Could not locate a Flask application"));
    let line = match (asgi, flask) {
        (Some(line), _) | (_, Some(line)) => line,
        _ => {
            let line = last(log, "ModuleNotFoundError: No module named")?;
            let begin = log.rfind("Traceback (most recent call last):")?;
            let loader = ["in import_app", "in import_string", "import_from_string", "in load_app"];
            let trace = &log[begin..];
            // A frame of the app's own means that its code ran, and that an import of it failed.
            if trace.contains("File \"/app/") || !loader.iter().any(|sign| trace.contains(sign)) {
                return None;
            }
            line
        }
    };
    let Some(name) = quoted(line).filter(|_| flask.is_none_or(|line| !line.contains("Could not locate"))) else {
        return Some(Explanation::new(
            "wrong-module",
            "The app's module was not found",
            "Flask looked for a file app.py or wsgi.py, and the start command names no other.",
            "Name the module in the start command: `gunicorn --bind=0.0.0.0:$PORT myapp:app` for `app` in myapp.py.",
        ));
    };
    let path = name.replace('.', "/");
    Some(Explanation::new(
        "wrong-module",
        format!("There is no module `{name}`"),
        format!("The start command names `{name}`, but the source has neither {path}.py nor {path}/__init__.py."),
        format!(
            "Correct the name before the colon in Start Command: for a file server/web.py it is `server.web`. If {path}.py exists on your machine, commit and push it."
        ),
    ))
}

fn attribute(log: &str) -> Option<Explanation> {
    let line = last(log, "Failed to find attribute").or_else(|| last(log, "Error loading ASGI app. Attribute"))?;
    let mut parts = line.split(['\'', '"']);
    let attribute = parts.nth(1)?;
    let module = parts.nth(1)?;
    Some(Explanation::new(
        "wrong-object",
        format!("There is no `{attribute}` in `{module}`"),
        format!("The start command names `{module}:{attribute}`, but the module has no such name."),
        format!(
            "In Start Command, name the application object of `{module}` after the colon (`{module}:app`), or the function that makes it (`{module}:create_app()`)."
        ),
    ))
}

fn no_application(log: &str) -> Option<Explanation> {
    if last(log, "Application object must be callable").is_some() {
        return Some(Explanation::new(
            "not-an-app",
            "What the start command names is no application",
            "The object after the colon is there, but a server can't call it: it is not the Flask object.",
            "In Start Command, name the object that `Flask(__name__)` made (`myapp:app`), or the function that returns it (`myapp:start_app()`).",
        ));
    }
    if let Some(line) = last(log, "Failed to parse '") {
        let text = quoted(line).unwrap_or_default().to_owned();
        return Some(Explanation::new(
            "not-an-app",
            format!("`{text}` can't be read as an application"),
            "After the colon of the start command stands a name, or a call with plain values.",
            "Write `myapp:app`, `myapp:start_app()` or `myapp:start_app(\"production\")` in Start Command.",
        ));
    }
    // gunicorn tells a factory that was called wrongly in a line of its own, without a traceback.
    let line = log.lines().map(str::trim).rev().find(|line| {
        line.starts_with("TypeError: ")
            && line.contains("() ")
            && (line.contains("positional argument") || line.contains("unexpected keyword argument"))
    })?;
    if log.contains("Traceback (most recent call last):") {
        return None;
    }
    let said = line.trim_start_matches("TypeError: ");
    let name = said.split('(').next().unwrap_or("the function");
    Some(Explanation::new(
        "not-an-app",
        format!("`{name}` was called without what it needs"),
        format!("The start command has it called to make the application: {said}."),
        format!("Give it what it needs in Start Command, `{name}(\"…\")`, or give its parameters defaults in the source."),
    ))
}

fn file(log: &str) -> Option<Explanation> {
    if let Some(line) = last(log, "can't open file '") {
        let path = quoted(&line[line.find("can't open file ")? + 16..])?.trim_start_matches("/app/").to_owned();
        return Some(Explanation::new(
            "wrong-module",
            format!("There is no file {path}"),
            format!("The start command has Python run {path}, but the source that was deployed has no such file."),
            format!("Correct the name in Start Command, or commit and push {path}. With a Base Directory, paths begin there."),
        ));
    }
    let line = log.lines().map(str::trim).rev().find(|line| line.contains("/python") && line.contains(": No module named "))?;
    let name = line.rsplit(' ').next()?;
    Some(Explanation::new(
        "wrong-module",
        format!("There is no module `{name}`"),
        format!("The start command runs `python -m {name}`, but neither the source nor a dependency has it."),
        format!("Add the package that brings `{name}` to requirements.txt, or correct Start Command."),
    ))
}

/// An address or an option that a server does not take.
pub(super) fn usage(log: &str) -> Option<Explanation> {
    address(log).or_else(|| option(log)).or_else(|| quotes(log))
}

fn address(log: &str) -> Option<Explanation> {
    const FIX: &str =
        "Write `--bind=0.0.0.0:$PORT` in Start Command: the address, a colon, and the variable with its dollar sign.";
    if let Some(line) = last(log, "is not a valid port number") {
        return Some(Explanation::new(
            "bad-address",
            "The port in the start command is no number",
            format!("The server says: {}.", line.trim_start_matches("Error: ").trim_end_matches('.')),
            FIX,
        ));
    }
    let line = last(log, "Cannot assign requested address")
        .or_else(|| last(log, "Can't connect to ("))
        .or_else(|| last(log, "Invalid address: ("))
        .or_else(|| last(log, "Name or service not known").filter(|_| log.contains("[ERROR]") && log.contains("bind")))?;
    let whole = line.split_once("] ").map_or(line, |(_, rest)| rest.rsplit("] ").next().unwrap_or(rest));
    Some(Explanation::new(
        "bad-address",
        "The server can't listen on the address in the start command",
        format!(
            "It says: {}. An address without a host, as in `--bind=$PORT`, is taken for a host.",
            whole.trim_end_matches('.')
        ),
        FIX,
    ))
}

fn option(log: &str) -> Option<Explanation> {
    let line = last(log, "error: unrecognized arguments:")
        .or_else(|| last(log, "Error: No such option"))
        .or_else(|| last(log, ": error: argument "))
        .or_else(|| last(log, "Error: unrecognized arguments"))?;
    let program = line.split(": error").next().filter(|name| !name.contains(' ')).unwrap_or("The server").to_owned();
    Some(Explanation::new(
        "start-command",
        "The start command has an option that its program does not know",
        format!("{program} says: {}.", line.rsplit("rror: ").next().unwrap_or(line).trim_end_matches('.')),
        "Correct the option in Start Command; the guide's is `gunicorn --bind=0.0.0.0:$PORT --threads=4 myapp:start_app()`.",
    ))
}

fn quotes(log: &str) -> Option<Explanation> {
    let line =
        last(log, "Unterminated quoted string").or_else(|| last(log, "Syntax error: ").filter(|line| line.contains("sh: ")))?;
    Some(Explanation::new(
        "start-command",
        "The start command can't be read",
        format!("The shell says: {}.", line.rsplit(": ").next().unwrap_or(line).trim_end_matches('.')),
        "Close every quote and parenthesis in Start Command.",
    ))
}

/// A server gave up on a worker that took too long.
pub(super) fn time_out(log: &str) -> Option<Explanation> {
    let line = last(log, "WORKER TIMEOUT")?;
    Some(Explanation::new(
        "worker-timeout",
        "The server ended a worker that took too long",
        format!(
            "gunicorn waits 30 s (or what --timeout says) for a worker, and says: {}.",
            line.rsplit("] ").next().unwrap_or(line)
        ),
        "Do less while the module is imported (move slow work into requests or the release command), or give `--timeout=120` in Start Command.",
    ))
}
