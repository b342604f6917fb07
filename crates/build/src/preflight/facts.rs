//! What one Python file does with its environment, its disk and the network, with the lines at which it does so.

use std::collections::{BTreeMap, BTreeSet};

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{self as ast, Expr, Stmt};
use ruff_python_parser::{Mode, ParseOptions, parse_unchecked};
use ruff_text_size::Ranged;

use crate::recognise::depth;
use crate::recognise::module::dotted;

mod values;

use values::{catches_missing, environment, given, is_app, is_django_sqlite, is_sqlite, mode, text, writes};

/// A variable that is read from the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) name: String,
    pub(super) line: usize,
    /// Whether the app goes on where nobody sets it: it has a default, or is asked for first.
    pub(super) optional: bool,
}

/// State that is kept on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) what: What,
    pub(super) line: usize,
    /// The variable whose value is used in its place where it is set.
    pub(super) unless: Option<String>,
}

/// What kind of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Sqlite,
    Uploads,
    File,
}

/// A value, as far as it matters for an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Given {
    /// Written in the source.
    Literal(String),
    /// Read from that variable.
    Variable(String),
    /// Anything else.
    Unknown,
}

/// A call that makes a server listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listens {
    /// As written: `app.run`, `uvicorn.run`.
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) host: Option<Given>,
    pub(super) port: Option<Given>,
    /// What it listens on where nothing is given.
    pub(super) default: (&'static str, &'static str),
}

/// The facts of a file.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) reads: Vec<Read>,
    /// Variables that the code itself sets.
    pub(super) sets: BTreeSet<String>,
    pub(super) kept: Vec<Kept>,
    pub(super) listens: Vec<Listens>,
    /// Whether it loads a file `.env`.
    pub(super) loads_env_file: bool,
}

/// Words without one of which a file says nothing of interest.
const TOKENS: [&str; 18] = [
    "environ",
    "getenv",
    "sqlite",
    "open(",
    "write_text",
    "write_bytes",
    "UPLOAD",
    "shelve",
    ".run",
    "run(",
    "serve",
    "listen",
    "Server(",
    "make_server",
    "config(",
    "env(",
    "env.",
    "launch(",
];

/// Reads a file's text.
pub(super) fn read(source: &str) -> Facts {
    let mut facts = Facts::default();
    if !TOKENS.iter().any(|token| source.contains(token)) || depth::too_deep(source).is_some() {
        return facts;
    }
    let parsed = parse_unchecked(source, ParseOptions::from(Mode::Module));
    let starts = std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect();
    if let ast::Mod::Module(module) = parsed.syntax() {
        let mut names = Names::default();
        module.body.iter().for_each(|statement| names.visit_stmt(statement));
        let mut reader = Reader { facts: &mut facts, starts, names, quiet: 0 };
        module.body.iter().for_each(|statement| reader.visit_stmt(statement));
    }
    let sets = std::mem::take(&mut facts.sets);
    facts.reads.iter_mut().filter(|read| sets.contains(&read.name)).for_each(|read| read.optional = true);
    facts.sets = sets;
    facts
}

/// Names that are asked whether they hold something, what names stand for, and what is imported.
#[derive(Default)]
struct Names {
    tested: BTreeSet<String>,
    given: BTreeMap<String, Given>,
    /// Local names, and what they stand for.
    imports: BTreeMap<String, String>,
}

impl<'a> Visitor<'a> for Names {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Assign(assign) => {
                if let [Expr::Name(name)] = assign.targets.as_slice() {
                    self.given.insert(name.id.to_string(), given(&assign.value, &BTreeMap::new()));
                }
            }
            Stmt::If(test) => self.test(&test.test),
            Stmt::Assert(assert) => self.test(&assert.test),
            Stmt::Import(import) => {
                for alias in &import.names {
                    let local = alias.asname.as_ref().unwrap_or(&alias.name).to_string();
                    self.imports.insert(local, alias.name.to_string());
                }
            }
            Stmt::ImportFrom(import) => {
                let module = import.module.as_ref().map(ToString::to_string).unwrap_or_default();
                for alias in &import.names {
                    let local = alias.asname.as_ref().unwrap_or(&alias.name).to_string();
                    self.imports.insert(local, format!("{module}.{}", alias.name));
                }
            }
            _ => {}
        }
        walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::BoolOp(either) => either.values.iter().for_each(|value| self.test(value)),
            Expr::Compare(compare) => self.test(&compare.left),
            Expr::UnaryOp(not) if not.op == ast::UnaryOp::Not => self.test(&not.operand),
            Expr::If(either) => self.test(&either.test),
            _ => {}
        }
        walk_expr(self, expression);
    }
}

impl Names {
    fn test(&mut self, expression: &Expr) {
        if let Expr::Name(name) = expression {
            self.tested.insert(name.id.to_string());
        }
    }

    fn stands_for(&self, name: &str) -> String {
        let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
        match (self.imports.get(first), rest) {
            (Some(import), Some(rest)) => format!("{import}.{rest}"),
            (Some(import), None) => import.clone(),
            (None, _) => name.to_owned(),
        }
    }
}

struct Reader<'a> {
    facts: &'a mut Facts,
    /// Where the lines begin.
    starts: Vec<usize>,
    names: Names,
    /// Inside of what says itself what to do where a variable is missing.
    quiet: usize,
}

impl Reader<'_> {
    fn line(&self, node: &impl Ranged) -> usize {
        let at = usize::from(node.range().start());
        self.starts.partition_point(|start| *start <= at)
    }

    fn read(&mut self, name: &str, node: &impl Ranged, optional: bool) {
        let plain =
            !name.is_empty() && name.len() <= 100 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if plain {
            let line = self.line(node);
            self.facts.reads.push(Read { name: name.to_owned(), line, optional: optional || self.quiet > 0 });
        }
    }

    fn keep(&mut self, what: What, node: &impl Ranged, unless: Option<String>) {
        let line = self.line(node);
        self.facts.kept.push(Kept { what, line, unless });
    }

    fn is_environ(&self, expression: &Expr) -> bool {
        dotted(expression).is_some_and(|name| matches!(self.names.stands_for(&name).as_str(), "os.environ"))
    }

    fn call(&mut self, call: &ast::ExprCall) {
        if let Some((variable, default)) = environment(call, &self.names) {
            self.read(&variable, call, default.is_some());
            self.default_of(&variable, call, default);
            return;
        }
        let Some(name) = dotted(&call.func) else {
            return self.method(call);
        };
        let full = self.names.stands_for(&name);
        let last = full.rsplit('.').next().unwrap_or(&full);
        let first = call.arguments.args.first();
        match full.as_str() {
            "os.environ.setdefault" | "os.putenv" => {
                self.facts.sets.extend(first.and_then(text));
            }
            "sqlite3.connect" | "aiosqlite.connect" => {
                let memory = first.and_then(text).is_some_and(|path| path.contains(":memory:") || path.is_empty());
                let unless = first.and_then(|path| match given(path, &self.names.given) {
                    Given::Variable(name) => Some(name),
                    _ => None,
                });
                if !memory {
                    self.keep(What::Sqlite, call, unless);
                }
            }
            "shelve.open" | "dbm.open" => self.keep(What::File, call, None),
            "open" | "io.open" | "aiofiles.open" | "codecs.open" => self.open(call),
            "dotenv.load_dotenv" => self.facts.loads_env_file = true,
            "dj_database_url.config" => {
                let default = call.arguments.find_keyword("default").map(|keyword| &keyword.value);
                self.default_of("DATABASE_URL", call, default);
            }
            _ if matches!(last, "write_text" | "write_bytes") => self.keep(What::File, call, None),
            _ => {}
        }
        if let Some(listens) = self.listens(call, &name, &full) {
            self.facts.listens.push(listens);
        }
    }

    /// A call of something that is no name: `Path("x").write_text(…)`.
    fn method(&mut self, call: &ast::ExprCall) {
        let Expr::Attribute(attribute) = &*call.func else { return };
        match attribute.attr.as_str() {
            "write_text" | "write_bytes" => self.keep(What::File, call, None),
            "open" if mode(call.arguments.find_argument_value("mode", 0)).is_some_and(writes) => {
                self.keep(What::File, call, None);
            }
            _ => {}
        }
    }

    /// `open(…, "w")` of what does not lie in a directory for passing things.
    fn open(&mut self, call: &ast::ExprCall) {
        if !mode(call.arguments.find_argument_value("mode", 1)).is_some_and(writes) {
            return;
        }
        let path = call.arguments.args.first().and_then(text).unwrap_or_default();
        if !["/tmp", "/dev/", "/proc/", "/var/tmp"].iter().any(|place| path.starts_with(place)) {
            self.keep(What::File, call, None);
        }
    }

    /// A default of a variable that is a SQLite database.
    fn default_of(&mut self, variable: &str, call: &ast::ExprCall, default: Option<&Expr>) {
        if default.and_then(text).is_some_and(|default| is_sqlite(&default)) {
            self.keep(What::Sqlite, call, Some(variable.to_owned()));
        }
    }

    fn listens(&self, call: &ast::ExprCall, name: &str, full: &str) -> Option<Listens> {
        let (module, last) = full.rsplit_once('.').unwrap_or(("", full));
        // The names, or places among the arguments, of host and port; what is listened on without them.
        let (host, port, default) = match (module, last) {
            ("uvicorn", "run") | ("hypercorn", "serve") => (("host", 9), ("port", 9), ("127.0.0.1", "8000")),
            ("waitress", "serve") => (("host", 9), ("port", 9), ("0.0.0.0", "8080")),
            ("aiohttp.web", "run_app") => (("host", 1), ("port", 2), ("0.0.0.0", "8080")),
            ("bottle", "run") => (("host", 9), ("port", 9), ("127.0.0.1", "8080")),
            (_, "run") if name.to_ascii_lowercase().contains("socket") => (("host", 1), ("port", 2), ("127.0.0.1", "5000")),
            (_, "run" | "run_server") if is_app(name) => (("host", 0), ("port", 1), ("127.0.0.1", "5000")),
            ("http.server" | "wsgiref.simple_server" | "socketserver", _) => return self.address(call, name, last),
            _ => return None,
        };
        let argument = |(name, place): (&str, usize)| {
            call.arguments.find_argument_value(name, place).map(|value| given(value, &self.names.given))
        };
        Some(Listens { name: name.to_owned(), line: self.line(call), host: argument(host), port: argument(port), default })
    }

    /// `HTTPServer(("127.0.0.1", 8000), Handler)` and `make_server("", 8000, app)`.
    fn address(&self, call: &ast::ExprCall, name: &str, last: &str) -> Option<Listens> {
        let args = &call.arguments.args;
        let pair = match (last, args.first()?) {
            ("make_server", host) => (host, args.get(1)?),
            ("HTTPServer" | "ThreadingHTTPServer" | "TCPServer" | "ThreadingTCPServer", Expr::Tuple(pair)) => {
                (pair.elts.first()?, pair.elts.get(1)?)
            }
            _ => return None,
        };
        let (host, port) = (given(pair.0, &self.names.given), given(pair.1, &self.names.given));
        Some(Listens { name: name.to_owned(), line: self.line(call), host: Some(host), port: Some(port), default: ("", "") })
    }

    fn aside(&mut self, expression: &Expr) {
        self.quiet += 1;
        self.visit_expr(expression);
        self.quiet -= 1;
    }
}

impl<'a> Visitor<'a> for Reader<'_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Assign(assign) => {
                for target in &assign.targets {
                    if let Expr::Subscript(place) = target
                        && self.is_environ(&place.value)
                    {
                        self.facts.sets.extend(text(&place.slice));
                    }
                    let key = match target {
                        Expr::Name(name) => name.id.to_string(),
                        Expr::Subscript(place) => text(&place.slice).unwrap_or_default(),
                        Expr::Attribute(attribute) => attribute.attr.to_string(),
                        _ => continue,
                    };
                    if matches!(key.as_str(), "UPLOAD_FOLDER" | "UPLOADED_PHOTOS_DEST" | "UPLOADS_DEFAULT_DEST" | "UPLOAD_DIR") {
                        self.keep(What::Uploads, statement, None);
                    }
                }
                // A value that is asked for afterwards may be missing.
                if let [Expr::Name(name)] = assign.targets.as_slice()
                    && self.names.tested.contains(name.id.as_str())
                    && matches!(&*assign.value, Expr::Call(_))
                {
                    return self.aside(&assign.value);
                }
            }
            Stmt::While(again) => {
                self.aside(&again.test);
                return again.body.iter().chain(&again.orelse).for_each(|statement| self.visit_stmt(statement));
            }
            Stmt::Assert(assert) => return self.aside(&assert.test),
            Stmt::If(test) => {
                self.aside(&test.test);
                test.body.iter().for_each(|statement| self.visit_stmt(statement));
                for clause in &test.elif_else_clauses {
                    if let Some(test) = &clause.test {
                        self.aside(test);
                    }
                    clause.body.iter().for_each(|statement| self.visit_stmt(statement));
                }
                return;
            }
            Stmt::Try(attempt) if attempt.handlers.iter().any(catches_missing) => {
                self.quiet += 1;
                attempt.body.iter().for_each(|statement| self.visit_stmt(statement));
                self.quiet -= 1;
                attempt.handlers.iter().for_each(|handler| self.visit_except_handler(handler));
                attempt.orelse.iter().chain(&attempt.finalbody).for_each(|statement| self.visit_stmt(statement));
                return;
            }
            _ => {}
        }
        walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::BoolOp(either) => {
                let reads = either.values.first().and_then(|value| match value {
                    Expr::Call(call) => environment(call, &self.names).map(|(name, _)| name),
                    _ => None,
                });
                // `os.environ.get("DATABASE_URL") or "sqlite:///app.db"`.
                if let Some(last) = either.values.last().filter(|last| text(last).is_some_and(|text| is_sqlite(&text))) {
                    self.keep(What::Sqlite, last, reads);
                    return either.values.iter().take(either.values.len() - 1).for_each(|value| self.aside(value));
                }
                return either.values.iter().for_each(|value| self.aside(value));
            }
            Expr::Compare(compare) => {
                // `"X" in os.environ` asks first.
                if let ([ast::CmpOp::In | ast::CmpOp::NotIn], [place]) = (&*compare.ops, &*compare.comparators)
                    && self.is_environ(place)
                {
                    self.facts.sets.extend(text(&compare.left));
                }
                self.aside(&compare.left);
                return compare.comparators.iter().for_each(|value| self.aside(value));
            }
            Expr::UnaryOp(not) if not.op == ast::UnaryOp::Not => return self.aside(&not.operand),
            Expr::If(either) => {
                self.aside(&either.test);
                self.visit_expr(&either.body);
                return self.visit_expr(&either.orelse);
            }
            Expr::Subscript(place) if place.ctx == ast::ExprContext::Load && self.is_environ(&place.value) => {
                if let Some(name) = text(&place.slice) {
                    self.read(&name, place, false);
                }
            }
            Expr::Call(call) => {
                self.call(call);
                // Its default was looked at with it.
                if environment(call, &self.names).is_some() {
                    return;
                }
                if dotted(&call.func).as_deref() == Some("dj_database_url.config") {
                    return;
                }
            }
            Expr::StringLiteral(_) | Expr::FString(_) => {
                let sign = match expression {
                    Expr::StringLiteral(text) => is_sqlite(text.value.to_str()) || is_django_sqlite(text.value.to_str()),
                    Expr::FString(text) => text.value.iter().any(|part| match part {
                        ast::FStringPart::Literal(literal) => literal.value.contains("sqlite://"),
                        ast::FStringPart::FString(parts) => {
                            parts.elements.literals().next().is_some_and(|literal| literal.value.contains("sqlite://"))
                        }
                    }),
                    _ => false,
                };
                if sign {
                    self.keep(What::Sqlite, expression, None);
                }
            }
            _ => {}
        }
        walk_expr(self, expression);
    }
}
