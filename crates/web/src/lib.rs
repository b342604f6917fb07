//! What clients talk to: the pages, the REST API and git over HTTPS.
//!
//! One router serves both ways in: the platform's Unix socket ([`serve_socket`]), whose visitors are the operator, and the edge
//! ([`service`]), whose visitors show a token. Knows nothing of how things are done: that is control's.

mod access;
mod adapter;
mod answer;
mod apps;
mod backups;
mod changes;
mod databases;
mod deployments;
mod figures;
mod git;
mod pages;
mod platform;
mod socket;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, patch, post, put};
use control::Control;

pub use adapter::service;
pub use socket::{bind_socket, serve_socket};

/// The largest body of a request that is not an upload, in bytes.
const BODY_MAX: usize = 1024 * 1024;

/// Every route that there is.
pub fn router(control: Control) -> Router {
    let api = Router::new()
        .route("/platform", get(platform::platform))
        .route("/ca", get(platform::ca))
        .route("/doctor", get(platform::doctor))
        .route("/settings/schema", get(platform::settings_schema))
        .route("/tokens", get(platform::tokens).post(platform::create_token))
        .route("/tokens/{id}", delete(platform::delete_token))
        .route("/uploads", post(deployments::upload).layer(DefaultBodyLimit::disable()))
        .route("/apps", get(apps::list))
        .route("/apps/{app}", get(apps::status).delete(apps::delete))
        .route("/apps/{app}/revisions", get(apps::revisions))
        .route("/apps/{app}/rollback", post(deployments::rollback))
        .route("/apps/{app}/split", put(apps::split).delete(apps::end_split))
        .route("/apps/{app}/deployments", get(deployments::list).post(deployments::create))
        .route("/apps/{app}/deployments/{number}", get(deployments::show))
        .route("/apps/{app}/deployments/{number}/events", get(deployments::events))
        .route("/apps/{app}/deployments/{number}/cancel", post(deployments::cancel))
        .route("/apps/{app}/logs", get(apps::logs))
        .route("/apps/{app}/metrics", get(figures::app))
        .route("/apps/{app}/env", get(apps::variables).patch(apps::set_variables))
        .route("/apps/{app}/settings", get(apps::settings).put(apps::put_settings))
        .route("/apps/{app}/scale", patch(apps::scale))
        .route("/apps/{app}/database", get(databases::info))
        .route("/apps/{app}/database/rotate", post(databases::rotate))
        .route("/apps/{app}/database/backups", get(backups::list).post(backups::create))
        .route("/apps/{app}/database/backups/{backup}/verify", post(backups::verify))
        .route("/apps/{app}/database/backups/{backup}/restore", post(backups::restore))
        .route("/apps/{app}/database/restore", post(backups::restore_moment))
        .route("/apps/{app}/database/connect", post(databases::connect).layer(DefaultBodyLimit::disable()))
        .route("/apps/{app}/pause", post(apps::pause))
        .route("/apps/{app}/resume", post(apps::resume))
        .route("/apps/{app}/sleep", post(apps::sleep))
        .layer(DefaultBodyLimit::max(BODY_MAX));
    Router::new()
        .nest(api::PREFIX, api)
        .route("/", get(pages::front::front))
        .route("/theme", post(pages::front::theme))
        .route("/assets/{name}", get(pages::assets::serve))
        .route("/metrics", get(figures::all))
        .route("/git/{*path}", get(git::serve).post(git::serve).layer(DefaultBodyLimit::disable()))
        .fallback(answer::not_found)
        .method_not_allowed_fallback(answer::method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(control.clone(), changes::gate))
        .layer(axum::middleware::from_fn_with_state(control.clone(), pages::errors::layer))
        .with_state(control)
}
