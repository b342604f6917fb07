//! Signing in with GitHub: the web flow of OAuth with `state` and PKCE, tokens of users, and their renewal.

use aws_lc_rs::rand::fill;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;
use url::form_urlencoded::Serializer;

use crate::call::{Credentials, GitHub, read, user_agent};
use crate::error::{GitHubError, Result, Whose, one_line};
use crate::keys::AppKeys;
use crate::secret::Secret;
use crate::transport::host_of;

/// The proof that who brings the code is who asked for it (RFC 7636, method S256). The verifier is kept where only this browser's
/// session leads to; the challenge goes to GitHub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pkce(Secret);

impl Pkce {
    /// A new one, of 256 random bits (RFC 7636, section 4.1).
    pub fn generate() -> Self {
        let mut bytes = zeroize::Zeroizing::new([0; 32]);
        fill(&mut *bytes).expect("the operating system gives random bytes");
        Self(Secret::new(URL_SAFE_NO_PAD.encode(*bytes)))
    }

    /// One that was kept.
    pub fn of_verifier(verifier: Secret) -> Self {
        Self(verifier)
    }

    /// What is kept.
    pub fn verifier(&self) -> &Secret {
        &self.0
    }

    /// What goes to GitHub (RFC 7636, section 4.2).
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.0.reveal()))
    }
}

/// A user's token. What is serialized has to be sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserToken {
    access: Secret,
    expires_at: Option<Timestamp>,
    refresh: Option<Secret>,
    refresh_expires_at: Option<Timestamp>,
}

/// How long before its end a token is renewed.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);

impl UserToken {
    /// When it ends; never, where the App's tokens don't expire.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// Whether it has ended, or is about to.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at - MARGIN <= now)
    }

    /// Whether another one can be had for it without the user.
    pub fn can_refresh(&self, now: Timestamp) -> bool {
        self.refresh.is_some() && self.refresh_expires_at.is_none_or(|at| at > now)
    }

    pub(crate) fn credentials(&self) -> Credentials<'_> {
        Credentials { whose: Whose::User, token: Some(&self.access) }
    }
}

/// What the token endpoint answers: a token, or an error with status 200.
#[derive(Deserialize)]
struct Answer {
    access_token: Option<Secret>,
    expires_in: Option<u32>,
    refresh_token: Option<Secret>,
    refresh_token_expires_in: Option<u32>,
    error: Option<String>,
    #[serde(default)]
    error_description: String,
}

impl GitHub {
    /// Where a browser is sent to sign in. GitHub leads it to `redirect` with `code` and `state`.
    pub fn authorize_url(&self, keys: &AppKeys, redirect: &Url, state: &str, pkce: &Pkce) -> Url {
        let mut url = self.endpoints().page(&["login", "oauth", "authorize"]);
        url.query_pairs_mut()
            .append_pair("client_id", &keys.client_id)
            .append_pair("redirect_uri", redirect.as_str())
            .append_pair("state", state)
            .append_pair("code_challenge", &pkce.challenge())
            .append_pair("code_challenge_method", "S256");
        url
    }

    /// The user's token for a code. `pkce` is none for a code that comes with an installation: GitHub's page for that takes no challenge.
    pub async fn exchange(&self, keys: &AppKeys, code: &str, pkce: Option<&Pkce>, redirect: &Url) -> Result<UserToken> {
        let mut form = vec![("code", code), ("redirect_uri", redirect.as_str())];
        form.extend(pkce.map(|pkce| ("code_verifier", pkce.verifier().reveal())));
        self.token(keys, &form, "sign in").await
    }

    /// Another token for one that has ended. The old one, and what renews it, are worth nothing after that.
    pub async fn refresh(&self, keys: &AppKeys, token: &UserToken) -> Result<UserToken> {
        let refused = || GitHubError::Unauthorized { doing: "renew the sign-in".to_owned(), whose: Whose::User };
        let refresh = token.refresh.as_ref().ok_or_else(refused)?;
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.reveal())];
        self.token(keys, &form, "renew the sign-in").await
    }

    async fn token(&self, keys: &AppKeys, form: &[(&str, &str)], doing: &str) -> Result<UserToken> {
        let url = self.endpoints().page(&["login", "oauth", "access_token"]);
        let form = Serializer::new(String::new())
            .extend_pairs(form)
            .append_pair("client_id", &keys.client_id)
            .append_pair("client_secret", keys.client_secret.reveal())
            .finish();
        let protocol = |why: String| GitHubError::Protocol { host: host_of(&url), why };
        let request = Request::post(url.as_str())
            .header(header::USER_AGENT, user_agent())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(form)))
            .map_err(|_odd| protocol("its address can't be asked for".to_owned()))?;
        let now = Timestamp::now();
        let answer = self.transport().send(&url, request).await?;
        let status = answer.status();
        if status.is_server_error() {
            return Err(GitHubError::Unavailable { host: host_of(&url), why: format!("it answers {status}") });
        }
        if status == http::StatusCode::TOO_MANY_REQUESTS {
            let until = now + SignedDuration::from_mins(1);
            return Err(GitHubError::RateLimited { doing: doing.to_owned(), until });
        }
        if status == http::StatusCode::NOT_FOUND {
            // What GitHub answers for a client that it does not know.
            return Err(GitHubError::Unauthorized { doing: doing.to_owned(), whose: Whose::App });
        }
        let answer: Answer = read(&url, answer.body())?;
        if let Some(code) = answer.error {
            return Err(match code.as_str() {
                "incorrect_client_credentials" => GitHubError::Unauthorized { doing: doing.to_owned(), whose: Whose::App },
                "redirect_uri_mismatch" => {
                    GitHubError::Invalid { doing: doing.to_owned(), said: one_line(&answer.error_description) }
                }
                _ => GitHubError::Refused { said: one_line(&answer.error_description), code: one_line(&code) },
            });
        }
        let access = answer.access_token.ok_or_else(|| protocol(format!("it answers {status} without a token")))?;
        let after = |seconds: u32| now + SignedDuration::from_secs(i64::from(seconds));
        Ok(UserToken {
            access,
            expires_at: answer.expires_in.map(after),
            refresh: answer.refresh_token,
            refresh_expires_at: answer.refresh_token_expires_in.map(after),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_rfc_7636() {
        // Appendix B.
        let pkce = Pkce::of_verifier(Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        assert_eq!(pkce.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn verifiers_differ_and_are_long_enough() {
        let (one, other) = (Pkce::generate(), Pkce::generate());
        assert_ne!(one, other);
        assert_eq!(one.verifier().reveal().len(), 43);
    }
}
