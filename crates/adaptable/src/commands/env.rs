//! `env`: an app's variables.

use std::collections::BTreeMap;
use std::time::Instant;

use api::{Client, Deployment, EnvKind, EnvPatch, SettingsChanged};
use model::{AppName, EnvName};
use serde::Serialize;

use super::{Context, deploy};
use crate::cli::EnvAction;
use crate::explain::Failure;
use crate::follow::{end, follow, interrupts};
use crate::printer::{Printer, Table};
use crate::progress::Progress;

/// What `env list --json` prints.
#[derive(Serialize)]
struct Listed<'a> {
    app: &'a AppName,
    kind: EnvKind,
    /// Values are null unless they were asked for.
    variables: BTreeMap<&'a EnvName, Option<&'a str>>,
}

/// What a change of settings prints with `--json`.
#[derive(Serialize)]
struct Changed<'a> {
    app: &'a AppName,
    needs_deploy: bool,
    deployment: Option<&'a Deployment>,
}

/// Runs `env`.
pub(super) async fn run(context: &Context, app: &AppName, build: bool, action: EnvAction) -> Result<(), Failure> {
    let kind = if build { EnvKind::Build } else { EnvKind::Run };
    let client = context.client()?;
    let patch = match action {
        EnvAction::List { reveal } => return list(&client, context.printer, app, kind, reveal).await,
        EnvAction::Set { variables } => EnvPatch { kind, set: variables.into_iter().collect(), unset: Vec::new() },
        EnvAction::Unset { names } => EnvPatch { kind, set: BTreeMap::new(), unset: names },
    };
    let began = Instant::now();
    let changed = client.change_env(app, &patch).await?;
    take_effect(&client, context.printer, &changed, began).await
}

async fn list(client: &Client, printer: Printer, app: &AppName, kind: EnvKind, reveal: bool) -> Result<(), Failure> {
    let variables = client.env(app, kind).await?.variables;
    if printer.json() {
        let variables = variables.iter().map(|(name, value)| (name, reveal.then_some(value.as_str()))).collect();
        return printer.document(&Listed { app, kind, variables });
    }
    if reveal {
        for (name, value) in &variables {
            printer.line(&format!("{name}={}", printer.foreign(value)))?;
        }
        return Ok(());
    }
    let mut table = Table::new(["NAME", "VALUE"]);
    for name in variables.keys() {
        table.row([name.to_string(), "(hidden; --reveal shows it)".to_owned()]);
    }
    printer.table(&table, "no variables are set")
}

/// Follows the deployment that a change of settings began, where there is one.
pub(super) async fn take_effect(
    client: &Client,
    printer: Printer,
    changed: &SettingsChanged,
    began: Instant,
) -> Result<(), Failure> {
    let app = &changed.app;
    let Some(number) = changed.deployment else {
        if printer.json() {
            return printer.document(&Changed { app, needs_deploy: changed.needs_deploy, deployment: None });
        }
        printer.note(&if changed.needs_deploy {
            format!("saved; it takes effect with the next deployment: adaptable deploy PATH --app {app}")
        } else {
            "saved".to_owned()
        });
        return Ok(());
    };
    let mut interrupts = interrupts()?;
    let deployment = follow(client, app, number, &mut interrupts, Progress::new(printer)).await?;
    if printer.json() {
        printer.document(&Changed { app, needs_deploy: changed.needs_deploy, deployment: Some(&deployment) })?;
        return end(&deployment);
    }
    deploy::print(printer, &deployment, &deployment, began.elapsed().as_secs_f64())
}
