//! A deployment's progress: steps into the store, and every event into a file that readers follow while it grows.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use api::{Event, EventKind, Stream};
use jiff::Timestamp;
use model::{DeploymentNumber, Step, StepState};
use store::{AppId, Store, StoreError};
use tracing::warn;

use crate::clock;
use crate::linefile::{Follower, LineFile};

/// The most that is kept of a deployment's events, in bytes.
const EVENTS_MAX: u64 = 64 * 1024 * 1024;

/// Where a deployment's events are kept.
pub(crate) fn events_path(app_directory: &Path, number: DeploymentNumber) -> PathBuf {
    app_directory.join("deployments").join(format!("{number}.ndjson"))
}

/// The writing end of a deployment's progress; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    app: AppId,
    number: DeploymentNumber,
    file: LineFile,
    sequence: Mutex<u64>,
    current: Mutex<Option<(Step, Instant)>>,
}

impl Progress {
    /// Begins the events' file.
    pub(crate) fn open(store: Store, app: AppId, number: DeploymentNumber, app_directory: &Path) -> io::Result<Self> {
        let file = LineFile::open(&events_path(app_directory, number), EVENTS_MAX)?;
        let inner = Inner { store, app, number, file, sequence: Mutex::new(0), current: Mutex::new(None) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Begins a step.
    pub(crate) async fn start(&self, step: Step) -> Result<(), StoreError> {
        *lock(&self.inner.current) = Some((step, Instant::now()));
        let (app, number, now) = (self.inner.app, self.inner.number, clock::now());
        self.inner.store.write(move |tx| tx.start_step(app, number, step, now)).await?;
        self.event(EventKind::Step { step, state: StepState::Running, seconds: None });
        Ok(())
    }

    /// Ends the step under way.
    pub(crate) async fn end(&self, state: StepState) -> Result<(), StoreError> {
        let Some((step, since)) = lock(&self.inner.current).take() else { return Ok(()) };
        let seconds = since.elapsed().as_secs_f64();
        let (app, number) = (self.inner.app, self.inner.number);
        self.inner.store.write(move |tx| tx.end_step(app, number, step, state, seconds)).await?;
        self.event(EventKind::Step { step, state, seconds: Some(seconds) });
        Ok(())
    }

    /// The last step ended with the deployment itself, which the store has written already.
    pub(crate) fn switched(&self) {
        if let Some((step, since)) = lock(&self.inner.current).take() {
            self.event(EventKind::Step { step, state: StepState::Done, seconds: Some(since.elapsed().as_secs_f64()) });
        }
    }

    /// Goes on with the events of a deployment that an earlier platform began.
    pub(crate) fn resume(store: Store, app: AppId, number: DeploymentNumber, app_directory: &Path) -> io::Result<Self> {
        let progress = Self::open(store, app, number, app_directory)?;
        let mut reader = Follower::finished(&events_path(app_directory, number))?;
        let mut last = 0;
        while let Some(line) = reader.next_kept()? {
            last = serde_json::from_slice::<Event>(&line).map_or(last, |event| event.seq);
        }
        if reader.has_partial() {
            // The last line was cut off by the end of its writer: what follows must begin on a line of its own.
            progress.inner.file.append(b"\n")?;
        }
        *lock(&progress.inner.sequence) = last;
        Ok(progress)
    }

    /// A line of output of the step under way.
    pub(crate) fn line(&self, stream: Stream, line: impl Into<String>) {
        let line = line.into();
        let step = lock(&self.inner.current).map_or(Step::Source, |(step, _)| step);
        self.event(EventKind::Line { step, stream, line });
    }

    /// A line of the platform's own.
    pub(crate) fn say(&self, line: impl Into<String>) {
        self.line(Stream::Platform, line);
    }

    /// The last event. The file is on the disk afterwards, and followers end.
    pub(crate) fn finish(&self, deployment: api::Deployment) {
        self.event(EventKind::End { deployment: Box::new(deployment) });
        if let Err(error) = self.inner.file.sync() {
            warn!(%error, "sync a deployment's events");
        }
        self.inner.file.close();
    }

    /// A reader of all events, those to come included.
    pub(crate) fn follow(&self) -> io::Result<Follower> {
        self.inner.file.follow()
    }

    fn event(&self, kind: EventKind) {
        // Numbered and written under one lock, so that the file's order is the numbers' order.
        let mut sequence = lock(&self.inner.sequence);
        *sequence += 1;
        let event = Event { seq: *sequence, at: Timestamp::now(), kind };
        let mut bytes = serde_json::to_vec(&event).expect("plain data into memory");
        bytes.push(b'\n');
        if let Err(error) = self.inner.file.append(&bytes) {
            warn!(%error, "append to a deployment's events");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
