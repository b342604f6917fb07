//! Where the app listens: on every address and the port in PORT, or nobody reaches it.

use super::code::Code;
use super::facts::{Given, Listens};
use super::start::{Line, Program};
use super::{Check, Request};
use crate::text;
use crate::tree::{READ_LIMIT, SourceTree};

const ID: &str = "listens";
/// What PORT is where nobody sets another.
const PORT: &str = "8080";

/// How a server is told where to listen.
struct Server {
    name: &'static str,
    host: &'static [&'static str],
    port: &'static [&'static str],
    /// Options that hold both.
    bind: &'static [&'static str],
    /// What it listens on otherwise; an empty port is `$PORT`.
    default: (&'static str, &'static str),
}

const fn server(
    name: &'static str,
    host: &'static [&'static str],
    port: &'static [&'static str],
    bind: &'static [&'static str],
    default: (&'static str, &'static str),
) -> Server {
    Server { name, host, port, bind, default }
}

const SERVERS: [Server; 14] = [
    // Without --bind, gunicorn takes 0.0.0.0 and PORT where that is set.
    server("gunicorn", &[], &[], &["--bind", "-b"], ("0.0.0.0", "")),
    server("uvicorn", &["--host"], &["--port"], &[], ("127.0.0.1", "8000")),
    server("hypercorn", &[], &[], &["--bind", "-b"], ("127.0.0.1", "8000")),
    server("daphne", &["--bind", "-b"], &["--port", "-p"], &[], ("127.0.0.1", "8000")),
    server("granian", &["--host"], &["--port"], &[], ("127.0.0.1", "8000")),
    server("waitress-serve", &["--host"], &["--port"], &["--listen"], ("0.0.0.0", "8080")),
    server("sanic", &["--host", "-H"], &["--port", "-p"], &[], ("127.0.0.1", "8000")),
    server("flask", &["--host", "-h"], &["--port", "-p"], &[], ("127.0.0.1", "5000")),
    server("fastapi", &["--host"], &["--port"], &[], ("0.0.0.0", "")),
    server("streamlit", &["--server.address"], &["--server.port"], &[], ("0.0.0.0", "8501")),
    server("chainlit", &["--host"], &["--port"], &[], ("127.0.0.1", "8000")),
    server("shiny", &["--host", "-h"], &["--port", "-p"], &[], ("127.0.0.1", "8000")),
    server("panel", &["--address"], &["--port"], &[], ("0.0.0.0", "5006")),
    server("uwsgi", &[], &[], &["--http", "--http-socket", "--socket", "-s"], ("", "3031")),
];

/// What is wrong with an address.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wrong {
    Local(String),
    Fixed(String),
    /// Right today, and by chance.
    Chance(String),
    Socket(String),
}

/// Looks at the start command's options, and into the script where one is run. `origin` is the file that the command stands in.
pub(super) fn check(
    tree: &dyn SourceTree,
    line: Option<&Line>,
    code: &Code,
    request: &Request,
    origin: Option<&(String, Option<usize>)>,
) -> Check {
    let Some(line) = line else { return Check::skipped(ID, "the start command can't be read that far") };
    let place = |check: Check| match origin {
        Some((file, line)) => check.at(file.clone(), *line),
        None => check,
    };
    match &line.program {
        Program::Script(path) if path.ends_with("manage.py") => {
            match line.args.iter().position(|word| word.starts_with("runserver")) {
                Some(at) => {
                    let address =
                        line.args[at + 1..].iter().find(|word| !word.starts_with('-')).map_or("127.0.0.1:8000", String::as_str);
                    let address = if address.contains(':') { address.to_owned() } else { format!("127.0.0.1:{address}") };
                    place(told(judge(&address, request), "manage.py runserver"))
                }
                None => Check::skipped(ID, "the start command runs no server that is known here"),
            }
        }
        Program::Script(path) => script(path, code, request),
        Program::Module(name) => {
            let file = format!("{}.py", name.replace('.', "/"));
            let file =
                [file, format!("{}/__main__.py", name.replace('.', "/"))].into_iter().find(|file| code.files.contains_key(file));
            file.map_or_else(
                || Check::skipped(ID, format!("what the module {name} listens on can't be told")),
                |file| script(&file, code, request),
            )
        }
        Program::Named(name) => {
            let Some(server) = SERVERS.iter().find(|server| server.name == name) else {
                return Check::skipped(ID, format!("what `{name}` listens on can't be told from the source"));
            };
            if name == "gunicorn"
                && line.option(server.bind).is_none()
                && let Some(check) = config(tree, line, request)
            {
                return check;
            }
            place(told(options(server, line, request), name))
        }
    }
}

/// What a server's options say.
fn options(server: &Server, line: &Line, request: &Request) -> Result<String, Wrong> {
    if line.option(&["--uds", "--fd"]).is_some() {
        return Err(Wrong::Socket("a Unix socket".to_owned()));
    }
    if let Some(bind) = line.option(server.bind) {
        return judge(bind, request);
    }
    let set = |name: &str| request.variables.contains(name);
    let own = server.name.to_ascii_uppercase().replace("-SERVE", "");
    let by_variable = |what: &str| set(&format!("{own}_{what}")) || set(&format!("{own}_RUN_{what}"));
    let host = line.option(server.host).unwrap_or(if by_variable("HOST") { "$HOST" } else { server.default.0 });
    let port = line.option(server.port).unwrap_or(if by_variable("PORT") || server.default.1.is_empty() {
        "$PORT"
    } else {
        server.default.1
    });
    both(host, port, request)
}

/// A `gunicorn.conf.py`, or the file that the command names.
fn config(tree: &dyn SourceTree, line: &Line, request: &Request) -> Option<Check> {
    let named =
        line.option(&["--config", "-c"]).unwrap_or("gunicorn.conf.py").trim_start_matches("file:").trim_start_matches("./");
    let path = if line.dir.is_empty() { named.to_owned() } else { format!("{}/{named}", line.dir) };
    if !tree.has(&path) {
        return None;
    }
    let text = text::decode(&tree.read(&path, READ_LIMIT).ok()?);
    let (index, value) = text::lines(&text)
        .enumerate()
        .filter_map(|(index, line)| {
            let value = line.strip_prefix("bind")?.trim_start().strip_prefix('=')?;
            Some((index, value.split('#').next().unwrap_or_default().trim().to_owned()))
        })
        .last()?;
    let literal = value.strip_prefix(['"', '\'']).and_then(|value| value.strip_suffix(['"', '\'']));
    // What is put together from variables is taken for right.
    let judged = literal.map_or_else(|| Ok(value.clone()), |address| judge(address, request));
    Some(told(judged, &path).at(path.clone(), Some(index + 1)))
}

/// What a script's own calls say.
fn script(path: &str, code: &Code, request: &Request) -> Check {
    let Some(facts) = code.files.get(path) else { return Check::skipped(ID, format!("{path} was not looked into")) };
    let mut good = None;
    for listens in &facts.listens {
        match address(listens, request) {
            Ok(address) => good = Some((listens, address)),
            Err(wrong) => return told(Err(wrong), &listens.name).at(path, Some(listens.line)),
        }
    }
    match good {
        Some((listens, address)) => {
            Check::ok(ID, format!("`{}` listens on {address}", listens.name)).at(path, Some(listens.line))
        }
        None if facts.reads.iter().any(|read| read.name == "PORT") => Check::ok(ID, format!("{path} reads PORT")),
        None => Check::skipped(ID, format!("what {path} listens on can't be told from its syntax")),
    }
}

fn address(listens: &Listens, request: &Request) -> Result<String, Wrong> {
    let text = |given: Option<&Given>, default: &str| match given {
        None => default.to_owned(),
        Some(Given::Literal(text)) => text.clone(),
        Some(Given::Variable(name)) => format!("${name}"),
        Some(Given::Unknown) => "$PORT".to_owned(),
    };
    both(&text(listens.host.as_ref(), listens.default.0), &text(listens.port.as_ref(), listens.default.1), request)
}

/// Judges `host:port`.
fn judge(address: &str, request: &Request) -> Result<String, Wrong> {
    if address.starts_with("unix:") || address.starts_with("fd://") || address.starts_with('/') {
        return Err(Wrong::Socket(format!("`{address}`")));
    }
    let address = address.rsplit("://").next().unwrap_or(address).trim_start_matches("tcp:");
    match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => both(host, port, request),
        // A lone name or number.
        _ if address.bytes().all(|byte| byte.is_ascii_digit()) => both("", address, request),
        _ => both(address, "8000", request),
    }
}

fn both(host: &str, port: &str, request: &Request) -> Result<String, Wrong> {
    let name = host.trim_matches(['[', ']']).to_ascii_lowercase();
    if name == "localhost" || name == "::1" || name.starts_with("127.") {
        return Err(Wrong::Local(host.to_owned()));
    }
    let shown = if host.is_empty() { "0.0.0.0" } else { host };
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(format!("{shown}:{port}"));
    }
    match request.port.as_deref().map(str::trim) {
        Some(set) if set == port => Ok(format!("{shown}:{port}, which PORT is set to")),
        None if port == PORT => Err(Wrong::Chance(port.to_owned())),
        _ => Err(Wrong::Fixed(port.to_owned())),
    }
}

fn told(judged: Result<String, Wrong>, who: &str) -> Check {
    let help = "listen on 0.0.0.0 and the port in the variable PORT: --bind=0.0.0.0:$PORT, or port=int(os.environ[\"PORT\"])";
    match judged {
        Ok(address) => Check::ok(ID, format!("`{who}` listens on {address}")),
        Err(Wrong::Local(host)) => {
            Check::failed(ID, format!("`{who}` listens on {host}, which is reached from inside its own container only"), help)
        }
        Err(Wrong::Fixed(port)) => {
            let or = format!("{help}; or set the variable to what the app takes: --env PORT={port}");
            Check::failed(ID, format!("`{who}` listens on port {port}, whatever PORT says"), or)
        }
        Err(Wrong::Chance(port)) => Check::warning(
            ID,
            format!("`{who}` listens on port {port}, which is what PORT is by default, whatever PORT says"),
            help,
        ),
        Err(Wrong::Socket(what)) => Check::failed(ID, format!("`{who}` listens on {what}, where no request arrives"), help),
    }
}
