//! Routes of databases: how one is reached, another password, a connection through the platform.

use api::{DatabaseInfo, ErrorCode, SettingsChanged};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use control::{Access, Control, DatabaseStream, Right, may};
use futures_util::{StreamExt, TryStreamExt};
use http::{StatusCode, header};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio_util::io::{ReaderStream, StreamReader};

use crate::access::{Asker, ForApp};
use crate::answer::{Answer, Problem};
use crate::openapi::{Api, Operation, Tag};
use crate::routes::Shown;

/// What a database's server says is bytes.
const BYTES: &str = "application/octet-stream";

/// The operations of databases.
pub(crate) fn operations(api: Api) -> Api {
    api.get(
        "/apps/{app}/database",
        Operation::new(Tag::Databases, "getDatabase", "How an app's database is reached, and what it holds")
            .query::<Reveal>()
            .answers::<DatabaseInfo>(StatusCode::OK, "The database.")
            .fails(&[ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::DatabaseFailed]),
    )
    .post(
        "/apps/{app}/database/rotate",
        Operation::new(Tag::Databases, "rotatePassword", "Give the database's user another password")
            .about("New instances that know it take the place of those that run.")
            .answers::<SettingsChanged>(StatusCode::OK, "What came of it.")
            .fails(&[ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::DatabaseFailed]),
    )
    .post(
        "/apps/{app}/database/connect",
        Operation::new(Tag::Databases, "connectDatabase", "A connection to the database's server, through the platform")
            .about("What the request's body brings goes to the server, and what that says is the answer's body, while both last.")
            .bytes(&[BYTES])
            .gives(BYTES, "What the server says.")
            .fails(&[ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::DatabaseFailed]),
    )
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Reveal {
    /// Whether the secrets are wanted, too.
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
    let answer = ([(header::CACHE_CONTROL, "no-store")], info);
    // As the page's button has it.
    Ok(if query.reveal { Shown("database.reveal").by(answer) } else { answer.into_response() })
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
    Ok(([(header::CONTENT_TYPE, BYTES), (header::CACHE_CONTROL, "no-store")], Body::from_stream(heard)).into_response())
}
