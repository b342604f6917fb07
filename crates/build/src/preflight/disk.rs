//! State that is kept on the disk, which is memory and ends with an instance.

use std::collections::BTreeSet;

use model::DatabaseType;

use super::code::Code;
use super::facts::What;
use super::{Check, Request, listed};

const ID: &str = "disk";

/// Looks for SQLite databases, uploads and files that are written.
pub(super) fn check(code: &Code, request: &Request) -> Check {
    let set = |name: &str| request.variables.contains(name) || request.database != DatabaseType::None && name == "DATABASE_URL";
    let mut found: Vec<(What, &str, usize, Option<&str>)> = Vec::new();
    for (path, facts) in &code.files {
        for kept in facts.kept.iter().filter(|kept| kept.unless.as_deref().is_none_or(|name| !set(name))) {
            found.push((kept.what, path, kept.line, kept.unless.as_deref()));
        }
    }
    found.sort_unstable();
    let Some((what, path, line, unless)) = found.first().copied() else {
        return Check::ok(ID, format!("nothing in the code relies on files that stay{}", code.remark()));
    };
    let why = "the disk of an instance is memory: it is gone with the instance, and no other instance sees it";
    let (reason, help) = match (what, unless) {
        (What::Sqlite, Some(name)) => (
            format!("a SQLite file is used while {name} is not set; {why}"),
            format!("choose a database (--database postgres), or set {name}"),
        ),
        (What::Sqlite, None) => (
            format!("a SQLite file is opened; {why}"),
            "use a database beside the app: --database postgres, and the address in DATABASE_URL".to_owned(),
        ),
        (What::Uploads, _) => {
            (format!("a folder for uploads is set; {why}"), "keep uploads in an object store or in the database".to_owned())
        }
        (What::File, _) => (
            format!("a file is written; {why}"),
            "fine for what may vanish (a cache); keep everything else in a database or an object store".to_owned(),
        ),
    };
    let others: BTreeSet<String> = found[1..].iter().map(|(_, path, line, _)| format!("{path}:{line}")).collect();
    let others: Vec<String> = others.into_iter().collect();
    let reason = if others.is_empty() { reason } else { format!("{reason} (also {})", listed(&others)) };
    Check::warning(ID, reason, help).at(path, Some(line))
}
