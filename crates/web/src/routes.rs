//! The table of routes: what each needs is said where it is made, and checked before its handler runs.
//!
//! Nothing is reachable but through this table: a route without a line that says who may is not possible, and a change without a word
//! for the audit log neither. Tests walk the table as nobody, as a stranger, as a viewer.

use std::collections::HashSet;

use api::TokenSummary;
use axum::extract::{DefaultBodyLimit, FromRequestParts, RawPathParams, Request, State};
use axum::handler::Handler;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use axum::{Extension, Router};
use control::{Access, Control, Right, asked_by, may};
use model::AppName;

use crate::access::Asker;
use crate::answer::{Answer, Problem};
use crate::{once, openapi, pages};

/// What a request must be allowed to do before its handler runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: anybody may come.
    Nothing,
    /// The handler asks `may` itself, since what it needs depends on more than the address.
    Itself,
    /// To be somebody.
    Hello,
    /// To be a user who is signed in, by no token: what is about their account.
    Account,
    /// A right to the app in the address (`{app}`).
    App(Right),
    /// To change the app in the address, or to make it where it is not there.
    Deploy,
    /// To make apps.
    NewApp,
    /// The platform as a whole.
    Platform,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its method.
    pub method: &'static str,
    /// Its path, with `{names}`.
    pub path: String,
    /// What it needs.
    pub needs: Needs,
    /// The word in the audit log; empty for what changes nothing.
    pub what: &'static str,
}

/// The table while it is made.
pub(crate) struct Table {
    /// None where only the list is wanted.
    control: Option<Control>,
    router: Router<Control>,
    prefix: &'static str,
    routes: Vec<Route>,
    /// What takes an `Idempotency-Key`, as its description says.
    once: HashSet<(&'static str, String)>,
}

macro_rules! changing {
    ($($name:ident $method:literal $filter:ident),+) => {
        $(
            #[doc = concat!("What `", $method, "` of a path changes; `what` is its word in the audit log.")]
            pub(crate) fn $name<H, T>(self, path: &str, needs: Needs, what: &'static str, handler: H) -> Self
            where
                H: Handler<T, Control>,
                T: 'static,
            {
                assert!(!what.is_empty(), "{path}: a change has a word for the audit log");
                self.add($method, MethodFilter::$filter, path, needs, what, handler, false)
            }
        )+
    };
}

impl Table {
    pub(crate) fn new(control: Control) -> Self {
        Self { control: Some(control), router: Router::new(), prefix: "", routes: Vec::new(), once: openapi::once() }
    }

    /// A table that is only to be listed: its router has nothing.
    pub(crate) fn listing() -> Self {
        Self { control: None, router: Router::new(), prefix: "", routes: Vec::new(), once: HashSet::new() }
    }

    /// What follows lies below this path.
    pub(crate) fn under(mut self, prefix: &'static str) -> Self {
        self.prefix = prefix;
        self
    }

    /// What `GET` and `HEAD` of a path show. They change nothing.
    pub(crate) fn get<H, T>(self, path: &str, needs: Needs, handler: H) -> Self
    where
        H: Handler<T, Control>,
        T: 'static,
    {
        self.add("GET", MethodFilter::GET, path, needs, "", handler, false)
    }

    changing!(post "POST" POST, put "PUT" PUT, patch "PATCH" PATCH, delete "DELETE" DELETE);

    /// A `POST` of any length; `what` is empty where it changes nothing (an upload belongs to nobody yet).
    pub(crate) fn post_stream<H, T>(self, path: &str, needs: Needs, what: &'static str, handler: H) -> Self
    where
        H: Handler<T, Control>,
        T: 'static,
    {
        self.add("POST", MethodFilter::POST, path, needs, what, handler, true)
    }

    /// A `POST` that changes nothing of the platform's.
    pub(crate) fn post_quietly<H, T>(self, path: &str, needs: Needs, handler: H) -> Self
    where
        H: Handler<T, Control>,
        T: 'static,
    {
        self.add("POST", MethodFilter::POST, path, needs, "", handler, false)
    }

    #[expect(clippy::too_many_arguments, reason = "one place, behind methods that have few")]
    fn add<H, T>(
        mut self,
        method: &'static str,
        filter: MethodFilter,
        path: &str,
        needs: Needs,
        what: &'static str,
        handler: H,
        long: bool,
    ) -> Self
    where
        H: Handler<T, Control>,
        T: 'static,
    {
        let path = format!("{}{path}", self.prefix);
        if let Some(control) = self.control.clone() {
            let guard = Guard { control: control.clone(), needs, what };
            let mut route = on(filter, handler);
            if self.once.contains(&(method, path.clone())) {
                route = route.layer(from_fn_with_state(control, once::keep));
            }
            route = route.layer(from_fn_with_state(guard, check));
            if long {
                route = route.layer(DefaultBodyLimit::disable());
            }
            self.router = self.router.route(&path, route);
        }
        self.routes.push(Route { method, path, needs, what });
        self
    }

    /// The router, and the list of what it has.
    pub(crate) fn finish(self) -> (Router<Control>, Vec<Route>) {
        (self.router, self.routes)
    }
}

#[derive(Clone)]
struct Guard {
    control: Control,
    needs: Needs,
    what: &'static str,
}

/// Asks `may`, runs the handler, writes a change down.
async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let asker = Asker::of(&parts);
    let named = app_of(&mut parts).await;
    if let Err(problem) = allowed(&guard, &asker, named.as_deref()) {
        return if pages::is_page(parts.uri.path()) { pages::refuse(&parts, &asker, problem) } else { problem.into_response() };
    }
    let response = asked_by(asker.starter(), next.run(Request::from_parts(parts, body))).await;
    let changed = !guard.what.is_empty()
        && !guard.needs.is_open()
        && response.status().as_u16() < 400
        && !response.headers().contains_key(once::REPLAY);
    let shown = response.extensions().get::<Shown>().map(|shown| shown.0);
    if let Some(what) = shown.or(changed.then_some(guard.what)) {
        let app = named.and_then(|name| AppName::parse(&name).ok());
        let detail = response.extensions().get::<Detail>().map(|detail| detail.0.clone()).unwrap_or_default();
        guard.control.audit(&asker.who, what, app.as_ref(), &detail, &asker.address).await;
    }
    response
}

impl Needs {
    /// Whether nobody in particular may come: such changes are written down by the use case, which knows who it was.
    fn is_open(self) -> bool {
        matches!(self, Self::Nothing | Self::Itself)
    }
}

/// That an answer shows what is hidden otherwise, and the word for it in the audit log; put among a response's extensions by its handler.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown(pub(crate) &'static str);

impl Shown {
    /// Values of an app's variables.
    pub(crate) const VARIABLES: Self = Self("app.variables.show");

    /// An answer that shows it, and of which it is to be written down.
    pub(crate) fn by(self, answer: impl IntoResponse) -> Response {
        (Extension(self), answer).into_response()
    }
}

/// More for the audit log, put among a response's extensions by its handler; never a secret.
#[derive(Debug, Clone)]
pub(crate) struct Detail(pub(crate) String);

impl Detail {
    /// Which token it is about.
    pub(crate) fn token(token: &TokenSummary) -> Self {
        Self(format!("token {} ({})", token.id, token.name))
    }

    /// The same, and whose own it is.
    pub(crate) fn token_of(token: &TokenSummary) -> Self {
        let whose = token.user.as_ref().map(|user| format!(" of {user}")).unwrap_or_default();
        Self(Self::token(token).0 + &whose)
    }

    /// An answer of which the audit log tells that much more.
    pub(crate) fn by(self, answer: impl IntoResponse) -> Response {
        (Extension(self), answer).into_response()
    }
}

fn allowed(guard: &Guard, asker: &Asker, named: Option<&str>) -> Answer<()> {
    let who = &asker.who;
    let app = || {
        // Nobody learns what is a name and what is not.
        AppName::parse(named.unwrap_or_default()).map_err(|error| match may(who, &Access::Hello) {
            Ok(()) => Problem::bad_request(error.to_string()),
            Err(stranger) => Problem(stranger),
        })
    };
    match guard.needs {
        Needs::Nothing | Needs::Itself => Ok(()),
        Needs::Hello => Ok(may(who, &Access::Hello)?),
        Needs::Account => Ok(may(who, &Access::Account)?),
        Needs::NewApp => Ok(may(who, &Access::NewApp)?),
        Needs::Platform => Ok(may(who, &Access::Platform)?),
        Needs::App(right) => Ok(may(who, &Access::App(&app()?, right))?),
        Needs::Deploy => {
            let app = app()?;
            Ok(guard.control.may_deploy(who, &app)?)
        }
    }
}

/// The app in the address.
async fn app_of(parts: &mut http::request::Parts) -> Option<String> {
    let params = RawPathParams::from_request_parts(parts, &()).await.ok()?;
    params.iter().find(|(key, _)| *key == "app").map(|(_, value)| value.to_owned())
}
