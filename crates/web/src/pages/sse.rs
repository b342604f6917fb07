//! Server-Sent Events (HTML Living Standard, 9.2): streams that a browser takes up again where they broke off.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use control::Lines;
use futures_util::{FutureExt as _, Stream, StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

/// Silence after which a comment shows that the connection lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The most that one message holds, in lines and in bytes.
const BATCH_LINES: usize = 1000;
const BATCH_BYTES: usize = 256 * 1024;

/// A stream of events as an answer.
pub(crate) fn answer(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
    // What stands between must not keep events until there are more.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What is told of one line.
#[derive(Debug)]
pub(crate) struct Told<T> {
    /// The line's id: a browser that has it asks for what comes behind.
    pub(crate) id: String,
    /// What the script reads; none for what it need not know.
    pub(crate) item: Option<T>,
    /// Whether it is the last one.
    pub(crate) end: bool,
}

/// Lines in messages: all that is there at once in one, up to a limit of lines and bytes; a slow browser is waited for. A message is a
/// list, with the id of its last line; the last message of all is an event `end`.
pub(crate) fn batched<T: Serialize + Send + 'static>(
    lines: Lines,
    read: impl FnMut(&[u8]) -> Option<Told<T>> + Send + 'static,
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    stream::unfold(Some((lines, read)), |state| async move {
        let (mut lines, mut read) = state?;
        let (mut items, mut bytes, mut id) = (Vec::new(), 0, String::new());
        let mut next = lines.next().await;
        loop {
            // The end of the file, or an error of reading it: a browser comes back after the latter.
            let Some(Ok(line)) = next else { return (!items.is_empty()).then(|| (Ok(message(&id, &items)), None)) };
            bytes += line.len();
            if let Some(told) = read(&line) {
                id = told.id;
                items.extend(told.item);
                if told.end {
                    return Some((Ok(message(&id, &items).event("end")), None));
                }
            }
            if items.len() >= BATCH_LINES || bytes >= BATCH_BYTES {
                return Some((Ok(message(&id, &items)), Some((lines, read))));
            }
            match lines.next().now_or_never() {
                Some(ready) => next = ready,
                None if items.is_empty() => next = lines.next().await,
                None => return Some((Ok(message(&id, &items)), Some((lines, read)))),
            }
        }
    })
}

fn message(id: &str, items: &impl Serialize) -> Event {
    Event::default().id(id).data(serde_json::to_string(items).expect("plain data into memory"))
}

/// Tells a browser that there is nothing to come back for.
pub(crate) fn over() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// The last event that a browser has, where it comes back.
pub(crate) fn last_id(headers: &HeaderMap) -> Option<&str> {
    headers.get("last-event-id").and_then(|value| value.to_str().ok())
}
