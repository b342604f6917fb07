//! Dumps are read into a database beside the app's, by a role that may do nothing else: functions of the dump run as it.

use std::fs::File;
use std::io::{Read, Seek};
use std::time::Duration;

use engine::Mount;

use super::config::{restorer, scratch};
use super::dump::Client;
use super::session::{self, Session};
use super::{Postgres, limits, sql};
use crate::{Database, DatabaseError, Found, Result, Secret};

/// Where the list of what is to be restored lies.
const LIST_AT: &str = "/etc/adaptable/restore.list";
/// How long the app's sessions may take to end.
const ENDED: Duration = Duration::from_millis(50);

/// Reads a dump into a scratch database, counts, and drops it.
pub(super) async fn verify(postgres: &Postgres, database: &Database, dump: File) -> Result<Found> {
    let admin = session::open(postgres, database, "template1").await?;
    let found = async {
        fill(postgres, database, &admin, dump).await?;
        count(&session::open(postgres, database, &scratch(database.name.as_str())).await?).await
    };
    let found = found.await;
    let removed = remove(database, &admin).await;
    let found = found?;
    removed.map(|()| found)
}

/// Reads a dump into a scratch database, which then takes the place of the app's.
pub(super) async fn restore(postgres: &Postgres, database: &Database, dump: File) -> Result<()> {
    let admin = session::open(postgres, database, "template1").await?;
    let swapped = async {
        fill(postgres, database, &admin, dump).await?;
        give(postgres, database).await?;
        swap(postgres, database, &admin).await
    };
    let swapped = swapped.await;
    // What was there bears the scratch database's name now; or else what did not become anything.
    let removed = remove(database, &admin).await;
    swapped?;
    removed
}

/// Makes an empty scratch database, and reads a dump into it. Nothing of it is kept where that fails.
async fn fill(postgres: &Postgres, database: &Database, admin: &Session, dump: File) -> Result<()> {
    remove(database, admin).await?;
    let name = database.name.as_str();
    let (role, beside) = (sql::identifier(&restorer(name)), sql::identifier(&scratch(name)));
    let password = Secret::generate();
    admin
        .run(&[
            format!("CREATE ROLE {role} LOGIN BYPASSRLS PASSWORD {}", sql::literal(&sql::verifier(&password))),
            format!("CREATE DATABASE {beside} OWNER {role} TEMPLATE template0"),
            format!("REVOKE ALL ON DATABASE {beside} FROM PUBLIC"),
        ])
        .await?;
    let client = Client { postgres, database, user: restorer(name), password: &password, name: scratch(name) };
    let contents = contents(&client, admin, &dump).await?;
    let major = postgres.cluster(database)?.programs.major;
    if !contents.extensions.is_empty() {
        let session = session::open(postgres, database, &scratch(name)).await?;
        for extension in contents.extensions.iter().filter(|name| *name != "plpgsql") {
            limits::add(&session, extension, major).await?;
        }
    }
    let beside = scratch(name);
    let mut words =
        vec!["pg_restore", "--no-password", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error"];
    words.extend(["--dbname", &beside]);
    if !contents.extensions.is_empty() {
        words.extend(["--use-list", LIST_AT]);
    }
    let mut spec = client.container(admin.awake(), &words)?;
    if !contents.extensions.is_empty() {
        spec.mounts.push(Mount::File { at: LIST_AT.to_owned(), contents: contents.list.into_bytes(), owner: None });
    }
    let done = crate::job::run(postgres.servers.engine(), spec, Some(dump), None).await?;
    if done.is_ok() {
        return Ok(());
    }
    if done.words.contains("connection to server") {
        return Err(DatabaseError::Server(done.problem()));
    }
    Err(DatabaseError::Damaged(done.problem()))
}

/// What a dump holds.
struct Contents {
    extensions: Vec<String>,
    /// All of it but its extensions, as `pg_restore --use-list` wants it: only a superuser may make and describe some of those.
    list: String,
}

async fn contents(client: &Client<'_>, admin: &Session, dump: &File) -> Result<Contents> {
    let rewound = |mut file: &File| file.rewind();
    let failed = |error: std::io::Error| DatabaseError::Failed(format!("read the dump: {error}"));
    let mut list = tempfile::tempfile().map_err(failed)?;
    rewound(dump).map_err(failed)?;
    let (input, output) = (dump.try_clone().map_err(failed)?, list.try_clone().map_err(failed)?);
    let done = client.run(admin.awake(), &["pg_restore", "--list"], Some(input), Some(output)).await?;
    rewound(dump).map_err(failed)?;
    if !done.is_ok() {
        return Err(DatabaseError::Damaged(done.problem()));
    }
    let mut text = String::new();
    list.rewind().and_then(|()| list.read_to_string(&mut text)).map_err(failed)?;
    Ok(read_list(&text))
}

/// Reads what `pg_restore --list` writes: `NUMBER; TABLE-OID OID KIND SCHEMA NAME OWNER`, and comments.
fn read_list(text: &str) -> Contents {
    let mut contents = Contents { extensions: Vec::new(), list: String::new() };
    for line in text.lines() {
        let entry = line.splitn(4, ' ').nth(3).filter(|_| !line.starts_with(';'));
        match entry {
            Some(entry) if entry.starts_with("EXTENSION - ") => {
                contents.extensions.push(entry["EXTENSION - ".len()..].trim().to_owned());
            }
            Some(entry) if entry.starts_with("COMMENT - EXTENSION ") => {}
            _ => {
                contents.list.push_str(line);
                contents.list.push('\n');
            }
        }
    }
    contents
}

/// Counts tables and what is in them, without those of extensions.
async fn count(session: &Session) -> Result<Found> {
    let query = "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')";
    let mut found = Found::default();
    for table in session.texts(query, &[]).await? {
        found.tables += 1;
        // The server has quoted the name.
        found.rows += session.number(&format!("SELECT count(*) FROM ONLY {table}"), &[]).await?;
    }
    Ok(found)
}

/// What was read becomes the app's.
async fn give(postgres: &Postgres, database: &Database) -> Result<()> {
    let name = database.name.as_str();
    let session = session::open(postgres, database, &scratch(name)).await?;
    let (from, to) = (sql::identifier(&restorer(name)), sql::identifier(name));
    session.run(&[format!("REASSIGN OWNED BY {from} TO {to}")]).await?;
    // Without it the first queries are planned badly. A function of the app's in an index may fail, which is the app's affair.
    if let Err(error) = session.run(&["ANALYZE".to_owned()]).await {
        tracing::info!(app = %database.app, %error, "analyze what was restored");
    }
    Ok(())
}

/// Exchanges the names of the app's database and the scratch one, in one transaction, and ends the app's sessions for that.
async fn swap(postgres: &Postgres, database: &Database, admin: &Session) -> Result<()> {
    let name = database.name.as_str();
    let second = session::open(postgres, database, "template1").await?;
    let (own, beside, aside) =
        (sql::identifier(name), sql::identifier(&scratch(name)), sql::identifier(&format!("{name}__aside")));
    // What the app's owner has set for the database stays.
    let statement = format!(
        "BEGIN;
         ALTER DATABASE {own} RENAME TO {aside};
         ALTER DATABASE {beside} RENAME TO {own};
         ALTER DATABASE {aside} RENAME TO {beside};
         UPDATE pg_db_role_setting SET setdatabase = (SELECT oid FROM pg_database WHERE datname = {new})
             WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = {old});
         COMMIT",
        new = sql::literal(name),
        old = sql::literal(&scratch(name)),
    );
    let statements = [statement];
    let renamed = admin.run(&statements);
    // Renaming locks new connections out, and waits some seconds for those that are there.
    let ending = async {
        loop {
            let query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE datname = ANY($1::text[]::name[]) AND pid <> pg_backend_pid()";
            second.number(query, &[&vec![name.to_owned(), scratch(name)]]).await?;
            tokio::time::sleep(ENDED).await;
        }
    };
    tokio::select! {
        renamed = renamed => {
            if renamed.is_err() {
                let _none = admin.run(&["ROLLBACK".to_owned()]).await;
            }
            renamed
        }
        failed = ending => failed,
    }
}

/// Removes the scratch database and its role. Fine where there are none.
async fn remove(database: &Database, admin: &Session) -> Result<()> {
    let name = database.name.as_str();
    admin
        .run(&[
            format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", sql::identifier(&scratch(name))),
            format!("DROP ROLE IF EXISTS {}", sql::identifier(&restorer(name))),
        ])
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_left_out_of_what_is_restored() {
        let text = ";\n; Archive created at 2026\n3342; 3079 16385 EXTENSION - pgcrypto \n3351; 0 0 COMMENT - EXTENSION pgcrypto \n\
                    215; 1259 16400 TABLE public EXTENSION - x app_a\n3350; 0 0 COMMENT public TABLE t app_a\n";
        let contents = read_list(text);
        assert_eq!(contents.extensions, ["pgcrypto"]);
        assert!(contents.list.contains("TABLE public EXTENSION - x") && contents.list.contains("COMMENT public TABLE t"));
        assert!(!contents.list.contains("pgcrypto"));
    }
}
