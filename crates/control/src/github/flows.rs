//! Browsers on their way to GitHub and back: each by a state of its own, once, within ten minutes, and the same browser.

use github::Pkce;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use api::{ErrorBody, ErrorCode};

use crate::error::Result;
use crate::invites::GitHubWay;
use crate::{Control, clock};

/// How long a browser may be away, in milliseconds.
const AWAY: i64 = 10 * 60 * 1000;

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

fn hash(text: &str) -> Vec<u8> {
    Sha256::digest(text.as_bytes()).to_vec()
}

/// A path of the platform's own, which no browser takes for another host.
fn is_local(path: &str) -> bool {
    path.starts_with('/') && !path.starts_with("//") && !path.contains('\\') && !path.chars().any(char::is_control)
}

impl Control {
    /// 256 random bits in hexadecimal digits.
    pub fn random_text() -> String {
        store::random_text().to_string()
    }

    /// Keeps what a browser went for; gives the state by which it comes back.
    pub(super) async fn depart(&self, errand: Errand, next: &str, browser: &str, pkce: Option<Pkce>) -> Result<String> {
        let next = if is_local(next) { next.to_owned() } else { "/".to_owned() };
        let state = Self::random_text();
        let (key, now) = (hash(&state), clock::now());
        let flow = Flow { errand, next, browser: hash(browser), pkce };
        self.write(move |tx| tx.create_flow(&key, &flow, now, now + AWAY)).await?;
        Ok(state)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_the_platform_are_gone_on_to() {
        for good in ["/", "/new", "/apps/shop?tour=1", "/a//b"] {
            assert!(is_local(good), "{good}");
        }
        for bad in
            ["", "new", "//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example", "\\\\evil", "/a\r\nb"]
        {
            assert!(!is_local(bad), "{bad:?}");
        }
    }
}
