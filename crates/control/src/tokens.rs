//! Use cases on tokens, and the one place that decides who may do what.

use api::{CreatedToken, ErrorBody, ErrorCode, NewToken, TokenSummary};
use model::AppName;
use store::TokenScope;

use crate::error::{Result, app_not_found};
use crate::{Control, clock};

/// How exactly a token's last use is known, in milliseconds: not every request is worth a write.
const USE_NOTED: i64 = 60_000;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Somebody on this machine who may open the platform's socket.
    Operator,
    /// The bearer of a token.
    Token(TokenScope),
    /// Somebody without a valid token.
    Nobody,
}

/// What is asked for, as far as permission goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access<'a> {
    /// Something of one app: look, deploy, change, delete.
    App(&'a AppName),
    /// An app that is to be created.
    NewApp,
    /// Something of the platform as a whole: all apps, tokens, checks.
    Platform,
    /// What anybody with any token may know: the platform's version and address.
    Hello,
}

/// The choke point: every request of the API and of git passes here before anything is looked up.
pub fn may(who: &Who, access: &Access<'_>) -> Result<()> {
    match (who, access) {
        (Who::Operator | Who::Token(TokenScope::Platform), _) | (Who::Token(_), Access::Hello) => Ok(()),
        (Who::Token(TokenScope::App(own)), Access::App(app)) if own == *app => Ok(()),
        // Other apps are not told apart from those that are not there.
        (Who::Token(TokenScope::App(_)), Access::App(app)) => Err(app_not_found(app)),
        (Who::Token(TokenScope::App(own)), Access::NewApp | Access::Platform) => {
            Err(ErrorBody::new(ErrorCode::Forbidden, format!("this token is for the app {own} alone"))
                .help("use a token for the whole platform: `adaptable token create NAME`"))
        }
        (Who::Nobody, _) => Err(ErrorBody::new(ErrorCode::Unauthorized, "a valid token is needed").help(
            "make one on the platform's machine with `adaptable token create NAME`, and give it with --token or ADAPTABLE_TOKEN",
        )),
    }
}

impl Control {
    /// Who bears this token.
    pub async fn who(&self, token: Option<String>) -> Result<Who> {
        let Some(token) = token else { return Ok(Who::Nobody) };
        let text = token.clone();
        let Some((scope, used_at)) = self.read(move |tx| tx.token_scope(&token)).await? else { return Ok(Who::Nobody) };
        let now = clock::now();
        if used_at.is_none_or(|used_at| now - used_at > USE_NOTED) {
            // A full disk must not lock out whoever comes to free it.
            let _not_noted = self.write(move |tx| tx.use_token(&text, now)).await;
        }
        Ok(Who::Token(scope))
    }

    /// Makes a token; its text is in this answer and nowhere else.
    pub async fn create_token(&self, new: NewToken) -> Result<CreatedToken> {
        let name = new.name.trim().to_owned();
        if name.is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
            return Err(ErrorBody::new(ErrorCode::BadRequest, "a token's name has 1 to 100 visible characters"));
        }
        let id = new.app.as_ref().map(|app| self.entry(app).map(|entry| entry.id)).transpose()?;
        let now = clock::now();
        let label = name.clone();
        let (token, text) = self.write(move |tx| tx.create_token(&label, id, now)).await?;
        let summary =
            TokenSummary { id: token.to_string(), name, app: new.app, created_at: clock::timestamp(now), last_used_at: None };
        Ok(CreatedToken { summary, token: text.to_string() })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_one_app_opens_that_app_alone() {
        let name = |text| AppName::parse(text).expect("a name");
        let (own, other) = (name("own"), name("other"));
        let token = Who::Token(TokenScope::App(own.clone()));
        let code = |who: &Who, access| may(who, &access).map_err(|error| error.code);
        assert_eq!(code(&token, Access::App(&own)), Ok(()));
        assert_eq!(code(&token, Access::Hello), Ok(()));
        assert_eq!(code(&token, Access::App(&other)), Err(ErrorCode::AppNotFound));
        assert_eq!(code(&token, Access::NewApp), Err(ErrorCode::Forbidden));
        assert_eq!(code(&token, Access::Platform), Err(ErrorCode::Forbidden));
        for access in [Access::App(&own), Access::NewApp, Access::Platform, Access::Hello] {
            assert_eq!(code(&Who::Nobody, access.clone()), Err(ErrorCode::Unauthorized));
            assert_eq!(code(&Who::Operator, access.clone()), Ok(()));
            assert_eq!(code(&Who::Token(TokenScope::Platform), access), Ok(()));
        }
    }
}
