//! Databases on a real SQL Server: the one that `ADAPTABLE_TEST_MSSQL_URL` names (`sqlserver://ADMIN:PASSWORD@HOST:PORT/`), with
//! `ADAPTABLE_TEST_MSSQL_BACKUPS` for a directory that both see (`/ON/THE/SERVER=/HERE`). Left out where there is none.

#![expect(clippy::print_stdout, reason = "whoever reads the tests' output must see that some were left out")]

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use database::mssql::{Exchange, Mssql, MssqlServer, MssqlSettings};
use database::{Database, DatabaseError, Found, Kept, Kind, Secret};
use model::AppName;
use model::database::{DatabaseName, DatabaseSettings};
use tiberius::{AuthMethod, Client, Config};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

type Connection = Client<Compat<TcpStream>>;

fn kind() -> Option<Mssql> {
    let Ok(url) = std::env::var("ADAPTABLE_TEST_MSSQL_URL") else {
        println!("left out: SQL Server; ADAPTABLE_TEST_MSSQL_URL does not name one");
        return None;
    };
    let backups = std::env::var("ADAPTABLE_TEST_MSSQL_BACKUPS").ok().map(|text| Exchange::parse(&text).expect("a directory"));
    let server = Some(MssqlServer::parse(&url).expect("an address"));
    Some(Mssql::new(MssqlSettings { server, accept_eula: false, backups, ..MssqlSettings::default() }, None).expect("a server"))
}

fn database(app: &str) -> Database {
    let app = AppName::parse(app).expect("a name");
    Database { name: DatabaseName::of(&app), app, slot: 1, password: Secret::generate(), kept: Kept::default() }
}

fn settings(storage: u64) -> DatabaseSettings {
    DatabaseSettings { storage, ..DatabaseSettings::default() }
}

/// The app's own way in: nothing but its variables.
async fn app(kind: &Mssql, of: &Database) -> tiberius::Result<Connection> {
    let access = kind.credentials(of);
    let variable = |name: &str| access.variables.iter().find(|(own, _)| own == name).expect(name).1.reveal().to_owned();
    let mut config = Config::new();
    config.host(variable("MSSQL_HOST"));
    config.port(variable("MSSQL_TCP_PORT").parse().expect("a port"));
    config.database(variable("MSSQL_DATABASE"));
    config.authentication(AuthMethod::sql_server(variable("MSSQL_USER"), variable("MSSQL_PASSWORD")));
    config.trust_cert();
    let stream = TcpStream::connect(config.get_addr()).await.expect("a server");
    Box::pin(Client::connect(config, stream.compat_write())).await
}

async fn run(connection: &mut Connection, statement: &str) -> tiberius::Result<Vec<tiberius::Row>> {
    Ok(connection.simple_query(statement).await?.into_results().await?.into_iter().next_back().unwrap_or_default())
}

async fn rows(connection: &mut Connection, statement: &str) -> Vec<String> {
    let rows = run(connection, statement).await.expect(statement);
    rows.iter().map(|row| row.get::<&str, _>(0).unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn an_app_finds_its_database_and_nobody_elses() {
    let Some(kind) = kind() else { return };
    kind.available().await.expect("a server");
    let (one, other) = (database("mssql-one"), database("mssql-other"));
    for of in [&one, &other] {
        kind.create(of, &settings(100)).await.expect("a database");
        kind.create(of, &settings(100)).await.expect("again is fine");
        let mut own = app(&kind, of).await.expect("its user");
        run(&mut own, "CREATE TABLE entries (id int PRIMARY KEY, text nvarchar(100)); INSERT entries VALUES (1, N'grüße')")
            .await
            .expect("an entry");
        run(&mut own, "ALTER TABLE entries ADD more int NULL; CREATE INDEX by_text ON entries (text)")
            .await
            .expect("a migration");
    }
    let mut own = app(&kind, &one).await.expect("its user");
    assert_eq!(rows(&mut own, "SELECT text FROM entries").await, ["grüße"]);
    let seen = rows(&mut own, "SELECT name FROM sys.databases").await;
    assert!(seen.contains(&one.name.to_string()) && !seen.contains(&other.name.to_string()), "{seen:?}");
    for statement in [
        format!("SELECT * FROM {}.dbo.entries", other.name),
        format!("USE {}", other.name),
        format!("ALTER LOGIN {} WITH PASSWORD = N'Aa1!Aa1!'", other.name),
        format!("BACKUP DATABASE {} TO DISK = N'x.bak'", one.name),
        "EXEC xp_cmdshell N'id'".to_owned(),
        "EXEC master.sys.xp_dirtree N'/', 1, 1".to_owned(),
        "CREATE DATABASE mine".to_owned(),
        "ALTER SERVER ROLE sysadmin ADD MEMBER app_mssql_one".to_owned(),
    ] {
        assert!(run(&mut own, &statement).await.is_err(), "{statement}");
    }
    assert!(kind.usage(&one).await.expect("figures").connections >= 1);
    for of in [&one, &other] {
        kind.drop(of).await.expect("gone");
        kind.drop(of).await.expect("again is fine");
        assert!(app(&kind, of).await.is_err(), "its login is gone");
    }
}

#[tokio::test]
async fn a_password_is_another_one_and_the_storage_ends() {
    let Some(kind) = kind() else { return };
    let of = database("mssql-rotated");
    kind.create(&of, &settings(16)).await.expect("a database");
    let mut open = app(&kind, &of).await.expect("its user");
    let other = Database { password: Secret::generate(), ..of.clone() };
    kind.rotate(&of, &other.password).await.expect("another password");
    assert!(app(&kind, &of).await.is_err() && app(&kind, &other).await.is_ok());
    run(&mut open, "CREATE TABLE much (text nchar(4000))").await.expect("a table");
    let fill = "DECLARE @n int = 0; WHILE @n < 4000 BEGIN INSERT much VALUES (N'x'); SET @n += 1 END";
    let error = run(&mut open, fill).await.expect_err("32 MB do not fit");
    assert_eq!(error.code(), Some(1105), "{error}");
    kind.apply(&of, &settings(100)).await.expect("more");
    run(&mut open, "INSERT much VALUES (N'x')").await.expect("it fits");
    kind.drop(&of).await.expect("gone");
}

#[tokio::test]
async fn a_backup_is_verified_and_restored_and_damage_is_noticed() {
    let Some(kind) = kind() else { return };
    if std::env::var_os("ADAPTABLE_TEST_MSSQL_BACKUPS").is_none() {
        println!("left out: backups of SQL Server; ADAPTABLE_TEST_MSSQL_BACKUPS names no directory");
        return;
    }
    let of = database("mssql-saved");
    kind.create(&of, &settings(100)).await.expect("a database");
    let mut own = app(&kind, &of).await.expect("its user");
    run(&mut own, "CREATE TABLE entries (id int); INSERT entries VALUES (1), (2), (3)").await.expect("entries");
    let mut dump = tempfile::tempfile().expect("a file");
    kind.backup(&of, dump.try_clone().expect("a copy")).await.expect("a backup");
    let copy = |dump: &File| dump.try_clone().expect("a copy");
    assert_eq!(kind.verify(&of, copy(&dump)).await.expect("it is whole"), Found { tables: 1, rows: 3 });
    run(&mut own, "DELETE entries; CREATE TABLE later (id int)").await.expect("a change");
    kind.restore(&of, copy(&dump)).await.expect("as it was");
    let mut own = app(&kind, &of).await.expect("its user");
    assert_eq!(rows(&mut own, "SELECT CAST(COUNT(*) AS nvarchar(10)) FROM entries").await, ["3"]);
    run(&mut own, "INSERT entries VALUES (4); CREATE TABLE again (id int)").await.expect("it may write");
    let length = dump.seek(SeekFrom::End(0)).expect("its length");
    dump.seek(SeekFrom::Start(length / 2)).and_then(|_| dump.write_all(&[0xff; 4096])).expect("damage");
    let error = kind.verify(&of, copy(&dump)).await.expect_err("it is damaged");
    assert!(matches!(error, DatabaseError::Damaged(_)), "{error}");
    kind.restore(&of, dump).await.expect_err("it is damaged");
    assert_eq!(rows(&mut own, "SELECT CAST(COUNT(*) AS nvarchar(10)) FROM entries").await, ["4"], "nothing has changed");
    kind.drop(&of).await.expect("gone");
}
