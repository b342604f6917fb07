//! From the start of `adaptable deploy` with one changed line to the new text being served through the edge.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::SETTLE;
use crate::app::App;
use crate::bare::Bare;
use crate::figures::Samples;

/// What was measured.
#[derive(Default)]
pub(crate) struct Pushes {
    /// From the start of the command to the new text.
    pub(crate) live: Samples,
    /// The bare start, between the pushes.
    pub(crate) bare: Samples,
    /// The deployment's steps in order, by name.
    pub(crate) steps: Vec<(String, Samples)>,
}

/// Pushes `count` times; the first of them is not counted.
pub(crate) fn measure(app: &App<'_>, bare: &Bare, count: usize) -> Result<Pushes> {
    let mut pushes = Pushes::default();
    for round in 0..=count {
        let word = format!("Greeting-{round}");
        app.change(&word)?;
        std::thread::sleep(SETTLE);
        let began = Instant::now();
        let document = app.push()?;
        let answer = app.visit()?;
        let seconds = began.elapsed().as_secs_f64();
        ensure!(answer.text().starts_with(&word), "the new text is not served: {:?}", answer.text());
        std::thread::sleep(SETTLE);
        let started = bare.start_once()?;
        if round == 0 {
            continue;
        }
        pushes.live.add(seconds);
        pushes.bare.add(started);
        for step in document["steps"].as_array().into_iter().flatten() {
            let (Some(name), Some(seconds)) = (step["name"].as_str(), step["seconds"].as_f64()) else { continue };
            match pushes.steps.iter_mut().find(|(known, _)| known == name) {
                Some((_, samples)) => samples.add(seconds),
                None => pushes.steps.push((name.to_owned(), Samples::of([seconds]))),
            }
        }
    }
    Ok(pushes)
}
