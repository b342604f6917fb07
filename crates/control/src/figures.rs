//! The page of figures that Prometheus reads: all apps and the platform itself, or one app.
//!
//! Reading it wakes nobody: counters are read where they lie, and only instances that run are asked what they use, all at once and
//! for a short time. `docs/figures.md` explains every series.

mod process;

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::{ErrorBody, ErrorCode, InstanceState};
use edge::{AppCounters, StatusClass};
use figures::{Histogram, Kind, Snapshot, Text};
use model::AppName;

use crate::Control;
use crate::error::Result;
use crate::meter::{Phase, Reading};
use crate::registry::Entry;

/// The type of the pages.
pub const CONTENT_TYPE: &str = Text::CONTENT_TYPE;

/// Builds since the platform's start.
#[derive(Debug)]
pub(crate) struct Builds {
    done: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    seconds: Histogram<11>,
}

/// From half a second to 20 minutes.
const BUILD: [Duration; 11] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_mins(1),
    Duration::from_mins(2),
    Duration::from_mins(5),
    Duration::from_mins(10),
    Duration::from_mins(20),
];

impl Default for Builds {
    fn default() -> Self {
        Self { done: AtomicU64::new(0), failed: AtomicU64::new(0), cancelled: AtomicU64::new(0), seconds: Histogram::new(&BUILD) }
    }
}

impl Builds {
    /// A build has ended.
    pub(crate) fn ended(&self, took: Duration, error: Option<&ErrorBody>) {
        let counter = match error.map(|error| error.code) {
            None => &self.done,
            Some(ErrorCode::Cancelled) => &self.cancelled,
            Some(_) => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.seconds.observe(took);
    }
}

/// An app at one moment.
struct Seen {
    entry: Arc<Entry>,
    running: Vec<Reading>,
    /// Instances by state, as in `STATES`.
    states: [usize; 4],
    in_flight: usize,
    queued: usize,
}

impl Seen {
    fn label(&self) -> (&'static str, &str) {
        ("app", self.entry.name.as_str())
    }

    fn counters(&self) -> &AppCounters {
        self.entry.handle.counters()
    }
}

const STATES: [InstanceState; 4] =
    [InstanceState::Starting, InstanceState::Ready, InstanceState::Frozen, InstanceState::Draining];

impl Control {
    /// The figures of the platform and of all its apps, in Prometheus's text format.
    pub async fn figures(&self) -> String {
        let mut entries = self.inner.registry.all();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        let seen = self.look(entries.clone()).await;
        let mut text = Text::new();
        apps(&mut text, &seen);
        databases(&mut text, &seen);
        self.backup_figures(&mut text, &entries).await;
        self.backup_totals(&mut text);
        self.platform_figures(&mut text, seen.len());
        process::write(&mut text, self.inner.started_at, self.inner.engine.helper());
        text.finish()
    }

    /// The figures of one app.
    pub async fn app_figures(&self, name: &AppName) -> Result<String> {
        let entries = vec![self.entry(name)?];
        let seen = self.look(entries.clone()).await;
        let mut text = Text::new();
        apps(&mut text, &seen);
        databases(&mut text, &seen);
        self.backup_figures(&mut text, &entries).await;
        Ok(text.finish())
    }

    /// Asks what runs for what it uses.
    async fn look(&self, entries: Vec<Arc<Entry>>) -> Vec<Seen> {
        let asked = entries.iter().map(|entry| entry.specs.meter.sample(&self.inner.engine));
        futures_util::future::join_all(asked).await;
        entries
            .into_iter()
            .map(|entry| {
                let running = entry.specs.meter.running();
                // A part of the visitors may get another revision: what the edge has of the app is then in two parts.
                let parts: Vec<_> = entry.parts().map(|(handle, _)| handle).collect();
                let routed: Vec<_> = parts.iter().flat_map(|part| part.upstreams().to_vec()).collect();
                let mut states = [0; 4];
                for reading in &running {
                    let upstream = routed.iter().find(|upstream| upstream.id() == reading.container.as_str());
                    let state = state(reading.phase, upstream.map(|upstream| upstream.is_frozen()));
                    states[STATES.iter().position(|other| *other == state).unwrap_or(0)] += 1;
                }
                let in_flight = parts.iter().map(|part| part.in_flight()).sum();
                let queued = parts.iter().map(|part| part.waiting()).sum();
                Seen { entry, running, states, in_flight, queued }
            })
            .collect()
    }

    fn platform_figures(&self, text: &mut Text, apps: usize) {
        let inner = &self.inner;
        text.family("adaptable_build_info", Kind::Gauge, "Always 1; the version is the label.")
            .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        text.family("adaptable_apps", Kind::Gauge, "Apps that are registered.").sample(&[], apps);
        text.family("adaptable_connections", Kind::Gauge, "Connections that visitors have open.")
            .sample(&[], inner.edge.connections());
        let latency = inner.store.latency();
        text.family(
            "adaptable_store_seconds",
            Kind::Histogram,
            "Time of the platform's database, the wait for its turn included.",
        )
        .histogram(&[("operation", "read")], &latency.reads.snapshot())
        .histogram(&[("operation", "write")], &latency.writes.snapshot());
        let builds = &inner.builds;
        text.family("adaptable_builds_total", Kind::Counter, "Builds that have ended, by how.");
        for (result, counter) in [("done", &builds.done), ("failed", &builds.failed), ("cancelled", &builds.cancelled)] {
            text.sample(&[("result", result)], counter.load(Ordering::Relaxed));
        }
        text.family("adaptable_build_seconds", Kind::Histogram, "Time from an upload to its image, failures included.")
            .histogram(&[], &builds.seconds.snapshot());
        if let Some(lost) = inner.edge.access_log_lost() {
            text.family("adaptable_access_log_lost_total", Kind::Counter, "Lines that the access log has not taken.")
                .sample(&[], lost);
        }
    }
}

/// The state of an instance: how far it has come, and whether the edge has it (frozen or not).
fn state(phase: Phase, routed: Option<bool>) -> InstanceState {
    match (phase, routed) {
        (_, Some(true)) => InstanceState::Frozen,
        (_, Some(false)) => InstanceState::Ready,
        (Phase::Routed, None) => InstanceState::Draining,
        // One that accepts connections, but has not been given to the edge, is being proven.
        (Phase::Starting | Phase::Accepting, None) => InstanceState::Starting,
    }
}

/// What is known of databases without asking them.
fn databases(text: &mut Text, apps: &[Seen]) {
    let found: Vec<_> = apps.iter().filter_map(|seen| Some((seen, seen.entry.specs.database()?))).collect();
    text.family("adaptable_database_info", Kind::Gauge, "Always 1 for an app that has a database; its kind is the label.");
    for (seen, beside) in &found {
        text.sample(&[seen.label(), ("kind", beside.kind.kind().as_str())], 1);
    }
    text.family("adaptable_database_bytes", Kind::Gauge, "Bytes that the app's database held when it was last looked at.");
    for (seen, beside) in &found {
        if let Some(bytes) = beside.seen().bytes {
            text.sample(&[seen.label()], bytes);
        }
    }
    text.family("adaptable_database_over_limit", Kind::Gauge, "1 while writes are refused, because it holds more than it may.");
    for (seen, beside) in &found {
        text.sample(&[seen.label()], u8::from(beside.seen().over));
    }
}

/// The families of apps: a family's series stand together, so every family is a walk over all apps.
fn apps(text: &mut Text, apps: &[Seen]) {
    use Kind::{Counter, Gauge};
    text.family("adaptable_app_requests_total", Counter, "Requests that were answered, by the class of their status.");
    for seen in apps {
        for class in StatusClass::ALL {
            text.sample(&[seen.label(), ("class", class.as_str())], seen.counters().requests(class));
        }
    }
    let help = "Requests whose visitors went before there was an answer.";
    each(text, apps, ("adaptable_app_abandoned_total", Counter, help), |seen| seen.counters().abandoned());
    text.family("adaptable_app_rejected_total", Counter, "Requests answered with 429, since no instance had room.");
    for seen in apps {
        text.sample(&[seen.label(), ("reason", "queue_full")], seen.counters().queue_full());
        text.sample(&[seen.label(), ("reason", "queue_timeout")], seen.counters().queue_timeouts());
    }
    let help = "Requests that waited for an instance.";
    each(text, apps, ("adaptable_app_waits_total", Counter, help), |seen| seen.counters().waited());
    let help = "Time from a request's head to the end of its response; upgraded connections are not in it.";
    histograms(text, apps, ("adaptable_app_request_seconds", help), |seen| seen.counters().latency().snapshot());
    let help = "What requests waited for an instance to start.";
    histograms(text, apps, ("adaptable_app_cold_start_seconds", help), |seen| seen.counters().cold_starts().snapshot());
    let help = "Time to give a frozen instance the processor back.";
    histograms(text, apps, ("adaptable_app_thaw_seconds", help), |seen| seen.counters().thaws().snapshot());
    let help = "Bytes of bodies that came from visitors.";
    each(text, apps, ("adaptable_app_received_bytes_total", Counter, help), |seen| seen.counters().received());
    let help = "Bytes of bodies that went to visitors.";
    each(text, apps, ("adaptable_app_sent_bytes_total", Counter, help), |seen| seen.counters().sent());
    let help = "Requests that are being answered, those that wait included.";
    each(text, apps, ("adaptable_app_in_flight", Gauge, help), |seen| seen.in_flight);
    let help = "Requests that wait for an instance.";
    each(text, apps, ("adaptable_app_queued", Gauge, help), |seen| seen.queued);
    text.family("adaptable_app_instances", Gauge, "Instances that run, by state.");
    for seen in apps {
        for (state, count) in STATES.iter().zip(seen.states) {
            text.sample(&[seen.label(), ("state", state.as_str())], count);
        }
    }
    let help = "Instances that were made.";
    each(text, apps, ("adaptable_app_starts_total", Counter, help), |seen| seen.entry.specs.meter.started());
    let help = "Processor time of all instances, those that have ended included.";
    each(text, apps, ("adaptable_app_cpu_seconds_total", Counter, help), |seen| seen.entry.specs.meter.cpu_seconds());
    let help = "Memory of all instances that run, files they wrote included.";
    each(text, apps, ("adaptable_app_memory_bytes", Gauge, help), |seen| {
        seen.running.iter().map(|reading| reading.usage.memory_bytes).sum::<u64>()
    });
}

/// A family with one value an app.
fn each<T: Display>(text: &mut Text, apps: &[Seen], (name, kind, help): (&'static str, Kind, &str), read: impl Fn(&Seen) -> T) {
    text.family(name, kind, help);
    for seen in apps {
        text.sample(&[seen.label()], read(seen));
    }
}

/// A family of histograms. An app that has nothing in its own has no series there: of a thousand apps most sleep.
fn histograms(text: &mut Text, apps: &[Seen], (name, help): (&'static str, &str), read: impl Fn(&Seen) -> Snapshot) {
    text.family(name, Kind::Histogram, help);
    for seen in apps {
        let snapshot = read(seen);
        if snapshot.count > 0 {
            text.histogram(&[seen.label()], &snapshot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_what_the_edge_serves() {
        assert_eq!(state(Phase::Starting, None), InstanceState::Starting);
        assert_eq!(state(Phase::Accepting, None), InstanceState::Starting);
        assert_eq!(state(Phase::Routed, None), InstanceState::Draining);
        assert_eq!(state(Phase::Routed, Some(false)), InstanceState::Ready);
        assert_eq!(state(Phase::Routed, Some(true)), InstanceState::Frozen);
    }

    #[test]
    fn builds_are_told_apart_by_how_they_end() {
        let builds = Builds::default();
        builds.ended(Duration::from_secs(2), None);
        builds.ended(Duration::from_secs(3), Some(&ErrorBody::new(ErrorCode::BuildFailed, "x")));
        builds.ended(Duration::from_secs(4), Some(&ErrorBody::new(ErrorCode::Cancelled, "x")));
        let counts = [&builds.done, &builds.failed, &builds.cancelled].map(|counter| counter.load(Ordering::Relaxed));
        assert_eq!((counts, builds.seconds.count()), ([1, 1, 1], 3));
    }
}
