//! `revisions`: what was, and can be, served.

use anstyle::Style;
use api::RevisionSummary;
use model::AppName;

use super::Context;
use super::deployments::{by, commit, moment};
use crate::explain::Failure;
use crate::printer::{DIM, GREEN, Table};

/// Whether visitors get a revision, and which part of them.
fn serving(revision: &RevisionSummary) -> String {
    match (revision.serving, revision.percent) {
        (true, 1..=99) => format!("{} %", revision.percent),
        (true, _) => "yes".to_owned(),
        (false, _) => String::new(),
    }
}

/// Runs `revisions`.
pub(super) async fn run(context: &Context, app: &AppName) -> Result<(), Failure> {
    let revisions = context.client()?.revisions(app).await?;
    if context.printer.json() {
        return context.printer.document(&revisions);
    }
    let mut table = Table::new(["REVISION", "SERVING", "CREATED", "BY", "IMAGE", "COMMIT"]);
    for revision in revisions {
        let image: String = revision.image.trim_start_matches("sha256:").chars().take(12).collect();
        table.styled([
            (revision.revision.to_string(), Style::new()),
            (serving(&revision), GREEN),
            (moment(revision.created_at), DIM),
            (by(revision.by.as_ref()), Style::new()),
            (image, Style::new()),
            (commit(revision.commit.as_ref()), Style::new()),
        ]);
    }
    context.printer.table(&table, "no revisions yet")
}
