//! One blob, streamed to the disk: counted and hashed on the way, continued where the connection broke.

use std::io::Write;
use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc;

use super::documents::Part;
use super::error::{PullError, chain};
use super::pull::Progress;
use super::session::{Asked, Session};
use crate::layout::{Layout, LayoutError};
use crate::pins::Pin;

/// How often in a row nothing new may come.
const IN_VAIN: u32 = 5;
/// How often a blob is begun or continued at all.
const ATTEMPTS: u32 = 30;
/// Bytes in a second that come at the least, once several times the patience has passed: who sends a byte at a time does not hold us
/// for ever.
const PACE: u64 = 1024;
/// So many times.
const GRACE: u32 = 4;
/// Pieces on their way to the disk.
const QUEUE: usize = 16;

/// Fetches a blob into the layout, unless it is there.
pub(super) async fn fetch(
    session: &Session<'_>,
    layout: &std::sync::Arc<Layout>,
    pin: &std::sync::Arc<Pin>,
    part: &Part,
    progress: &Progress,
) -> Result<(), PullError> {
    pin.hold(crate::pins::Pinned::Blob(part.digest));
    if layout.has_blob(&part.digest) {
        progress.add(part.size);
        return Ok(());
    }
    let (pieces, mut arriving) = mpsc::channel::<Bytes>(QUEUE);
    let (store, held, expected) = (std::sync::Arc::clone(layout), std::sync::Arc::clone(pin), part.digest);
    let (confirm, confirmed) = tokio::sync::oneshot::channel::<()>();
    // Hashing and writing have a thread of their own.
    let writing = tokio::task::spawn_blocking(move || {
        let mut blob = store.blob_writer()?;
        while let Some(piece) = arriving.blocking_recv() {
            blob.write_all(&piece).map_err(|source| LayoutError::Io {
                doing: "writing",
                path: store.blob_path(&expected),
                source,
            })?;
        }
        // Only what has come whole is ended; all else vanishes with its writer.
        if confirmed.blocking_recv().is_ok() {
            store.finish_announced(&held, blob, &expected)?;
        }
        Ok::<_, LayoutError>(())
    });
    let received = receive(session, part, &pieces, progress).await;
    drop(pieces);
    if received.is_ok() {
        let _the_writer_failed = confirm.send(());
    } else {
        drop(confirm);
    }
    let written = writing.await.map_err(|_panic| session.protocol("a part of the image could not be written"))?;
    match (received, written) {
        // The writer's end is why the rest had nowhere to go.
        (_, Err(LayoutError::Mismatch { expected, found })) => {
            Err(PullError::Mismatch { what: format!("a part of {}", session.image), expected, found: found.to_string() })
        }
        (_, Err(error)) => Err(error.into()),
        (received, Ok(())) => received,
    }
}

async fn receive(session: &Session<'_>, part: &Part, to: &mpsc::Sender<Bytes>, progress: &Progress) -> Result<(), PullError> {
    let path = format!("blobs/{}", part.digest);
    let (mut have, mut in_vain) = (0, 0);
    let begun = Instant::now();
    for _ in 0..ATTEMPTS {
        let before = have;
        let error = match once(session, part, &path, to, &mut have, begun, progress).await {
            Ok(()) if have == part.size => return Ok(()),
            Ok(()) => session.broken("a part of the image came cut short"),
            Err(error) => error,
        };
        in_vain = if have > before { 1 } else { in_vain + 1 };
        match session.pause(&error, in_vain).filter(|_| in_vain < IN_VAIN) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(error),
        }
    }
    Err(session.broken("the connection breaks again and again"))
}

/// One request for what is missing.
async fn once(
    session: &Session<'_>,
    part: &Part,
    path: &str,
    to: &mpsc::Sender<Bytes>,
    have: &mut u64,
    begun: Instant,
    progress: &Progress,
) -> Result<(), PullError> {
    let mut headers = HeaderMap::new();
    if *have > 0
        && let Ok(range) = HeaderValue::from_str(&format!("bytes={have}-"))
    {
        headers.insert(header::RANGE, range);
    }
    let answer = session.ask(Asked::Blob, path, headers).await?;
    let start = begins(&answer, *have).ok_or_else(|| session.protocol("it sends another range than was asked for"))?;
    // Who does not know ranges sends it all again.
    let mut skip = *have - start;
    let mut body = answer.into_body();
    loop {
        let frame = tokio::time::timeout(session.settings.patience, body.frame()).await;
        let mut piece = match frame {
            Ok(None) => return Ok(()),
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            Ok(Some(Err(error))) => return Err(session.broken(&chain(&error))),
            Err(_elapsed) => return Err(session.broken("it sends no more")),
        };
        let again = usize::try_from(skip).unwrap_or(usize::MAX).min(piece.len());
        let _again = piece.split_to(again);
        skip -= again as u64;
        if piece.is_empty() {
            continue;
        }
        *have += piece.len() as u64;
        let elapsed = begun.elapsed();
        if elapsed > session.settings.patience * GRACE && *have < part.size && *have < elapsed.as_secs().max(1) * PACE {
            return Err(session.protocol("it sends too slowly"));
        }
        if *have > part.size {
            return Err(PullError::TooLarge {
                what: format!("a part of {}", session.image),
                limit: format!("the {} bytes that were announced", part.size),
            });
        }
        progress.add(piece.len() as u64);
        if to.send(piece).await.is_err() {
            return Err(session.protocol("a part of the image could not be written"));
        }
    }
}

/// The offset at which an answer begins; none where it is not one that was asked for.
fn begins(answer: &Response<Incoming>, asked: u64) -> Option<u64> {
    if answer.status() != StatusCode::PARTIAL_CONTENT {
        return Some(0);
    }
    let range = answer.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    let start: u64 = range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()?;
    (start == asked).then_some(start)
}
