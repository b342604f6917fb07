//! `source` and `update`: the branch on GitHub that an app comes from, and its newest commit deployed.

use std::time::Instant;

use api::{AppSource, NewAppSource};
use model::AppName;

use super::{Context, deploy};
use crate::cli::SourceAction;
use crate::explain::Failure;
use crate::follow::{follow, interrupts};
use crate::printer::Printer;
use crate::progress::Progress;

/// Runs `source`.
pub(super) async fn run(context: &Context, app: &AppName, action: Option<SourceAction>) -> Result<(), Failure> {
    let client = context.client()?;
    match action {
        None => show(context.printer, &client.source(app).await?),
        Some(SourceAction::Set { repository, branch, no_auto_deploy }) => {
            let new = NewAppSource { repository, branch, auto_deploy: !no_auto_deploy };
            let source = client.set_source(app, &new).await?;
            show(context.printer, &source)?;
            if !context.printer.json() {
                context.printer.note(&format!("its next push deploys {app}; `adaptable update {app}` deploys what is there now"));
            }
            Ok(())
        }
        Some(SourceAction::Remove) => {
            client.remove_source(app).await?;
            context.printer.note(&format!("{app} is not deployed from GitHub any more; what is live stays"));
            Ok(())
        }
    }
}

/// Runs `update`.
pub(super) async fn update(context: &Context, app: &AppName) -> Result<(), Failure> {
    let client = context.client()?;
    let began = Instant::now();
    let mut interrupts = interrupts()?;
    let accepted = client.update(app).await?;
    let progress = Progress::new(context.printer);
    let deployment = follow(&client, app, accepted.deployment, &mut interrupts, progress).await?;
    deploy::print(context.printer, &deployment, &deployment, began.elapsed().as_secs_f64())
}

fn show(printer: Printer, source: &AppSource) -> Result<(), Failure> {
    if printer.json() {
        return printer.document(source);
    }
    let how = if source.auto_deploy { "each push deploys it" } else { "pushes do not deploy it" };
    printer.line(&format!("{} {}, {how}", source.repository, source.branch))?;
    if let Some(trouble) = &source.trouble {
        printer.note(&format!("{}; {}", trouble.message, trouble.help));
    }
    Ok(())
}
