//! `status`: an app, what runs of it, and its last deployments.

use api::LastHour;
use model::AppName;

use super::{Context, apps, deployments};
use crate::explain::Failure;
use crate::printer::{BOLD, Printer, Sparks, Table, bytes, seconds};

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
    for warning in &status.warnings {
        printer.line(&format!("  warning   {}", printer.foreign(warning)))?;
    }
    if let Some(hour) = &status.last_hour {
        last_hour(printer, hour)?;
    }
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

/// What stands before the bars.
const MARGIN: &str = "  last hour ";

/// The last hour: a bar a minute, and what it comes to in words.
fn last_hour(printer: Printer, hour: &LastHour) -> Result<(), Failure> {
    let total: u64 = hour.requests.iter().sum();
    if total == 0 {
        return printer.line(&format!("{MARGIN}no request"));
    }
    let (line, marks) = Sparks::new(printer, printer.columns().saturating_sub(MARGIN.len())).draw(&hour.requests, &hour.errors);
    printer.line(&format!("{MARGIN}{line}"))?;
    let indent = " ".repeat(MARGIN.len());
    if !marks.is_empty() {
        printer.line(&format!("{indent}{marks}"))?;
    }
    let failed: u64 = hour.errors.iter().sum();
    let peak = hour.requests.iter().copied().max().unwrap_or(0);
    let slowest = hour.slowest.iter().copied().fold(0.0, f64::max);
    let requests = if total == 1 { "request" } else { "requests" };
    let failed = if failed == 0 { "none failed".to_owned() } else { format!("{failed} failed (!)") };
    printer.line(&format!("{indent}{total} {requests}, at most {peak} a minute; {failed}; the slowest took {}", seconds(slowest)))
}
