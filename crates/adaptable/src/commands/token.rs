//! `token`: access tokens.

use api::NewToken;
use serde::Serialize;

use super::Context;
use super::apps::optional;
use super::deployments::moment;
use crate::cli::TokenAction;
use crate::explain::Failure;
use crate::printer::Table;

/// What `token revoke --json` prints.
#[derive(Serialize)]
struct Revoked {
    id: String,
    revoked: bool,
}

/// Runs `token`.
pub(super) async fn run(context: &Context, action: TokenAction) -> Result<(), Failure> {
    let printer = context.printer;
    let client = context.client()?;
    match action {
        TokenAction::Create { name, app, days } => {
            let created = client.create_token(&NewToken { name, app, days }).await?;
            if printer.json() {
                return printer.document(&created);
            }
            printer.note(&format!("token {} ({}): keep it now, it is not shown again", created.summary.id, created.summary.name));
            printer.line(&created.token)
        }
        TokenAction::List => {
            let tokens = client.tokens().await?;
            if printer.json() {
                return printer.document(&tokens);
            }
            let mut table = Table::new(["ID", "NAME", "USER", "APP", "CREATED", "LAST USED", "EXPIRES"]);
            for token in tokens {
                table.row([
                    token.id,
                    token.name,
                    token.user.map_or_else(|| "(platform)".to_owned(), |user| user.to_string()),
                    token.app.map_or_else(|| "(all)".to_owned(), |app| app.to_string()),
                    moment(token.created_at),
                    optional(token.last_used_at.map(moment)),
                    token.expires_at.map_or_else(|| "never".to_owned(), moment),
                ]);
            }
            printer.table(&table, "no tokens yet; make one: adaptable token create NAME")
        }
        TokenAction::Revoke { id } => {
            client.revoke_token(&id).await?;
            if printer.json() {
                return printer.document(&Revoked { id, revoked: true });
            }
            printer.note(&format!("token {id} is revoked"));
            Ok(())
        }
    }
}
