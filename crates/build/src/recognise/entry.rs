//! Entry points: every application object and factory of a tree, and which of them is meant.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::python::requirements::{child, parent};
use crate::tree::SourceTree;

use super::kinds::{Kind, TOKENS};
use super::module::{Call, Module, Place, Value};
use super::modules::Modules;

/// How many files are parsed, and how many are looked into, at most.
const PARSE_LIMIT: usize = 400;
const READ_LIMIT: usize = 2500;
/// How many bytes of Python are parsed, at most.
const PARSE_BYTES: usize = 24 << 20;

/// An application object or factory that a server could import.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The file.
    pub(crate) path: String,
    /// The name in it.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Whether it is to be called first.
    pub(crate) factory: bool,
    /// Whether a factory is a coroutine.
    pub(crate) is_async: bool,
    /// The more, the likelier it is meant.
    pub(crate) score: i32,
}

/// Directories whose apps are hardly ever the one to deploy.
const ASIDE: [&str; 26] = [
    "test",
    "tests",
    "testing",
    "example",
    "examples",
    "sample",
    "samples",
    "demo",
    "demos",
    "docs",
    "doc",
    "migrations",
    "alembic",
    "scripts",
    "benchmark",
    "benchmarks",
    "bench",
    "tutorial",
    "tutorials",
    "build",
    "dist",
    "tools",
    "fixtures",
    "snippets",
    "templates",
    "cookiecutter",
];

/// File names by how likely they hold the entry.
const FILES: [(&str, i32); 18] = [
    ("wsgi.py", 40),
    ("asgi.py", 38),
    ("app.py", 15),
    ("main.py", 13),
    ("application.py", 12),
    ("server.py", 10),
    ("run.py", 10),
    ("index.py", 8),
    ("__init__.py", 6),
    ("api.py", 5),
    ("web.py", 5),
    ("start.py", 5),
    ("passenger_wsgi.py", 4),
    ("__main__.py", 4),
    ("manage.py", 3),
    ("flask_app.py", 8),
    ("webapp.py", 5),
    ("autoapp.py", 12),
];

const NAMES: [(&str, i32); 10] = [
    ("application", 12),
    ("app", 11),
    ("create_app", 9),
    ("server", 7),
    ("make_app", 7),
    ("start_app", 7),
    ("api", 4),
    ("create_application", 7),
    ("get_app", 6),
    ("build_app", 6),
];

/// Files and the tokens in them that point at an entry: `app:create_app`.
const HINTS: [&str; 15] = [
    "Dockerfile",
    "Procfile",
    "app.yaml",
    "render.yaml",
    "railway.json",
    "railway.toml",
    "nixpacks.toml",
    "fly.toml",
    "docker-compose.yml",
    "docker-compose.yaml",
    "compose.yaml",
    "Makefile",
    "README.md",
    "start.sh",
    "entrypoint.sh",
];

/// Python files of the tree, those nearest to the root and with likely names first.
pub(crate) fn python_files(tree: &dyn SourceTree) -> Vec<String> {
    let mut files: Vec<(usize, i32, &str)> = tree
        .entries()
        .iter()
        .filter(|entry| crate::text::has_extension(&entry.path, "py") && !is_hidden(&entry.path))
        .map(|entry| {
            let depth = entry.path.matches('/').count() + if is_aside(&entry.path) { 10 } else { 0 };
            (depth, -file_score(&entry.path), entry.path.as_str())
        })
        .collect();
    files.sort_unstable();
    files.into_iter().map(|(_, _, path)| path.to_owned()).collect()
}

fn is_hidden(path: &str) -> bool {
    let mut parts = path.split('/');
    // A copy of Bottle that lies beside the app that uses it.
    parts.clone().next_back() == Some("bottle.py")
        || parts.any(|part| {
            part.starts_with('.')
                || matches!(
                    part,
                    "venv" | "env" | "virtualenv" | "Lib" | "lib64" | "site-packages" | "dist-packages" | "node_modules"
                )
        })
}

/// Whether a path lies in a directory of tests, examples and the like, or is a test itself.
pub(crate) fn is_aside(path: &str) -> bool {
    let mut parts: Vec<&str> = path.split('/').collect();
    let file = parts.pop().unwrap_or_default();
    parts.iter().any(|part| ASIDE.contains(&part.to_ascii_lowercase().as_str()))
        || file.starts_with("test_")
        || file.ends_with("_test.py")
        || matches!(
            file,
            "conftest.py" | "setup.py" | "noxfile.py" | "fabfile.py" | "tasks.py" | "tests.py" | "test.py" | "locustfile.py"
        )
}

/// Whether a file is only there to test others: never served.
fn is_test(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    path.split('/').any(|part| matches!(part, "test" | "tests" | "testing"))
        || file.starts_with("test_")
        || file.ends_with("_test.py")
        || file == "conftest.py"
}

fn file_score(path: &str) -> i32 {
    let file = path.rsplit('/').next().unwrap_or(path);
    FILES.iter().find(|(name, _)| *name == file).map_or(0, |(_, score)| *score)
}

/// What a look over the whole tree found.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// Modules worth a look, in order.
    pub(crate) modules: Vec<Rc<Module>>,
    /// First parts of all absolute imports.
    pub(crate) packages: BTreeSet<String>,
}

/// Parses the files that mention a framework.
pub(crate) fn survey(modules: &Modules<'_>) -> Survey {
    let mut out = Survey::default();
    let mut left = PARSE_BYTES;
    for path in python_files(modules.tree).into_iter().take(READ_LIMIT) {
        if out.modules.len() >= PARSE_LIMIT {
            break;
        }
        let depth = path.matches('/').count();
        let Some(text) = modules.text(&path) else { continue };
        // Files at the root are few, and what they import matters even if they name no framework.
        if depth > 0 && !TOKENS.iter().any(|token| text.contains(token)) {
            continue;
        }
        let Some(rest) = left.checked_sub(text.len()) else { continue };
        left = rest;
        if let Some(module) = modules.get(&path) {
            if !is_aside(&path) {
                out.packages.extend(module.packages.iter().cloned());
            }
            out.modules.push(module);
        }
    }
    out
}

/// All entries, the likeliest first.
pub(crate) fn entries(modules: &Modules<'_>, survey: &Survey, template: Option<crate::plan::Template>) -> Vec<Entry> {
    let hints = hints(modules);
    let flask_app = flask_app(modules);
    let mut out = Vec::new();
    for module in survey.modules.iter().filter(|module| !is_test(&module.path)) {
        for mut entry in of_module(modules, module) {
            entry.score += score(module, &entry, &hints);
            if template.is_some_and(|template| entry.kind.template() == template) {
                entry.score += 15;
            }
            if flask_app.as_deref().is_some_and(|hint| is_named_by(&entry, hint)) {
                entry.score += 60;
            }
            out.push(entry);
        }
    }
    out.sort_by(|a, b| b.score.cmp(&a.score).then_with(|| a.path.cmp(&b.path)).then_with(|| a.name.cmp(&b.name)));
    out
}

fn of_module(modules: &Modules<'_>, module: &Module) -> Vec<Entry> {
    let entry = |name: &str, kind, factory, is_async, score| Entry {
        path: module.path.clone(),
        name: name.to_owned(),
        kind,
        factory,
        is_async,
        score,
    };
    let mut out = Vec::new();
    let names: BTreeSet<&str> = module.binds.iter().filter(|bind| !bind.guarded).map(|bind| bind.name.as_str()).collect();
    for name in &names {
        if let Some(kind) = modules.kind_of_name(module, name, 0) {
            out.push(entry(name, kind, false, false, 100));
        } else if let Some(kind) = by_custom(module, name) {
            out.push(entry(name, kind, false, false, 70));
        }
    }
    for (name, function) in module.functions.iter().filter(|(name, _)| !names.contains(name.as_str())) {
        if let Some(kind) = modules.kind_of_name(module, name, 0) {
            out.push(entry(name, kind, false, false, 60));
        } else if function.required.is_empty()
            && let Some(kind) = modules.kind_of_result(module, function, 0)
        {
            // A test's fixture makes apps, too.
            let fixture =
                function.decorators.iter().any(|decorator| decorator.contains("fixture") || decorator.contains("command"));
            let private = name.starts_with('_');
            out.push(entry(
                name,
                kind,
                true,
                function.is_async,
                80 - if fixture { 80 } else { 0 } - if private { 20 } else { 0 },
            ));
        }
    }
    // Imported applications count where a file's name says that it is made to be served.
    if file_score(&module.path) >= 8 && !module.path.ends_with("__init__.py") {
        for name in module.imports.keys().filter(|name| !names.contains(name.as_str())) {
            if let Some(kind) = modules.kind_of_name(module, name, 0) {
                out.push(entry(name, kind, false, false, 88));
            }
        }
    }
    out.retain(|entry| !(entry.kind == Kind::Tornado && entry.factory));
    out
}

/// What a file made for a server holds under the name that servers ask for, however it was made.
fn by_custom(module: &Module, name: &str) -> Option<Kind> {
    let bound = module.binds.iter().rev().find(|bind| bind.name == name && !bind.guarded)?;
    if !matches!(name, "application" | "app") || !matches!(bound.value, Value::Call(..) | Value::Method(_)) {
        return None;
    }
    match module.path.rsplit('/').next() {
        Some("wsgi.py" | "passenger_wsgi.py") => Some(Kind::Wsgi),
        Some("asgi.py") => Some(Kind::Asgi),
        _ => None,
    }
}

fn score(module: &Module, entry: &Entry, hints: &[String]) -> i32 {
    let path = &entry.path;
    let depth = i32::try_from(path.matches('/').count()).unwrap_or(i32::MAX / 16);
    let mut score = file_score(path) - 8 * depth;
    if depth == 0 && score == 0 {
        score += 4;
    }
    score += NAMES.iter().find(|(name, _)| *name == entry.name).map_or(0, |(_, score)| *score);
    if is_aside(path) {
        score -= 100;
    }
    let runs = |call: &Call| {
        let last = call.name.rsplit('.').next().unwrap_or_default();
        let serves = matches!(last, "run" | "run_app" | "run_server" | "serve" | "serve_forever" | "make_server" | "WSGIServer");
        let given = call.args.iter().any(|arg| *arg == Value::Name(entry.name.clone()));
        call.place != Place::Function && serves && (given || call.name == format!("{}.{last}", entry.name))
    };
    if module.calls.iter().any(runs) {
        score += 10;
    }
    if module.decorated.contains(&entry.name) {
        score += 6;
    }
    if entry.kind == Kind::Dash {
        // The `server` beside it is what is served.
        score -= 5;
    }
    if path.ends_with("asgi.py") && !entry.kind.is_asgi() || path.ends_with("/wsgi.py") && entry.kind.is_asgi() {
        score -= 15;
    }
    // A sub-application next to the wrapper that is served: `app = socketio.ASGIApp(sio, api)`.
    let target = format!("{}:{}", dotted(path), entry.name);
    let local = format!("{}:{}", file_stem(path), entry.name);
    if hints.iter().any(|hint| mentions(hint, &target)) {
        score += 40;
    } else if hints.iter().any(|hint| mentions(hint, &local)) {
        score += 25;
    }
    score
}

fn mentions(text: &str, target: &str) -> bool {
    text.match_indices(target).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + target.len()..].chars().next();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_') && !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

fn hints(modules: &Modules<'_>) -> Vec<String> {
    let roots = HINTS.iter().map(|name| (*name).to_owned());
    let below = modules.tree.entries().iter().map(|entry| entry.path.clone());
    let below = below.filter(|path| {
        path.matches('/').count() == 1
            && matches!(path.rsplit('/').next(), Some("Dockerfile" | "Procfile" | "start.sh" | "entrypoint.sh"))
    });
    roots.chain(below).filter(|path| modules.tree.has(path)).filter_map(|path| modules.text(&path)).collect()
}

/// What `.flaskenv` (or `.env`) names as `FLASK_APP`.
fn flask_app(modules: &Modules<'_>) -> Option<String> {
    [".flaskenv", ".env"].iter().filter(|name| modules.tree.has(name)).find_map(|name| {
        let text = modules.text(name)?;
        let line =
            crate::text::lines(&text).find_map(|line| line.trim().trim_start_matches("export ").strip_prefix("FLASK_APP="))?;
        Some(line.trim().trim_matches(['"', '\'']).to_owned())
    })
}

fn is_named_by(entry: &Entry, hint: &str) -> bool {
    let (module, name) = hint.split_once(':').unwrap_or((hint, ""));
    let module = module.trim_end_matches(".py").replace('/', ".");
    let name = name.trim_end_matches(|c| "()".contains(c));
    module == dotted(&entry.path) && (name.is_empty() || name == entry.name)
}

/// A file's module name from the tree's root.
pub(crate) fn dotted(path: &str) -> String {
    let stem = path.strip_suffix(".py").unwrap_or(path);
    let stem = stem.strip_suffix("/__init__").unwrap_or(stem);
    stem.replace('/', ".")
}

fn file_stem(path: &str) -> &str {
    let path = path.strip_suffix("/__init__.py").unwrap_or(path);
    let file = path.rsplit('/').next().unwrap_or(path);
    file.strip_suffix(".py").unwrap_or(file)
}

/// From where a module has to be imported: the directory that must be on Python's path, and the module's name from there.
pub(crate) fn import_root(modules: &Modules<'_>, path: &str, base: &str) -> (String, String) {
    let tree = modules.tree;
    let own = parent(path);
    let module = modules.get(path);
    // The top of the chain of packages that the file is in.
    let mut top = own;
    while top != base && !top.is_empty() && tree.has(&child(top, "__init__.py")) {
        top = parent(top);
    }
    let relative = module.as_ref().is_some_and(|module| module.relative);
    let here = |dir: &str, name: &str| tree.has(&child(dir, &format!("{name}.py"))) || tree.has_dir(&child(dir, name));
    let mut root = if path.starts_with(&format!("{base}/")) || base.is_empty() { base } else { "" };
    if own != root {
        let packages = module.as_ref().map(|module| module.packages.clone()).unwrap_or_default();
        let votes = |dir: &str| packages.iter().filter(|name| here(dir, name)).count();
        let mut candidates: Vec<&str> = vec![root];
        let mut dir = own;
        while dir != root && !dir.is_empty() {
            candidates.push(dir);
            dir = parent(dir);
        }
        // Relative imports forbid the file's own directory, unless it lies in a package below it.
        let fits = |dir: &&str| !relative || *dir != own;
        let best = candidates.iter().copied().filter(fits).max_by_key(|dir| {
            let preferred = if *dir == root { 2 } else { i32::from(*dir == top) };
            (votes(dir), preferred)
        });
        root = best.unwrap_or(root);
        // `src/package/app.py` without imports of its own: `src` is no package, but a place for packages.
        let first = own.split('/').nth(if base.is_empty() { 0 } else { base.split('/').count() });
        let src = first.map(|first| child(base, first));
        if root == base
            && let Some(src) = src
            && src.ends_with("src")
            && !tree.has(&child(&src, "__init__.py"))
            && votes(root) == 0
            && !(relative && own == src)
        {
            return (src.clone(), dotted(path.strip_prefix(&format!("{src}/")).unwrap_or(path)));
        }
    }
    let root = root.to_owned();
    let inner = if root.is_empty() { path } else { path.strip_prefix(&format!("{root}/")).unwrap_or(path) };
    (root, dotted(inner))
}
