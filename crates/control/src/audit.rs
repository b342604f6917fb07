//! The audit log: one row for every change, written by whoever lets the change in.

use model::AppName;
use store::{NewAudit, TokenScope};

use crate::access::Who;
use crate::{Control, clock};

/// The longest detail that is kept, in characters.
const DETAIL_MAX: usize = 500;

impl Control {
    /// Writes down that somebody changed something. Never fails: a change that has been made is not undone because it could not be noted,
    /// but the platform's log then says so.
    pub async fn audit(&self, who: &Who, what: &'static str, app: Option<&AppName>, detail: &str, address: &str) {
        let row = NewAudit {
            who: words(who),
            user: who.identity().map(|identity| identity.id),
            what,
            app: app.cloned(),
            detail: detail.chars().filter(|character| !character.is_control()).take(DETAIL_MAX).collect(),
            address: address.to_owned(),
        };
        let now = clock::now();
        if let Err(error) = self.write(move |tx| tx.add_audit(&row, now)).await {
            tracing::error!(what, cause = %error.message, "a change could not be written to the audit log");
        }
    }
}

/// Somebody in words.
pub(crate) fn words(who: &Who) -> String {
    match who {
        Who::Operator => "operator of the machine".to_owned(),
        Who::Token(TokenScope::Platform) => "token of the platform".to_owned(),
        Who::Token(TokenScope::App(app)) => format!("token of {app}"),
        Who::User(identity) => match &identity.token {
            None => identity.name.to_string(),
            Some(token) => format!("{} by token {} ({})", identity.name, token.id, token.name),
        },
        Who::Nobody => "nobody".to_owned(),
    }
}
