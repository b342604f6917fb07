//! Routes of the platform itself: who answers, its authority's certificate, tokens, checks.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::OnceLock;

use api::{CreatedToken, DoctorReport, ErrorCode, MachineReport, NewToken, Platform, TokenSummary};
use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use control::Control;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use crate::access::{ForAccount, ForAnyone, ForPlatform};
use crate::answer::{Answer, Parsed};
use crate::openapi::{Api, Operation, Tag};
use crate::paging::{Order, Page};
use crate::routes::Detail;

/// The platform's operations.
pub(crate) fn operations(api: Api) -> Api {
    own_tokens_of(tokens_of_all(platform_itself(api)))
}

fn platform_itself(api: Api) -> Api {
    api.get(
        "/platform",
        Operation::new(Tag::Platform, "getPlatform", "Who answers")
            .answers::<Platform>(StatusCode::OK, "The platform.")
            .example::<Platform>(json!({
                "version": "0.1.0", "build": "5f2c", "domain": "localhost", "url": "https://localhost:8443",
                "app_url": "https://NAME.localhost:8443", "http": "0.0.0.0:8080", "https": "0.0.0.0:8443", "pid": 812,
                "data_dir": "/var/lib/adaptable", "started_at": "2026-11-24T09:00:00Z", "own_ca": true,
            })),
    )
    .get(
        "/ca",
        Operation::new(Tag::Platform, "getAuthority", "The certificate of the platform's own authority")
            .about("It is no secret: whoever connects needs it before anything can be trusted.")
            .open()
            .gives(PEM, "The certificate, in PEM."),
    )
    .get(
        "/doctor",
        Operation::new(Tag::Platform, "runDoctor", "The platform's own checks")
            .about("For whom the whole platform is open to.")
            .answers::<DoctorReport>(StatusCode::OK, "What was found."),
    )
    .get(
        "/machine",
        Operation::new(Tag::Platform, "getMachine", "What the machine has, and who uses it")
            .about("For whom the whole platform is open to. Instances that run are asked; nobody is woken.")
            .answers::<MachineReport>(StatusCode::OK, "What was found."),
    )
    .get(
        "/settings/schema",
        Operation::new(Tag::Settings, "getSettingsSchema", "What a settings document may hold")
            .about("A JSON Schema (2020-12), with what each key means.")
            .gives("application/schema+json", "The schema."),
    )
}

fn tokens_of_all(api: Api) -> Api {
    api.get(
        "/tokens",
        Operation::new(Tag::Access, "listTokens", "All access tokens, without their secrets")
            .about("The oldest first: the platform's, and those of users (`user`). For whom the whole platform is open to.")
            .listed()
            .answers::<Vec<TokenSummary>>(StatusCode::OK, "The tokens."),
    )
    .post(
        "/tokens",
        Operation::new(Tag::Access, "createToken", "Make an access token")
            .about(
                "It is the platform's own, and stays when whoever made it goes. The token itself is in this answer and nowhere else. With \
                 `app` it opens that app alone, with `days` it ends by itself.",
            )
            .body::<NewToken>(json!({ "name": "laptop" }))
            .once()
            .answers::<CreatedToken>(StatusCode::CREATED, "The token.")
            .fails(&[ErrorCode::AppNotFound]),
    )
    .delete(
        "/tokens/{id}",
        Operation::new(Tag::Access, "revokeToken", "Revoke an access token")
            .about("Whoever's it is.")
            .nothing("It opens nothing any more.")
            .fails(&[ErrorCode::TokenNotFound]),
    )
}

fn own_tokens_of(api: Api) -> Api {
    api.get(
        "/me/tokens",
        Operation::new(Tag::Access, "listOwnTokens", "The tokens of the user who asks, without their secrets")
            .about(OWN)
            .answers::<Vec<TokenSummary>>(StatusCode::OK, "The tokens, the oldest first."),
    )
    .post(
        "/me/tokens",
        Operation::new(Tag::Access, "createOwnToken", "Make a token of one's own")
            .about(
                "Whoever shows it is the user who made it, with the roles that they have then; with `app`, in that app alone. The token \
                 itself is in this answer and nowhere else. For a browser that is signed in: a token makes no tokens.",
            )
            .body::<NewToken>(json!({ "name": "laptop", "days": 90 }))
            .once()
            .answers::<CreatedToken>(StatusCode::CREATED, "The token.")
            .fails(&[ErrorCode::AppNotFound, ErrorCode::Conflict]),
    )
    .delete(
        "/me/tokens/{id}",
        Operation::new(Tag::Access, "revokeOwnToken", "Revoke a token of one's own")
            .about(OWN)
            .nothing("It opens nothing any more.")
            .fails(&[ErrorCode::TokenNotFound]),
    )
}

const OWN: &str = "For a browser that is signed in; no token opens what is its user's own.";

/// What the authority's certificate is.
const PEM: &str = "application/x-pem-file";

/// The API's description. It is the same for everybody, and says nothing of what there is on this platform.
pub(crate) async fn description(State(control): State<Control>, headers: HeaderMap) -> Response {
    /// Made once: neither the program nor its address changes while it runs.
    static DESCRIPTION: OnceLock<(Bytes, HeaderValue)> = OnceLock::new();
    let (text, tag) = DESCRIPTION.get_or_init(|| {
        let text = crate::description(&control.platform().url).to_string();
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let tag = HeaderValue::from_str(&format!("\"{:016x}\"", hasher.finish()));
        (text.into(), tag.unwrap_or(HeaderValue::from_static("\"0\"")))
    });
    let known = headers.get(header::IF_NONE_MATCH) == Some(tag);
    let head = [(header::CACHE_CONTROL, HeaderValue::from_static("no-cache")), (header::ETAG, tag.clone())];
    if known {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    (head, [(header::CONTENT_TYPE, api::JSON)], text.clone()).into_response()
}

pub(crate) async fn platform(_: ForAnyone, State(control): State<Control>) -> Json<Platform> {
    Json(control.platform())
}

/// The authority's certificate is no secret: whoever connects needs it before anything can be trusted.
pub(crate) async fn ca(State(control): State<Control>) -> Response {
    ([(header::CONTENT_TYPE, PEM)], control.authority_pem().to_owned()).into_response()
}

/// What a settings document may hold.
pub(crate) async fn settings_schema(_: ForAnyone) -> Response {
    ([(header::CONTENT_TYPE, "application/schema+json")], api::settings_schema().to_string()).into_response()
}

pub(crate) async fn doctor(_: ForPlatform, State(control): State<Control>) -> Json<DoctorReport> {
    Json(control.doctor().await)
}

pub(crate) async fn machine(_: ForPlatform, State(control): State<Control>) -> Answer<Json<MachineReport>> {
    Ok(Json(control.machine().await?))
}

pub(crate) async fn tokens(_: ForPlatform, State(control): State<Control>, page: Page) -> Answer<Response> {
    // An id is a number in the clothes of a text.
    page.cut(control.tokens().await?, Order::Up, |entry| entry.id.parse::<u64>().unwrap_or_default())
}

pub(crate) async fn create_token(
    _: ForPlatform,
    State(control): State<Control>,
    Parsed(new): Parsed<NewToken>,
) -> Answer<Response> {
    Ok(created(control.create_token(new).await?))
}

fn created(created: CreatedToken) -> Response {
    Detail::token(&created.summary).by((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(created)))
}

fn revoked(token: &TokenSummary) -> Response {
    Detail::token_of(token).by(StatusCode::NO_CONTENT)
}

pub(crate) async fn delete_token(_: ForPlatform, State(control): State<Control>, Path(id): Path<String>) -> Answer<Response> {
    Ok(revoked(&control.delete_token(&id).await?))
}

pub(crate) async fn own_tokens(ForAccount(me): ForAccount, State(control): State<Control>) -> Answer<Json<Vec<TokenSummary>>> {
    Ok(Json(control.own_tokens(&me).await?))
}

pub(crate) async fn create_own_token(
    ForAccount(me): ForAccount,
    State(control): State<Control>,
    Parsed(new): Parsed<NewToken>,
) -> Answer<Response> {
    Ok(created(control.create_own_token(&me, new).await?))
}

pub(crate) async fn delete_own_token(
    ForAccount(me): ForAccount,
    State(control): State<Control>,
    Path(id): Path<String>,
) -> Answer<Response> {
    Ok(revoked(&control.delete_own_token(&me, &id).await?))
}
