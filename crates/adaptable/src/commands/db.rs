//! `db`: an app's database: how it is reached, a prompt of its own client, another password.

mod backups;

use std::process::Stdio;
use std::time::Instant;

use api::{Client, DatabaseInfo};
use model::{AppName, DatabaseType};

use super::{Context, env};
use crate::cli::DbAction;
use crate::explain::Failure;
use crate::printer::Printer;
use crate::printer::bytes;
use crate::tunnel::Tunnel;

/// Runs `db`.
pub(super) async fn run(context: &Context, app: &AppName, action: DbAction) -> Result<(), Failure> {
    let client = context.client()?;
    match action {
        DbAction::Info { reveal } => print(context.printer, &client.database(app, reveal).await?, reveal),
        DbAction::Psql { arguments } => prompt(&client, app, DatabaseType::Postgres, arguments).await,
        DbAction::Mongosh { arguments } => prompt(&client, app, DatabaseType::Mongodb, arguments).await,
        DbAction::Sqlcmd { arguments } => prompt(&client, app, DatabaseType::Mssql, arguments).await,
        DbAction::Backup => backups::make(&client, context.printer, app).await,
        DbAction::Backups => backups::list(&client, context.printer, app).await,
        DbAction::Verify { backup } => backups::verify(&client, context.printer, app, &backup).await,
        DbAction::Restore { backup: Some(backup), .. } => backups::restore(&client, context.printer, app, &backup).await,
        DbAction::Restore { at: Some(at), .. } => backups::restore_moment(&client, context.printer, app, at).await,
        DbAction::Restore { .. } => Err(Failure::usage("a backup or a moment is needed", format!("adaptable db {app} backups"))),
        DbAction::Rotate => {
            let began = Instant::now();
            let changed = client.rotate_database(app).await?;
            env::take_effect(&client, context.printer, &changed, began).await
        }
    }
}

fn print(printer: Printer, info: &DatabaseInfo, revealed: bool) -> Result<(), Failure> {
    if printer.json() {
        return printer.document(info);
    }
    printer.line(&format!("{}, a {} database", info.database, info.kind.as_str()))?;
    printer.line(&format!("  holds        {} of at most {}", bytes(info.bytes), bytes(info.limit_bytes)))?;
    printer.line(&format!("  connections  {} of at most {}", info.connections, info.max_connections))?;
    printer.line(&format!("  reached at   {}:{}, by {}'s instances alone", info.host, info.port, info.app))?;
    if let Some(outside) = &info.outside {
        printer.line(&format!("  from outside {}:{}, by {}", outside.host, outside.port, outside.allow.join(", ")))?;
    }
    if let Some(since) = info.recoverable_since {
        printer.line(&format!("  recoverable  to any moment since {since}: adaptable db {} restore --at TIME", info.app))?;
    }
    printer.line("  variables that the app finds:")?;
    for (name, value) in &info.variables {
        let value = value.as_deref().map_or_else(|| "(hidden; --reveal shows it)".to_owned(), |value| printer.foreign(value));
        printer.line(&format!("    {name}={value}"))?;
    }
    if !revealed {
        printer.note(&format!("a prompt of its client: adaptable db {} {}", info.app, program(info.kind)));
    }
    Ok(())
}

/// The client program of a kind.
fn program(kind: DatabaseType) -> &'static str {
    match kind {
        DatabaseType::Postgres | DatabaseType::None => "psql",
        DatabaseType::Mongodb => "mongosh",
        DatabaseType::Mssql => "sqlcmd",
    }
}

/// Runs the database's own client with the app's own variables, through the platform.
async fn prompt(client: &Client, app: &AppName, kind: DatabaseType, arguments: Vec<String>) -> Result<(), Failure> {
    let info = client.database(app, true).await?;
    if info.kind != kind {
        return Err(Failure::usage(
            format!("{app} has a {} database, not a {} one", info.kind.as_str(), kind.as_str()),
            format!("adaptable db {app} {}", program(info.kind)),
        ));
    }
    let authority =
        tempfile::NamedTempFile::new().map_err(|error| Failure::local(format!("make a temporary file: {error}"), ""))?;
    std::fs::write(authority.path(), client.authority().await?)
        .map_err(|error| Failure::file("write", authority.path(), error))?;
    let tunnel = Tunnel::open(client.clone(), app.clone()).await?;
    let program = program(kind);
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    for (name, value) in info.variables.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        command.env(name, value);
    }
    // The name stays that of the server, which its certificate bears; only the way to it is another.
    command
        .env("PGHOSTADDR", "127.0.0.1")
        .env("PGPORT", tunnel.port().to_string())
        .env("PGSSLROOTCERT", authority.path())
        .env("SQLCMDSERVER", format!("tcp:127.0.0.1,{}", tunnel.port()))
        .env("SQLCMDUSER", &info.user)
        .env("SQLCMDDBNAME", &info.database)
        .env("SQLCMDPASSWORD", info.variables.get("MSSQL_PASSWORD").cloned().flatten().unwrap_or_default());
    if kind == DatabaseType::Mongodb {
        // It takes no password from a variable, and in an argument everybody on the machine could read it: it asks for it.
        command.arg(format!("mongodb://127.0.0.1:{}/{}", tunnel.port(), info.database)).args(["--username", &info.user]);
    }
    // Ctrl-C is for the client program, which stays.
    let mut interrupts = crate::follow::interrupts()?;
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            let package = if kind == DatabaseType::Postgres { "postgresql-client" } else { program };
            Failure::local(format!("there is no {program} on this machine"), format!("install it: sudo apt install {package}"))
        }
        _ => Failure::local(format!("start {program}: {error}"), ""),
    })?;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.map_err(|error| Failure::local(format!("wait for {program}: {error}"), ""))?,
            _ = interrupts.recv() => {}
        }
    };
    if status.success() { Ok(()) } else { Err(Failure::local(format!("{program} ended with {status}"), "")) }
}
