//! Use cases on tokens: the platform's, which operators make, and a user's own.

use std::sync::Arc;

use api::{CreatedToken, ErrorBody, ErrorCode, NewToken, TokenSummary};
use model::{UserId, UserName};

use crate::access::{Access, Identity, Right, Who, may};
use crate::error::Result;
use crate::{Control, clock};

/// The longest that a token may be told to live, in days.
const DAYS_MAX: u32 = 3650;
const DAY: i64 = 24 * 60 * 60 * 1000;
/// The most that one user has.
const OWN_MAX: usize = 50;
/// How long one that has ended is still shown, in milliseconds.
const ENDED_KEPT: i64 = 30 * DAY;

impl Control {
    /// Makes a token of the platform's; its text is in this answer and nowhere else.
    pub async fn create_token(&self, new: NewToken) -> Result<CreatedToken> {
        self.make_token(None, new).await
    }

    /// Makes a token that is a user's own: whoever shows it is that user. The app, where one is named, is one that they see.
    pub async fn create_own_token(&self, identity: &Arc<Identity>, new: NewToken) -> Result<CreatedToken> {
        if let Some(app) = &new.app {
            may(&Who::User(Arc::clone(identity)), &Access::App(app, Right::Look))?;
        }
        self.make_token(Some((identity.id, identity.name.clone())), new).await
    }

    async fn make_token(&self, owner: Option<(UserId, UserName)>, new: NewToken) -> Result<CreatedToken> {
        let name = new.name.trim().to_owned();
        if name.is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
            return Err(ErrorBody::new(ErrorCode::BadRequest, "a token's name has 1 to 100 visible characters"));
        }
        if new.days.is_some_and(|days| !(1..=DAYS_MAX).contains(&days)) {
            return Err(ErrorBody::new(ErrorCode::BadRequest, format!("a token ends after 1 to {DAYS_MAX} days, or never")));
        }
        let app = new.app.as_ref().map(|app| self.entry(app).map(|entry| entry.id)).transpose()?;
        let now = clock::now();
        let expires_at = new.days.map(|days| now + i64::from(days) * DAY);
        let once = crate::once::current();
        self.write(move |tx| {
            tx.forget_old_tokens(now - ENDED_KEPT)?;
            let (user, user_name) = owner.unzip();
            if let Some(user) = user
                && tx.tokens_of(user)?.len() >= OWN_MAX
            {
                return Ok(Err(ErrorBody::new(ErrorCode::Conflict, format!("a user has at most {OWN_MAX} tokens"))
                    .help("revoke one that is not used any more")));
            }
            let (token, text) = tx.create_token(&store::NewToken { name: &name, user, app, expires_at }, now)?;
            let summary = TokenSummary {
                id: token.to_string(),
                name,
                user: user_name,
                app: new.app,
                created_at: clock::timestamp(now),
                last_used_at: None,
                expires_at: expires_at.map(clock::timestamp),
            };
            let created = CreatedToken { summary, token: text.to_string() };
            // Both or neither: a token that was made and never shown would be lost.
            if let Some(once) = once {
                let answer = zeroize::Zeroizing::new(serde_json::to_vec(&created).unwrap_or_default());
                tx.answer_once(&once, 201, &answer)?;
            }
            Ok(Ok(created))
        })
        .await?
    }

    /// Every token, without its text: the platform's and those of users.
    pub async fn tokens(&self) -> Result<Vec<TokenSummary>> {
        Ok(self.read(|tx| tx.tokens()).await?.into_iter().map(summary).collect())
    }

    /// A user's own tokens, without their texts.
    pub async fn own_tokens(&self, identity: &Identity) -> Result<Vec<TokenSummary>> {
        let id = identity.id;
        Ok(self.read(move |tx| tx.tokens_of(id)).await?.into_iter().map(summary).collect())
    }

    /// Revokes a token, whoever's it is; says which it was.
    pub async fn delete_token(&self, id: &str) -> Result<TokenSummary> {
        let id: i64 = id.parse().map_err(|_no_number| not_found())?;
        self.write(move |tx| tx.delete_token(id)).await?.map(summary).ok_or_else(not_found)
    }

    /// Revokes a token of a user's own; somebody else's is not there.
    pub async fn delete_own_token(&self, identity: &Identity, id: &str) -> Result<TokenSummary> {
        let (user, id): (_, i64) = (identity.id, id.parse().map_err(|_no_number| not_found())?);
        let found = self.write(move |tx| {
            let is_own = tx.tokens_of(user)?.iter().any(|token| token.id == id);
            if is_own { tx.delete_token(id) } else { Ok(None) }
        });
        found.await?.map(summary).ok_or_else(not_found)
    }
}

fn not_found() -> ErrorBody {
    ErrorBody::new(ErrorCode::TokenNotFound, "there is no such token").help("`adaptable token list` shows their ids")
}

fn summary(row: store::Token) -> TokenSummary {
    TokenSummary {
        id: row.id.to_string(),
        name: row.name,
        user: row.user,
        app: row.app,
        created_at: clock::timestamp(row.created_at),
        last_used_at: row.used_at.map(clock::timestamp),
        expires_at: row.expires_at.map(clock::timestamp),
    }
}
