//! Many sleeping apps asked at once, beside as many bare starts of the same app on the same cores.

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::app::App;
use crate::bare::Bare;
use crate::figures::Samples;

/// What was measured.
#[derive(Default)]
pub(crate) struct Crowd {
    /// Each app's time to its answer, through the edge.
    pub(crate) edge: Samples,
    /// Each bare start's time to its answer.
    pub(crate) bare: Samples,
    /// How many at once.
    pub(crate) count: usize,
}

/// Wakes `count` apps at once, and starts as many bare servers at once, in turns.
pub(crate) fn measure(app: &App<'_>, bare: &Bare, count: usize, rounds: usize) -> Result<Crowd> {
    let names = app.beside(count)?;
    let mut crowd = Crowd { count, ..Crowd::default() };
    for _ in 0..rounds {
        for name in &names {
            app.put_to_sleep(name)?;
        }
        crowd.edge.extend(at_once(count, |index| {
            let began = Instant::now();
            let answer = app.platform().request("GET", &names[index], "/", &[], b"")?;
            ensure!(answer.status == 200, "{} answered {}: {}", names[index], answer.status, answer.text());
            Ok(began.elapsed().as_secs_f64())
        })?);
        for name in &names {
            app.put_to_sleep(name)?;
        }
        let running = at_once(count, |_| bare.start())?;
        crowd.bare.extend(running.iter().map(|running| running.seconds));
    }
    Ok(crowd)
}

/// Does something so many times at the same time.
fn at_once<T: Send>(count: usize, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|index| {
                scope.spawn({
                    let work = &work;
                    move || work(index)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().ok().context("a thread of the bench panicked")?).collect()
    })
}
