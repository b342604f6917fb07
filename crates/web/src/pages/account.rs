//! The page of one's own account.

use askama::Template;
use axum::response::Response;
use control::{Access, may};

use super::layout::{Shell, page};
use super::visitor::Visitor;
use crate::answer::Answer;

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage<'a> {
    shell: Shell,
    name: &'a str,
    csrf: &'a str,
    path: &'a str,
}

pub(crate) async fn account(visitor: Visitor, shell: Shell) -> Answer<Response> {
    may(&visitor.who, &Access::Hello)?;
    let name = visitor.identity.as_ref().map_or("operator of the machine", |identity| identity.name.as_str());
    Ok(page(&AccountPage { shell: shell.titled("Account"), name, csrf: &visitor.csrf, path: &visitor.path }))
}
