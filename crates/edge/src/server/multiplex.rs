//! One thread's connections of HTTP/2 to instances: many requests on one, a second one when it has no stream left.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::spawn_local;

use super::connection::LocalExecutor;
use super::io::UpstreamStream;
use super::pool::{ConnectError, MAX_RESPONSE_HEAD};
use crate::{EdgeBody, Limits, Upstream};

/// How long an instance may take to name its limits before requests are sent without knowing them.
const SETTLING: Duration = Duration::from_secs(1);
/// What an app may send of one response before its visitor has taken it.
const STREAM_WINDOW: u32 = 128 * 1024;
/// What an app may send on a whole connection: so much that a few visitors who read slowly don't hold up the others.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

type Connection = http2::Connection<TokioIo<UpstreamStream<TcpStream>>, EdgeBody, LocalExecutor>;

/// An open connection and the streams that it carries.
struct Shared {
    sender: SendRequest<EdgeBody>,
    /// Driven by a task of its own, which takes it out at its end; here to be asked how many streams the instance allows now.
    connection: Rc<RefCell<Option<Connection>>>,
    open: Cell<usize>,
    /// When the last stream ended.
    since: Cell<Instant>,
}

impl Shared {
    /// Whether it takes one more stream.
    fn has_room(&self) -> bool {
        let connection = self.connection.borrow();
        let allowed = connection.as_ref().map_or(0, Connection::current_max_send_streams);
        !self.sender.is_closed() && self.open.get() < allowed
    }
}

/// One stream's place on a connection, free again when it is dropped.
pub(super) struct Place {
    sender: SendRequest<EdgeBody>,
    shared: Rc<Shared>,
}

impl Place {
    fn take(shared: &Rc<Shared>) -> Self {
        shared.open.set(shared.open.get() + 1);
        Self { sender: shared.sender.clone(), shared: Rc::clone(shared) }
    }

    pub(super) fn sender(&mut self) -> &mut SendRequest<EdgeBody> {
        &mut self.sender
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.open.set(self.shared.open.get() - 1);
        self.shared.since.set(Instant::now());
    }
}

/// The connections to one instance. The upstream is kept beside them: its address in memory is the key, and so stays its own.
struct Shelf {
    upstream: Arc<Upstream>,
    connections: Vec<Rc<Shared>>,
    /// Held while somebody connects, so that a crowd makes one connection.
    connecting: Rc<Mutex<()>>,
}

/// The connections of one thread.
#[derive(Default)]
pub(super) struct Multiplexed {
    shelves: RefCell<HashMap<*const Upstream, Shelf>>,
}

impl Multiplexed {
    /// A place on an open connection, and whether it was there before; on a new one where none has room, or `fresh` asks for it.
    pub(super) async fn reach(
        &self,
        upstream: &Arc<Upstream>,
        limits: &Limits,
        fresh: bool,
    ) -> Result<(Place, bool), ConnectError> {
        if !fresh && let Some(place) = self.place(upstream) {
            return Ok((place, true));
        }
        let turn = self.turn(upstream);
        let Ok(_turn) = tokio::time::timeout(limits.connect, turn.lock()).await else {
            return Err(ConnectError::TimedOut);
        };
        if !fresh && let Some(place) = self.place(upstream) {
            return Ok((place, true));
        }
        let shared = Rc::new(connect(upstream, limits).await?);
        let place = Place::take(&shared);
        if let Some(shelf) = self.shelves.borrow_mut().get_mut(&Arc::as_ptr(upstream)) {
            shelf.connections.push(shared);
        }
        Ok((place, false))
    }

    /// A place on a connection that is open and has room, the oldest first: so those that were needed for a while fall idle.
    fn place(&self, upstream: &Arc<Upstream>) -> Option<Place> {
        let mut shelves = self.shelves.borrow_mut();
        let connections = &mut shelves.get_mut(&Arc::as_ptr(upstream))?.connections;
        connections.retain(|shared| !shared.sender.is_closed());
        connections.iter().find(|shared| shared.has_room()).map(Place::take)
    }

    fn turn(&self, upstream: &Arc<Upstream>) -> Rc<Mutex<()>> {
        let mut shelves = self.shelves.borrow_mut();
        let shelf = shelves.entry(Arc::as_ptr(upstream)).or_insert_with(|| Shelf {
            upstream: Arc::clone(upstream),
            connections: Vec::new(),
            connecting: Rc::default(),
        });
        Rc::clone(&shelf.connecting)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shelves.borrow().is_empty()
    }

    /// Closes what has been idle for too long or leads to an instance that drains. Streams in flight keep theirs open.
    pub(super) fn sweep(&self, now: Instant, idle: Duration) {
        self.shelves.borrow_mut().retain(|_, shelf| {
            let drains = shelf.upstream.is_draining();
            shelf.connections.retain(|shared| {
                let fresh = shared.open.get() > 0 || now.saturating_duration_since(shared.since.get()) <= idle;
                !drains && fresh && !shared.sender.is_closed()
            });
            // Somebody who connects has a share of the lock, and is about to put a connection here.
            !shelf.connections.is_empty() || Rc::strong_count(&shelf.connecting) > 1
        });
    }
}

/// A new connection, on which the instance has named its limits.
async fn connect(upstream: &Upstream, limits: &Limits) -> Result<Shared, ConnectError> {
    let stream = super::pool::dial(upstream, limits).await?;
    let (stream, heard) = UpstreamStream::heard(stream);
    let opened = http2::Builder::new(LocalExecutor)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_RESPONSE_HEAD)
        .max_send_buf_size(STREAM_WINDOW as usize)
        .handshake(TokioIo::new(stream))
        .await;
    // Nothing is exchanged yet, so there is nothing that could fail but the connection's end.
    let (sender, connection) = opened.map_err(|error| ConnectError::Refused(io::Error::other(error)))?;
    let connection = Rc::new(RefCell::new(Some(connection)));
    spawn_local(drive(Rc::clone(&connection)));
    // The first bytes that an instance sends are its settings. One that is busy may send them late.
    if tokio::time::timeout(SETTLING, heard.notified()).await.is_ok() {
        // Once around, so that who reads has understood them.
        tokio::task::yield_now().await;
    }
    if sender.is_closed() {
        return Err(ConnectError::Gibberish);
    }
    Ok(Shared { sender, connection, open: Cell::new(0), since: Cell::new(Instant::now()) })
}

/// Polls a connection to its end. Then it is dropped, and with it the requests that it still has.
async fn drive(connection: Rc<RefCell<Option<Connection>>>) {
    let ended = poll_fn(|cx| match connection.borrow_mut().as_mut() {
        Some(connection) => Pin::new(connection).poll(cx),
        None => Poll::Ready(Ok(())),
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "a connection to an instance broke");
    }
    drop(connection.take());
}
