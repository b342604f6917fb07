//! What clients talk to: the pages, the REST API and git over HTTPS.
//!
//! One router serves both ways in: the platform's Unix socket ([`serve_socket`]), whose visitors are the operator, and the edge
//! ([`service`]), whose visitors show a token or are signed in. Knows nothing of how things are done: that is control's.

mod access;
mod adapter;
mod answer;
mod apps;
mod backups;
mod changes;
mod conditional;
mod cookie;
mod csrf;
mod databases;
mod deployments;
mod figures;
mod git;
mod github;
mod headers;
mod once;
mod openapi;
mod pages;
mod paging;
mod platform;
mod routes;
mod socket;
mod users;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use control::Control;

use routes::Table;

pub use adapter::service;
pub use routes::{Needs, Route};
pub use socket::{bind_socket, serve_socket};

/// The largest body of a request that is not an upload, in bytes.
const BODY_MAX: usize = 1024 * 1024;

/// Every route that there is.
pub fn router(control: Control) -> Router {
    let (router, _) = table(Table::new(control.clone())).finish();
    router
        .fallback(answer::not_found)
        .method_not_allowed_fallback(answer::method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(from_fn_with_state(control.clone(), changes::gate))
        .layer(from_fn(csrf::check))
        .layer(from_fn_with_state(control.clone(), pages::errors::layer))
        .layer(from_fn_with_state(control.clone(), access::identify))
        .with_state(control)
}

/// The same as a list, for the tests that walk it.
pub fn routes() -> Vec<Route> {
    table(Table::listing()).finish().1
}

/// The API's description (`OpenAPI` 3.1) for a platform at `url`, as `GET /api/openapi.json` gives it.
pub fn description(url: &str) -> serde_json::Value {
    openapi::document(&openapi::operations(), url)
}

fn table(table: Table) -> Table {
    pages::github::routes(pages::routes(api(table)))
        .get("/api/openapi.json", Needs::Nothing, platform::description)
        .get("/api/docs", Needs::Nothing, pages::api_docs::index)
        .get("/api/docs/{part}", Needs::Nothing, pages::api_docs::part)
        .get("/help/errors/{code}", Needs::Nothing, pages::api_docs::error)
        .get("/", Needs::Nothing, pages::front::front)
        .post_quietly("/theme", Needs::Nothing, pages::front::theme)
        .get("/assets/{name}", Needs::Nothing, pages::assets::serve)
        .get("/metrics", Needs::Platform, figures::all)
        .get("/git/{*path}", Needs::Itself, git::serve)
        .post_stream("/git/{*path}", Needs::Itself, "", git::serve)
        .post_stream("/hooks/github", Needs::Nothing, "", github::hook)
}

#[rustfmt::skip]
fn api(table: Table) -> Table {
    use Needs::{Account, App, Deploy, Hello, Nothing, Platform};
    use control::Right::{Change, Look, Own};
    table
        .under(api::PREFIX)
        .get("/platform", Hello, platform::platform)
        .get("/ca", Nothing, platform::ca)
        .get("/machine", Platform, platform::machine)
        .get("/backups", Platform, backups::overview)
        .get("/doctor", Platform, platform::doctor)
        .get("/settings/schema", Hello, platform::settings_schema)
        .get("/tokens", Platform, platform::tokens)
        .post("/tokens", Platform, "token.create", platform::create_token)
        .delete("/tokens/{id}", Platform, "token.revoke", platform::delete_token)
        .post_stream("/uploads", Hello, "", deployments::upload)
        .get("/apps", Hello, apps::list)
        .get("/apps/{app}", App(Look), apps::status)
        .delete("/apps/{app}", App(Own), "app.delete", apps::delete)
        .get("/apps/{app}/revisions", App(Look), apps::revisions)
        .post("/apps/{app}/rollback", App(Change), "app.rollback", deployments::rollback)
        .put("/apps/{app}/split", App(Change), "app.split", apps::split)
        .delete("/apps/{app}/split", App(Change), "app.split.end", apps::end_split)
        .get("/apps/{app}/deployments", App(Look), deployments::list)
        .post("/apps/{app}/deployments", Deploy, "app.deploy", deployments::create)
        .get("/apps/{app}/deployments/{number}", App(Look), deployments::show)
        .get("/apps/{app}/deployments/{number}/events", App(Look), deployments::events)
        .post("/apps/{app}/deployments/{number}/cancel", App(Change), "deployment.cancel", deployments::cancel)
        .get("/apps/{app}/logs", App(Look), apps::logs)
        .get("/apps/{app}/metrics", App(Look), figures::app)
        .get("/apps/{app}/history", App(Look), figures::history)
        .get("/apps/{app}/env", App(Change), apps::variables)
        .patch("/apps/{app}/env", App(Change), "app.variables", apps::set_variables)
        .get("/apps/{app}/settings", App(Change), apps::settings)
        .put("/apps/{app}/settings", App(Change), "app.settings", apps::put_settings)
        .patch("/apps/{app}/scale", App(Change), "app.scale", apps::scale)
        .get("/apps/{app}/database", App(Look), databases::info)
        .post("/apps/{app}/database/rotate", App(Change), "database.rotate", databases::rotate)
        .get("/apps/{app}/database/backups", App(Look), backups::list)
        .post("/apps/{app}/database/backups", App(Change), "backup.create", backups::create)
        .post("/apps/{app}/database/backups/{backup}/verify", App(Change), "backup.verify", backups::verify)
        .post("/apps/{app}/database/backups/{backup}/restore", App(Change), "backup.restore", backups::restore)
        .post("/apps/{app}/database/restore", App(Change), "database.restore", backups::restore_moment)
        .post_stream("/apps/{app}/database/connect", App(Change), "database.connect", databases::connect)
        .get("/github", Hello, github::state)
        .put("/github", Platform, "github.set-up", github::enter)
        .delete("/github", Platform, "github.remove", github::remove)
        .get("/github/installations", Hello, github::installations)
        .get("/github/repositories", Hello, github::repositories)
        .get("/github/branches", Hello, github::branches)
        .get("/github/deliveries", Platform, github::deliveries)
        .get("/apps/{app}/source", App(Look), github::source)
        .put("/apps/{app}/source", App(Change), "app.source", github::set_source)
        .delete("/apps/{app}/source", App(Change), "app.source.remove", github::remove_source)
        .post("/apps/{app}/update", App(Change), "app.update", github::update)
        .post("/apps/{app}/pause", App(Change), "app.pause", apps::pause)
        .post("/apps/{app}/resume", App(Change), "app.resume", apps::resume)
        .post("/apps/{app}/sleep", App(Change), "app.sleep", apps::sleep)
        .get("/me", Hello, users::me)
        .get("/me/tokens", Account, platform::own_tokens)
        .post("/me/tokens", Account, "token.create", platform::create_own_token)
        .delete("/me/tokens/{id}", Account, "token.revoke", platform::delete_own_token)
        .get("/users", Platform, users::list)
        .get("/users/{user}", Platform, users::show)
        .patch("/users/{user}", Platform, "user.change", users::change)
        .delete("/users/{user}", Platform, "user.delete", users::delete)
        .delete("/users/{user}/sessions", Platform, "user.sign-out", users::end_sessions)
        .get("/invites", Platform, users::invites)
        .post("/invites", Platform, "invite.create", users::create_invite)
        .delete("/invites/{id}", Platform, "invite.delete", users::delete_invite)
        .post("/sign-in-links", Platform, "sign-in-link.create", users::create_sign_in_link)
        .get("/sessions", Account, users::sessions)
        .delete("/sessions", Account, "session.end-others", users::end_other_sessions)
        .delete("/sessions/{id}", Account, "session.end", users::end_session)
        .get("/apps/{app}/members", App(Look), users::members)
        .put("/apps/{app}/members/{user}", App(Own), "member.set", users::set_member)
        .delete("/apps/{app}/members/{user}", App(Own), "member.remove", users::remove_member)
        .get("/apps/{app}/audit", App(Own), users::app_audit)
        .get("/audit", Platform, users::audit)
        .under("")
}
