//! How an edge ends: at once in order, or politely once another process answers in its place.

use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Edge;
use crate::listen::Sockets;

/// What the threads are told.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ending {
    /// Another process accepts. Whoever is here is answered once more, and told to connect anew.
    Leaving,
    /// Idle connections are closed, busy ones are cut off at this moment.
    By(Instant),
}

/// Tells that a thread has ended: the sender is dropped, never used.
pub(super) fn channel() -> (oneshot::Sender<()>, oneshot::Receiver<()>) {
    oneshot::channel()
}

/// A thread of an edge.
#[derive(Debug)]
pub(super) struct EdgeThread {
    thread: JoinHandle<()>,
    ended: Option<oneshot::Receiver<()>>,
}

impl EdgeThread {
    pub(super) fn new(thread: JoinHandle<()>, ended: oneshot::Receiver<()>) -> Self {
        Self { thread, ended: Some(ended) }
    }

    /// Waits for its end; may be given up and called again.
    async fn ended(&mut self) {
        if let Some(ended) = &mut self.ended {
            drop(ended.await);
            self.ended = None;
        }
    }
}

impl Edge {
    /// Its listening sockets, for a successor in another process: see [`Edge::adopt`].
    pub fn sockets(&self) -> std::io::Result<Sockets> {
        self.sockets.try_clone()
    }

    /// Takes no more connections, because a successor does. Each that is open here ends with its next answer (HTTP/1.1, RFC 9112
    /// section 9.6) or after the requests that are on it (HTTP/2, RFC 9113 section 6.8); one that says nothing is kept, since its
    /// visitor may be sending a request at this very moment. Returns when all have ended, or after `silence`;
    /// [`Edge::shutdown`] ends the rest. May be given up.
    pub async fn leave(&mut self, silence: Duration) {
        self.sockets = Sockets::default();
        self.stop.send_replace(Some(Ending::Leaving));
        let ended = async {
            for thread in &mut self.threads {
                thread.ended().await;
            }
        };
        // What has not ended by then is the shutdown's.
        let _open = tokio::time::timeout(silence, ended).await;
    }

    /// Takes no more connections, lets what is in flight end within `grace`, then cuts off the rest. Returns when every thread
    /// has ended.
    pub async fn shutdown(mut self, grace: Duration) {
        self.sockets = Sockets::default();
        self.stop.send_replace(Some(Ending::By(Instant::now() + grace)));
        for mut thread in self.threads {
            thread.ended().await;
            if thread.thread.join().is_err() {
                tracing::error!("a thread of the edge panicked");
            }
        }
    }
}
