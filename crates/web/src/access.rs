//! Who sends a request: the operator by the Unix socket, the bearer of a token, or a user by their session's cookie.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use control::{Access, Browser, Control, Identity, Right, Who, may};
use http::header;
use http::request::Parts;
use model::{AppName, Starter};
use serde::Deserialize;

use crate::answer::Problem;
use crate::{cookie, headers, pages};

/// Base64 (RFC 4648, section 4), with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true),
);

/// Put among the extensions of requests that come by the platform's own socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FromSocket;

/// Who sends a request; found once, before anything else, and put among its extensions.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub(crate) who: Who,
    /// How the token is called that was shown; empty where none was.
    pub(crate) token: String,
    /// What forms and scripts must show; there where the authority is a cookie.
    pub(crate) csrf: Option<String>,
    /// From where; empty where it came by the socket.
    pub(crate) address: String,
    /// What the browser says it is.
    pub(crate) agent: String,
}

impl Asker {
    /// One of whom only that is known.
    fn nobody(address: String, agent: String) -> Self {
        Self { who: Who::Nobody, token: String::new(), csrf: None, address, agent }
    }

    /// Who sends this request: nobody, where nothing was found out before.
    pub(crate) fn of(parts: &Parts) -> Self {
        parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self::nobody(String::new(), String::new()))
    }

    /// The user.
    pub(crate) fn identity(&self) -> Option<&Arc<Identity>> {
        self.who.identity()
    }

    /// Whom a deployment that they ask for is started by.
    pub(crate) fn starter(&self) -> Option<Starter> {
        self.who.starter(&self.token)
    }

    /// The browser, as a session notes it.
    pub(crate) fn browser(&self) -> Browser {
        Browser { address: self.address.clone(), agent: self.agent.clone() }
    }
}

/// The outermost layer: finds out who it is, and adds to the answer what browsers must know.
pub(crate) async fn identify(State(control): State<Control>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let is_page = pages::is_page(parts.uri.path());
    let response = match find(&parts, &control).await {
        Ok(asker) => {
            parts.extensions.insert(asker);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(problem) => problem.into_response(),
    };
    headers::add(&control, is_page, response)
}

/// Finds out who sends a request. What the `Authorization` header says counts alone where there is one: no cookie makes up for it.
async fn find(parts: &Parts, control: &Control) -> Result<Asker, Problem> {
    let address = parts.extensions.get::<edge::Visitor>().map(|visitor| visitor.addr.ip().to_canonical().to_string());
    let agent = parts.headers.get(header::USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let mut asker = Asker::nobody(address.unwrap_or_default(), agent.unwrap_or_default());
    if parts.extensions.get::<FromSocket>().is_some() {
        asker.who = Who::Operator;
    } else if parts.headers.contains_key(header::AUTHORIZATION) {
        (asker.who, asker.token) = control.who(token(parts)).await?;
    } else if let Some(session) = cookie::session(&parts.headers)
        && let Some(identity) = control.signed_in(&session).await?
    {
        asker.who = Who::User(identity);
        asker.csrf = Some(Control::csrf_token(&session));
    }
    Ok(asker)
}

/// The token of a request: `Authorization: Bearer`, or `Basic` as git sends it, with the token as the password.
fn token(parts: &Parts) -> Option<String> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let plain = String::from_utf8(base64(rest.trim())?).ok()?;
        return plain.split_once(':').map(|(_user, password)| password.to_owned());
    }
    None
}

fn base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

/// A request for one app by somebody who may: look, where the method only looks, or else change.
#[derive(Debug)]
pub(crate) struct ForApp(pub(crate) AppName);

/// A request that shows an app's secrets or changes it.
#[derive(Debug)]
pub(crate) struct ToChange(pub(crate) AppName);

/// A request that only an owner of the app may make.
#[derive(Debug)]
pub(crate) struct ToOwn(pub(crate) AppName);

/// A request to change an app, or to make it.
#[derive(Debug)]
pub(crate) struct ToDeploy(pub(crate) AppName);

/// A request that concerns the whole platform by somebody who may.
#[derive(Debug)]
pub(crate) struct ForPlatform;

/// A request by somebody with any valid token or session.
#[derive(Debug)]
pub(crate) struct ForAnyone;

/// A request by a user who is signed in, about their own account.
#[derive(Debug)]
pub(crate) struct ForAccount(pub(crate) Arc<Identity>);

#[derive(Deserialize)]
struct AppPath {
    app: String,
}

async fn app(parts: &mut Parts, control: &Control, who: &Who) -> Result<AppName, Problem> {
    let Path(path) =
        Path::<AppPath>::from_request_parts(parts, control).await.map_err(|error| Problem::bad_request(error.body_text()))?;
    // Nobody learns what is a name and what is not.
    match AppName::parse(&path.app) {
        Ok(app) => Ok(app),
        Err(error) => {
            may(who, &Access::Hello)?;
            Err(Problem::bad_request(error.to_string()))
        }
    }
}

async fn app_with(parts: &mut Parts, control: &Control, right: Right) -> Result<AppName, Problem> {
    let who = Asker::of(parts).who;
    let app = app(parts, control, &who).await?;
    may(&who, &Access::App(&app, right))?;
    Ok(app)
}

impl FromRequestParts<Control> for ForApp {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Problem> {
        let right = if parts.method.is_safe() { Right::Look } else { Right::Change };
        app_with(parts, control, right).await.map(Self)
    }
}

impl FromRequestParts<Control> for ToChange {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Problem> {
        app_with(parts, control, Right::Change).await.map(Self)
    }
}

impl FromRequestParts<Control> for ToOwn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Problem> {
        app_with(parts, control, Right::Own).await.map(Self)
    }
}

impl FromRequestParts<Control> for ToDeploy {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Problem> {
        let who = Asker::of(parts).who;
        let app = app(parts, control, &who).await?;
        control.may_deploy(&who, &app)?;
        Ok(Self(app))
    }
}

impl FromRequestParts<Control> for ForPlatform {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Control) -> Result<Self, Problem> {
        may(&Asker::of(parts).who, &Access::Platform)?;
        Ok(Self)
    }
}

impl FromRequestParts<Control> for ForAnyone {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Control) -> Result<Self, Problem> {
        may(&Asker::of(parts).who, &Access::Hello)?;
        Ok(Self)
    }
}

impl FromRequestParts<Control> for ForAccount {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Control) -> Result<Self, Problem> {
        let who = Asker::of(parts).who;
        may(&who, &Access::Account)?;
        who.identity().cloned().map(Self).ok_or_else(Problem::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_as_git_writes_it() {
        assert_eq!(base64("Z2l0OmFkcHRfMTIz").as_deref(), Some(&b"git:adpt_123"[..]));
        assert_eq!(base64("Zm9vYg==").as_deref(), Some(&b"foob"[..]));
        assert_eq!(base64("Zm9vYmE=").as_deref(), Some(&b"fooba"[..]));
        assert_eq!(base64("Zm9vYmE").as_deref(), Some(&b"fooba"[..]));
        assert_eq!(base64("").as_deref(), Some(&b""[..]));
        assert_eq!(base64("a b"), None);
    }
}
