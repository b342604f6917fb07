//! `rollback`: serve an earlier revision again.

use std::time::Instant;

use api::RollbackRequest;
use model::{AppName, RevisionNumber};

use super::{Context, deploy};
use crate::explain::Failure;
use crate::follow::{follow, interrupts};
use crate::progress::Progress;

/// Runs `rollback`.
pub(super) async fn run(context: &Context, app: &AppName, to: Option<RevisionNumber>) -> Result<(), Failure> {
    let client = context.client()?;
    let began = Instant::now();
    let mut interrupts = interrupts()?;
    let accepted = client.rollback(app, &RollbackRequest { to }).await?;
    let progress = Progress::new(context.printer);
    let deployment = follow(&client, app, accepted.deployment, &mut interrupts, progress).await?;
    deploy::print(context.printer, &deployment, &deployment, began.elapsed().as_secs_f64())
}
