//! To GitHub and back: signing in, connecting an account, installing the App; and the operator's page of the App.

use api::{ErrorBody, ErrorCode, GitHubDelivery, GitHubInstallation, NewGitHubApp};
use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use control::{Control, GitHubWay, LocalPath, ManifestForm, Purpose, Who};
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::entry::come_in;
use super::flash::Said;
use super::layout::{Nav, Shell, page, page_with};
use super::operator::Tab;
use super::text::When;
use super::visitor::{Posted, Visitor};
use crate::answer::{Answer, Problem};
use crate::cookie;
use crate::routes::{Needs, Table};

/// By what a browser is known that comes back from GitHub: whoever has the address that GitHub led it to has not got this.
const COOKIE: &str = "__Host-adaptable-github";
/// A little longer than a browser may be away, in seconds.
const MAX_AGE: u32 = 15 * 60;

pub(crate) fn routes(table: Table) -> Table {
    table
        .get("/sign-in/github", Needs::Nothing, begin)
        .post_quietly("/sign-in/github", Needs::Nothing, post_begin)
        .get("/sign-in/github/install", Needs::Hello, install)
        .get("/sign-in/github/callback", Needs::Nothing, callback)
        .get("/operator/github", Needs::Platform, show)
        .get("/operator/github/created", Needs::Platform, created)
        .post("/operator/github", Needs::Platform, "github.set-up", enter)
        .post("/operator/github/remove", Needs::Platform, "github.remove", remove)
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Next {
    #[serde(default)]
    next: String,
}

impl Next {
    fn or(query: Result<Query<Self>, QueryRejection>, otherwise: &str) -> String {
        let next = query.ok().and_then(|Query(query)| LocalPath::parse(&query.next));
        next.map_or_else(|| otherwise.to_owned(), |next| next.as_str().to_owned())
    }
}

/// What the browser's cookie holds, and the header that gives it one where it has none.
struct Known {
    secret: String,
    set: HeaderValue,
}

impl Known {
    fn of(headers: &HeaderMap) -> Self {
        let kept = cookie::value(headers, COOKIE);
        let kept = kept.filter(|text| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let secret = kept.unwrap_or_else(Control::random_text);
        let set = format!("{COOKIE}={secret}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={MAX_AGE}");
        let mut set = HeaderValue::from_str(&set).expect("digits and words");
        set.set_sensitive(true);
        Self { secret, set }
    }
}

#[derive(Template)]
#[template(path = "github_link.html")]
struct LinkPage<'a> {
    shell: Shell,
    next: &'a str,
}

async fn begin(
    visitor: Visitor,
    shell: Shell,
    State(control): State<Control>,
    headers: HeaderMap,
    query: Result<Query<Next>, QueryRejection>,
) -> Answer<Response> {
    let next = Next::or(query, "/apps");
    let way = match &visitor.identity {
        None => GitHubWay::SignIn,
        Some(identity) if control.me(&visitor.who).await?.is_some_and(|me| me.github.is_some()) => GitHubWay::Link(identity.id),
        // A link of somebody else's could lead here: what links an account takes a click.
        Some(_) => return Ok(page(&LinkPage { shell: shell.titled("Connect GitHub"), next: &next })),
    };
    depart(&control, Purpose::Enter(way), &next, &headers).await
}

/// What the button of a page for coming in sends: where to go on, or by which link one comes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Entrance {
    next: String,
    invite: String,
    welcome: String,
}

async fn post_begin(
    visitor: Visitor,
    State(control): State<Control>,
    headers: HeaderMap,
    Posted(form): Posted<Entrance>,
) -> Answer<Response> {
    let link = |path: &str, page: &str| path.strip_prefix(page).map(str::to_owned);
    let way = match (link(&form.invite, "/invite/"), link(&form.welcome, "/welcome/"), &visitor.identity) {
        (Some(invite), ..) => GitHubWay::Invite(invite),
        (None, Some(welcome), _) => GitHubWay::Welcome(welcome),
        (None, None, Some(identity)) => GitHubWay::Link(identity.id),
        (None, None, None) => GitHubWay::SignIn,
    };
    let next = LocalPath::parse(&form.next);
    let next = next.as_ref().filter(|next| next.as_str() != "/").map_or("/apps", LocalPath::as_str);
    depart(&control, Purpose::Enter(way), next, &headers).await
}

async fn install(
    State(control): State<Control>,
    headers: HeaderMap,
    query: Result<Query<Next>, QueryRejection>,
) -> Answer<Response> {
    depart(&control, Purpose::Install, &Next::or(query, "/new"), &headers).await
}

async fn depart(control: &Control, purpose: Purpose, next: &str, headers: &HeaderMap) -> Answer<Response> {
    let known = Known::of(headers);
    let to = control.begin_oauth(purpose, next, &known.secret).await?;
    Ok(([(header::SET_COOKIE, known.set)], Redirect::to(to.as_str())).into_response())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Back {
    code: String,
    state: String,
    error: String,
    setup_action: String,
}

async fn callback(
    visitor: Visitor,
    State(control): State<Control>,
    headers: HeaderMap,
    query: Result<Query<Back>, QueryRejection>,
) -> Answer<Response> {
    let Query(back) = query.map_err(|_odd| Problem::bad_request("this is no way back from GitHub"))?;
    if !back.error.is_empty() {
        let error = ErrorBody::new(ErrorCode::Forbidden, "GitHub was told not to let Adaptable in");
        return Err(Problem(error.help("sign in with GitHub again and choose \"Authorize\", or sign in with a password")));
    }
    if back.state.is_empty() {
        // Who has begun on GitHub's own pages, to install the App say: nothing that comes along proves anything, so they go the way that does.
        let to = if visitor.identity.is_some() && !back.setup_action.is_empty() { "/new" } else { "/sign-in/github?next=/new" };
        return Ok(Redirect::to(to).into_response());
    }
    let secret = cookie::value(&headers, COOKIE).unwrap_or_default();
    let arrival = control.finish_oauth(&visitor.who, &back.code, &back.state, &secret, &visitor.browser).await?;
    let next = LocalPath::parse(&arrival.next);
    if let Some(signed_in) = &arrival.signed_in {
        return come_in(&visitor, &control, signed_in, "with GitHub", next.as_ref()).await;
    }
    // The cookie that the first answer carried may never have arrived, and it is not given twice.
    let lost = arrival.again && visitor.identity.is_none();
    let connected = control.github_state(&visitor.who).await?.connected;
    let to = match &next {
        // The App was installed by somebody whose account is not connected yet; GitHub asks nothing more.
        Some(next) if lost || (!back.setup_action.is_empty() && !connected) => format!("/sign-in/github?{}", next.as_query()),
        next => next.as_ref().map_or("/apps", LocalPath::as_str).to_owned(),
    };
    Ok(Redirect::to(&to).into_response())
}

/// What was typed of an App that is there already; no secret is shown again.
#[derive(Debug, Default)]
struct Typed {
    id: String,
    client_id: String,
    message: String,
    help: String,
}

#[derive(Template)]
#[template(path = "operator_github.html")]
struct GitHubPage<'a> {
    shell: Shell,
    tab: Tab,
    web: &'a str,
    app: Option<&'a api::GitHubApp>,
    since: Option<When>,
    /// The form that makes the App at GitHub.
    form: Option<&'a ManifestForm>,
    organization: &'a str,
    callback: String,
    typed: &'a Typed,
    installations: &'a [GitHubInstallation],
    /// Why they can't be shown.
    trouble: &'a str,
    deliveries: Vec<Row>,
}

struct Row {
    at: When,
    delivery: GitHubDelivery,
}

impl Row {
    /// Tone, icon and word.
    fn badge(&self) -> (&'static str, &'static str, &'static str) {
        match self.delivery.state.as_str() {
            "done" => ("live", "done", "done"),
            "failed" => ("failed", "failed", "failed"),
            _ if self.delivery.tries > 0 => ("building", "waiting", "tried again"),
            _ => ("building", "running", "under way"),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Owner {
    #[serde(default)]
    organization: String,
}

async fn show(
    visitor: Visitor,
    shell: Shell,
    State(control): State<Control>,
    headers: HeaderMap,
    query: Result<Query<Owner>, QueryRejection>,
) -> Answer<Response> {
    let owner = query.map(|Query(owner)| owner.organization).unwrap_or_default();
    draw(&visitor, shell, &control, &headers, owner.trim(), &Typed::default(), http::StatusCode::OK).await
}

async fn draw(
    visitor: &Visitor,
    shell: Shell,
    control: &Control,
    headers: &HeaderMap,
    organization: &str,
    typed: &Typed,
    status: http::StatusCode,
) -> Answer<Response> {
    let state = control.github_state(&visitor.who).await?;
    let known = Known::of(headers);
    let (mut form, mut installations, mut trouble) = (None, Vec::new(), String::new());
    if state.app.is_some() {
        match control.github_installations(&Who::Operator).await {
            Ok(list) => installations = list,
            Err(error) => trouble = error.message,
        }
    } else {
        let organization = Some(organization).filter(|name| !name.is_empty());
        form = Some(control.begin_github_setup(organization, &known.secret).await?);
    }
    let rows = control.github_deliveries().await?;
    let deliveries = rows.into_iter().map(|delivery| Row { at: When::new(delivery.received_at), delivery }).collect();
    let template = GitHubPage {
        shell: shell.titled("GitHub").at(Nav::Operator),
        tab: Tab::GitHub,
        web: &state.web,
        since: state.app.as_ref().map(|app| When::new(app.created_at)),
        app: state.app.as_ref(),
        form: form.as_ref(),
        organization,
        callback: control.github_callback()?,
        typed,
        installations: &installations,
        trouble: &trouble,
        deliveries,
    };
    let drawn = page_with(status, &template);
    Ok(([(header::SET_COOKIE, known.set)], drawn).into_response())
}

async fn created(
    State(control): State<Control>,
    headers: HeaderMap,
    query: Result<Query<Back>, QueryRejection>,
) -> Answer<Response> {
    let Query(back) = query.map_err(|_odd| Problem::bad_request("this is no way back from GitHub"))?;
    let secret = cookie::value(&headers, COOKIE).unwrap_or_default();
    control.finish_github_setup(&back.code, &back.state, &secret).await?;
    Ok(Redirect::to(&Said::GitHubReady.at("/operator/github")).into_response())
}

#[derive(Deserialize)]
pub(crate) struct Entered {
    id: String,
    client_id: String,
    client_secret: Zeroizing<String>,
    private_key: Zeroizing<String>,
    webhook_secret: Zeroizing<String>,
}

async fn enter(
    visitor: Visitor,
    shell: Shell,
    State(control): State<Control>,
    headers: HeaderMap,
    Posted(form): Posted<Entered>,
) -> Answer<Response> {
    let tried = match form.id.trim().parse::<u64>() {
        Ok(id) => {
            let new = NewGitHubApp {
                id,
                client_id: form.client_id.clone(),
                client_secret: form.client_secret.to_string(),
                private_key: form.private_key.to_string(),
                webhook_secret: form.webhook_secret.to_string(),
            };
            control.enter_github_app(new).await.map(drop)
        }
        Err(_no_number) => Err(ErrorBody::new(ErrorCode::BadRequest, "the App ID is a number")
            .help("it stands at the top of the App's settings page on GitHub")),
    };
    match tried {
        Ok(()) => Ok(Redirect::to(&Said::GitHubReady.at("/operator/github")).into_response()),
        Err(error) if error.code == ErrorCode::Conflict => Err(Problem(error)),
        Err(error) => {
            let status = crate::answer::status(&error);
            let typed = Typed { id: form.id, client_id: form.client_id, message: error.message, help: error.help };
            draw(&visitor, shell, &control, &headers, "", &typed, status).await
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Removal {
    #[serde(default)]
    sure: String,
}

async fn remove(State(control): State<Control>, Posted(form): Posted<Removal>) -> Answer<Response> {
    if form.sure.is_empty() {
        return Err(Problem::bad_request("tick the box to say that the App is to be removed; nothing was changed"));
    }
    control.remove_github_app().await?;
    Ok(Redirect::to(&Said::GitHubRemoved.at("/operator/github")).into_response())
}
