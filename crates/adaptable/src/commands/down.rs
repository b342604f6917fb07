//! `down`: stop the platform of a data directory.

use serde::Serialize;

use super::Context;
use crate::explain::Failure;

/// What `--json` prints.
#[derive(Serialize)]
struct Stopped {
    /// Whether there was one to stop.
    stopped: bool,
    data_dir: String,
}

/// Runs `down`.
#[cfg(not(target_os = "linux"))]
pub async fn run(_context: &Context) -> Result<(), Failure> {
    Err(Failure::not_here("down"))
}

/// Runs `down`.
#[cfg(target_os = "linux")]
pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    if context.reach.url.is_some() {
        return Err(Failure::usage("--url names a platform elsewhere; 'down' stops the one here", "leave --url out"));
    }
    let data_dir = context.data_dir();
    let stopped = crate::daemon::stop(&data_dir).await?;
    let data_dir = data_dir.display().to_string();
    if context.printer.json() {
        return context.printer.document(&Stopped { stopped, data_dir });
    }
    context.printer.note(&if stopped {
        format!("the platform is stopped; apps and data stay in {data_dir}")
    } else {
        format!("no platform runs with its data in {data_dir}")
    });
    Ok(())
}
