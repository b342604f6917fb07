//! Tokens of installations: made by the App's key, kept in memory until shortly before they expire, and nowhere else.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::json;

use crate::call::{Call, Credentials, GitHub};
use crate::error::{Result, Whose};
use crate::ids::{InstallationId, RepositoryId};
use crate::keys::AppKeys;
use crate::secret::Secret;

/// How long before its end a token is used no more: a fetch that begins with it has to end with it.
const MARGIN: SignedDuration = SignedDuration::from_mins(10);

/// What opens the repositories of an installation, or one of them, for an hour.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InstallationToken {
    pub(crate) token: Secret,
    expires_at: Timestamp,
}

impl InstallationToken {
    /// The token itself: the password that git shows, with the name `x-access-token`.
    pub fn secret(&self) -> &Secret {
        &self.token
    }

    /// When it ends.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    pub(crate) fn credentials(&self) -> Credentials<'_> {
        Credentials { whose: Whose::Installation, token: Some(&self.token) }
    }
}

type Key = (u64, InstallationId, Option<RepositoryId>);

/// The tokens that are there.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<HashMap<Key, InstallationToken>>);

impl Tokens {
    fn find(&self, key: &Key, now: Timestamp) -> Option<InstallationToken> {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, token| token.expires_at - MARGIN > now);
        tokens.get(key).cloned()
    }

    fn keep(&self, key: Key, token: InstallationToken) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, token);
    }

    /// One that GitHub takes no more.
    pub(crate) fn forget(&self, token: &Secret) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, other| other.token != *token);
    }
}

impl GitHub {
    /// A token for an installation: for all of its repositories, or for one. One that is there and has ten minutes left is given again.
    pub async fn installation_token(
        &self,
        keys: &AppKeys,
        installation: InstallationId,
        repository: Option<RepositoryId>,
    ) -> Result<InstallationToken> {
        let now = Timestamp::now();
        let key = (keys.id, installation, repository);
        if let Some(token) = self.tokens().find(&key, now) {
            return Ok(token);
        }
        let jwt = keys.token(now)?;
        let credentials = Credentials { whose: Whose::App, token: Some(&jwt) };
        let url = self.endpoints().resource(&["app", "installations", &installation.to_string(), "access_tokens"]);
        let body = repository.map_or_else(|| json!({}), |id| json!({ "repository_ids": [id] }));
        let token: InstallationToken =
            self.ask(Call::post(credentials, url, "get access to the account's repositories", body)).await?;
        self.tokens().keep(key, token.clone());
        Ok(token)
    }

    /// Forgets the tokens of an installation: it is gone, or has other repositories now.
    pub fn forget_installation(&self, installation: InstallationId) {
        let tokens = &self.tokens().0;
        tokens.lock().unwrap_or_else(PoisonError::into_inner).retain(|(_, other, _), _| *other != installation);
    }
}
