//! `status`: an app, what runs of it, and its last deployments.

use model::AppName;

use super::{Context, apps, deployments};
use crate::explain::Failure;
use crate::printer::{BOLD, Table, bytes, seconds};

/// Runs `status`.
pub(super) async fn run(context: &Context, app: &AppName) -> Result<(), Failure> {
    let printer = context.printer;
    let status = context.client()?.status(app).await?;
    if printer.json() {
        return printer.document(&status);
    }
    let app = &status.summary;
    printer.line(&format!(
        "{}  {}",
        printer.out_style(app.app.as_str(), BOLD),
        printer.out_style(app.state.as_str(), apps::color(app.state))
    ))?;
    printer.line(&format!("  url       {}", app.url))?;
    printer.line(&format!("  revision  {}", app.revision.map_or_else(|| "-".to_owned(), |revision| revision.to_string())))?;
    if let Some(split) = &status.split {
        printer.line(&format!("  split     {} % of the visitors get revision {}", split.percent, split.revision))?;
    }
    printer.line(&format!("  template  {}", app.template.as_deref().unwrap_or("-")))?;
    printer.line(&format!("  database  {}", app.database.as_str()))?;
    printer.line("")?;
    let mut table = Table::new(["INSTANCE", "REVISION", "STATE", "MEMORY", "CPU"]);
    for instance in status.instances {
        table.row([
            instance.id,
            instance.revision.to_string(),
            instance.state.as_str().to_owned(),
            bytes(instance.memory_bytes),
            seconds(instance.cpu_seconds),
        ]);
    }
    if table.is_empty() {
        printer.line("no instance runs; the next request starts one")?;
    } else {
        printer.table(&table, "")?;
    }
    if !status.deployments.is_empty() {
        printer.line("")?;
        printer.table(&deployments::table(&status.deployments), "")?;
    }
    Ok(())
}
