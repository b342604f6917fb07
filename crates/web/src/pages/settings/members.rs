//! Members of an app: who may look, change and own.

use axum::extract::State;
use axum::response::{Redirect, Response};
use control::Control;
use http::StatusCode;
use model::{AppName, AppRole, UserName};
use serde::Deserialize;

use super::{Draft, show};
use crate::access::ToOwn;
use crate::answer::Answer;
use crate::pages::flash::Said;
use crate::pages::layout::Shell;
use crate::pages::visitor::{Posted, Visitor};
use crate::routes::Detail;

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) role: AppRole,
    pub(super) disabled: bool,
}

impl Member {
    /// The roles to choose from, and which it is.
    pub(super) fn roles(&self) -> Vec<(&'static str, bool)> {
        AppRole::ALL.iter().map(|role| (role.as_str(), *role == self.role)).collect()
    }
}

/// The members of an app.
pub(super) async fn list(control: &Control, app: &AppName) -> Answer<Vec<Member>> {
    let members = control.members(app).await?;
    let members =
        members.into_iter().map(|member| Member { name: member.user.to_string(), role: member.role, disabled: member.disabled });
    Ok(members.collect())
}

/// What the forms send.
#[derive(Debug, Deserialize)]
pub(crate) struct Change {
    user: String,
    #[serde(default)]
    role: String,
    #[serde(default, rename = "do")]
    deed: String,
}

/// Makes somebody a member, gives them another role, or takes them out.
pub(crate) async fn change(
    ToOwn(app): ToOwn,
    visitor: Visitor,
    shell: Shell,
    State(control): State<Control>,
    Posted(change): Posted<Change>,
) -> Answer<Response> {
    let done = async {
        let user = UserName::typed(&change.user).map_err(|error| error.to_string())?;
        if change.deed == "remove" {
            return control.remove_member(&app, &user).await.map_err(|error| error.message);
        }
        let role: AppRole = change.role.parse().map_err(|error: model::access::AccessError| error.to_string())?;
        control.set_member(&app, &user, role).await.map(drop).map_err(|error| error.message)
    };
    if let Err(wrong) = done.await {
        let draft = Draft { member_wrong: wrong, ..Draft::default() };
        return show(&control, &visitor.who, &app, shell, StatusCode::UNPROCESSABLE_ENTITY, draft).await;
    }
    let address = format!("{}#members", Said::Saved.at(&format!("/apps/{app}/settings")));
    Ok(Detail(format!("{} {} {}", change.deed, change.user, change.role)).by(Redirect::to(&address)))
}
