//! Whether what the start command names is in the source: the module, and the object in it.

use super::Check;
use super::start::{Line, Program};
use crate::python::requirement::normalise;
use crate::python::requirements::child;
use crate::recognise::module::Module;
use crate::recognise::start::Context;

const ID: &str = "start-target";

/// Servers that are given `module:object`, and the object where none is named.
const SERVERS: [(&str, Option<&str>); 8] = [
    ("gunicorn", Some("application")),
    ("uvicorn", None),
    ("hypercorn", Some("app")),
    ("daphne", None),
    ("granian", Some("app")),
    ("waitress-serve", None),
    ("sanic", Some("app")),
    ("uwsgi", Some("application")),
];

/// Options without a value; each other option takes the next word.
const FLAGS: [&str; 24] = [
    "--reload",
    "--preload",
    "--daemon",
    "-D",
    "--check-config",
    "--print-config",
    "--capture-output",
    "--enable-stdio-inheritance",
    "--spew",
    "-R",
    "--proxy-protocol",
    "--factory",
    "--proxy-headers",
    "--access-log",
    "--use-colors",
    "--call",
    "--expose-tracebacks",
    "--debug",
    "--dev",
    "--fast",
    "--single-process",
    "--access-logs",
    "--access-log-enabled",
    "--master",
];

/// Looks for the file, the module and the object that a start command names. `inferred` says that we made it up ourselves.
pub(super) fn check(context: &Context<'_>, line: Option<&Line>, generated: bool) -> Check {
    let Some(line) = line else { return Check::skipped(ID, "the start command can't be read that far") };
    let tree = context.modules.tree;
    match &line.program {
        Program::Script(path) => file(context, path, "the start command runs it"),
        Program::Module(name) => match locate(context, &roots(context, line), name) {
            Some(path) => Check::ok(ID, format!("the module {name} is {path}")).at(path, None),
            None if is_foreign(context, name) => Check::ok(ID, format!("the module {name} comes from a package")),
            None => missing(context, line, name),
        },
        Program::Named(name) if matches!(name.as_str(), "streamlit" | "chainlit" | "shiny" | "panel" | "fastapi") => {
            match line.args.iter().find(|word| crate::text::has_extension(word, "py")) {
                Some(script) => file(context, &child(&line.dir, script.trim_start_matches("./")), "the start command names it"),
                None => Check::skipped(ID, format!("what `{name}` starts can't be told from its words")),
            }
        }
        Program::Named(name) => {
            let Some((_, default)) = SERVERS.iter().find(|(server, _)| server == name) else {
                let path = child(&line.dir, name);
                return if tree.has(&path) {
                    Check::ok(ID, format!("{path} is in the source")).at(path, None)
                } else {
                    Check::skipped(ID, format!("what `{name}` starts can't be told from its words"))
                };
            };
            if name == "uwsgi"
                && let Some(script) = line.option(&["--wsgi-file", "--file"])
            {
                return file(context, &child(&line.dir, script), "the start command names it");
            }
            if generated {
                return Check::ok(ID, "a module of the platform's own loads it");
            }
            match target(line) {
                Some(target) => object(context, line, &target, *default),
                None => Check::skipped(ID, "the start command names no module that can be read"),
            }
        }
    }
}

fn file(context: &Context<'_>, path: &str, why: &str) -> Check {
    if context.modules.tree.has(path) {
        let module = crate::text::has_extension(path, "py").then(|| context.modules.get(path)).flatten();
        let fine = || Check::ok(ID, format!("{path} is in the source")).at(path, None);
        return module.and_then(|module| broken(&module)).unwrap_or_else(fine);
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    let ends = format!("/{name}");
    let near = context.modules.tree.entries().iter().find(|entry| entry.path == name || entry.path.ends_with(&ends));
    let help = match near {
        Some(entry) => format!("there is {}: correct the start command", entry.path),
        None => "correct the start command, or commit the file".to_owned(),
    };
    Check::failed(ID, format!("there is no file {path}; {why}"), help)
}

/// A file that Python would refuse.
fn broken(module: &Module) -> Option<Check> {
    let (line, why) = module.error.as_ref()?;
    let reason = format!("{} is not Python 3: {why}", module.path);
    Some(
        Check::failed(ID, reason, "correct the line: the app would end with a syntax error").at(module.path.clone(), Some(*line)),
    )
}

/// The word `module:object` of a server's command line.
fn target(line: &Line) -> Option<String> {
    if let Some(module) = line.option(&["--module", "-w"]).filter(|_| line.name() == "uwsgi") {
        return Some(module.to_owned());
    }
    let mut words = line.args.iter().peekable();
    while let Some(word) = words.next() {
        if word.starts_with('-') {
            let flag = word.contains('=') || FLAGS.contains(&word.as_str()) || word.starts_with("--no-");
            // `-w4` holds its value itself.
            let joined = !word.starts_with("--") && word.len() > 2;
            if !flag && !joined {
                words.next();
            }
        } else if is_target(word) {
            return Some(word.clone());
        }
    }
    None
}

fn is_target(word: &str) -> bool {
    let (module, object) = word.split_once(':').unwrap_or((word, ""));
    let name = |text: &str| {
        text.starts_with(|c: char| c.is_alphabetic() || c == '_') && text.chars().all(|c| c.is_alphanumeric() || "_.".contains(c))
    };
    let object = object.split('(').next().unwrap_or(object);
    name(module) && (object.is_empty() || name(object))
}

/// The directories in which a module is looked for.
fn roots(context: &Context<'_>, line: &Line) -> Vec<String> {
    let inside = |dir: &str| {
        let dir = dir.trim_start_matches("/app").trim_matches('/').trim_start_matches("./");
        if dir.is_empty() || dir == "." { line.dir.clone() } else { child(&line.dir, dir) }
    };
    let mut roots: Vec<String> = Vec::new();
    let named = [line.option(&["--chdir"]), line.option(&["--pythonpath"]), line.option(&["--app-dir"])];
    for dirs in named.into_iter().flatten() {
        roots.extend(dirs.split([',', ':']).map(inside));
    }
    roots.extend([line.dir.clone(), context.base.to_owned(), child(context.base, "src")]);
    roots
}

fn locate(context: &Context<'_>, roots: &[String], module: &str) -> Option<String> {
    let relative = module.replace('.', "/");
    roots.iter().find_map(|root| {
        let stem = child(root, &relative);
        [format!("{stem}/__init__.py"), format!("{stem}.py"), format!("{stem}/__main__.py")]
            .into_iter()
            .find(|path| context.modules.tree.has(path))
    })
}

/// Whether a module comes from a package that is installed, as far as its name tells.
fn is_foreign(context: &Context<'_>, module: &str) -> bool {
    let first = module.split('.').next().unwrap_or(module);
    let name = normalise(first);
    context.wanted.reqs.iter().any(|req| req.name == name || req.name.replace("python-", "").replace("py", "") == name)
        || context.own_commands.iter().any(|(_, call)| call.starts_with(first))
        || !context.wanted.projects.is_empty() && !has_top(context, first)
}

fn has_top(context: &Context<'_>, first: &str) -> bool {
    let tree = context.modules.tree;
    tree.has(&format!("{first}.py")) || tree.has_dir(first)
}

fn missing(context: &Context<'_>, line: &Line, module: &str) -> Check {
    let file = format!("{}.py", module.rsplit('.').next().unwrap_or(module));
    let ends = format!("/{file}");
    let near =
        context.modules.tree.entries().iter().map(|entry| &entry.path).find(|path| **path == file || path.ends_with(&ends));
    let help = match (near, context.entries.first()) {
        (Some(near), _) => format!(
            "{near} is there: name it with its directories ({}), or start in its directory (--chdir)",
            crate::recognise::entry::dotted(near)
        ),
        (None, Some(entry)) => {
            format!("the application seems to be `{}:{}`", crate::recognise::entry::dotted(&entry.path), entry.name)
        }
        (None, None) => "name the module that holds the application".to_owned(),
    };
    let place = if line.dir.is_empty() { String::new() } else { format!(" below {}", line.dir) };
    Check::failed(ID, format!("there is no module `{module}`{place}: the start command names it"), help)
}

fn object(context: &Context<'_>, line: &Line, target: &str, default: Option<&str>) -> Check {
    let (name, object) = target.split_once(':').map_or((target, None), |(module, object)| (module, Some(object)));
    let Some(path) = locate(context, &roots(context, line), name) else {
        return if is_foreign(context, name) || name.starts_with("django.") {
            Check::ok(ID, format!("the module {name} comes from a package"))
        } else {
            missing(context, line, name)
        };
    };
    let Some(object) = object.or(default) else {
        let help = format!("name the application's object after a colon: {name}:app");
        return Check::failed(ID, format!("the start command names the module `{name}`, but no object in it"), help)
            .at(path, None);
    };
    let called = object.contains('(') || line.args.iter().any(|word| word == "--factory" || word == "--call");
    let first = object.split(['(', '.']).next().unwrap_or(object);
    let Some(module) = context.modules.get(&path) else {
        return Check::skipped(ID, format!("{path} is too large to be looked into")).at(path, None);
    };
    if let Some(check) = broken(&module) {
        return check;
    }
    if !has_name(context, &module, &path, first) {
        return no_object(context, &module, &path, name, first);
    }
    let fine = || Check::ok(ID, format!("`{first}` is in {path}")).at(path.clone(), None);
    let makes = module.functions.get(first).filter(|function| {
        context.modules.kind_of_name(&module, first, 0).is_none()
            && context.modules.kind_of_result(&module, function, 0).is_some()
    });
    match makes {
        Some(function) if !called && line.name() != "uvicorn" => {
            let help = if function.required.is_empty() {
                format!("have it called: \"{name}:{first}()\"")
            } else {
                format!("have it called with what it needs: \"{name}:{first}({})\"", function.required.join(", "))
            };
            let reason =
                format!("`{first}` in {path} makes the application, it is none itself: every request would be answered with 500");
            Check::failed(ID, reason, help).at(path, None)
        }
        Some(function) if called && !function.required.is_empty() && object.contains("()") => {
            let needs = function.required.join(", ");
            let help = format!("give it what it needs, {name}:{first}(…), or give its parameters defaults");
            Check::failed(ID, format!("`{first}` in {path} is called without what it needs: {needs}"), help).at(path, None)
        }
        _ if !called && object == first => {
            let takes = refuses_requests(context, line, &module, first);
            takes.map_or_else(fine, |takes| {
                let reason = format!("`{first}` in {path} takes {takes}, so a server can't call it with a request");
                let help = format!(
                    "if it makes the application, have it called: \"{name}:{first}()\"; or else name the application's object"
                );
                Check::failed(ID, reason, help).at(path.clone(), None)
            })
        }
        _ => fine(),
    }
}

/// The arguments that a plain function takes, in words, where a server could not call it for a request: not with the two of WSGI, and
/// not with those of ASGI. Such a function most likely makes the application, in a way that syntax does not tell.
fn refuses_requests(context: &Context<'_>, line: &Line, module: &Module, name: &str) -> Option<String> {
    // It calls what takes no arguments, and serves what that returns.
    if line.name() == "uvicorn" {
        return None;
    }
    let asgi = !matches!(line.name(), "gunicorn" | "waitress-serve" | "uwsgi")
        || line.option(&["--worker-class", "-k"]).is_some_and(|class| class.contains("vicorn") || class.contains("asgi"));
    context.modules.function(module, name, &|function| {
        let fits = |count| function.most.is_none_or(|most| most >= count) && function.required.len() <= count;
        // What a decorator makes of it can't be told.
        if !function.decorators.is_empty() || fits(2) || asgi && (fits(3) || fits(1)) {
            return None;
        }
        Some(match (function.most, function.required.len()) {
            (Some(0), 0) => "no arguments".to_owned(),
            (Some(1), _) => "one argument".to_owned(),
            (_, required) => format!("{required} arguments"),
        })
    })
}

/// Whether a module has a name, or may have it in a way that syntax does not tell.
fn has_name(context: &Context<'_>, module: &Module, path: &str, name: &str) -> bool {
    module.binds.iter().any(|bind| bind.name == name && !bind.guarded)
        || module.functions.contains_key(name)
        || module.functions.contains_key("__getattr__")
        || module.classes.contains_key(name)
        || module.imports.contains_key(name)
        || !module.stars.is_empty()
        || module.calls.iter().any(|call| matches!(call.name.as_str(), "globals" | "setattr" | "exec"))
        || path.strip_suffix("__init__.py").is_some_and(|dir| context.modules.tree.has(&format!("{dir}{name}.py")))
}

fn no_object(context: &Context<'_>, module: &Module, path: &str, name: &str, object: &str) -> Check {
    let here = context.entries.iter().find(|entry| entry.path == path);
    let guarded = module.binds.iter().any(|bind| bind.name == object);
    let help = match here {
        _ if guarded => {
            format!("it is made below `if __name__ == \"__main__\"`, where no server sees it: make `{object}` at the top level")
        }
        Some(entry) => {
            format!("there is `{}`: name it, {name}:{}{}", entry.name, entry.name, if entry.factory { "()" } else { "" })
        }
        None => "name the application's object after the colon, or the function that makes it: module:create_app()".to_owned(),
    };
    Check::failed(ID, format!("there is no `{object}` in {path}: the start command names it"), help).at(path, None)
}
