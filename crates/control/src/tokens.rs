//! Use cases on tokens.

use crate::error::Result;
use crate::{Control, clock};
use api::{CreatedToken, ErrorBody, ErrorCode, NewToken, TokenSummary};

impl Control {
    /// Makes a token; its text is in this answer and nowhere else.
    pub async fn create_token(&self, new: NewToken) -> Result<CreatedToken> {
        let name = new.name.trim().to_owned();
        if name.is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
            return Err(ErrorBody::new(ErrorCode::BadRequest, "a token's name has 1 to 100 visible characters"));
        }
        let id = new.app.as_ref().map(|app| self.entry(app).map(|entry| entry.id)).transpose()?;
        let now = clock::now();
        let label = name.clone();
        let once = crate::once::current();
        self.write(move |tx| {
            let (token, text) = tx.create_token(&label, id, now)?;
            let summary =
                TokenSummary { id: token.to_string(), name, app: new.app, created_at: clock::timestamp(now), last_used_at: None };
            let created = CreatedToken { summary, token: text.to_string() };
            // Both or neither: a token that was made and never shown would be lost.
            if let Some(once) = once {
                let answer = zeroize::Zeroizing::new(serde_json::to_vec(&created).unwrap_or_default());
                tx.answer_once(&once, 201, &answer)?;
            }
            Ok(created)
        })
        .await
    }

    /// Every token, without its text.
    pub async fn tokens(&self) -> Result<Vec<TokenSummary>> {
        let rows = self.read(|tx| tx.tokens()).await?;
        let list = rows.into_iter().map(|row| TokenSummary {
            id: row.id.to_string(),
            name: row.name,
            app: row.app,
            created_at: clock::timestamp(row.created_at),
            last_used_at: row.used_at.map(clock::timestamp),
        });
        Ok(list.collect())
    }

    /// Revokes a token.
    pub async fn delete_token(&self, id: &str) -> Result<()> {
        let not_found =
            || ErrorBody::new(ErrorCode::TokenNotFound, "there is no such token").help("`adaptable token list` shows their ids");
        let id: i64 = id.parse().map_err(|_no_number| not_found())?;
        if self.write(move |tx| tx.delete_token(id)).await? { Ok(()) } else { Err(not_found()) }
    }
}
