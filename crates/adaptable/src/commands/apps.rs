//! `apps`: what is there.

use api::AppState;

use super::Context;
use crate::explain::Failure;
use crate::printer::{BOLD, DIM, GREEN, RED, Table, YELLOW};

/// Runs `apps`.
pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let apps = context.client()?.apps().await?;
    if context.printer.json() {
        return context.printer.document(&apps);
    }
    let mut table = Table::new(["APP", "STATE", "REVISION", "TEMPLATE", "DATABASE", "URL"]);
    for app in apps {
        table.styled([
            (app.app.to_string(), BOLD),
            (app.state.as_str().to_owned(), color(app.state)),
            (optional(app.revision), anstyle::Style::new()),
            (app.template.unwrap_or_default(), anstyle::Style::new()),
            (app.database.as_str().to_owned(), DIM),
            (app.url, anstyle::Style::new()),
        ]);
    }
    context.printer.table(&table, "no apps yet; deploy one: adaptable deploy PATH")
}

/// The colour of an app's state.
pub(super) fn color(state: AppState) -> anstyle::Style {
    match state {
        AppState::Live => GREEN,
        AppState::Failed => RED,
        AppState::Paused | AppState::Deploying => YELLOW,
        AppState::New => DIM,
    }
}

/// A value that may be missing, as a cell.
pub(super) fn optional(value: Option<impl std::fmt::Display>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
