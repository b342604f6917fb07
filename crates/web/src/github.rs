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
use serde_json::json;
use tokio::sync::Semaphore;

use crate::access::{Asker, ForApp};
use crate::answer::{Answer, Parsed, Problem};
use crate::openapi::{Api, Operation, Tag};

/// The largest delivery, in bytes: GitHub cuts none that is smaller (GitHub Docs, "Webhook events and payloads").
const DELIVERY_MAX: usize = 25 * 1024 * 1024;
/// What is taken from anybody without a thought.
const SMALL: u64 = 256 * 1024;
/// How long a delivery may take to come.
const PATIENCE: Duration = Duration::from_secs(15);
/// Large ones that are taken at the same time, from whoever sends them: nobody is known before the whole was read.
static LARGE: Semaphore = Semaphore::const_new(4);

/// How any of these may fail that asks GitHub.
const FAILS: [ErrorCode; 4] = [ErrorCode::Conflict, ErrorCode::GithubSignIn, ErrorCode::GithubFailed, ErrorCode::RateLimited];

pub(crate) fn operations(api: Api) -> Api {
    let operation = |id, summary| Operation::new(Tag::GitHub, id, summary);
    of_the_app(
        api.get(
            "/github",
            operation("getGitHub", "How far GitHub is set up")
                .about("`app` is null where no GitHub App is; `connected` says whether you have connected an account of GitHub's.")
                .answers::<GitHubState>(StatusCode::OK, "The set-up."),
        )
        .put(
            "/github",
            operation("setGitHub", "Enter a GitHub App that is there already")
                .about("GitHub is asked whether the keys are right and the App may do what is needed, before they are kept.")
                .body::<NewGitHubApp>(json!({
                    "id": 12345, "client_id": "Iv23liAbCdEf", "client_secret": "…", "private_key": "-----BEGIN RSA PRIVATE KEY-----\n…",
                    "webhook_secret": "…",
                }))
                .answers::<GitHubApp>(StatusCode::OK, "The App as it is kept, without its secrets.")
                .fails(&FAILS),
        )
        .delete(
            "/github",
            operation("removeGitHub", "Forget the GitHub App and its keys")
                .about("Apps stay as they are; pushes deploy nothing any more.")
                .nothing("It is forgotten.")
                .fails(&[ErrorCode::Conflict]),
        )
        .get(
            "/github/installations",
            operation("listGitHubInstallations", "The accounts that have the App")
                .about("As far as you may see them: what GitHub shows to you, or all to whoever runs the platform and has connected no account.")
                .answers::<Vec<GitHubInstallation>>(StatusCode::OK, "The installations, by account.")
                .fails(&FAILS),
        )
        .get(
            "/github/repositories",
            operation("listGitHubRepositories", "The repositories that can be chosen")
                .about("Those that were pushed to last first. What was read at GitHub is good for a minute.")
                .query::<RepositoryQuery>()
                .answers::<Vec<GitHubRepository>>(StatusCode::OK, "The repositories.")
                .fails(&FAILS),
        )
        .get(
            "/github/branches",
            operation("listGitHubBranches", "The branches of a repository")
                .about("The one that GitHub shows first comes first.")
                .query::<BranchQuery>()
                .answers::<Vec<GitHubBranch>>(StatusCode::OK, "The branches.")
                .fails(&[ErrorCode::NotFound])
                .fails(&FAILS),
        )
        .get(
            "/github/deliveries",
            operation("listGitHubDeliveries", "What GitHub told the platform lately")
                .about("The newest first, and what came of each. For whom the whole platform is open to.")
                .answers::<Vec<GitHubDelivery>>(StatusCode::OK, "The deliveries."),
        ),
    )
}

/// Those below an app.
fn of_the_app(api: Api) -> Api {
    let operation = |id, summary| Operation::new(Tag::GitHub, id, summary);
    api.get(
        "/apps/{app}/source",
        operation("getAppSource", "The branch on GitHub that an app comes from")
            .answers::<AppSource>(StatusCode::OK, "The branch, and what stands in the way of its next push.")
            .fails(&[ErrorCode::NotFound]),
    )
    .put(
        "/apps/{app}/source",
        operation("setAppSource", "Link an app to a branch on GitHub")
            .about("Each push to it deploys the app from then on, unless `auto_deploy` says otherwise.")
            .body::<NewAppSource>(json!({ "repository": "octo/shop", "branch": "main" }))
            .answers::<AppSource>(StatusCode::OK, "The branch.")
            .fails(&[ErrorCode::NotFound])
            .fails(&FAILS),
    )
    .delete(
        "/apps/{app}/source",
        operation("removeAppSource", "Unlink an app from GitHub")
            .about("What is live stays.")
            .nothing("It is unlinked.")
            .fails(&[ErrorCode::Conflict]),
    )
    .post(
        "/apps/{app}/update",
        operation("updateDeployment", "Deploy an app's source again")
            .about("The newest commit of the branch that it is linked to, or else its last source; with the settings of now.")
            .answers::<Accepted>(StatusCode::ACCEPTED, "The deployment has its number, and waits for its turn.")
            .fails(&[ErrorCode::NotFound, ErrorCode::SourceRefused, ErrorCode::SourceTooLarge])
            .fails(&FAILS),
    )
}

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
