//! What an app's owner may set: connections, extensions, storage.

use model::database::{DatabaseSettings, EXTENSIONS};

use super::config::RESERVED;
use super::session::Session;
use super::{Postgres, cluster, moment, session, sql};
use crate::{Database, DatabaseError, Enforcement, Result};

/// Brings a database to its settings. Another number of connections is the role's limit at once; the server itself has room for
/// more of them from its next start on, which is due as soon as nobody holds it.
pub(super) async fn apply(postgres: &Postgres, database: &Database, settings: &DatabaseSettings) -> Result<()> {
    let session = session::open(postgres, database, "template1").await?;
    connections(postgres, database, &session, settings.max_connections).await?;
    if !settings.extensions.is_empty() {
        extensions(postgres, database, &settings.extensions).await?;
    }
    let session = moment::apply(postgres, database, session, settings.point_in_time).await?;
    within(&session, database, settings).await.map(drop)
}

async fn connections(postgres: &Postgres, database: &Database, session: &Session, most: u32) -> Result<()> {
    let name = sql::identifier(database.name.as_str());
    let wanted = most + RESERVED;
    session
        .run(&[format!("ALTER ROLE {name} CONNECTION LIMIT {most}"), format!("ALTER SYSTEM SET max_connections = {wanted}")])
        .await?;
    let now = session.number("SELECT setting::bigint FROM pg_settings WHERE name = 'max_connections'", &[]).await?;
    if now != u64::from(wanted) {
        postgres.servers.renew(&cluster::container_id(database));
    }
    Ok(())
}

/// Adds extensions. One that is no longer asked for stays: columns may have its types.
pub(super) async fn extensions(postgres: &Postgres, database: &Database, names: &[String]) -> Result<()> {
    let session = session::open(postgres, database, database.name.as_str()).await?;
    let major = postgres.cluster(database)?.programs.major;
    for name in names {
        add(&session, name, major).await?;
    }
    Ok(())
}

/// Adds an extension to the database that a session is connected to.
pub(super) async fn add(session: &Session, name: &str, major: u32) -> Result<()> {
    if !EXTENSIONS.contains(&name) {
        let there = EXTENSIONS.join(", ");
        return Err(DatabaseError::Refused(format!("the extension {name:?} can't be had; there are {there}")));
    }
    let available = session.number("SELECT count(*) FROM pg_available_extensions WHERE name = $1::text::name", &[&name]).await?;
    if available == 0 {
        let package = if name == "vector" { format!("postgresql-{major}-pgvector") } else { format!("postgresql-{major}") };
        return Err(DatabaseError::Unavailable {
            what: format!("the extension {name} of PostgreSQL {major} is not installed on this machine"),
            help: format!("install it: apt install {package}"),
        });
    }
    // One that another one needs is made, too: what they need is in the list.
    session.run(&[format!("CREATE EXTENSION IF NOT EXISTS {} SCHEMA public CASCADE", sql::identifier(name))]).await
}

/// Makes an app's transactions read-only by default, those of sessions that are open already, too, or ends that.
///
/// Whoever cleans says `SET default_transaction_read_only = off` in a session of theirs, deletes, and gives the room back with
/// `VACUUM FULL`.
pub(super) async fn enforce(postgres: &Postgres, database: &Database, settings: &DatabaseSettings) -> Result<Enforcement> {
    let session = session::open(postgres, database, "template1").await?;
    within(&session, database, settings).await
}

async fn within(session: &Session, database: &Database, settings: &DatabaseSettings) -> Result<Enforcement> {
    let bytes = session::size(session, database).await?;
    let over = bytes > settings.storage << 20;
    // Of the session itself it would say what the session asked for.
    let query = "SELECT count(*) FROM pg_file_settings WHERE name = 'default_transaction_read_only' AND setting = 'on'";
    let refused = session.number(query, &[]).await? > 0;
    if over != refused {
        let statement = if over {
            "ALTER SYSTEM SET default_transaction_read_only = on"
        } else {
            "ALTER SYSTEM RESET default_transaction_read_only"
        };
        session.run(&[statement.to_owned(), "SELECT pg_reload_conf()".to_owned()]).await?;
        tracing::info!(app = %database.app, bytes, over, "the database's limit of storage");
    }
    Ok(Enforcement { bytes, over })
}
