//! App Status: what is served, what was deployed, and the ways back.

use api::{AppState, AppStatus, RevisionSummary};
use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use control::{Control, DeploymentGlance};
use model::RevisionNumber;
use serde::Deserialize;

use crate::access::ForApp;
use crate::answer::Answer;
use crate::pages::app_head::AppHead;
use crate::pages::deployment_view::DeploymentLine;
use crate::pages::flash::Said;
use crate::pages::layout::{Nav, Shell, Tab, page};
use crate::pages::plot::Sparkline;
use crate::pages::text::{Seconds, When, short_commit};
use crate::pages::visitor::Posted;

/// Deployments shown.
const SHOWN: u32 = 20;
/// Revisions shown.
const REVISIONS: usize = 10;

/// A revision that is kept.
#[derive(Debug)]
pub(crate) struct RevisionRow {
    pub(crate) number: u32,
    pub(crate) what: String,
    pub(crate) commit: String,
    pub(crate) when: When,
    /// How many visitors of a hundred get it.
    pub(crate) percent: u8,
}

impl RevisionRow {
    fn new(revision: &RevisionSummary) -> Self {
        let commit = revision.commit.as_ref();
        Self {
            number: revision.revision.0,
            what: commit.and_then(|commit| commit.subject.clone()).unwrap_or_else(|| "Uploaded source".to_owned()),
            commit: commit.map(|commit| short_commit(&commit.id)).unwrap_or_default(),
            when: When::new(revision.created_at),
            percent: revision.percent,
        }
    }
}

/// A part of the visitors that gets another revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SplitView {
    pub(crate) revision: u32,
    pub(crate) percent: u8,
    pub(crate) rest: u8,
}

/// The page.
#[derive(Debug, Template)]
#[template(path = "status.html")]
#[expect(clippy::struct_excessive_bools, reason = "each is a part of the page that is there or not")]
pub(crate) struct StatusPage {
    pub(crate) shell: Shell,
    pub(crate) app: AppHead,
    /// Whether the app was deployed just now, for the first time as far as this browser saw.
    pub(crate) congratulations: bool,
    pub(crate) tour: bool,
    pub(crate) paused: bool,
    pub(crate) warnings: Vec<String>,
    pub(crate) split: Option<SplitView>,
    pub(crate) revision: Option<u32>,
    pub(crate) template: Option<String>,
    pub(crate) database: &'static str,
    pub(crate) instances: usize,
    pub(crate) frozen: usize,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) slowest: Option<Seconds>,
    pub(crate) spark: Sparkline,
    pub(crate) deployments: Vec<DeploymentLine>,
    pub(crate) more_deployments: bool,
    pub(crate) revisions: Vec<RevisionRow>,
    pub(crate) more_revisions: usize,
}

/// What a link to the page may say.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    /// The deployment that has just ended well.
    pub(crate) deployed: Option<u32>,
    /// Whether the tour is wanted.
    pub(crate) tour: Option<u8>,
}

impl StatusPage {
    /// The page of what was found.
    pub(crate) fn new(
        shell: Shell,
        app: AppHead,
        status: &AppStatus,
        deployments: &[DeploymentGlance],
        revisions: &[RevisionSummary],
        asked: &Asked,
    ) -> Self {
        let hour = status.last_hour.clone().unwrap_or_default();
        let slowest = hour.slowest.iter().copied().fold(0.0, f64::max);
        // Only what is true is congratulated on, whatever a link says.
        let congratulations = asked.deployed.is_some_and(|number| {
            status.summary.state == AppState::Live
                && deployments
                    .iter()
                    .any(|it| it.deployment.deployment.0 == number && it.deployment.state == model::DeploymentState::Live)
        });
        Self {
            shell: shell.titled(format!("{} · App Status", app.name)).at(Nav::Dashboard),
            app,
            congratulations,
            tour: asked.tour.is_some(),
            paused: status.summary.state == AppState::Paused,
            warnings: status.warnings.clone(),
            split: status.split.map(|it| SplitView { revision: it.revision.0, percent: it.percent, rest: 100 - it.percent }),
            revision: status.summary.revision.map(|revision| revision.0),
            template: status.summary.template.clone(),
            database: database_name(status.summary.database),
            instances: status.instances.len(),
            frozen: status.instances.iter().filter(|it| it.state == api::InstanceState::Frozen).count(),
            requests: hour.requests.iter().sum(),
            errors: hour.errors.iter().sum(),
            slowest: (slowest > 0.0).then_some(Seconds(slowest)),
            spark: Sparkline { values: hour.requests, bad: hour.errors, what: "requests in the last hour" },
            deployments: deployments.iter().take(SHOWN as usize).map(DeploymentLine::new).collect(),
            more_deployments: deployments.len() > SHOWN as usize,
            revisions: revisions.iter().take(REVISIONS).map(RevisionRow::new).collect(),
            more_revisions: revisions.len().saturating_sub(REVISIONS),
        }
    }
}

/// A kind of database, for people.
pub(crate) fn database_name(kind: model::DatabaseType) -> &'static str {
    match kind {
        model::DatabaseType::Postgres => "PostgreSQL",
        model::DatabaseType::Mongodb => "MongoDB",
        model::DatabaseType::Mssql => "SQL Server",
        model::DatabaseType::None => "none",
    }
}

/// App Status.
pub(crate) async fn status(
    shell: Shell,
    ForApp(app): ForApp,
    State(control): State<Control>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Answer<Response> {
    let head = AppHead::load(&control, &shell.who, &app, Some(Tab::Status)).await?;
    let status = control.app(&app).await?;
    let deployments = control.deployment_glances(&app, SHOWN + 1).await?;
    let revisions = control.revisions(&app).await?;
    let asked = asked.map_or_else(|_unreadable| Asked::default(), |Query(asked)| asked);
    Ok(page(&StatusPage::new(shell, head, &status, &deployments, &revisions, &asked)))
}

/// Takes the app's instances away.
pub(crate) async fn pause(ForApp(app): ForApp, State(control): State<Control>) -> Answer<Response> {
    control.pause(&app).await?;
    Ok(back(&app, Said::Paused))
}

/// Lets visitors in again.
pub(crate) async fn resume(ForApp(app): ForApp, State(control): State<Control>) -> Answer<Response> {
    control.resume(&app).await?;
    Ok(back(&app, Said::Resumed))
}

/// Gives all visitors the live revision.
pub(crate) async fn end_split(ForApp(app): ForApp, State(control): State<Control>) -> Answer<Response> {
    control.split(&app, None).await?;
    Ok(back(&app, Said::SplitEnded))
}

/// What the button beside a revision sends.
#[derive(Debug, Deserialize)]
pub(crate) struct To {
    to: u32,
}

/// Deploys the branch's head, or the last source again, with the settings of now.
pub(crate) async fn update(ForApp(app): ForApp, State(control): State<Control>) -> Answer<Response> {
    let accepted = control.update_deployment(&app).await?;
    Ok(Redirect::to(&format!("/apps/{app}/deployments/{}", accepted.deployment)).into_response())
}

/// Goes back to a revision.
pub(crate) async fn rollback(ForApp(app): ForApp, State(control): State<Control>, Posted(form): Posted<To>) -> Answer<Response> {
    let accepted = control.rollback(&app, Some(RevisionNumber(form.to))).await?;
    Ok(Redirect::to(&format!("/apps/{app}/deployments/{}", accepted.deployment)).into_response())
}

fn back(app: &model::AppName, said: Said) -> Response {
    Redirect::to(&said.at(&format!("/apps/{app}"))).into_response()
}
