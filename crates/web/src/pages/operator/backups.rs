//! Backups of all apps: the newest of each, what is wrong, and the places where they lie.

use api::{BackupOverview, BackupPlace};
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use control::Control;
use model::backup::BackupState;

use super::Tab;
use crate::access::ForPlatform;
use crate::answer::Answer;
use crate::pages::layout::{Nav, Shell, page};
use crate::pages::settings::database_name;
use crate::pages::text::{Bytes, When};

#[derive(Debug)]
struct Row {
    app: String,
    database: &'static str,
    /// The newest that counts: when, its size, where it lies.
    newest: Option<(When, Bytes, String)>,
    /// What was made last, where that is another.
    last: Option<When>,
    count: usize,
    all: Bytes,
    warnings: Vec<String>,
}

#[derive(Debug, Template)]
#[template(path = "operator_backups.html")]
struct BackupsPage {
    shell: Shell,
    tab: Tab,
    places: Vec<BackupPlace>,
    rows: Vec<Row>,
    gone: Vec<(String, usize, Bytes)>,
    trouble: usize,
}

impl BackupsPage {
    fn new(shell: Shell, overview: BackupOverview) -> Self {
        let rows: Vec<_> = overview
            .apps
            .into_iter()
            .map(|app| Row {
                app: app.app.to_string(),
                database: database_name(app.database),
                newest: app
                    .newest
                    .as_ref()
                    .map(|backup| (When::new(backup.created_at), Bytes(backup.bytes), backup.places.join(", "))),
                last: app.last.filter(|last| last.state != BackupState::Verified).map(|last| When::new(last.created_at)),
                count: app.count,
                all: Bytes(app.bytes),
                warnings: app.warnings,
            })
            .collect();
        Self {
            shell: shell.titled("Backups").at(Nav::Operator),
            tab: Tab::Backups,
            trouble: rows.iter().filter(|row| !row.warnings.is_empty()).count()
                + overview.places.iter().filter(|place| !place.problem.is_empty()).count(),
            places: overview.places,
            rows,
            gone: overview.gone.into_iter().map(|gone| (gone.app.to_string(), gone.count, Bytes(gone.bytes))).collect(),
        }
    }
}

/// The page.
pub(crate) async fn backups(_: ForPlatform, shell: Shell, State(control): State<Control>) -> Answer<Response> {
    Ok(page(&BackupsPage::new(shell, control.backup_overview().await?)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pages::gallery::shell;

    pub(in super::super) fn page(text: &str) -> impl Template + use<> {
        let row = |app: &str, newest: bool, warnings: Vec<String>| Row {
            app: app.to_owned(),
            database: "PostgreSQL",
            newest: newest.then(|| (When::new(jiff::Timestamp::now()), Bytes(4_300_000), format!("directory, {text}"))),
            last: (!newest).then(|| When::new(jiff::Timestamp::now())),
            count: 9,
            all: Bytes(38_000_000),
            warnings,
        };
        BackupsPage {
            shell: shell(text),
            tab: Tab::Backups,
            places: vec![
                BackupPlace { place: format!("the directory /var/lib/adaptable/backups{text}"), problem: String::new() },
                BackupPlace { place: "s3://backups".to_owned(), problem: format!("it does not answer {text}") },
            ],
            rows: vec![
                row("guestbook", true, Vec::new()),
                row("shop", false, vec![format!("there is no verified backup {text}")]),
            ],
            gone: vec![("old-shop".to_owned(), 3, Bytes(900_000))],
            trouble: 2,
        }
    }
}
