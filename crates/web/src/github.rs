//! Routes of GitHub: the App's set-up, what can be chosen, where an app comes from; and the door for GitHub's own deliveries.

use std::time::Duration;

use api::{
    Accepted, AppSource, BranchQuery, ErrorBody, ErrorCode, GitHubApp, GitHubBranch, GitHubDelivery, GitHubInstallation,
    GitHubRepository, GitHubState, NewAppSource, NewGitHubApp, RepositoryQuery,
};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use control::{Control, Received};
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use tokio::sync::Semaphore;

use crate::access::{Asker, ForApp};
use crate::answer::{Answer, Parsed, Problem};

/// The largest delivery, in bytes: GitHub cuts none that is smaller (GitHub Docs, "Webhook events and payloads").
const DELIVERY_MAX: usize = 25 * 1024 * 1024;
/// What is taken from anybody without a thought.
const SMALL: u64 = 256 * 1024;
/// How long a delivery may take to come.
const PATIENCE: Duration = Duration::from_secs(15);
/// Large ones that are taken at the same time, from whoever sends them: nobody is known before the whole was read.
static LARGE: Semaphore = Semaphore::const_new(4);

pub(crate) async fn state(asker: Asker, State(control): State<Control>) -> Answer<Json<GitHubState>> {
    Ok(Json(control.github_state(&asker.who).await?))
}

pub(crate) async fn enter(State(control): State<Control>, Parsed(app): Parsed<NewGitHubApp>) -> Answer<Json<GitHubApp>> {
    Ok(Json(control.enter_github_app(app).await?))
}

pub(crate) async fn remove(State(control): State<Control>) -> Answer<StatusCode> {
    control.remove_github_app().await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn installations(asker: Asker, State(control): State<Control>) -> Answer<Json<Vec<GitHubInstallation>>> {
    Ok(Json(control.github_installations(&asker.who).await?))
}

pub(crate) async fn repositories(
    asker: Asker,
    State(control): State<Control>,
    query: Result<Query<RepositoryQuery>, QueryRejection>,
) -> Answer<Json<Vec<GitHubRepository>>> {
    let Query(query) = query.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    Ok(Json(control.github_repositories(&asker.who, query.installation, query.search.as_deref()).await?))
}

pub(crate) async fn branches(
    asker: Asker,
    State(control): State<Control>,
    query: Result<Query<BranchQuery>, QueryRejection>,
) -> Answer<Json<Vec<GitHubBranch>>> {
    let Query(query) = query.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let repository = control.github_repository_named(&asker.who, &query.repository).await?;
    Ok(Json(control.github_branches(&asker.who, repository.id).await?))
}

pub(crate) async fn deliveries(State(control): State<Control>) -> Answer<Json<Vec<GitHubDelivery>>> {
    Ok(Json(control.github_deliveries().await?))
}

pub(crate) async fn source(ForApp(app): ForApp, State(control): State<Control>) -> Answer<Json<AppSource>> {
    let none = || {
        Problem(
            ErrorBody::new(ErrorCode::NotFound, format!("{app} does not come from GitHub"))
                .help(format!("`adaptable source {app} set OWNER/NAME BRANCH` links it to a repository")),
        )
    };
    control.app_source(&app).await?.map(Json).ok_or_else(none)
}

pub(crate) async fn set_source(
    asker: Asker,
    ForApp(app): ForApp,
    State(control): State<Control>,
    Parsed(new): Parsed<NewAppSource>,
) -> Answer<Json<AppSource>> {
    let repository = control.github_repository_named(&asker.who, &new.repository).await?;
    let linked = control.link_app(&asker.who, &app, repository.id, new.branch.as_deref(), new.auto_deploy).await?;
    Ok(Json(linked))
}

pub(crate) async fn remove_source(ForApp(app): ForApp, State(control): State<Control>) -> Answer<StatusCode> {
    control.unlink_app(&app).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn update(ForApp(app): ForApp, State(control): State<Control>) -> Answer<(StatusCode, Json<Accepted>)> {
    Ok((StatusCode::ACCEPTED, Json(control.update_deployment(&app).await?)))
}

/// A delivery: answered once it is on disk, and worked off afterwards (GitHub waits for ten seconds and sends none again by itself).
pub(crate) async fn hook(State(control): State<Control>, headers: HeaderMap, body: Body) -> Answer<StatusCode> {
    if !control.has_github() {
        return Err(Problem(ErrorBody::new(ErrorCode::NotFound, "no GitHub App is set up here")));
    }
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signature = header("x-hub-signature-256");
    if signature.is_none() {
        // Before anything of it is read.
        return Err(Problem(ErrorBody::new(ErrorCode::Unauthorized, "the delivery is not signed (X-Hub-Signature-256)")));
    }
    let length = header(header::CONTENT_LENGTH.as_str()).and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > DELIVERY_MAX as u64) {
        return Err(too_large());
    }
    let _turn = match length {
        Some(..=SMALL) => None,
        _ => Some(LARGE.acquire().await.map_err(|_closed| Problem::bad_request("the platform is stopping"))?),
    };
    let whole = tokio::time::timeout(PATIENCE, Limited::new(body, DELIVERY_MAX).collect()).await;
    let whole = whole.map_err(|_elapsed| Problem::bad_request("the delivery came too slowly"))?;
    let body = whole.map_err(|_cut| too_large())?.to_bytes();
    let (id, event) = (header("x-github-delivery").unwrap_or_default(), header("x-github-event").unwrap_or_default());
    match control.receive_delivery(id, event, signature, &body).await? {
        Received::New => Ok(StatusCode::ACCEPTED),
        Received::Known => Ok(StatusCode::OK),
    }
}

fn too_large() -> Problem {
    Problem(ErrorBody::new(ErrorCode::SourceTooLarge, "the delivery is larger than the 25 MB that GitHub sends at most"))
}
