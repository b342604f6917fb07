//! Whether the app can speak to the database that is chosen.

use model::DatabaseType;

use super::{Check, Request};
use crate::python::requirements::Wanted;
use crate::text;
use crate::tree::{READ_LIMIT, SourceTree};

const ID: &str = "database";

/// What a driver speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    Postgres,
    Mongodb,
    Mssql,
    Mysql,
}

impl Wants {
    /// The word for `--database`.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Mongodb => "mongodb",
            Self::Mssql => "mssql",
            Self::Postgres | Self::Mysql => "postgres",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Mongodb => "MongoDB",
            Self::Mssql => "SQL Server",
            Self::Mysql => "MySQL",
        }
    }

    const fn of(kind: DatabaseType) -> Option<Self> {
        match kind {
            DatabaseType::None => None,
            DatabaseType::Postgres => Some(Self::Postgres),
            DatabaseType::Mongodb => Some(Self::Mongodb),
            DatabaseType::Mssql => Some(Self::Mssql),
        }
    }
}

/// Distributions that speak to a database.
const DRIVERS: [(&str, Wants); 30] = [
    ("psycopg", Wants::Postgres),
    ("psycopg-binary", Wants::Postgres),
    ("psycopg2", Wants::Postgres),
    ("psycopg2-binary", Wants::Postgres),
    ("psycopg2cffi", Wants::Postgres),
    ("asyncpg", Wants::Postgres),
    ("aiopg", Wants::Postgres),
    ("pg8000", Wants::Postgres),
    ("pygresql", Wants::Postgres),
    ("postgres", Wants::Postgres),
    ("pymongo", Wants::Mongodb),
    ("motor", Wants::Mongodb),
    ("mongoengine", Wants::Mongodb),
    ("flask-mongoengine", Wants::Mongodb),
    ("flask-pymongo", Wants::Mongodb),
    ("beanie", Wants::Mongodb),
    ("djongo", Wants::Mongodb),
    ("django-mongodb-backend", Wants::Mongodb),
    ("pymssql", Wants::Mssql),
    ("pyodbc", Wants::Mssql),
    ("aioodbc", Wants::Mssql),
    ("python-tds", Wants::Mssql),
    ("mssql-django", Wants::Mssql),
    ("mssql-python", Wants::Mssql),
    ("mysqlclient", Wants::Mysql),
    ("pymysql", Wants::Mysql),
    ("mysql-connector-python", Wants::Mysql),
    ("aiomysql", Wants::Mysql),
    ("asyncmy", Wants::Mysql),
    ("flask-mysqldb", Wants::Mysql),
];

/// The variables that an app with that database finds.
pub(super) const fn variables(kind: DatabaseType) -> &'static [&'static str] {
    match kind {
        DatabaseType::None => &[],
        DatabaseType::Postgres => &[
            "DATABASE_URL",
            "PGHOST",
            "PGPORT",
            "PGDATABASE",
            "PGUSER",
            "PGPASSWORD",
            "PGSSLMODE",
            "PGSSLROOTCERT",
            "NODE_EXTRA_CA_CERTS",
        ],
        DatabaseType::Mongodb => &["DATABASE_URL"],
        DatabaseType::Mssql => {
            &["DATABASE_URL", "MSSQL_HOST", "MSSQL_TCP_PORT", "MSSQL_DATABASE", "MSSQL_USER", "MSSQL_PASSWORD"]
        }
    }
}

/// Whether a variable is one of a database's.
pub(super) fn names_database(name: &str) -> bool {
    [DatabaseType::Postgres, DatabaseType::Mongodb, DatabaseType::Mssql].iter().any(|kind| variables(*kind).contains(&name))
}

/// The drivers that the dependencies name, in their order.
pub(super) fn drivers(wanted: &Wanted) -> Vec<(String, Wants)> {
    let kind = |name: &str| DRIVERS.iter().find(|(driver, _)| *driver == name).map(|(_, wants)| *wants);
    wanted.reqs.iter().filter_map(|req| Some((req.name.clone(), kind(&req.name)?))).collect()
}

/// Compares the drivers with the kind that is chosen. `manifest` is where they are listed; nothing where it can't be told.
pub(super) fn check(tree: &dyn SourceTree, wanted: &Wanted, manifest: Option<&str>, request: &Request) -> Check {
    let drivers = drivers(wanted);
    let own = request.variables.iter().any(|name| names_database(name) || name.ends_with("_URL") || name.ends_with("_URI"));
    let place = |check: Check, driver: &str| match manifest {
        Some(manifest) => check.at(manifest, line_of(tree, manifest, driver)),
        None => check,
    };
    match (Wants::of(request.database), drivers.first()) {
        (None, None) => Check::ok(ID, "none is chosen, and the dependencies name no driver"),
        (None, Some((driver, wants))) if own => Check::ok(ID, format!("{driver} speaks to a {} of your own", wants.name())),
        (None, Some((driver, wants))) => {
            let help = match wants {
                Wants::Mysql => "the platform has no MySQL: set the address of one of yours, --env DATABASE_URL=…".to_owned(),
                wants => {
                    format!("choose one: --database {}, or set the address of one of yours: --env DATABASE_URL=…", wants.word())
                }
            };
            place(Check::warning(ID, format!("{driver} speaks to {}, but no database is chosen", wants.name()), help), driver)
        }
        (Some(chosen), first) => {
            if let Some((driver, _)) = drivers.iter().find(|(_, wants)| *wants == chosen) {
                return Check::ok(ID, format!("{driver} speaks to {}", chosen.name()));
            }
            let Some((driver, wants)) = first else {
                if manifest.is_none() || !wanted.projects.is_empty() {
                    return Check::skipped(ID, "what the dependencies bring is not listed where it can be read");
                }
                let driver = match chosen {
                    Wants::Mongodb => "pymongo",
                    Wants::Mssql => "pymssql",
                    Wants::Postgres | Wants::Mysql => "psycopg[binary]",
                };
                let reason = format!("nothing in the dependencies speaks to {}", chosen.name());
                return place(Check::warning(ID, reason, format!("add a driver, for instance {driver}")), "");
            };
            let help = format!("choose --database {}, or add a driver for {}", wants.word(), chosen.name());
            let reason = format!("{driver} speaks to {}, but the database that is chosen is {}", wants.name(), chosen.name());
            place(Check::warning(ID, reason, help), driver)
        }
    }
}

/// The line of a manifest that names a distribution.
pub(super) fn line_of(tree: &dyn SourceTree, manifest: &str, name: &str) -> Option<usize> {
    if name.is_empty() {
        return None;
    }
    let text = text::decode(&tree.read(manifest, READ_LIMIT).ok()?);
    let found = text::lines(&text).position(|line| {
        let line = crate::python::requirement::normalise(line);
        line.match_indices(name).any(|(at, _)| {
            let edge = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '-');
            edge(line[..at].chars().next_back()) && edge(line[at + name.len()..].chars().next())
        })
    });
    found.map(|index| index + 1)
}
