//! `db APP backup`, `backups`, `verify`, `restore`.

use api::{BackupDocument, Client};
use jiff::Timestamp;
use model::AppName;
use model::backup::BackupId;

use crate::commands::deployments::moment;
use crate::explain::Failure;
use crate::printer::{Printer, Table, bytes};

pub(super) async fn make(client: &Client, printer: Printer, app: &AppName) -> Result<(), Failure> {
    let made = client.back_up(app).await?;
    if printer.json() {
        return printer.document(&made);
    }
    printer.line(&format!("{}  {}", made.backup, told(&made)))
}

pub(super) async fn verify(client: &Client, printer: Printer, app: &AppName, id: &BackupId) -> Result<(), Failure> {
    let verified = client.verify_backup(app, id).await?;
    if printer.json() {
        return printer.document(&verified);
    }
    printer.line(&format!("{}  {}", verified.backup, told(&verified)))
}

pub(super) async fn list(client: &Client, printer: Printer, app: &AppName) -> Result<(), Failure> {
    let list = client.backups(app).await?;
    if printer.json() {
        return printer.document(&list);
    }
    let mut table = Table::new(["BACKUP", "KIND", "SIZE", "WHERE", "STATE"]);
    for backup in &list {
        let gone = backup.app_deleted_at.map(|at| format!(" (of an app that was deleted on {})", moment(at))).unwrap_or_default();
        table.row([
            backup.backup.to_string(),
            backup.kind.as_str().to_owned(),
            bytes(backup.bytes),
            backup.places.join(", "),
            format!("{}{gone}", told(backup)),
        ]);
    }
    printer.table(&table, &format!("no backups yet; one is made each night, and now by: adaptable db {app} backup"))
}

pub(super) async fn restore(client: &Client, printer: Printer, app: &AppName, id: &BackupId) -> Result<(), Failure> {
    let restored = client.restore_backup(app, id).await?;
    if printer.json() {
        return printer.document(&restored);
    }
    printer.note(&format!("{app} has what backup {} holds", restored.restored));
    printer.note(&format!("what was there before: adaptable db {app} restore {}", restored.before));
    Ok(())
}

pub(super) async fn restore_moment(client: &Client, printer: Printer, app: &AppName, at: Timestamp) -> Result<(), Failure> {
    let restored = client.restore_moment(app, at).await?;
    if printer.json() {
        return printer.document(&restored);
    }
    printer.note(&format!("the database of {app} is as it was at {}", restored.at));
    printer.note(&format!("what was there before: adaptable db {app} restore {}", restored.before));
    Ok(())
}

fn told(backup: &BackupDocument) -> String {
    match (&backup.problem, &backup.verified) {
        (Some(problem), _) => format!("{}: {problem}", backup.state.as_str()),
        (None, Some(found)) => format!("{}: {} tables, {} rows", backup.state.as_str(), found.tables, found.rows),
        (None, None) => backup.state.as_str().to_owned(),
    }
}
