//! An app's life in simulated time: visitors, instances that take their time to start, a scaler that is asked as control asks it.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// One stretch of a history.
#[derive(Debug, Clone)]
struct Phase {
    millis: u64,
    /// Requests a second.
    rate: u64,
    /// How long each takes, in milliseconds.
    service: u64,
}

/// What a history is made of.
#[derive(Debug, Clone)]
struct History {
    bounds: Bounds,
    phases: Vec<Phase>,
    /// How long an instance takes to start, in milliseconds.
    start: u64,
    /// Every how-manieth start fails; 0 for none.
    failing: u32,
    /// After how long without a request the app is idle, in milliseconds.
    idle: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting(u64),
    Ready,
    Draining,
}

#[derive(Debug)]
struct Instance {
    state: State,
    /// When each request that it has in flight ends.
    ends: Vec<u64>,
}

#[derive(Debug, Default)]
struct World {
    now: u64,
    instances: Vec<Instance>,
    queue: VecDeque<u64>,
    scaler: Scaler,
    /// Time that requests which have ended took, and what of it was counted.
    busy: u64,
    counted: u64,
    last_request: u64,
    starts: u32,
    last_start: u64,
    served: u64,
    longest_wait: u64,
}

impl World {
    fn count(&self, state: impl Fn(State) -> bool) -> u32 {
        u32::try_from(self.instances.iter().filter(|it| state(it.state)).count()).unwrap()
    }

    fn load(&self, history: &History) -> Load {
        let in_flight: usize = self.instances.iter().filter(|it| it.state == State::Ready).map(|it| it.ends.len()).sum();
        let any: usize = self.instances.iter().map(|it| it.ends.len()).sum();
        Load {
            in_flight: u32::try_from(in_flight).unwrap(),
            waiting: u32::try_from(self.queue.len()).unwrap(),
            ready: self.count(|it| it == State::Ready),
            starting: self.count(|it| matches!(it, State::Starting(_))),
            idle: any == 0 && self.queue.is_empty() && self.now - self.last_request >= history.idle,
        }
    }

    fn scale(&mut self, history: &History) {
        let load = self.load(history);
        match self.scaler.decide(Duration::from_millis(self.now), load, history.bounds) {
            Decision::Keep => {}
            Decision::Start(count) => {
                for _ in 0..count {
                    self.instances.push(Instance { state: State::Starting(self.now + history.start), ends: Vec::new() });
                }
            }
            Decision::Stop(count) => {
                for _ in 0..count {
                    let least = self.instances.iter_mut().filter(|it| it.state == State::Ready).min_by_key(|it| it.ends.len());
                    least.expect("no more are stopped than are ready").state = State::Draining;
                }
            }
        }
        let ready = self.count(|it| it == State::Ready);
        let starting = self.count(|it| matches!(it, State::Starting(_)));
        assert!(ready + starting <= history.bounds.max, "{ready} ready and {starting} starting of {}", history.bounds.max);
        // Whoever waits, waits for something: an instance on its way, or room on as many as there may be.
        assert!(
            self.queue.is_empty() || starting > 0 || ready == history.bounds.max,
            "{} wait for nothing at {}",
            self.queue.len(),
            self.now
        );
    }

    fn admit(&mut self, history: &History, service: u64) {
        let limit = history.bounds.concurrency as usize;
        while let Some(arrived) = self.queue.front().copied() {
            let ready = self.instances.iter_mut().filter(|it| it.state == State::Ready && it.ends.len() < limit);
            let Some(instance) = ready.min_by_key(|it| it.ends.len()) else { break };
            self.queue.pop_front();
            instance.ends.push(self.now + service);
            self.busy += service;
            self.longest_wait = self.longest_wait.max(self.now - arrived);
        }
    }

    /// What happens by itself at this moment.
    fn pass(&mut self, history: &History, service: u64) {
        let (now, mut failed) = (self.now, false);
        for instance in &mut self.instances {
            if instance.state == State::Starting(now) {
                (self.starts, self.last_start) = (self.starts + 1, now);
                failed |= history.failing > 0 && self.starts.is_multiple_of(history.failing);
                instance.state = if failed { State::Draining } else { State::Ready };
            }
            let before = instance.ends.len();
            instance.ends.retain(|end| *end > now);
            let ended = (before - instance.ends.len()) as u64;
            self.served += ended;
            if ended > 0 {
                self.last_request = now;
            }
        }
        self.instances.retain(|it| it.state != State::Draining || !it.ends.is_empty());
        self.admit(history, service);
        if failed && !self.queue.is_empty() {
            self.scale(history);
        }
        if now.is_multiple_of(1000) {
            let in_flight: usize = self.instances.iter().map(|it| it.ends.len()).sum();
            let average = (self.busy - self.counted).max(in_flight as u64 * 1000);
            self.counted = self.busy;
            self.scaler.observe(Duration::from_millis(now), u32::try_from(average).unwrap());
            self.scale(history);
        }
    }
}

fn run(history: &History) -> World {
    let mut world = World::default();
    let (mut credit, mut arrivals) = (0, 0_u64);
    for phase in &history.phases {
        for _ in 0..phase.millis {
            world.now += 1;
            world.pass(history, phase.service);
            credit += phase.rate;
            while credit >= 1000 {
                credit -= 1000;
                arrivals += 1;
                world.last_request = world.now;
                world.queue.push_back(world.now);
                world.admit(history, phase.service);
                if !world.queue.is_empty() {
                    world.scale(history);
                }
            }
        }
    }
    // Nobody comes any more: all is served, and the app goes down to its floor.
    let last = world.now;
    while world.served < arrivals || world.load(history).ready + world.load(history).starting != history.bounds.min {
        world.now += 1;
        world.pass(history, 1);
        let waited = world.now - last;
        assert!(waited < 600_000, "{} of {arrivals} served, {:?} after ten minutes", world.served, world.load(history));
    }
    world
}

fn phase() -> impl Strategy<Value = Phase> {
    let quiet = (1..90_000_u64).prop_map(|millis| Phase { millis, rate: 0, service: 1 });
    let some = (1..8_000_u64, 1..40_u64, 1..3_000_u64);
    let some = some.prop_map(|(millis, rate, service)| Phase { millis, rate, service });
    let burst = (1..1_500_u64, 100..400_u64, 1..200_u64);
    let burst = burst.prop_map(|(millis, rate, service)| Phase { millis, rate, service });
    prop_oneof![quiet, some, burst]
}

fn history() -> impl Strategy<Value = History> {
    let bounds = (0..3_u32, 0..6_u32, 1..30_u32);
    let bounds = bounds.prop_map(|(min, more, concurrency)| Bounds { min, max: min + more.max(1), concurrency });
    (bounds, prop::collection::vec(phase(), 1..6), 1..4_000_u64, prop_oneof![Just(0), 2..5_u32], 1_000..60_000_u64)
        .prop_map(|(bounds, phases, start, failing, idle)| History { bounds, phases, start, failing, idle })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_ends_well(history in history()) {
        run(&history);
    }
}

#[test]
fn a_constant_load_settles() {
    let bounds = Bounds { min: 0, max: 10, concurrency: 10 };
    let phases = vec![Phase { millis: 600_000, rate: 200, service: 100 }];
    let world = run(&History { bounds, phases, start: 300, failing: 0, idle: 900_000 / 15 });
    // Twenty in flight, seven on each: three instances, and what the queue of the first moment asked for. None later.
    assert!((3..=9).contains(&world.starts), "{} starts for one load", world.starts);
    assert!(world.last_start < 5_000, "an instance was started after {} ms", world.last_start);
    assert!(world.longest_wait <= 400, "{} ms", world.longest_wait);
}
