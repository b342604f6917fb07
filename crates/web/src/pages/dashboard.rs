//! The Dashboard: all apps of the one who looks.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use control::{Access, AppGlance, Control, Right, may};

use crate::answer::Answer;
use crate::pages::deployment_view::DeploymentLine;
use crate::pages::layout::{Nav, Shell, page};
use crate::pages::plot::Sparkline;
use crate::pages::state;
use crate::pages::wizard::{self, Unfinished};

/// One app of the list.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) state: state::State,
    pub(crate) last: Option<DeploymentLine>,
    pub(crate) spark: Sparkline,
    pub(crate) requests: u64,
}

impl Row {
    /// The row of an app.
    pub(crate) fn new(glance: &AppGlance) -> Self {
        let summary = &glance.summary;
        let hour = &glance.last_hour;
        Self {
            name: summary.app.to_string(),
            url: summary.url.clone(),
            state: state::app(summary.state, glance.instances),
            last: glance.last.as_ref().map(DeploymentLine::new),
            requests: hour.requests.iter().sum(),
            spark: Sparkline { values: hour.requests.clone(), bad: hour.errors.clone(), what: "requests in the last hour" },
        }
    }

    /// The address without its scheme.
    pub(crate) fn host(&self) -> &str {
        self.url.strip_prefix("https://").unwrap_or(&self.url)
    }
}

/// The page.
#[derive(Debug, Template)]
#[template(path = "dashboard.html")]
pub(crate) struct Dashboard {
    pub(crate) shell: Shell,
    pub(crate) apps: Vec<Row>,
    /// Apps that they have begun to make.
    pub(crate) unfinished: Vec<Unfinished>,
}

/// All apps that the one who asks may look at.
pub(crate) async fn dashboard(shell: Shell, State(control): State<Control>) -> Answer<Response> {
    let who = shell.who.clone();
    let apps = control.glance(move |app| may(&who, &Access::App(app, Right::Look)).is_ok()).await?;
    let apps = apps.iter().map(Row::new).collect();
    let unfinished = wizard::unfinished(&control, &shell.who).await?;
    Ok(page(&Dashboard { shell: shell.titled("Dashboard").at(Nav::Dashboard), apps, unfinished }))
}
