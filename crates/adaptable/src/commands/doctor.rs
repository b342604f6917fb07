//! `doctor`: checks this machine and the platform, and says what to do.

#[cfg(target_os = "linux")]
mod machine;
#[cfg(target_os = "linux")]
mod network;

use api::{Check, CheckState, Client, DoctorReport};

use super::Context;
use crate::cli::ServeArgs;
use crate::explain::Failure;
use crate::printer::{GREEN, Printer, RED, YELLOW, clean};
use crate::reach::Place;

/// Runs `doctor`.
pub(super) async fn run(context: &Context, args: &ServeArgs) -> Result<(), Failure> {
    let place = context.place()?;
    let client = context.client()?;
    let platform = platform(&client).await;
    let mut report = DoctorReport::default();
    if let Place::Here { data_dir } = &place {
        report.checks.extend(local(args, data_dir, platform.is_ok()).await);
    }
    report.checks.extend(platform.unwrap_or_else(|check| vec![with_place(check, &place)]));
    show(context.printer, &report)
}

/// The checks of the platform itself, or what keeps it from making them.
async fn platform(client: &Client) -> Result<Vec<Check>, Check> {
    let fail = |error: &api::ClientError| {
        let body = error.body();
        Check::fail("platform", body.message, body.help)
    };
    let platform = client.platform().await.map_err(|error| fail(&error))?;
    let answers = format!(
        "version {} answers at {}, process {}, since {:.0}",
        platform.version, platform.url, platform.pid, platform.started_at
    );
    let mut checks = vec![Check::ok("platform", answers)];
    match client.doctor().await {
        Ok(report) => checks.extend(report.checks),
        Err(error) => checks.push(fail(&error)),
    }
    Ok(checks)
}

/// A platform that does not run on this machine is no fault of the machine; one elsewhere that does not answer is all there is to say.
fn with_place(check: Check, place: &Place) -> Check {
    match place {
        Place::Here { .. } => Check { state: CheckState::Warn, ..check },
        Place::There { .. } => check,
    }
}

#[cfg(not(target_os = "linux"))]
async fn local(_args: &ServeArgs, _data_dir: &std::path::Path, _runs: bool) -> Vec<Check> {
    vec![Check::warn("system", "a platform runs on Linux only", "reach one elsewhere: adaptable login URL")]
}

#[cfg(target_os = "linux")]
async fn local(args: &ServeArgs, data_dir: &std::path::Path, runs: bool) -> Vec<Check> {
    let config = match crate::config::resolve(args, data_dir.to_owned(), &super::variable) {
        Ok(config) => config,
        Err(error) => {
            let checks = error
                .0
                .into_iter()
                .map(|problem| Check::fail("settings", problem, "mend it; until then the platform does not start"));
            return checks.collect();
        }
    };
    let mut checks = machine::all(&config);
    checks.extend(network::all(&config, runs).await);
    checks
}

fn show(printer: Printer, report: &DoctorReport) -> Result<(), Failure> {
    let count = |state| report.checks.iter().filter(|check| check.state == state).count();
    let (failed, warned) = (count(CheckState::Fail), count(CheckState::Warn));
    if printer.json() {
        printer.document(report)?;
    } else {
        for check in &report.checks {
            let (word, style) = match check.state {
                CheckState::Ok => ("ok  ", GREEN),
                CheckState::Warn => ("warn", YELLOW),
                CheckState::Fail => ("FAIL", RED),
            };
            printer.line(&format!("{}  {}: {}", printer.out_style(word, style), check.name, clean(&check.message)))?;
            for line in check.help.lines().filter(|_| check.state != CheckState::Ok) {
                printer.line(&format!("        {}", clean(line)))?;
            }
        }
        printer.note(&match (failed, warned) {
            (0, 0) => "all is well".to_owned(),
            (0, warned) => format!("{warned} to look at, nothing that fails"),
            (failed, _) => format!("{failed} of {} checks failed", report.checks.len()),
        });
    }
    if failed > 0 { Err(Failure::Shown) } else { Ok(()) }
}
