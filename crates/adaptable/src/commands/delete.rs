//! `delete`: an app with all that belongs to it.

use model::AppName;
use serde::Serialize;

use super::Context;
use crate::explain::Failure;

/// What `--json` prints.
#[derive(Serialize)]
struct Deleted<'a> {
    app: &'a AppName,
    deleted: bool,
}

/// Runs `delete`.
pub(super) async fn run(context: &Context, app: &AppName, yes: bool, without_backup: bool) -> Result<(), Failure> {
    let printer = context.printer;
    if !yes {
        let question = format!("delete {app} with all its revisions, variables and logs? Type its name to go on:");
        match printer.ask(&question) {
            Some(answer) if answer == app.as_str() => {}
            Some(_) => return Err(Failure::local(format!("{app} was not deleted: that is not its name"), "")),
            None => {
                return Err(Failure::usage(
                    format!("deleting {app} can't be undone"),
                    format!("if that is meant: adaptable delete {app} --yes"),
                ));
            }
        }
    }
    context.client()?.delete(app, without_backup).await?;
    if printer.json() {
        return printer.document(&Deleted { app, deleted: true });
    }
    printer.note(&format!("{app} is deleted"));
    Ok(())
}
