//! One thread: accepting, and ending in order.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::Instant;

use super::drain::Drain;
use super::ending::Ending;
use super::pool::Pool;
use super::{Shared, clients, connection};
use crate::listen::Sockets;

/// What the connections of one thread share.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) pool: Pool,
    pub(super) drain: Rc<Drain>,
}

/// Serves until told to stop, or until the edge is dropped.
pub(super) fn run(runtime: &Runtime, shared: Arc<Shared>, sockets: Sockets, stop: watch::Receiver<Option<Ending>>) {
    let local = LocalSet::new();
    let worker = Rc::new(Worker { pool: Pool::new(shared.limits.clone()), shared, drain: Rc::default() });
    // As a task, since what the set itself waits for is polled whenever any of its tasks has something to do.
    let serving = local.spawn_local(serve(worker, sockets, stop));
    if let Err(error) = local.block_on(runtime, serving) {
        // It is not aborted. Who joins this thread says that it panicked.
        std::panic::resume_unwind(error.into_panic());
    }
}

async fn serve(worker: Rc<Worker>, sockets: Sockets, mut stop: watch::Receiver<Option<Ending>>) {
    let accepting = match accepting(&worker, sockets) {
        Ok(accepting) => accepting,
        Err(error) => return tracing::error!(%error, "a thread of the edge can't listen"),
    };
    let sweeping = spawn_local(sweep(Rc::clone(&worker)));
    let mut told = stop.changed().await;
    // The listeners close before the connections end: who comes now is refused, or another process's, rather than dropped.
    for task in accepting {
        task.abort();
    }
    while told.is_ok() {
        let ending = *stop.borrow_and_update();
        told = tokio::select! {
            () = end(&worker.drain, ending) => break,
            told = stop.changed() => told,
        };
    }
    sweeping.abort();
}

async fn end(drain: &Drain, ending: Option<Ending>) {
    match ending {
        None => std::future::pending().await,
        Some(Ending::Leaving) => drain.leave().await,
        Some(Ending::By(deadline)) => {
            if tokio::time::timeout_at(deadline, drain.drain()).await.is_err() {
                tracing::warn!("connections that did not end in time were cut off");
            }
        }
    }
}

type Task = tokio::task::JoinHandle<()>;

fn accepting(worker: &Rc<Worker>, sockets: Sockets) -> std::io::Result<Vec<Task>> {
    let mut tasks = Vec::new();
    for socket in sockets.http {
        let http = TcpListener::from_std(socket)?;
        tasks.push(spawn_local(accept(Rc::clone(worker), http, connection::serve_http)));
    }
    for socket in sockets.https {
        let https = TcpListener::from_std(socket)?;
        tasks.push(spawn_local(accept(Rc::clone(worker), https, connection::serve_https)));
    }
    Ok(tasks)
}

async fn accept<F: Future<Output = ()> + 'static>(
    worker: Rc<Worker>,
    listener: TcpListener,
    serve: impl Fn(Rc<Worker>, TcpStream, std::net::SocketAddr) -> F,
) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors or memory: what is open goes on, and frees some. Others (ECONNABORTED) concern one visitor.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let Some(slot) = Slot::take(&worker.shared, peer.ip()) else {
            continue;
        };
        let serving = serve(Rc::clone(&worker), stream, peer);
        // Counts from here on: who is shaking hands while another process takes over is answered.
        let entry = worker.drain.enter();
        spawn_local(async move {
            serving.await;
            drop((slot, entry));
        });
        // One at a time, between looks at what else there is to do: otherwise a crowd that comes at once has all its handshakes
        // done before the first of its requests is answered.
        tokio::task::yield_now().await;
    }
}

/// One of the connections that the process, and one client, may have open.
struct Slot {
    shared: Arc<Shared>,
    client: Option<IpAddr>,
}

impl Slot {
    fn take(shared: &Arc<Shared>, peer: IpAddr) -> Option<Self> {
        let taken = shared.connections.fetch_add(1, Ordering::Relaxed);
        let slot = Self { shared: Arc::clone(shared), client: clients::client(peer) };
        let within = slot.client.is_none_or(|client| shared.clients.enter(client, shared.limits.connections_per_client));
        (within && taken < shared.limits.max_connections).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(client) = self.client {
            self.shared.clients.leave(client);
        }
    }
}

/// Closes connections to instances that nobody has used for a while.
async fn sweep(worker: Rc<Worker>) {
    // Nothing is kept while nothing happens, and then nothing wakes up either.
    loop {
        worker.pool.used().await;
        tokio::time::sleep(worker.shared.limits.upstream_idle).await;
        worker.pool.sweep(Instant::now().into_std());
    }
}
