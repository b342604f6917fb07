//! Requests that make something once, however often they are sent: `Idempotency-Key`.
//!
//! What is guaranteed: within a day, the same request with the same key is answered as the first time, and makes nothing again. An answer
//! that says what went wrong is not kept, since then nothing was made. Deployments, roll-backs and tokens are recorded in the transaction
//! that records their answer: a platform that is killed has either done both, or neither, and then the request is done as if it were the
//! first. What else takes a key (backups, users) is answered in a transaction of its own: a platform that is killed exactly
//! between the two does it again.

use std::sync::LazyLock;

use api::{ErrorBody, ErrorCode};
use sha2::{Digest, Sha256};
use store::OnceId;
use zeroize::Zeroizing;

use crate::error::Result;
use crate::{Change, Control, clock};

/// How long answers are kept, in milliseconds.
const KEPT: i64 = 24 * 60 * 60 * 1000;

/// This run of the platform.
static PROCESS: LazyLock<[u8; 16]> = LazyLock::new(rand::random);

tokio::task_local! {
    /// The request that the use case at work answers.
    static CURRENT: OnceId;
}

/// The request that is being done under a key, for use cases that keep its answer themselves.
pub(crate) fn current() -> Option<OnceId> {
    CURRENT.try_with(|id| *id).ok()
}

/// How a request with a key is to be answered.
#[derive(Debug)]
pub enum Turn {
    /// It is the first: do it.
    First(First),
    /// As before.
    Again {
        /// The status.
        status: u16,
        /// The body.
        body: Zeroizing<Vec<u8>>,
    },
}

/// A request that is done for the first time.
#[derive(Debug)]
pub struct First {
    control: Control,
    id: OnceId,
    _change: Change,
}

impl First {
    /// Does it. What is recorded on the way may record the answer with it.
    pub async fn run<F: Future>(&self, work: F) -> F::Output {
        CURRENT.scope(self.id, work).await
    }

    /// Keeps its answer.
    pub async fn answered(self, status: u16, body: Vec<u8>) {
        let (id, body) = (self.id, Zeroizing::new(body));
        if let Err(error) = self.control.write(move |tx| tx.answer_once(&id, status, &body)).await {
            tracing::error!(cause = %error.message, "an answer could not be kept under its key");
        }
    }

    /// It came to nothing: it may be tried again.
    pub async fn failed(self) {
        let id = self.id;
        if let Err(error) = self.control.write(move |tx| tx.forget_once(&id)).await {
            tracing::error!(cause = %error.message, "a request that failed could not be forgotten");
        }
    }
}

impl Control {
    /// Begins a request that came with a key: `scope` says who asks, for which operation, and with which key; `request` is all that is
    /// asked for.
    pub async fn once(&self, scope: &[&[u8]], request: &[&[u8]]) -> Result<Turn> {
        let change = self.begin_change()?;
        let (id, request, now) = (digest(scope), digest(request), clock::now());
        let found = self
            .write(move |tx| {
                tx.sweep_once(now - KEPT)?;
                tx.begin_once(&id, &request, &PROCESS, now)
            })
            .await?;
        match found {
            store::Once::First => Ok(Turn::First(First { control: self.clone(), id, _change: change })),
            store::Once::Answered { status, body } => Ok(Turn::Again { status, body }),
            store::Once::Running => Err(ErrorBody::new(ErrorCode::Conflict, "the first request with this key has not ended yet")
                .help("ask again in a moment; it will be answered as the first one is")),
            store::Once::Reused => Err(ErrorBody::new(
                ErrorCode::IdempotencyKeyReused,
                "this Idempotency-Key was used within the last day, for another request",
            )
            .help("use a new key for each thing that is to be made")),
        }
    }

    /// Forgets answers that have been kept long enough.
    pub(crate) async fn sweep_once(&self) -> Result<()> {
        let before = clock::now() - KEPT;
        self.write(move |tx| tx.sweep_once(before)).await
    }
}

/// One digest of several texts, each with its length before it.
fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}
