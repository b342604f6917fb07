//! The audit log: who changed what, page by page, of one app where one is named.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use control::Control;
use model::AppName;
use serde::Deserialize;

use super::Tab;
use crate::access::ForPlatform;
use crate::answer::{Answer, Problem};
use crate::pages::layout::{Nav, Shell, page};
use crate::pages::text::When;

/// Lines of one page.
const LINES: u32 = 50;

#[derive(Debug)]
struct Line {
    when: When,
    who: String,
    what: String,
    app: String,
    detail: String,
    address: String,
}

#[derive(Debug, Template)]
#[template(path = "operator_audit.html")]
struct AuditPage {
    shell: Shell,
    tab: Tab,
    lines: Vec<Line>,
    /// What was typed into the filter.
    app: String,
    wrong: String,
    /// Where earlier ones begin; none on the last page.
    before: Option<i64>,
    first: bool,
}

/// What the address says.
#[derive(Debug, Deserialize)]
pub(crate) struct Filter {
    #[serde(default)]
    app: String,
    before: Option<i64>,
}

/// The page.
pub(crate) async fn audit(
    _: ForPlatform,
    shell: Shell,
    State(control): State<Control>,
    query: Result<Query<Filter>, QueryRejection>,
) -> Answer<Response> {
    let Query(filter) = query.map_err(|_quoting| Problem::bad_request("this is no page of the audit log"))?;
    let typed = filter.app.trim().to_owned();
    let (app, wrong) = match typed.as_str() {
        "" => (None, String::new()),
        name => match AppName::parse(name) {
            Ok(app) => (Some(app), String::new()),
            Err(error) => (None, error.to_string()),
        },
    };
    let mut rows = if wrong.is_empty() { control.audit_log(app.as_ref(), filter.before, LINES + 1).await? } else { Vec::new() };
    let more = rows.len() > LINES as usize;
    rows.truncate(LINES as usize);
    let before = rows.last().filter(|_| more).map(|row| row.id);
    let lines = rows.into_iter().map(|row| Line {
        when: When::new(row.at),
        who: row.who,
        what: row.what,
        app: row.app.unwrap_or_default(),
        detail: row.detail,
        address: row.address,
    });
    Ok(page(&AuditPage {
        shell: shell.titled("Audit log").at(Nav::Operator),
        tab: Tab::Audit,
        lines: lines.collect(),
        app: typed,
        wrong,
        before,
        first: filter.before.is_none(),
    }))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pages::gallery::shell;

    pub(in super::super) fn page(text: &str) -> impl Template + use<> {
        let line = |who: &str, what: &str, app: &str, detail: &str| Line {
            when: When::new(jiff::Timestamp::now()),
            who: who.to_owned(),
            what: what.to_owned(),
            app: app.to_owned(),
            detail: detail.to_owned(),
            address: "192.0.2.7".to_owned(),
        };
        AuditPage {
            shell: shell(text),
            tab: Tab::Audit,
            lines: vec![
                line("ada", "app.settings", "shop", "startCommand, environment.GREETING"),
                line("token of the platform", "app.deploy", "guestbook", ""),
                line(text, text, text, text),
            ],
            app: text.to_owned(),
            wrong: text.to_owned(),
            before: Some(17),
            first: false,
        }
    }
}
