//! `split`: a part of the visitors gets another revision.

use api::{AppStatus, Split};
use model::{AppName, RevisionNumber};

use super::Context;
use crate::explain::Failure;
use crate::printer::Printer;

/// What is to be done about the split.
pub(super) enum Order {
    /// Show it.
    Show,
    /// Begin or change it.
    Set(RevisionNumber, u8),
    /// End it.
    Off,
}

/// Runs `split`.
pub(super) async fn run(context: &Context, app: &AppName, order: Order) -> Result<(), Failure> {
    let client = context.client()?;
    let status = match order {
        Order::Show => client.status(app).await?,
        Order::Set(revision, percent) => client.split(app, Some(Split { revision, percent })).await?,
        Order::Off => client.split(app, None).await?,
    };
    print(context.printer, &status)
}

fn print(printer: Printer, status: &AppStatus) -> Result<(), Failure> {
    if printer.json() {
        return printer.document(status);
    }
    let AppStatus { summary, split, .. } = status;
    let live = summary.revision.map_or_else(|| "none".to_owned(), |revision| revision.to_string());
    match split {
        Some(Split { revision, percent }) => {
            printer.line(&format!("{percent} % of the visitors get revision {revision}, the others revision {live}"))
        }
        None => printer.line(&format!("all visitors get revision {live}")),
    }
}
