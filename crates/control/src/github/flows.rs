//! Browsers on their way to GitHub and back: each by a state of its own, once, within ten minutes, and the same browser.
//!
//! Browsers ask again by themselves when a connection breaks before the answer is there, and their users press "reload": what a way back is
//! for is done once, to its end also when nobody waits any more, and whoever comes by it again is led on to the same place.

use std::time::Duration;

use github::Pkce;
use serde::{Deserialize, Serialize};
use store::secret_hash as hash;

use api::{ErrorBody, ErrorCode};

use super::oauth::Arrival;
use crate::error::{Result, internal};
use crate::invites::GitHubWay;
use crate::local_path::LocalPath;
use crate::once::Turn;
use crate::{Control, clock};

/// How long a browser may be away, in milliseconds.
const AWAY: i64 = 10 * 60 * 1000;

/// How long a browser that comes back twice waits for its first time, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

/// The form that takes the operator to GitHub, where the App is made.
#[derive(Debug, Clone)]
pub struct ManifestForm {
    /// Where it is posted to.
    pub action: String,
    /// What the field `manifest` holds.
    pub manifest: String,
}

/// What a browser went for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Errand {
    /// To come in, or to link an account to who is in.
    Enter(GitHubWay),
    /// To install the App on an account.
    Install,
    /// To make the App.
    SetUp,
}

/// What is kept while it is away.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Flow {
    pub(super) errand: Errand,
    /// Where it goes on afterwards: a path of the platform.
    pub(super) next: String,
    /// The hash of what its cookie holds.
    browser: Vec<u8>,
    pub(super) pkce: Option<Pkce>,
}

impl Control {
    /// 256 random bits in hexadecimal digits.
    pub fn random_text() -> String {
        store::random_text().to_string()
    }

    /// Keeps what a browser went for; gives the state by which it comes back.
    pub(super) async fn depart(&self, errand: Errand, next: &str, browser: &str, pkce: Option<Pkce>) -> Result<String> {
        let next = LocalPath::parse(next).map_or_else(|| "/".to_owned(), |next| next.as_str().to_owned());
        let state = Self::random_text();
        let (key, now) = (hash(&state), clock::now());
        let flow = Flow { errand, next, browser: hash(browser), pkce };
        self.write(move |tx| tx.create_flow(&key, &flow, now, now + AWAY)).await?;
        Ok(state)
    }

    /// Does what a browser came back for, unless the same browser has come back by the same state before.
    pub(super) async fn once_back<F>(&self, state: &str, browser: &str, work: F) -> Result<Arrival>
    where
        F: Future<Output = Result<Arrival>> + Send + 'static,
    {
        let scope: [&[u8]; 3] = [b"back from GitHub", state.as_bytes(), browser.as_bytes()];
        let until = tokio::time::Instant::now() + PATIENCE;
        let first = loop {
            match self.once(&scope, &[]).await {
                Ok(Turn::First(first)) => break first,
                Ok(Turn::Again { body, .. }) => {
                    let next = String::from_utf8_lossy(&body).into_owned();
                    return Ok(Arrival { again: true, ..Arrival::at(next) });
                }
                Err(error) if error.code == ErrorCode::Conflict && tokio::time::Instant::now() < until => {
                    tokio::time::sleep(LOOK).await;
                }
                Err(error) => return Err(error),
            }
        };
        let done = tokio::spawn(async move {
            let arrival = work.await;
            match &arrival {
                Ok(arrival) => first.answered(200, arrival.next.clone().into_bytes()).await,
                Err(_told) => first.failed().await,
            }
            arrival
        });
        done.await.map_err(|error| internal("end what a browser came back for", &error))?
    }

    /// What a browser that comes back went for. A state that is unknown, used, late or another browser's is worth nothing.
    pub(super) async fn arrive(&self, state: &str, browser: &str) -> Result<Flow> {
        let (key, now) = (hash(state), clock::now());
        let flow = self.write(move |tx| tx.take_flow::<Flow>(&key, now)).await?;
        // Compared as hashes: how long it takes tells nothing of what is compared.
        flow.filter(|flow| flow.browser == hash(browser)).ok_or_else(|| {
            ErrorBody::new(ErrorCode::BadRequest, "this way back from GitHub is not (or no longer) known to the platform")
                .help("it is good once, for ten minutes, in the browser that went; begin again")
        })
    }
}
