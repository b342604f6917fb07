//! What the App is known by, and the tokens that it makes of its key.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};

use crate::error::{GitHubError, Result};
use crate::secret::Secret;

/// The GitHub App of this platform, with its keys. What is serialized has to be sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppKeys {
    /// Its number.
    pub id: u64,
    /// Its name in URLs.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// Its page.
    pub html_url: String,
    /// What it is known by to OAuth.
    pub client_id: String,
    /// What it shows to OAuth.
    pub client_secret: Secret,
    /// What it signs with: RSA, PEM.
    pub private_key: Secret,
    /// What GitHub signs deliveries with.
    pub webhook_secret: Secret,
}

impl fmt::Debug for AppKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppKeys").field("id", &self.id).field("slug", &self.slug).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    iat: i64,
    exp: i64,
    iss: &'a str,
}

impl AppKeys {
    /// Whether they can be used: the key is one, and no secret is missing.
    pub fn check(&self) -> Result<()> {
        if self.webhook_secret.is_empty() {
            return Err(GitHubError::Keys(
                "the webhook secret is missing; without one, anybody could say that something was pushed",
            ));
        }
        if self.client_id.is_empty() || self.client_secret.is_empty() {
            return Err(GitHubError::Keys("the client id or the client secret is missing"));
        }
        self.signing_key().map(drop)
    }

    /// A token by which the App is itself for some minutes (GitHub Docs, "Generating a JSON Web Token for a GitHub App": issued a
    /// minute ago because clocks differ, ten minutes at most).
    pub(crate) fn token(&self, now: Timestamp) -> Result<Secret> {
        let issuer = self.id.to_string();
        let at = |seconds: i64| (now + SignedDuration::from_secs(seconds)).as_second();
        let claims = Claims { iat: at(-60), exp: at(8 * 60), iss: &issuer };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.signing_key()?);
        token.map(Secret::new).map_err(|_unusable| GitHubError::Keys("nothing can be signed with the private key"))
    }

    fn signing_key(&self) -> Result<EncodingKey> {
        EncodingKey::from_rsa_pem(self.private_key.reveal().as_bytes())
            .map_err(|_unreadable| GitHubError::Keys("the private key is no RSA key in PEM, as GitHub's .pem file holds one"))
    }
}
