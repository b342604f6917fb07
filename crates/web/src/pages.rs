//! The platform's pages: their frame, what they are made of, and one module for each of them.

mod account;
pub(crate) mod ansi;
pub(crate) mod api_docs;
pub(crate) mod app_head;
pub(crate) mod assets;
mod dashboard;
mod database;
mod deployment;
pub(crate) mod deployment_view;
pub(crate) mod dotenv;
mod entry;
pub(crate) mod errors;
pub(crate) mod flash;
pub(crate) mod front;
pub(crate) mod github;
pub(crate) mod help;
pub(crate) mod layout;
mod metrics;
mod operator;
pub(crate) mod plot;
mod resources;
mod settings;
mod sse;
pub(crate) mod state;
mod status;
pub(crate) mod text;
pub(crate) mod visitor;
pub(crate) mod wizard;

use api::ErrorCode;
use axum::response::{IntoResponse, Redirect, Response};
use control::LocalPath;
use http::request::Parts;

use crate::access::Asker;
use crate::answer::Problem;
use crate::routes::{Needs, Table};

/// Adds the pages by which people come in and go to the table.
pub(crate) fn routes(table: Table) -> Table {
    use control::Right::{Change, Look, Own};
    help::routes(wizard::routes(table))
        .get("/apps", Needs::Hello, dashboard::dashboard)
        .get("/apps/{app}", Needs::App(Look), status::status)
        .post("/apps/{app}/pause", Needs::App(Change), "app.pause", status::pause)
        .post("/apps/{app}/resume", Needs::App(Change), "app.resume", status::resume)
        .post("/apps/{app}/rollback", Needs::App(Change), "app.rollback", status::rollback)
        .post("/apps/{app}/update", Needs::App(Change), "app.update", status::update)
        .post("/apps/{app}/split/end", Needs::App(Change), "app.split.end", status::end_split)
        .get("/apps/{app}/metrics", Needs::App(Look), metrics::metrics)
        .get("/apps/{app}/settings", Needs::App(Look), settings::settings)
        .post("/apps/{app}/settings", Needs::App(Change), "app.settings", settings::save)
        .post_quietly("/apps/{app}/settings/draft", Needs::App(Change), settings::draft)
        .post("/apps/{app}/settings/source", Needs::App(Change), "app.source", settings::source::change)
        .post("/apps/{app}/settings/delete", Needs::App(Own), "app.delete", settings::delete)
        .get("/operator", Needs::Platform, operator::machine)
        .post("/apps/{app}/settings/members", Needs::App(Own), "member.set", settings::members::change)
        .get("/operator/users", Needs::Platform, operator::users::users)
        .post("/operator/users/invites", Needs::Platform, "invite.create", operator::users::invite)
        .post("/operator/users/invites/{id}/end", Needs::Platform, "invite.delete", operator::users::end_invite)
        .post("/operator/users/{user}", Needs::Platform, "user.change", operator::users::change)
        .get("/operator/audit", Needs::Platform, operator::audit::audit)
        .get("/operator/tokens", Needs::Platform, operator::tokens::tokens)
        .post("/operator/tokens", Needs::Platform, "token.create", operator::tokens::create)
        .post("/operator/tokens/{id}/revoke", Needs::Platform, "token.revoke", operator::tokens::revoke)
        .get("/operator/certificates", Needs::Platform, operator::certificates::certificates)
        .get("/operator/certificates/ca.pem", Needs::Platform, operator::certificates::download)
        .get("/operator/backups", Needs::Platform, operator::backups::backups)
        .get("/apps/{app}/deployments/{number}", Needs::App(Look), deployment::deployment)
        .get("/apps/{app}/deployments/{number}/stream", Needs::App(Look), deployment::stream)
        .get("/apps/{app}/deployments/{number}/log", Needs::App(Look), deployment::log)
        .post("/apps/{app}/deployments/{number}/cancel", Needs::App(Change), "deployment.cancel", deployment::cancel)
        .get("/apps/{app}/resources", Needs::App(Look), resources::resources)
        .get("/apps/{app}/resources/stream", Needs::App(Look), resources::stream)
        .get("/apps/{app}/resources/logs/stream", Needs::App(Look), resources::log_stream)
        .get("/apps/{app}/logs", Needs::App(Look), resources::log)
        .post("/apps/{app}/resources/reveal", Needs::App(Change), "database.reveal", resources::reveal)
        .post("/apps/{app}/database/rotate", Needs::App(Change), "database.rotate", database::rotate)
        .post("/apps/{app}/database/backups", Needs::App(Change), "backup.create", database::back_up)
        .post("/apps/{app}/database/backups/{backup}/verify", Needs::App(Change), "backup.verify", database::verify)
        .post("/apps/{app}/database/backups/{backup}/restore", Needs::App(Change), "backup.restore", database::restore)
        .post("/apps/{app}/database/restore", Needs::App(Change), "database.restore", database::restore_moment)
        .get("/sign-in", Needs::Nothing, entry::sign_in)
        .post("/sign-in", Needs::Nothing, "session.begin", entry::post_sign_in)
        .post("/sign-in/code", Needs::Nothing, "session.begin", entry::post_code)
        .get("/invite/{token}", Needs::Nothing, entry::invite)
        .post("/invite/{token}", Needs::Nothing, "user.create", entry::post_invite)
        .get("/account", Needs::Account, account::account)
        .post("/account/password", Needs::Account, "account.password", account::password)
        .get("/account/second-factor", Needs::Account, account::new_second_factor)
        .post("/account/second-factor", Needs::Account, "account.second-factor", account::set_second_factor)
        .post("/account/second-factor/remove", Needs::Account, "account.second-factor.remove", account::remove_second_factor)
        .post("/account/tokens", Needs::Account, "token.create", account::tokens::create)
        .post("/account/tokens/{id}/revoke", Needs::Account, "token.revoke", account::tokens::revoke)
        .post("/account/sessions/{id}/end", Needs::Account, "session.end", account::end_session)
        .post("/account/sessions/end-others", Needs::Account, "session.end-others", account::end_other_sessions)
        .post("/account/github/unlink", Needs::Account, "account.github.unlink", account::unlink_github)
        .post("/sign-out", Needs::Account, "session.end", entry::sign_out)
        .get("/welcome/{token}", Needs::Nothing, entry::welcome)
        .post("/welcome/{token}", Needs::Nothing, "user.create", entry::post_welcome)
}

/// Whether people look at what lies at a path; programs, otherwise.
pub(crate) fn is_page(path: &str) -> bool {
    !["/api/v", "/git/", "/hooks/", "/metrics", "/assets/"].iter().any(|prefix| path.starts_with(prefix))
}

/// Shows the way in to who is not signed in, and says why not to others.
pub(crate) fn refuse(parts: &Parts, asker: &Asker, problem: Problem) -> Response {
    if problem.0.code != ErrorCode::Unauthorized || asker.identity().is_some() {
        return problem.into_response();
    }
    // What was posted is lost anyway: only an address that can be looked at is worth coming back to.
    let next = parts.uri.path_and_query().filter(|_| parts.method.is_safe()).and_then(|it| LocalPath::parse(it.as_str()));
    Redirect::to(&next.map_or_else(|| "/sign-in".to_owned(), |next| format!("/sign-in?{}", next.as_query()))).into_response()
}

#[cfg(test)]
mod gallery;
