//! What the instances of one app use, and what those have used that have ended: the sum never goes down.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use engine::{Container, ContainerId, Engine, Usage};
use figures::history::{History, Merge};

/// How long instances may take to tell what they use.
const PATIENCE: Duration = Duration::from_millis(500);

/// How far an instance is, as far as its figures go. Whether one that gets requests is frozen, the edge knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It does not accept connections yet.
    Starting,
    /// It accepts connections; the edge does not know it yet.
    Accepting,
    /// It was given to the edge. Where the edge has it no more, it drains.
    Routed,
}

/// One instance that runs.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// Its container.
    pub(crate) container: ContainerId,
    /// How far it is.
    pub(crate) phase: Phase,
    /// What it used when it was last asked.
    pub(crate) usage: Usage,
}

/// What an app's instances were in a while.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Room {
    /// The most instances that ran at the same time, and how many did at its end.
    pub(crate) instances: (u32, u32),
    /// The most memory that they held together, and what they held at its end, in bytes.
    pub(crate) memory: (u64, u64),
    /// Processor seconds that they used.
    pub(crate) cpu: f64,
}

impl Merge for Room {
    fn merge(&mut self, later: &Self) {
        self.instances = (self.instances.0.max(later.instances.0), later.instances.1);
        self.memory = (self.memory.0.max(later.memory.0), later.memory.1);
        self.cpu += later.cpu;
    }
}

/// The figures of an app's instances.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    started: u64,
    /// Processor seconds of instances that have ended.
    ended_cpu: f64,
    running: Vec<Reading>,
    /// The last hour and day.
    history: History<Room>,
    /// Processor seconds that are in it.
    noted_cpu: f64,
}

impl State {
    fn held(&self) -> (u32, u64) {
        let instances = u32::try_from(self.running.len()).unwrap_or(u32::MAX);
        (instances, self.running.iter().map(|reading| reading.usage.memory_bytes).sum())
    }

    fn cpu_seconds(&self) -> f64 {
        self.ended_cpu + self.running.iter().map(|reading| reading.usage.cpu_seconds).sum::<f64>()
    }

    /// Changes what runs, and notes in this minute what was and what is.
    fn change(&mut self, change: impl FnOnce(&mut Self)) {
        let before = self.held();
        change(self);
        let (after, cpu) = (self.held(), self.cpu_seconds());
        let room = Room {
            instances: (before.0.max(after.0), after.0),
            memory: (before.1.max(after.1), after.1),
            cpu: (cpu - self.noted_cpu).max(0.0),
        };
        self.noted_cpu = self.noted_cpu.max(cpu);
        self.history.add(edge::minute_of(Instant::now()), &room);
    }
}

impl Meter {
    /// Follows an instance from its creation to its end, whoever ends it.
    pub(crate) fn follow(self: &Arc<Self>, container: &Arc<Container>) -> Gauge {
        let id = container.id.clone();
        {
            let reading = Reading { container: id.clone(), phase: Phase::Starting, usage: Usage::default() };
            self.lock().change(|state| {
                state.started += 1;
                state.running.push(reading);
            });
        }
        let (meter, container) = (Arc::clone(self), Arc::clone(container));
        tokio::spawn(async move {
            let exit = container.exited().await;
            #[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
            meter.ended(&container.id, exit.cpu_micros as f64 / 1e6);
        });
        Gauge { meter: Arc::clone(self), container: id }
    }

    fn ended(&self, id: &ContainerId, cpu_seconds: f64) {
        let mut state = self.lock();
        if let Some(index) = state.running.iter().position(|reading| reading.container == *id) {
            state.change(|state| {
                let last = state.running.swap_remove(index).usage.cpu_seconds;
                // What was told once is not taken back, also where nobody knows the end.
                state.ended_cpu += cpu_seconds.max(last);
            });
        }
    }

    /// Keeps what an instance uses now; one that has ended meanwhile stays ended.
    pub(crate) fn note(&self, id: &ContainerId, usage: Usage) {
        let mut state = self.lock();
        if let Some(index) = state.running.iter().position(|reading| reading.container == *id) {
            state.change(|state| {
                let reading = &mut state.running[index];
                let cpu_seconds = usage.cpu_seconds.max(reading.usage.cpu_seconds);
                reading.usage = Usage { cpu_seconds, ..usage };
            });
        }
    }

    /// Asks every instance that runs what it uses, and keeps it.
    pub(crate) async fn sample(&self, engine: &Arc<dyn Engine>) {
        let asked = self.running().into_iter().map(|reading| async move {
            if let Ok(usage) = engine.usage(&reading.container).await {
                self.note(&reading.container, usage);
            }
        });
        let _some_late = tokio::time::timeout(PATIENCE, futures_util::future::join_all(asked)).await;
    }

    /// What ran in the last hour and the last day; minutes are those of [`edge::minute_of`].
    pub(crate) fn history(&self) -> History<Room> {
        self.lock().history.clone()
    }

    /// The instances that run.
    pub(crate) fn running(&self) -> Vec<Reading> {
        self.lock().running.clone()
    }

    /// Instances that were made since the platform's start.
    pub(crate) fn started(&self) -> u64 {
        self.lock().started
    }

    /// Processor seconds of all instances since the platform's start.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.lock().cpu_seconds()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Consistent between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An instance's place in its app's figures; it is given up when the container ends.
#[derive(Debug)]
pub(crate) struct Gauge {
    meter: Arc<Meter>,
    container: ContainerId,
}

impl Gauge {
    /// The instance has come further.
    pub(crate) fn reached(&self, phase: Phase) {
        let mut state = self.meter.lock();
        if let Some(reading) = state.running.iter_mut().find(|reading| reading.container == self.container) {
            reading.phase = phase;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use engine::Exit;
    use tokio::sync::watch;

    use super::*;

    fn container(id: &str) -> (Arc<Container>, watch::Sender<Option<Exit>>) {
        let (sender, exit) = watch::channel(None);
        let output: (engine::Output, engine::Output) = (Box::pin(tokio::io::empty()), Box::pin(tokio::io::empty()));
        let id = ContainerId::parse(id).expect("a name");
        (Arc::new(Container::new(id, IpAddr::V4(Ipv4Addr::LOCALHOST), None, output, exit)), sender)
    }

    async fn gone(meter: &Meter, left: usize) {
        while meter.running().len() > left {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_sum_never_goes_down() {
        let meter = Arc::new(Meter::default());
        let ((one, end_one), (two, end_two)) = (container("a-1"), container("a-2"));
        let gauge = meter.follow(&one);
        let _other = meter.follow(&two);
        gauge.reached(Phase::Routed);
        assert_eq!(meter.running()[0].phase, Phase::Routed);
        meter.note(&one.id, Usage { memory_bytes: 7, cpu_seconds: 1.5 });
        meter.note(&two.id, Usage { memory_bytes: 9, cpu_seconds: 2.0 });
        meter.note(&two.id, Usage { memory_bytes: 8, cpu_seconds: 0.0 });
        assert_eq!((meter.cpu_seconds(), meter.running()[1].usage.memory_bytes), (3.5, 8));
        // More than was told last, because it worked on until its end.
        end_one.send_replace(Some(Exit { code: Some(0), signal: None, oom_killed: false, cpu_micros: 1_750_000 }));
        gone(&meter, 1).await;
        assert!((meter.cpu_seconds() - 3.75).abs() < 1e-9);
        meter.note(&one.id, Usage { memory_bytes: 7, cpu_seconds: 100.0 });
        gauge.reached(Phase::Routed);
        // The engine has gone without a word.
        drop(end_two);
        gone(&meter, 0).await;
        assert!((meter.cpu_seconds() - 3.75).abs() < 1e-9);
        assert_eq!(meter.started(), 2);
        let last = edge::minute_of(Instant::now());
        let history = meter.history();
        let steps: Vec<_> = history.until(figures::history::Range::Day, last).into_iter().flatten().collect();
        assert_eq!(steps.iter().map(|room| room.instances.0).max(), Some(2));
        assert_eq!(steps.last().map(|room| (room.instances.1, room.memory.1)), Some((0, 0)));
        assert_eq!(steps.iter().map(|room| room.memory.0).max(), Some(16));
        assert!((steps.iter().map(|room| room.cpu).sum::<f64>() - 3.75).abs() < 1e-9);
    }
}
