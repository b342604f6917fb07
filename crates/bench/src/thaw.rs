//! What it costs a visitor that the app was frozen: the first request after a rest, beside the next one, and beside the first
//! request after a rest of an app that is never frozen.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::app::{App, NAME};
use crate::figures::Samples;
use crate::visit::Kept;

/// A rest after which an app is frozen for certain.
const REST: Duration = Duration::from_millis(160);
/// The copy of the app that is never frozen.
const AWAKE: &str = "bench-awake";

/// What was measured.
#[derive(Default)]
pub(crate) struct Thaw {
    /// The first request after a rest: thaw and answer.
    pub(crate) thawed: Samples,
    /// The request after that.
    pub(crate) warm: Samples,
    /// The first request after a rest of an app that is never frozen.
    pub(crate) rested: Samples,
    /// The first request after a rest with its connection and TLS handshake, which thaws: to the frozen app.
    pub(crate) thawed_anew: Samples,
    /// The same to the app that is never frozen.
    pub(crate) rested_anew: Samples,
}

/// So many of each, in turns, over connections that stay.
pub(crate) fn measure(app: &App<'_>, rounds: usize) -> Result<Thaw> {
    let platform = app.platform();
    let settings = platform.scratch().join("awake.yaml");
    fs::write(&settings, "serving:\n  freeze: false\n")?;
    app.push_as(AWAKE, &["--settings", settings.to_str().unwrap_or_default()])?;
    app.visit()?;
    let mut frozen = Kept::new(platform.connect(NAME)?, &format!("{NAME}.localhost"));
    let mut awake = Kept::new(platform.connect(AWAKE)?, &format!("{AWAKE}.localhost"));
    let mut thaw = Thaw::default();
    for round in 0..=rounds {
        // Each after a rest of its own: the machine has rested, too, and that alone costs more than a thaw.
        std::thread::sleep(REST);
        let (thawed, warm) = (frozen.get()?, frozen.get()?);
        std::thread::sleep(REST);
        let (rested, _) = (awake.get()?, awake.get()?);
        // The first opens connections to the instances, and is not counted.
        if round > 0 {
            thaw.thawed.add(thawed);
            thaw.warm.add(warm);
            thaw.rested.add(rested);
        }
        if round % 4 == 0 {
            std::thread::sleep(REST);
            thaw.thawed_anew.add(app.visit()?.seconds);
            std::thread::sleep(REST);
            thaw.rested_anew.add(app.visit_as(AWAKE)?.seconds);
        }
    }
    std::thread::sleep(REST);
    let state = platform.cli(&["status", NAME, "--json"]).expect(0).json()["instances"][0]["state"].clone();
    ensure!(state == "frozen", "the app is {state} after a rest: nothing was measured");
    Ok(thaw)
}
