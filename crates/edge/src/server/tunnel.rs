//! Upgraded connections: bytes both ways, until either end closes.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::Either;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::spawn_local;

use super::access::Record;
use super::sender::Sender;
use super::worker::Worker;
use crate::app::Lease;

/// How long the second side of a WebSocket may stay open after the first has closed.
const GOODBYE: Duration = Duration::from_secs(5);
/// Bytes that are copied at once.
const BUFFER: usize = 8 * 1024;

/// An upgraded connection: a request in flight of its app until it ends.
pub(super) struct Tunnel {
    pub(super) worker: Rc<Worker>,
    pub(super) lease: Lease,
    pub(super) record: Record,
    pub(super) visitor: OnUpgrade,
    pub(super) upstream: OnUpgrade,
    /// Kept until the switch is done: without it the connection would count as given up.
    pub(super) sender: Sender,
}

impl Tunnel {
    /// Copies in the background, once both sides have switched.
    pub(super) fn open(self) {
        let Self { worker, lease, mut record, visitor, upstream, sender } = self;
        let entry = worker.drain.enter();
        spawn_local(async move {
            let both = futures_util::future::try_join(visitor, upstream).await;
            drop(sender);
            match both {
                Ok((visitor, upstream)) => copy(visitor, upstream, worker.shared.limits.upgrade_idle, &mut record).await,
                Err(error) => tracing::debug!(%error, "a connection did not switch to WebSocket"),
            }
            drop((lease, record, entry));
        });
    }
}

async fn copy(visitor: Upgraded, upstream: Upgraded, idle: Duration, record: &mut Record) {
    let (received, sent) = (Cell::new(0_u64), Cell::new(0_u64));
    let (from_visitor, to_visitor) = tokio::io::split(TokioIo::new(visitor));
    let (from_upstream, to_upstream) = tokio::io::split(TokioIo::new(upstream));
    let up = std::pin::pin!(one_way(from_visitor, to_upstream, &received));
    let down = std::pin::pin!(one_way(from_upstream, to_visitor, &sent));
    let both = async {
        // WebSocket knows no half-open state: once one side has closed, the other has a moment to say goodbye.
        let other = match futures_util::future::select(up, down).await {
            Either::Left(((), down)) => Either::Right(down),
            Either::Right(((), up)) => Either::Left(up),
        };
        drop(tokio::time::timeout(GOODBYE, other).await);
    };
    tokio::select! {
        () = both => {}
        () = silence([&received, &sent], idle) => tracing::debug!("a silent WebSocket was closed"),
    }
    record.received(received.get());
    record.sent(sent.get());
}

async fn one_way(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, moved: &Cell<u64>) {
    let mut buffer = BytesMut::with_capacity(BUFFER);
    loop {
        buffer.clear();
        match from.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => moved.set(moved.get().wrapping_add(read as u64)),
        }
        if to.write_all(&buffer).await.is_err() || to.flush().await.is_err() {
            break;
        }
    }
    // Where it fails, the other side has gone already.
    drop(to.shutdown().await);
}

/// Ends when nothing has moved for `idle`, at the latest after twice that.
async fn silence(moved: [&Cell<u64>; 2], idle: Duration) {
    loop {
        let before = moved.map(Cell::get);
        tokio::time::sleep(idle).await;
        if moved.map(Cell::get) == before {
            return;
        }
    }
}
