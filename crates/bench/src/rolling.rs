//! Deployments, rollbacks and an upgrade of the platform under a steady load, beside the same load without them.

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
    /// The load during all of it.
    pub(crate) busy: Report,
    /// How often each of deployment and rollback was done.
    pub(crate) rounds: usize,
    /// How long all of it took.
    pub(crate) took: Duration,
}

/// Visitors who keep their connections, half of them over HTTP/2.
fn ways(count: usize) -> Vec<Way> {
    (0..count).map(|index| if index % 2 == 0 { Way::KeptAlive } else { Way::Http2 }).collect()
}

/// Deploys the app on a platform of its own, and changes it `rounds` times under the eyes of `visitors`.
pub(crate) fn measure(program: &str, source: &std::path::Path, visitors: usize, rounds: usize) -> Result<Rolling> {
    let mut platform = Platform::start_beside(program, testkit::Options::default());
    let (expected, directory) = {
        let app = App::deploy(&platform, source)?;
        (app.visit()?.text(), app.directory().to_owned())
    };
    let ways = ways(visitors);
    let quiet = Visitors::come(&platform, NAME, &expected, &ways, PAUSE);
    std::thread::sleep(Duration::from_secs(8));
    let quiet = quiet.leave();

    let visitors = Visitors::come(&platform, NAME, &expected, &ways, PAUSE);
    let began = Instant::now();
    for round in 0..rounds {
        let file = directory.join("myapp.py");
        std::fs::write(&file, format!("{}\n# change {round}\n", std::fs::read_to_string(&file)?))?;
        platform.deploy(&directory, &["--app", NAME]);
        if round == rounds / 2 {
            platform.take_over();
        }
    }
    for _ in 0..rounds {
        let output = platform.cli(&["rollback", NAME, "--json"]);
        ensure!(output.code == 0, "a rollback failed: {}", output.stderr);
    }
    let took = began.elapsed();
    Ok(Rolling { quiet, busy: visitors.leave(), rounds, took })
}
