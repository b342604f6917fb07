//! A platform with a thousand apps, a hundred of them frozen: its memory, and whether it routes as fast as one with a few apps.

use anyhow::{Context, Result, ensure};
use model::{AppName, Settings};
use store::{Sealer, Store};
use testkit::{Options, Platform};

use crate::app::{App, NAME};
use crate::figures::Samples;
use crate::idle::{self, Process};
use crate::visit::Kept;

/// Requests of one kind in a row.
const BATCH: usize = 100;
/// What the names of the platform's own processes begin with; all others are its instances'.
const OWN: &str = "adaptable";

/// What was measured.
pub(crate) struct Many {
    /// Apps that the platform knows.
    pub(crate) apps: usize,
    /// Apps of which an instance is frozen.
    pub(crate) frozen: usize,
    /// The platform's own processes.
    pub(crate) processes: Vec<Process>,
    /// Warm requests to an app of the large platform.
    pub(crate) large: Samples,
    /// Warm requests to the same app on the platform with few.
    pub(crate) small: Samples,
}

/// Makes such a platform beside the one that `app` is on, and measures both.
pub(crate) fn measure(app: &App<'_>, program: &str, source: &std::path::Path, count: usize, frozen: usize) -> Result<Many> {
    let options = Options { idle_timeout: "24h".to_owned(), ..Options::default() };
    let mut platform = Platform::start_beside(program, options);
    let names = {
        let _first = App::deploy(&platform, source)?;
        platform.kill9();
        let names = register(&platform, count).context("register the apps")?;
        platform.restart();
        names
    };
    for name in names.iter().take(frozen) {
        let answer = platform.request("GET", name, "/", &[], b"")?;
        ensure!(answer.status == 200, "{name} answered {}: {}", answer.status, answer.text());
    }
    let (mut large, mut small) = (Samples::default(), Samples::default());
    for _ in 0..10 {
        let host = format!("{}.localhost", names[0]);
        let mut there = Kept::new(platform.connect(&names[0])?, &host);
        let mut here = Kept::new(app.platform().connect(NAME)?, &format!("{NAME}.localhost"));
        there.get()?;
        here.get()?;
        for _ in 0..BATCH {
            large.add(there.get()?);
            small.add(here.get()?);
        }
    }
    let own = idle::processes(platform.pid())?.into_iter().filter(|process| process.name.starts_with(OWN));
    Ok(Many { apps: count, frozen, processes: own.collect(), large, small })
}

/// Writes apps into the store of a platform that does not run: each has the revision that the first one has.
fn register(platform: &Platform, count: usize) -> Result<Vec<String>> {
    let sealer = Sealer::load(&platform.data().join("secret.key"), false)?;
    let store = Store::open(&platform.data().join("adaptable.db"), sealer)?;
    let first = AppName::parse(NAME).context("a name")?;
    let names: Vec<String> = (1..count).map(|number| format!("app-{number}")).collect();
    let made = names.clone();
    store.write_now(move |tx| {
        let app = tx.app(&first)?.expect("it was deployed");
        let spec = tx.revision(app.id, app.live.expect("it is live"))?.expect("the live revision is kept").spec;
        for name in &made {
            let name = AppName::parse(name).expect("letters, a dash and digits");
            let app = tx.create_app(&name, &Settings::default(), 0)?;
            let number = tx.create_revision(app.id, &spec, 0)?;
            tx.set_live(app.id, number)?;
        }
        Ok(())
    })?;
    Ok(names)
}
