//! Where an app's source comes from: a branch on GitHub, whether its pushes deploy, or nothing of that.

use api::{AppSource, ErrorBody, ErrorCode};
use axum::extract::State;
use axum::response::{Redirect, Response};
use control::{Control, Who};
use model::AppName;
use serde::Deserialize;

use super::{Draft, show};
use crate::access::ToChange;
use crate::answer::{self, Answer};
use crate::pages::flash::Said;
use crate::pages::layout::Shell;
use crate::pages::visitor::{Posted, Visitor};
use crate::routes::Detail;

/// What the part of the page shows.
#[derive(Debug, Clone, Default)]
pub(super) struct Origin {
    pub(super) linked: Option<AppSource>,
    /// Whether the platform has a GitHub App.
    pub(super) github: bool,
    /// What stands in the form.
    pub(super) form: Change,
    /// Why what was typed was refused.
    pub(super) wrong: Option<ErrorBody>,
}

impl Origin {
    /// Whether an account on GitHub has to be connected first.
    pub(super) fn asks_for_github(&self) -> bool {
        self.wrong.as_ref().is_some_and(|error| error.code == ErrorCode::GithubSignIn)
    }

    /// Whether the box is ticked.
    pub(super) fn pushes(&self) -> bool {
        self.form.pushes.is_some()
    }
}

/// What was typed, and why it was refused.
#[derive(Debug)]
pub(super) struct Refused {
    form: Change,
    error: ErrorBody,
}

/// What the form sends.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Change {
    /// GitHub's number of the repository that the page showed; empty where it showed none.
    pub(super) shown: String,
    pub(super) repository: String,
    pub(super) branch: String,
    pub(super) pushes: Option<String>,
    #[serde(rename = "do")]
    pub(super) deed: String,
}

/// What the form has as `shown`.
fn number(linked: Option<&AppSource>) -> String {
    linked.map(|it| it.repository_id.to_string()).unwrap_or_default()
}

/// What is stored, or what was typed in its place.
pub(super) async fn origin(control: &Control, app: &AppName, refused: Option<Refused>) -> Answer<Origin> {
    let linked = control.app_source(app).await?;
    let shown = number(linked.as_ref());
    // What was refused was typed with what is stored now in view from here on: sent again, that is what it is about.
    let (form, wrong) = if let Some(Refused { form, error }) = refused {
        (Change { shown, ..form }, Some(error))
    } else {
        let form = Change {
            shown,
            repository: linked.as_ref().map(|it| it.repository.clone()).unwrap_or_default(),
            branch: linked.as_ref().map(|it| it.branch.clone()).unwrap_or_default(),
            pushes: linked.as_ref().is_none_or(|it| it.auto_deploy).then(String::new),
            deed: String::new(),
        };
        (form, None)
    };
    Ok(Origin { linked, github: control.has_github(), form, wrong })
}

/// Links the app to a branch, lets pushes deploy it or not, or unlinks it.
pub(crate) async fn change(
    ToChange(app): ToChange,
    visitor: Visitor,
    shell: Shell,
    State(control): State<Control>,
    Posted(form): Posted<Change>,
) -> Answer<Response> {
    match apply(&control, &visitor.who, &app, &form).await {
        Ok((said, detail)) => {
            let address = format!("{}#source", said.at(&format!("/apps/{app}/settings")));
            Ok(Detail(detail).by(Redirect::to(&address)))
        }
        Err(error) => {
            let status = answer::status(&error);
            let draft = Draft { source: Some(Refused { form, error }), ..Draft::default() };
            show(&control, &visitor.who, &app, shell, status, draft).await
        }
    }
}

/// Does what the form says; what to say of it, and a line for the audit log.
async fn apply(control: &Control, who: &Who, app: &AppName, form: &Change) -> Result<(Said, String), ErrorBody> {
    let linked = control.app_source(app).await?;
    if form.shown != number(linked.as_ref()) {
        return Err(ErrorBody::new(ErrorCode::Conflict, "somebody has changed the app's source while you were at it")
            .help("look at what is stored now, and save again"));
    }
    let (branch, pushes) = (form.branch.trim(), form.pushes.is_some());
    let now = match linked {
        Some(it) if form.deed == "disconnect" => {
            control.unlink_app(app).await?;
            return Ok((Said::SourceRemoved, format!("disconnected from {}", it.repository)));
        }
        Some(it) if branch == it.branch && pushes == it.auto_deploy => return Ok((Said::NothingChanged, String::new())),
        // Asks nobody, so that it works while GitHub does not, and for who sees nothing there.
        Some(it) if branch == it.branch => control.set_auto_deploy(app, pushes).await?,
        Some(_) if branch.is_empty() => return Err(ErrorBody::new(ErrorCode::BadRequest, "name the branch to be deployed")),
        Some(it) => control.link_app(who, app, it.repository_id, Some(branch), pushes).await?,
        None => {
            let repository = control.github_repository_named(who, form.repository.trim()).await?;
            let branch = Some(branch).filter(|branch| !branch.is_empty());
            control.link_app(who, app, repository.id, branch, pushes).await?
        }
    };
    let how = if now.auto_deploy { "each push deploys" } else { "pushes do not deploy" };
    Ok((Said::SourceSaved, format!("{}, {}, {how}", now.repository, now.branch)))
}
