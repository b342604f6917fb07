//! The tab Settings: one document in two views, a form and YAML, and what else an owner decides about an app.

mod form;
pub(crate) mod members;
pub(crate) mod source;
#[cfg(test)]
pub(crate) mod tests;
mod view;
mod yaml;

use api::{ErrorBody, ErrorCode};
use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use control::{Access, Control, Effect, Right, Who, may};
use http::StatusCode;
use model::settings::fields::{Section, of_violation};
use model::{AppName, Settings};
use serde::Deserialize;

use crate::access::{ForApp, ToChange, ToOwn};
use crate::answer::{self, Answer, Problem};
use crate::apps::has_variables;
use crate::pages::app_head::AppHead;
use crate::pages::flash::Said;
use crate::pages::layout::{Nav, Shell, Tab, page_with};
use crate::pages::visitor::{Posted, Visitor};
use crate::routes::{Detail, Shown};
use form::{Problems, Typed};
use members::Member;
use source::{Origin, Refused};
pub(crate) use view::database_name;
use view::{Part, Source};
use yaml::Mistake;

/// Which of the two views is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum View {
    #[default]
    Form,
    Yaml,
}

/// A setting that somebody else has changed meanwhile.
#[derive(Debug)]
struct Other {
    label: String,
    now: String,
}

#[derive(Debug, Template)]
#[template(path = "settings.html")]
#[expect(clippy::struct_excessive_bools, reason = "each is a question that the template asks")]
struct SettingsPage {
    shell: Shell,
    app: AppHead,
    view: View,
    /// Whether the one who looks may change it.
    change: bool,
    own: bool,
    version: String,
    parts: Vec<Part>,
    text: String,
    lines: usize,
    mistakes: Vec<Mistake>,
    /// What is wrong with the whole of it.
    wrong: String,
    help: String,
    /// What others have changed while this was typed.
    conflict: Option<Vec<Other>>,
    problems: usize,
    revealed: bool,
    domains: Vec<String>,
    paused: bool,
    has_database: bool,
    deletion_wrong: bool,
    waiting: bool,
    members: Vec<Member>,
    me: Option<String>,
    member_wrong: String,
    origin: Origin,
}

impl SettingsPage {
    fn at_yaml(&self) -> bool {
        self.view == View::Yaml
    }

    fn path(&self) -> String {
        format!("/apps/{}/settings", self.app.name)
    }

    fn numbers(&self) -> std::ops::RangeInclusive<usize> {
        1..=self.lines
    }

    /// The parts of the page, for the list beside it.
    fn contents(&self) -> Vec<(&'static str, &'static str, bool)> {
        let mut list: Vec<_> = self.parts.iter().map(|part| (part.id, part.title, part.wrong)).collect();
        list.push(("source", "Source", self.origin.wrong.is_some()));
        list.push((Section::Domains.id(), Section::Domains.title(), false));
        list.push(("members", "Members", !self.member_wrong.is_empty()));
        if self.change {
            list.push(("danger", "Danger zone", self.deletion_wrong));
        }
        list
    }
}

/// What a page is made from, beside the document.
#[derive(Default)]
struct Draft<'a> {
    view: View,
    typed: Option<&'a Typed>,
    text: Option<String>,
    problems: Problems,
    mistakes: Vec<Mistake>,
    error: Option<ErrorBody>,
    conflict: Option<Vec<Other>>,
    reveal: bool,
    more: Option<&'a str>,
    deletion_wrong: bool,
    member_wrong: String,
    source: Option<Refused>,
}

/// What is known of the app, beside its document.
#[expect(clippy::struct_excessive_bools, reason = "rights and states, each of its own")]
struct About {
    head: AppHead,
    template: Option<String>,
    paused: bool,
    change: bool,
    own: bool,
    waiting: bool,
    members: Vec<Member>,
    me: Option<String>,
    origin: Origin,
}

impl SettingsPage {
    fn new(shell: Shell, about: About, stored: &Settings, draft: Draft<'_>) -> Self {
        let change = about.change;
        let reveal = draft.reveal && change;
        let source = Source {
            stored,
            typed: draft.typed,
            problems: &draft.problems,
            template: about.template.as_deref(),
            reveal,
            more: draft.more,
        };
        let parts = source.parts();
        let text = draft.text.unwrap_or_else(|| if change { yaml::write(stored, reveal) } else { String::new() });
        let error = draft.error.unwrap_or_else(|| ErrorBody::new(ErrorCode::Unknown, ""));
        Self {
            parts,
            shell: shell.titled(format!("Settings of {}", about.head.name)).at(Nav::Dashboard),
            app: about.head,
            view: if change { draft.view } else { View::Form },
            change,
            own: about.own,
            version: if change { control::settings_version(stored) } else { String::new() },
            lines: text.split('\n').count() + 2,
            text,
            problems: draft.problems.len(),
            mistakes: draft.mistakes,
            wrong: error.message,
            help: error.help,
            conflict: draft.conflict,
            revealed: reveal,
            domains: stored.domains.iter().map(|domain| domain.domain_name.clone()).collect(),
            paused: about.paused,
            has_database: stored.database_type != model::DatabaseType::None,
            deletion_wrong: draft.deletion_wrong,
            waiting: about.waiting,
            members: about.members,
            me: about.me,
            member_wrong: draft.member_wrong,
            origin: about.origin,
        }
    }
}

async fn show(
    control: &Control,
    who: &Who,
    app: &AppName,
    shell: Shell,
    status: StatusCode,
    mut draft: Draft<'_>,
) -> Answer<Response> {
    let glance = control.app_glance(app).await?;
    let stored = control.settings(app).await?;
    let change = may(who, &Access::App(app, Right::Change)).is_ok();
    let about = About {
        head: AppHead::of(&glance, who, Some(Tab::Settings)),
        template: glance.summary.template.clone(),
        paused: glance.summary.state == api::AppState::Paused,
        change,
        own: may(who, &Access::App(app, Right::Own)).is_ok(),
        waiting: change && control.settings_wait(app).await?,
        members: members::list(control, app).await?,
        me: who.identity().map(|identity| identity.name.to_string()),
        origin: source::origin(control, app, draft.source.take()).await?,
    };
    let page = SettingsPage::new(shell, about, &stored, draft);
    let shows = page.revealed && has_variables(&stored);
    let answer = page_with(status, &page);
    Ok(if shows { Shown::VARIABLES.by(answer) } else { answer })
}

/// What the address says.
#[derive(Debug, Deserialize)]
pub(crate) struct Looking {
    #[serde(default)]
    view: View,
    #[serde(default)]
    reveal: Option<String>,
}

/// The tab. Values of variables are in it only where they were asked for, and may be seen.
pub(crate) async fn settings(
    ForApp(app): ForApp,
    visitor: Visitor,
    shell: Shell,
    State(control): State<Control>,
    query: Result<Query<Looking>, QueryRejection>,
) -> Answer<Response> {
    let Query(looking) = query.map_err(|_quoting| Problem::bad_request("this address has a view that there is not"))?;
    let said = Draft { view: looking.view, reveal: looking.reveal.is_some(), ..Draft::default() };
    show(&control, &visitor.who, &app, shell, StatusCode::OK, said).await
}

/// Shows again what was typed, with more rows or with the values: nothing is saved.
pub(crate) async fn draft(
    ToChange(app): ToChange,
    visitor: Visitor,
    shell: Shell,
    State(control): State<Control>,
    Posted(fields): Posted<Vec<(String, String)>>,
) -> Answer<Response> {
    let typed = Typed(fields);
    let action = typed.get("do").unwrap_or_default().to_owned();
    let reveal = action == "reveal" || typed.get("revealed").is_some();
    let said = Draft { typed: Some(&typed), reveal, more: action.strip_prefix("row:"), ..Draft::default() };
    show(&control, &visitor.who, &app, shell, StatusCode::OK, said).await
}

/// Saves what was typed, and deploys it where that is wanted.
pub(crate) async fn save(
    ToChange(app): ToChange,
    visitor: Visitor,
    shell: Shell,
    State(control): State<Control>,
    Posted(fields): Posted<Vec<(String, String)>>,
) -> Answer<Response> {
    let typed = Typed(fields);
    let stored = control.settings(&app).await?;
    let is_yaml = typed.get("view") == Some("yaml");
    let reveal = typed.get("revealed").is_some();
    let text = is_yaml.then(|| typed.get("text").unwrap_or_default().replace("\r\n", "\n"));
    let mut again = Draft {
        view: if is_yaml { View::Yaml } else { View::Form },
        typed: (!is_yaml).then_some(&typed),
        text: text.clone(),
        reveal,
        ..Draft::default()
    };
    let read = if let Some(text) = &text {
        yaml::read(text, &stored).map_err(|mistakes| again.mistakes = mistakes)
    } else {
        let (settings, problems) = form::apply(&typed, &stored);
        again.problems = problems;
        if again.problems.is_empty() { Ok(settings) } else { Err(()) }
    };
    let Ok(new) = read else {
        return show(&control, &visitor.who, &app, shell, StatusCode::UNPROCESSABLE_ENTITY, again).await;
    };
    let update = typed.get("do") == Some("update");
    let base = typed.get("version").unwrap_or_default();
    match control.save_settings(&app, base, new.clone(), Effect::Later).await {
        Ok(changed) => {
            let keys = form::changed(&stored, &changed.settings);
            if update {
                // Where nothing was changed, it may be what was saved before that is to be built.
                let build = changed.needs_deploy || keys.is_empty();
                let number = control.deploy_saved(&app, build).await.map_err(saved_only)?;
                return Ok(noted(&keys, &format!("/apps/{app}/deployments/{number}")));
            }
            let said = if keys.is_empty() { Said::NothingChanged } else { Said::SavedForLater };
            let view = if is_yaml { "?view=yaml" } else { "" };
            Ok(noted(&keys, &said.at(&format!("/apps/{app}/settings{view}"))))
        }
        Err(error) => {
            let now = control.settings(&app).await?;
            let status = answer::status(&error);
            if error.code == ErrorCode::Conflict && control::settings_version(&now) != base {
                // Sent again, it is saved over what is there now: that was seen.
                again.conflict = Some(others(&now, &new));
            } else {
                again.error = Some(error);
            }
            show(&control, &visitor.who, &app, shell, status, again).await
        }
    }
}

/// The settings are stored, and could not be deployed.
fn saved_only(mut error: ErrorBody) -> ErrorBody {
    error.message = format!("the settings are saved, and could not be deployed: {}", error.message);
    error
}

/// Leads on, and tells the audit log which settings were changed.
fn noted(keys: &[String], to: &str) -> Response {
    Detail(keys.join(", ")).by(Redirect::to(to))
}

/// In what the stored document differs from what was typed, as people read it; values of variables stay hidden.
fn others(now: &Settings, typed: &Settings) -> Vec<Other> {
    let keys = form::changed(now, typed);
    let list = keys.into_iter().map(|key| {
        let label = of_violation(&key).map_or_else(|| key.clone(), |field| field.label.to_owned());
        match (key.split_once('.').filter(|(kind, _)| form::VARIABLES.contains(kind)), now.text(&key)) {
            (Some((_, name)), _) => Other { label: format!("{label}, {name}"), now: String::new() },
            (None, value) => {
                Other { label, now: value.filter(|value| !value.is_empty()).unwrap_or_else(|| "not set".to_owned()) }
            }
        }
    });
    list.collect()
}

/// What the form that deletes an app sends.
#[derive(Debug, Deserialize)]
pub(crate) struct Deletion {
    #[serde(default)]
    name: String,
    #[serde(default)]
    backup: Option<String>,
}

/// Deletes the app, where its name was typed.
pub(crate) async fn delete(
    ToOwn(app): ToOwn,
    visitor: Visitor,
    shell: Shell,
    State(control): State<Control>,
    Posted(deletion): Posted<Deletion>,
) -> Answer<Response> {
    if deletion.name.trim() != app.as_str() {
        let said = Draft { deletion_wrong: true, ..Draft::default() };
        return show(&control, &visitor.who, &app, shell, StatusCode::UNPROCESSABLE_ENTITY, said).await;
    }
    control.delete(&app, deletion.backup.as_deref() == Some("without")).await?;
    Ok(Redirect::to(&Said::Deleted.at("/apps")).into_response())
}
