//! Variables that the code reads and nobody sets.

use std::collections::BTreeMap;

use model::DatabaseType;

use super::code::Code;
use super::database::{self, Wants};
use super::{Check, Request, listed};
use crate::text;
use crate::tree::SourceTree;

const ID: &str = "variables";

/// What the platform sets for every app (`docs/python.md`), what its images set, and what a shell or a server does.
const PLATFORM: [&str; 30] = [
    "PORT",
    "EXTERNAL_HOSTNAME",
    "EXTERNAL_URL",
    "ADAPTABLE_TRUST_PROXY_DEPTH",
    "NODE_ENV",
    "K_SERVICE",
    "K_REVISION",
    "K_CONFIGURATION",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "HOME",
    "LANG",
    "PATH",
    "PWD",
    "HOSTNAME",
    "VIRTUAL_ENV",
    "PYTHONPATH",
    "PYTHONUNBUFFERED",
    "FORWARDED_ALLOW_IPS",
    "FLASK_RUN_FROM_CLI",
    "GUNICORN_CMD_ARGS",
    "SERVER_SOFTWARE",
    "DJANGO_SETTINGS_MODULE",
    "WERKZEUG_RUN_MAIN",
    "WERKZEUG_SERVER_FD",
    "TMPDIR",
    "TERM",
    "USER",
    "SHELL",
    "LC_ALL",
];

/// Looks for variables without a default.
pub(super) fn check(tree: &dyn SourceTree, code: &Code, request: &Request, wants: Option<Wants>) -> Check {
    let from_file = if code.loads_env_file() { env_file(tree) } else { Vec::new() };
    let of_database = database::variables(request.database);
    let set = |name: &str| {
        PLATFORM.contains(&name)
            || request.variables.contains(name)
            || code.sets.contains(name)
            || of_database.contains(&name)
            || from_file.iter().any(|known| known == name)
            || name == "NO_DATABASE" && request.database == DatabaseType::None
    };
    let mut unset: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    for (path, facts) in &code.files {
        for read in facts.reads.iter().filter(|read| !read.optional && !set(&read.name)) {
            unset.entry(&read.name).or_insert((path, read.line));
        }
    }
    let Some((first, (path, line))) = unset.first_key_value() else {
        return Check::ok(ID, format!("every variable that the code needs is set, or has a default{}", code.remark()));
    };
    let names: Vec<String> = unset.iter().map(|(name, (path, line))| format!("{name} ({path}:{line})")).collect();
    let reason = format!("read without a default, and set by nobody: {}", listed(&names));
    let help = if request.database == DatabaseType::None && unset.keys().any(|name| database::names_database(name)) {
        let kind = wants.map_or("postgres", Wants::word);
        let others: Vec<&str> = unset.keys().copied().filter(|name| !database::names_database(name)).collect();
        let more = others.first().map(|name| format!("; set the others: --env {name}=…")).unwrap_or_default();
        format!("choose a database: --database {kind}{more}")
    } else {
        format!("set it: --env {first}=… (later: adaptable env APP set {first}=…), or give it a default in the code")
    };
    Check::warning(ID, reason, help).at(*path, Some(*line))
}

/// The names that a `.env` in the source sets.
fn env_file(tree: &dyn SourceTree) -> Vec<String> {
    let Ok(bytes) = tree.read(".env", 256 << 10) else { return Vec::new() };
    let text = text::decode(&bytes);
    text::lines(&text)
        .filter_map(|line| Some(line.trim().trim_start_matches("export ").split_once('=')?.0.trim().to_owned()))
        .collect()
}
