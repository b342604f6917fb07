//! Looks after one server, from its first lease until it is stopped.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use engine::{Container, EngineError, Exit};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::tail::Tail;
use super::{Entry, Inner, Order, Server, ended};
use crate::{DatabaseError, Result};

/// How often a server that starts is asked whether it is ready, at first and once it has taken some time.
const ASK: Duration = Duration::from_millis(2);
const ASK_LATER: Duration = Duration::from_millis(25);
/// When that changes.
const LATER: Duration = Duration::from_secs(1);
/// How long one such question may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How often a busy volume is tried again.
const BUSY: Duration = Duration::from_millis(100);

/// Why a server that answered does not run any more.
enum Ended {
    /// Nobody needs it, or somebody said so.
    Stopped,
    Crashed(Exit),
}

/// Starts a server, again and again as long as it is needed, and stops it.
pub(super) async fn supervise(inner: Arc<Inner>, entry: Arc<Entry>) {
    let mut pause = inner.timing.pause;
    loop {
        let tail = Tail::default();
        let begun = Instant::now();
        match start(&inner, &entry, &tail).await {
            Ok((container, address)) => {
                tracing::debug!(server = %entry.id, %address, took = ?begun.elapsed(), "the server answers");
                let ready = Instant::now();
                entry.phase.send_modify(|phase| phase.address = Some(address));
                let how = serve(&inner, &entry, &container).await;
                entry.phase.send_modify(|phase| phase.address = None);
                match how {
                    Ended::Stopped => {
                        stop(&inner, &*entry.server(), &container).await;
                        pause = Duration::ZERO;
                    }
                    Ended::Crashed(exit) => {
                        tail.complete().await;
                        tracing::error!(server = %entry.id, ?exit, last = tail.text(), "the server has ended by itself");
                        if ready.elapsed() >= inner.timing.longest_pause {
                            pause = inner.timing.pause;
                        }
                    }
                }
            }
            Err(error) => {
                tracing::error!(server = %entry.id, %error, last = tail.text(), "the server does not start");
                entry.phase.send_modify(|phase| {
                    phase.failures += 1;
                    phase.error = Some(error);
                });
            }
        }
        if rest(&inner, &entry, pause).await {
            return;
        }
        pause = if pause.is_zero() { inner.timing.pause } else { (pause * 2).min(inner.timing.longest_pause) };
    }
}

/// Waits before the next start; true where there is none, since nobody needs the server.
async fn rest(inner: &Inner, entry: &Arc<Entry>, pause: Duration) -> bool {
    let (mut holders, mut order) = (entry.holders.subscribe(), entry.order.subscribe());
    tokio::select! {
        () = sleep(pause) => {}
        _nobody = holders.wait_for(|holders| *holders == 0) => {}
        () = told_to_end(&mut order) => {}
    }
    let mut state = inner.lock();
    let end = *order.borrow() == Order::End;
    if !end && *holders.borrow() > 0 {
        // What was changed counts from the start that follows.
        entry.order.send_replace(Order::Run);
        return false;
    }
    if end {
        // Whoever waits for it is told.
        entry.phase.send_modify(|phase| {
            phase.failures += 1;
            phase.error = Some(ended());
        });
    }
    state.entries.remove(&entry.id);
    drop(state);
    inner.count.send_modify(|count| *count -= 1);
    true
}

async fn start(inner: &Inner, entry: &Entry, tail: &Tail) -> Result<(Container, SocketAddr)> {
    let server = entry.server();
    let mut order = entry.order.subscribe();
    let mut container = tokio::select! {
        // A container that is being made when nobody waits for it any more is killed by the engine.
        created = create(inner, &*server) => created?,
        () = told_to_end(&mut order) => return Err(ended()),
    };
    tail.follow(&mut container);
    let address = SocketAddr::new(container.address, server.port());
    let begun = Instant::now();
    let problem = {
        let mut exited = pin!(container.exited());
        loop {
            let asked = async {
                let ready = timeout(ANSWER, server.ready(address)).await.unwrap_or(false);
                if !ready {
                    sleep(if begun.elapsed() < LATER { ASK } else { ASK_LATER }).await;
                }
                ready
            };
            tokio::select! {
                exit = &mut exited => break format!("it ended at once ({})", told(exit)),
                () = told_to_end(&mut order) => break "it has been stopped".to_owned(),
                ready = asked => {
                    if ready {
                        break String::new();
                    }
                    if begun.elapsed() > server.patience() {
                        break format!("it did not answer within {} s", server.patience().as_secs());
                    }
                }
            }
        }
    };
    if problem.is_empty() {
        return Ok((container, address));
    }
    stop(inner, &*server, &container).await;
    tail.complete().await;
    let last = tail.last().map_or_else(String::new, |line| format!("; its last line: {line}"));
    Err(DatabaseError::Server(format!("{problem}{last}")))
}

async fn told_to_end(order: &mut watch::Receiver<Order>) {
    drop(order.wait_for(|order| *order == Order::End).await);
}

async fn create(inner: &Inner, server: &dyn Server) -> Result<Container> {
    if let Some(container) = inner.engine.find(server.id()).await {
        return Ok(container);
    }
    drop(inner.open.subscribe().wait_for(|open| *open).await);
    let spec = server.container().await?;
    let begun = Instant::now();
    let mut said = false;
    loop {
        match inner.engine.create(spec.clone()).await {
            Ok(container) => return Ok(container),
            Err(EngineError::Busy(why)) if begun.elapsed() < inner.timing.busy => {
                if !std::mem::replace(&mut said, true) {
                    tracing::info!(server = %server.id(), why, "the server waits for its volume");
                }
                sleep(BUSY).await;
            }
            Err(error) => return Err(DatabaseError::Server(error.to_string())),
        }
    }
}

/// Waits as long as the server runs and is needed.
async fn serve(inner: &Inner, entry: &Entry, container: &Container) -> Ended {
    let (mut holders, mut order) = (entry.holders.subscribe(), entry.order.subscribe());
    let mut exited = pin!(container.exited());
    loop {
        let idle = async {
            // What these give locks the value, and must not live on.
            drop(inner.stops.subscribe().wait_for(|stops| *stops).await);
            drop(holders.wait_for(|holders| *holders == 0).await);
            let mut order = entry.order.subscribe();
            tokio::select! {
                () = sleep(inner.timing.linger) => {}
                _told = order.wait_for(|order| *order != Order::Run) => {}
                _back = holders.wait_for(|holders| *holders > 0) => {}
            }
        };
        tokio::select! {
            exit = &mut exited => return Ended::Crashed(exit),
            () = told_to_end(&mut order) => return Ended::Stopped,
            () = idle => {
                // Whoever takes a lease does so under this lock, and then looks at the phase.
                let _state = inner.lock();
                if *entry.holders.borrow() == 0 && *inner.stops.borrow() {
                    entry.phase.send_modify(|phase| phase.address = None);
                    return Ended::Stopped;
                }
            }
        }
    }
}

/// Stops a server in order, or kills it.
async fn stop(inner: &Inner, server: &dyn Server, container: &Container) {
    let begun = Instant::now();
    match inner.engine.signal(&container.id, server.stop_signal()).await {
        Ok(()) if timeout(server.grace(), container.exited()).await.is_ok() => {
            tracing::debug!(server = %container.id, took = ?begun.elapsed(), "the server has stopped");
            return;
        }
        Ok(()) => tracing::warn!(server = %container.id, "the server does not stop in order and is killed"),
        Err(EngineError::Missing(_) | EngineError::Stopped) => {}
        Err(error) => tracing::warn!(server = %container.id, %error, "signal the server"),
    }
    if let Err(error) = inner.engine.stop(&container.id, Duration::ZERO).await {
        tracing::warn!(server = %container.id, %error, "kill the server");
    }
}

fn told(exit: Exit) -> String {
    match exit {
        Exit { oom_killed: true, .. } => "out of memory".to_owned(),
        Exit { code: Some(code), .. } => format!("code {code}"),
        Exit { signal: Some(signal), .. } => format!("signal {signal}"),
        _ => "nobody knows how".to_owned(),
    }
}
