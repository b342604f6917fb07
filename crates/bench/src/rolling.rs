//! Deployments, rollbacks and an upgrade of the platform under a steady load, beside the same load without them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use testkit::{Platform, Report, Visitors, Way};

use crate::app::{App, NAME};

/// What each visitor waits between two requests.
const PAUSE: Duration = Duration::from_millis(10);

/// What was measured.
pub(crate) struct Rolling {
    /// The load alone.
    pub(crate) quiet: Report,
    /// The load during all of it, with a change every few seconds.
    pub(crate) busy: Report,
    /// The load during the same changes, one right after the other.
    pub(crate) dense: Report,
    /// How often each of deployment and rollback was done.
    pub(crate) rounds: usize,
    /// How long all of it took.
    pub(crate) took: Duration,
}

/// From one change to the next. Nobody deploys as often; the worst case is measured beside it.
const SPACING: Duration = Duration::from_secs(3);

/// Visitors who keep their connections, half of them over HTTP/2.
fn ways(count: usize) -> Vec<Way> {
    (0..count).map(|index| if index % 2 == 0 { Way::KeptAlive } else { Way::Http2 }).collect()
}

/// Deploys the app on a platform of its own, and changes it `rounds` times under the eyes of `visitors`.
pub(crate) fn measure(program: &str, source: &Path, visitors: usize, rounds: usize) -> Result<Rolling> {
    let mut platform = Platform::start_beside(program, testkit::Options::default());
    let (expected, directory) = {
        let app = App::deploy(&platform, source)?;
        (app.visit()?.text(), app.directory().to_owned())
    };
    let ways = ways(visitors);
    let quiet = Visitors::come(&platform, NAME, &expected, &ways, PAUSE);
    std::thread::sleep(Duration::from_secs(20));
    let quiet = quiet.leave();

    let began = Instant::now();
    let come = |platform: &Platform| Visitors::come(platform, NAME, &expected, &ways, PAUSE);
    let visitors = come(&platform);
    changes(&mut platform, &directory, rounds, SPACING)?;
    let (busy, took) = (visitors.leave(), began.elapsed());
    let visitors = come(&platform);
    changes(&mut platform, &directory, rounds, Duration::ZERO)?;
    Ok(Rolling { quiet, busy, dense: visitors.leave(), rounds, took })
}

/// Deploys and rolls back, and upgrades the platform in the middle.
fn changes(platform: &mut Platform, directory: &Path, rounds: usize, spacing: Duration) -> Result<()> {
    let mut next = Instant::now();
    let mut pace = || {
        next += spacing;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    };
    for round in 0..rounds {
        let file = directory.join("myapp.py");
        std::fs::write(&file, format!("{}\n# change {round}\n", std::fs::read_to_string(&file)?))?;
        platform.deploy(directory, &["--app", NAME]);
        if round == rounds / 2 {
            platform.take_over();
        }
        pace();
    }
    for _ in 0..rounds {
        let output = platform.cli(&["rollback", NAME, "--json"]);
        ensure!(output.code == 0, "a rollback failed: {}", output.stderr);
        pace();
    }
    Ok(())
}
