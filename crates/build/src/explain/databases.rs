//! Databases that an app did not reach when it started: not there, no driver, an address in another dialect.

use super::Explanation;
use super::start::{last, quoted};

/// Modules that speak to databases, and the distribution to add for each.
const DRIVERS: [(&str, &str); 9] = [
    ("psycopg2", "psycopg2-binary"),
    ("psycopg", "psycopg[binary]"),
    ("asyncpg", "asyncpg"),
    ("pg8000", "pg8000"),
    ("pymongo", "pymongo"),
    ("MySQLdb", "mysqlclient"),
    ("pymysql", "pymysql"),
    ("pymssql", "pymssql"),
    ("pyodbc", "pyodbc"),
];

/// An import of a driver that no dependency brings.
pub(super) fn driver(log: &str) -> Option<Explanation> {
    let line = last(log, "ModuleNotFoundError: No module named")
        .or_else(|| last(log, "Error loading psycopg2 or psycopg module"))
        .or_else(|| last(log, "ImproperlyConfigured: Error loading"))?;
    let name = quoted(line).unwrap_or("psycopg2");
    let (module, distribution) = DRIVERS.iter().find(|(module, _)| *module == name.split('.').next().unwrap_or(name))?;
    // SQLAlchemy has chosen it by the address; otherwise the app names it.
    let by_address = log.contains("sqlalchemy/engine/create.py") || log.contains("import_dbapi");
    let cause = if by_address {
        format!("The database's address makes SQLAlchemy use `{module}`, and no dependency brings it.")
    } else {
        format!("The app imports `{module}` to speak to its database, and no dependency brings it.")
    };
    Some(Explanation::new(
        "database-driver",
        format!("The database driver `{module}` is not installed"),
        cause,
        format!("Add a line `{distribution}` to requirements.txt, commit and push."),
    ))
}

/// An address that the library can't use.
pub(super) fn address(log: &str) -> Option<Explanation> {
    if let Some(line) = last(log, "NoSuchModuleError: Can't load plugin: sqlalchemy.dialects:") {
        let dialect = line.rsplit(':').next().unwrap_or_default();
        let (cause, fix) = if dialect == "postgres" {
            (
                "DATABASE_URL begins with `postgres://`, which SQLAlchemy takes no more since 1.4.".to_owned(),
                "Replace it where the engine is made: `db_url = os.environ['DATABASE_URL'].replace('postgres://', 'postgresql://', 1)`.",
            )
        } else {
            (
                format!("The database's address begins with `{dialect}://`, which SQLAlchemy does not know."),
                "Correct the address, or add the package with that dialect to requirements.txt.",
            )
        };
        return Some(Explanation::new("database-dialect", format!("SQLAlchemy does not know `{dialect}://`"), cause, fix));
    }
    let unset = last(log, "ArgumentError: Expected string or URL object, got None")
        .or_else(|| last(log, "Either 'SQLALCHEMY_DATABASE_URI' or 'SQLALCHEMY_BINDS' must be set"))
        .or_else(|| last(log, "ArgumentError: Could not parse SQLAlchemy URL from"))
        .or_else(|| last(log, "ArgumentError: Could not parse rfc1738 URL from string"));
    unset.map(|line| {
        let empty = !line.contains("Could not parse") || line.contains("''");
        let name = ["DATABASE_URL", "SQLALCHEMY_DATABASE_URI", "DB_URL", "DATABASE_URI"]
            .into_iter()
            .find(|name| log.contains(&format!("'{name}'")) || log.contains(&format!("\"{name}\"")))
            .unwrap_or("DATABASE_URL");
        let cause = if empty {
            "The app makes its database engine from an address that is empty: the variable it reads is not set.".to_owned()
        } else {
            "The database's address is not of the form `postgresql://user:password@host:port/database`.".to_owned()
        };
        let fix = if name == "SQLALCHEMY_DATABASE_URI" {
            "Give the app a database (Settings, Database), which sets DATABASE_URL, and set `app.config['SQLALCHEMY_DATABASE_URI']` from it; or set the variable yourself.".to_owned()
        } else {
            format!("Give the app a database (Settings, Database), which sets DATABASE_URL; or set {name} in the Runtime Environment.")
        };
        Explanation::new("database", "The app has no database address", cause, fix)
    })
}

/// A database that does not answer.
pub(super) fn unreachable(log: &str) -> Option<Explanation> {
    let refused = last(log, "OperationalError").filter(|line| line.contains("connection") || line.contains("connect"));
    let line = refused
        .or_else(|| last(log, "ServerSelectionTimeoutError"))
        .or_else(|| last(log, "Can't connect to MySQL server"))
        .or_else(|| last(log, "redis.exceptions.ConnectionError"))?;
    let own = ["\"localhost\"", "127.0.0.1", "localhost:", "\"::1\""].iter().any(|sign| line.contains(sign));
    let said: String = line.chars().take(200).collect();
    Some(Explanation::new(
        "database",
        "The app could not reach its database",
        if own { format!("It looks for one in its own container, where none is: {said}.") } else { format!("It says: {said}.") },
        "Give the app a database (Settings, Database) and connect to the address in DATABASE_URL; for a database of your own, set its address in the Runtime Environment: `adaptable env APP set DATABASE_URL=…`",
    ))
}

/// A database that answers, without the tables that the app looks for.
pub(super) fn tables(log: &str) -> Option<Explanation> {
    let line = last(log, "UndefinedTable").or_else(|| last(log, "no such table:"))?;
    let name = quoted(line).or_else(|| line.rsplit(": ").next()).unwrap_or("a table");
    Some(Explanation::new(
        "missing-table",
        format!("The table `{name}` is not in the database"),
        "The database is there and new: nothing has made its tables yet.",
        "Make them in a release command, which runs before each revision serves: a line `release: flask db upgrade` in a file named Procfile.",
    ))
}
