//! The progress of a deployment: on a terminal one living line and a line for each step that ended, elsewhere plain lines.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use api::{Deployment, Event, EventKind};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use model::{DeploymentState, Step, StepState};

use crate::printer::{DIM, GREEN, Printer, RED, clean, seconds};

/// How many lines of a step's log are kept, to be shown when it fails.
const TAIL: usize = 20;

/// Shows events as they come.
pub(crate) struct Progress {
    printer: Printer,
    bar: Option<ProgressBar>,
    began: Instant,
    tail: VecDeque<String>,
}

impl Progress {
    /// Begins to show progress, on standard error.
    pub(crate) fn new(printer: Printer) -> Self {
        let bar = printer.live().then(|| {
            let style = ProgressStyle::with_template("{spinner:.cyan} {prefix:<13}{elapsed:>4} {wide_msg:.dim}")
                .expect("a template that holds");
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style);
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { printer, bar, began: Instant::now(), tail: VecDeque::new() }
    }

    /// Says what goes on where there is no step yet.
    pub(crate) fn say(&self, what: &str, more: &str) {
        if let Some(bar) = &self.bar {
            bar.set_prefix(what.to_owned());
            bar.set_message(clean(more));
        }
    }

    /// A line above the living one.
    pub(crate) fn note(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.printer.note(line)),
            None => self.printer.note(line),
        }
    }

    /// Shows an event.
    pub(crate) fn event(&mut self, event: &Event) {
        match &event.kind {
            EventKind::Step { step, state: StepState::Running, .. } => self.begin(*step),
            EventKind::Step { step, state, seconds: took } => self.end(*step, *state, *took),
            EventKind::Line { step, line, .. } => self.output(*step, line),
            EventKind::End { .. } | EventKind::Unknown => {}
        }
    }

    fn begin(&mut self, step: Step) {
        self.began = Instant::now();
        self.tail.clear();
        if let Some(bar) = &self.bar {
            bar.reset_elapsed();
            bar.set_prefix(step.as_str());
            bar.set_message("");
        }
    }

    fn end(&mut self, step: Step, state: StepState, took: Option<f64>) {
        let time = seconds(took.unwrap_or_else(|| self.began.elapsed().as_secs_f64()));
        if let Some(bar) = &self.bar {
            bar.set_prefix("");
            bar.set_message("");
        }
        let (mark, word, style) = match state {
            StepState::Cached => ("✓", format!("cached, {time}"), GREEN),
            StepState::Failed => ("✗", format!("failed after {time}"), RED),
            StepState::Running | StepState::Done => ("✓", time, GREEN),
        };
        if self.bar.is_some() {
            let mark = self.printer.err_style(mark, style);
            self.note(&format!("{mark} {:<13}{}", step.as_str(), self.printer.err_style(&word, DIM)));
        } else {
            let word = if state == StepState::Done { format!("done in {word}") } else { word };
            self.note(&format!("{}: {word}", step.as_str()));
        }
    }

    fn output(&mut self, step: Step, line: &str) {
        let line = clean(line);
        if let Some(bar) = &self.bar {
            bar.set_message(line.clone());
        } else {
            self.note(&format!("{}: {line}", step.as_str()));
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    /// Ends the living line.
    pub(crate) fn close(self) {
        self.finish(None);
    }

    /// Ends the living line. After a failure the last lines of the step are shown, unless they were all shown already.
    pub(crate) fn finish(self, deployment: Option<&Deployment>) {
        let Some(bar) = &self.bar else { return };
        bar.finish_and_clear();
        if deployment.is_some_and(|deployment| deployment.state == DeploymentState::Failed) {
            for line in self.tail.iter().filter(|line| !line.trim().is_empty()) {
                self.printer.note(&format!("  {}", self.printer.err_style(line, DIM)));
            }
        }
    }
}
