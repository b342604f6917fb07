//! Deliveries: taken if they are GitHub's, kept before they are answered, worked off one after the other for each repository.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::{ErrorBody, ErrorCode};
use github::{Event, Push};
use store::{Delivery, DeliveryState};

use super::missed::{self, Retry};
use super::{Hitch, lock};
use crate::error::Result;
use crate::{Control, clock};

/// The longest id or name of an event, in characters.
const NAME_MAX: usize = 100;
/// Repositories that are worked on at the same time.
const AT_ONCE: usize = 4;
/// How often what may pass is tried.
const TRIES_MAX: u32 = 12;
/// After the first try that failed, in milliseconds; twice as long after each other one.
const FIRST_WAIT: i64 = 2_000;
/// The longest wait between two tries, unless GitHub names a longer one.
const LONGEST_WAIT: i64 = 15 * 60 * 1000;
/// How long a delivery is remembered, in milliseconds: one that is sent again within that time does nothing.
const REMEMBERED: i64 = 180 * 24 * 3600 * 1000;
/// How often old ones are forgotten.
const SWEEP: Duration = Duration::from_hours(12);
/// How often it is looked whether another process has taken a delivery, while one of before may still answer.
const LOOK: Duration = Duration::from_secs(5);
/// How long one of before may answer.
const FORERUNNER: Duration = Duration::from_mins(6);

/// What a delivery asks for.
enum Task {
    /// What GitHub told of, or would have.
    Event(Event),
    /// A deployment that was cut short.
    Retry(Retry),
}

impl Task {
    fn push(&self) -> Option<&Push> {
        match self {
            Self::Event(Event::Push(push)) => Some(push),
            Self::Event(_) | Self::Retry(_) => None,
        }
    }
}

/// What became of a delivery at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// It is on disk, and is worked off.
    New,
    /// It came before.
    Known,
}

impl Control {
    /// Takes a delivery: one that is not signed with the App's secret is refused, whatever it says, and leaves nothing behind. On disk when
    /// this returns.
    pub async fn receive_delivery(&self, id: &str, event: &str, signature: Option<&str>, body: &[u8]) -> Result<Received> {
        let Some(keys) = self.inner.hub.keys() else {
            return Err(ErrorBody::new(ErrorCode::NotFound, "no GitHub App is set up here"));
        };
        github::verify(&keys.webhook_secret, signature, body).map_err(|error| {
            tracing::info!(%error, "a delivery was refused");
            ErrorBody::new(ErrorCode::Unauthorized, error.to_string())
        })?;
        let named = |text: &str| (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !named(id) || !named(event) {
            return Err(ErrorBody::new(
                ErrorCode::BadRequest,
                "a delivery has an id (X-GitHub-Delivery) and an event (X-GitHub-Event)",
            ));
        }
        let told = github::parse(event, body).map_err(|error| ErrorBody::new(ErrorCode::BadRequest, error.to_string()))?;
        let repository = match &told {
            Event::Push(push) => Some(push.repository.id.0),
            Event::Repository(event) => Some(event.repository.id.0),
            _ => None,
        };
        // What does not matter is noted, and no more.
        let idle = match &told {
            Event::Ping(_) => Some("GitHub reaches the platform"),
            Event::Other(_) => Some("nothing to do"),
            _ => None,
        };
        let (id, event, body, now) = (id.to_owned(), event.to_owned(), body.to_vec(), clock::now());
        let taken = self
            .write(move |tx| {
                let seq = tx.receive_delivery(&id, &event, repository, &body, now)?;
                if let (Some(seq), Some(words)) = (seq, idle) {
                    tx.end_delivery(seq, DeliveryState::Done, words)?;
                }
                Ok(seq)
            })
            .await?;
        self.inner.hub.deliveries.notify_one();
        Ok(if taken.is_some() { Received::New } else { Received::Known })
    }

    /// Begins to work deliveries off and to tell GitHub of deployments. To be called once it is this platform that serves: what one before
    /// it has left is done now.
    pub fn begin_github_work(&self) {
        let directory = self.fetch_directory();
        self.inner.tasks.spawn_blocking(move || {
            if let Err(error) = source::git::sweep(&directory) {
                tracing::warn!(%error, "remove what was being fetched when the platform was killed");
            }
        });
        self.inner.tasks.spawn(self.clone().work_deliveries_off());
        self.inner.tasks.spawn(self.clone().tell_github_forever());
        self.inner.tasks.spawn(self.clone().forget_deliveries());
        self.inner.tasks.spawn(self.clone().look_for_missed_pushes());
    }

    async fn forget_deliveries(self) {
        loop {
            let before = clock::now() - REMEMBERED;
            // A full disk: next time.
            let _later = self.write(move |tx| tx.sweep_deliveries(before)).await;
            tokio::select! {
                () = self.inner.stopping.cancelled() => return,
                () = tokio::time::sleep(SWEEP) => {}
            }
        }
    }

    async fn work_deliveries_off(self) {
        let began = std::time::Instant::now();
        // The repositories that are worked on; none of theirs is begun meanwhile. What is about no repository counts as one.
        let busy: Arc<Mutex<HashSet<Option<u64>>>> = Arc::default();
        loop {
            let next = self.begin_what_is_due(&busy).await;
            let until = next.map(|at| Duration::from_millis(u64::try_from(at - clock::now()).unwrap_or_default()));
            let look = (began.elapsed() < FORERUNNER).then_some(LOOK);
            let patience = until.into_iter().chain(look).min();
            tokio::select! {
                () = self.inner.stopping.cancelled() => return,
                () = self.inner.hub.deliveries.notified() => {}
                () = async {
                    match patience {
                        // Not in a circle, whatever the clock does.
                        Some(patience) => tokio::time::sleep(patience.max(Duration::from_millis(50))).await,
                        None => std::future::pending().await,
                    }
                } => {}
            }
        }
    }

    /// Begins with the repositories that something is due for; gives the time at which the next one is.
    async fn begin_what_is_due(&self, busy: &Arc<Mutex<HashSet<Option<u64>>>>) -> Option<i64> {
        if !self.has_github() {
            return None;
        }
        let now = clock::now();
        let waiting = match self.read(|tx| tx.waiting_deliveries()).await {
            Ok(waiting) => waiting,
            // Said where it happened.
            Err(_fault) => return Some(now + LONGEST_WAIT),
        };
        let mut by_repository: BTreeMap<Option<u64>, Vec<Delivery>> = BTreeMap::new();
        for delivery in waiting {
            by_repository.entry(delivery.repository).or_default().push(delivery);
        }
        let mut next = None;
        for (repository, list) in by_repository {
            // A task that ends looks again.
            if lock(busy).contains(&repository) {
                continue;
            }
            let due = list.iter().map(|delivery| delivery.next_at).min().unwrap_or(now);
            if due > now {
                next = next.map_or(Some(due), |next: i64| Some(next.min(due)));
                continue;
            }
            if lock(busy).len() >= AT_ONCE {
                break;
            }
            // While the platform is handed over, they are the successor's; where that comes to nothing, they are done a little later.
            let Ok(change) = self.begin_change() else { return Some(now + 1000) };
            lock(busy).insert(repository);
            let (control, busy) = (self.clone(), Arc::clone(busy));
            self.inner.tasks.spawn(async move {
                control.work_off(list).await;
                drop(change);
                lock(&busy).remove(&repository);
                control.inner.hub.deliveries.notify_one();
            });
        }
        next
    }

    /// Works off what waits for one repository, in the order in which it came. Of several pushes to a branch the last one counts.
    async fn work_off(&self, list: Vec<Delivery>) {
        let mut tasks = Vec::with_capacity(list.len());
        for delivery in list {
            match self.told(&delivery).await {
                Ok(task) => tasks.push((delivery, task)),
                Err(error) => self.end(&delivery, DeliveryState::Failed, error.message).await,
            }
        }
        for at in 0..tasks.len() {
            let (delivery, task) = &tasks[at];
            let mut later = tasks[at + 1..].iter().filter_map(|(_, task)| task.push());
            if task.push().is_some_and(|push| later.any(|later| later.git_ref == push.git_ref)) {
                self.end(delivery, DeliveryState::Done, "a newer push took its place".to_owned()).await;
                continue;
            }
            if delivery.next_at > clock::now() {
                continue;
            }
            let stopping = &self.inner.stopping;
            let done = tokio::select! {
                done = self.do_task(task, delivery.seq) => done,
                // It is done at the next start.
                () = stopping.cancelled() => return,
            };
            match done {
                Ok(words) => self.end(delivery, DeliveryState::Done, words).await,
                Err(Hitch::Lasting(error)) => {
                    if let Some(push) = task.push() {
                        self.push_troubles(push, &error, None).await;
                    }
                    self.end(delivery, DeliveryState::Failed, words(&error)).await;
                }
                Err(Hitch::Passing(error, at)) => self.try_later(delivery, task.push(), &error, at).await,
            }
        }
    }

    async fn do_task(&self, task: &Task, seq: i64) -> std::result::Result<String, Hitch> {
        match task {
            Task::Event(event) => self.carry_out(event, seq).await,
            Task::Retry(retry) => self.retry(retry, seq).await,
        }
    }

    async fn try_later(&self, delivery: &Delivery, push: Option<&Push>, error: &ErrorBody, at: Option<i64>) {
        if delivery.tries + 1 >= TRIES_MAX {
            if let Some(push) = push {
                self.push_troubles(push, error, Some("it was tried for long enough; press \"Update Deployment\" to try again"))
                    .await;
            }
            return self.end(delivery, DeliveryState::Failed, words(error)).await;
        }
        let wait = FIRST_WAIT.saturating_mul(1 << delivery.tries.min(20)).min(LONGEST_WAIT);
        let next = at.unwrap_or_default().max(clock::now() + wait);
        if let Some(push) = push {
            let when = clock::timestamp(next).strftime("%H:%M:%S UTC");
            self.push_troubles(push, error, Some(&format!("it is tried again at {when}"))).await;
        }
        let (seq, words) = (delivery.seq, words(error));
        if let Err(error) = self.write(move |tx| tx.retry_delivery(seq, next, &words)).await {
            tracing::warn!(error = %error.message, "put a delivery off");
        }
    }

    async fn told(&self, delivery: &Delivery) -> Result<Task> {
        let seq = delivery.seq;
        let body = self.read(move |tx| tx.delivery_payload(seq)).await?.unwrap_or_default();
        match delivery.event.as_str() {
            missed::INTERRUPTED => Ok(Task::Retry(missed::read(&body)?)),
            missed::MISSED => Ok(Task::Event(Event::Push(Box::new(missed::push(missed::read(&body)?))))),
            event => github::parse(event, &body)
                .map(Task::Event)
                .map_err(|error| ErrorBody::new(ErrorCode::BadRequest, error.to_string())),
        }
    }

    async fn end(&self, delivery: &Delivery, state: DeliveryState, words: String) {
        tracing::info!(delivery = %delivery.id, event = %delivery.event, state = state.as_str(), "{words}");
        let seq = delivery.seq;
        if let Err(error) = self.write(move |tx| tx.end_delivery(seq, state, &words)).await {
            tracing::warn!(error = %error.message, "end a delivery");
        }
    }
}

fn words(error: &ErrorBody) -> String {
    match error.help.as_str() {
        "" => error.message.clone(),
        help => format!("{}; {help}", error.message),
    }
}
