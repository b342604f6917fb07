//! `pause` and `resume`.

use model::AppName;

use super::Context;
use crate::explain::Failure;

/// Runs `pause`.
pub(super) async fn pause(context: &Context, app: &AppName) -> Result<(), Failure> {
    let summary = context.client()?.pause(app).await?;
    if context.printer.json() {
        return context.printer.document(&summary);
    }
    context.printer.note(&format!("{app} is paused: it has no instance and answers 503 (adaptable resume {app})"));
    Ok(())
}

/// Runs `resume`.
pub(super) async fn resume(context: &Context, app: &AppName) -> Result<(), Failure> {
    let summary = context.client()?.resume(app).await?;
    if context.printer.json() {
        return context.printer.document(&summary);
    }
    context.printer.note(&format!("{app} is resumed: the next request starts an instance ({})", summary.url));
    Ok(())
}
