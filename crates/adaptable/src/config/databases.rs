//! Keys of `config.toml` that say where databases are, and where images of their servers come from. They hold passwords: no flag and no
//! variable sets them, and no error repeats them.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt;

use database::DatabaseError;
use database::mongodb::{MongoServer, MongoSettings};
use database::mssql::{Edition, Exchange, MssqlServer, MssqlSettings};

/// The keys.
pub(super) const KEYS: [&str; 13] = [
    "mongodb",
    "mongodb-unseparated",
    "mssql",
    "mssql-accept-eula",
    "mssql-backups",
    "mssql-edition",
    "registry-authorities",
    "registry-credentials",
    "registry-insecure",
    "registry-limit",
    "registry-mirrors",
    "registry-no-proxy",
    "registry-proxy",
];
/// Those whose values may hold a password.
const SECRET: [&str; 3] = ["mongodb", "mssql", "registry-proxy"];

/// Where databases are that are not PostgreSQL's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Databases {
    /// MongoDB.
    pub mongodb: MongoSettings,
    /// SQL Server.
    pub mssql: MssqlSettings,
    /// How images of servers are come by.
    pub registry: image::registry::Settings,
}

/// Values by key, each with the place where it stands.
pub(super) type Values = BTreeMap<&'static str, (String, String)>;

/// Turns the texts into what they mean; `file` is what is known of the file in which they stand.
pub(super) fn check(values: &Values, file: Option<&Metadata>, problems: &mut Vec<String>) -> Databases {
    let mut say = |key: &str, what: &str| {
        let origin = values.get(key).map_or("config.toml", |(_, origin)| origin);
        problems.push(format!("{origin}: {what}"));
    };
    let text = |key: &str| values.get(key).map(|(text, _)| text.as_str());
    if let Some(file) = file
        && let Some(key) = SECRET.iter().find(|key| text(key).is_some_and(|text| text.contains("://")))
        && file.permissions().mode() & 0o004 != 0
    {
        say(key, "the file holds a password, and everybody may read it: chmod 600 it");
    }
    let mut read = |key: &'static str, error: DatabaseError| say(key, format!("{error} {}", error.help()).trim_end());
    let mongodb = text("mongodb").map(MongoServer::parse).transpose().unwrap_or_else(|error| {
        read("mongodb", error);
        None
    });
    let mssql = text("mssql").map(MssqlServer::parse).transpose().unwrap_or_else(|error| {
        read("mssql", error);
        None
    });
    let backups = text("mssql-backups").map(Exchange::parse).transpose().unwrap_or_else(|error| {
        read("mssql-backups", error);
        None
    });
    let edition = text("mssql-edition").map(Edition::parse).transpose().unwrap_or_else(|error| {
        read("mssql-edition", error);
        None
    });
    let mut yes = |key: &str| match text(key) {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => {
            say(key, &format!("{key} must be true or false"));
            false
        }
    };
    let (unseparated, accept_eula) = (yes("mongodb-unseparated"), yes("mssql-accept-eula"));
    let registry = super::registry::check(values, problems);
    Databases {
        mongodb: MongoSettings { server: mongodb, unseparated },
        mssql: MssqlSettings { server: mssql, accept_eula, edition: edition.unwrap_or_default(), backups },
        registry,
    }
}
