//! Routes of databases: how one is reached, another password, a connection through the platform.

use api::{DatabaseInfo, SettingsChanged};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use control::{Access, Control, DatabaseStream, Right, may};
use futures_util::{StreamExt, TryStreamExt};
use http::header;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio_util::io::{ReaderStream, StreamReader};

use crate::access::{Asker, ForApp};
use crate::answer::{Answer, Problem};

#[derive(Debug, Deserialize)]
pub(crate) struct Reveal {
    #[serde(default)]
    reveal: bool,
}

pub(crate) async fn info(
    ForApp(app): ForApp,
    asker: Asker,
    State(control): State<Control>,
    query: Result<Query<Reveal>, QueryRejection>,
) -> Answer<Response> {
    let Query(query) = query.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    if query.reveal {
        may(&asker.who, &Access::App(&app, Right::Change))?;
    }
    let info: Json<DatabaseInfo> = Json(control.database(&app, query.reveal).await?);
    Ok(([(header::CACHE_CONTROL, "no-store")], info).into_response())
}

pub(crate) async fn rotate(ForApp(app): ForApp, State(control): State<Control>) -> Answer<Json<SettingsChanged>> {
    Ok(Json(control.rotate_database(&app).await?))
}

/// What the request's body brings goes to the database's server, and what that says is the answer's body, both while they last.
pub(crate) async fn connect(ForApp(app): ForApp, State(control): State<Control>, body: Body) -> Answer<Response> {
    let DatabaseStream { stream, awake } = control.database_stream(&app).await?;
    let (from, mut to) = stream.into_split();
    tokio::spawn(async move {
        let mut said = StreamReader::new(Box::pin(body.into_data_stream().map_err(std::io::Error::other)));
        // Either end may break off; the other one finds out by the end of its stream.
        if tokio::io::copy(&mut said, &mut to).await.is_ok() {
            let _gone = to.shutdown().await;
        }
    });
    let heard = ReaderStream::with_capacity(from, 64 * 1024).inspect(move |_| {
        // The server is needed as long as somebody listens to it.
        let _running = &awake;
    });
    Ok(([(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, "no-store")], Body::from_stream(heard))
        .into_response())
}
