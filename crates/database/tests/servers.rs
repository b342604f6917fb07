//! Leases on servers, with the fake engine: one start for many, lingering, crashes, failures, the end.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use database::DatabaseError;
use database::servers::{Lease, Server, Servers, Timing};
use engine::fake::{FakeEngine, Program, Step};
use engine::{ContainerId, ContainerSpec, Engine, LayerRef, Limits, Profile, Upper};

const TIMING: Timing = Timing {
    linger: Duration::from_millis(150),
    busy: Duration::from_secs(5),
    pause: Duration::from_millis(20),
    longest_pause: Duration::from_millis(200),
};

/// A server that echoes, as the fake's programs do.
#[derive(Debug)]
struct Echo {
    id: ContainerId,
    ready: AtomicBool,
    asked: AtomicUsize,
}

impl Echo {
    fn new(name: &str) -> Arc<Self> {
        let id = ContainerId::parse(name).expect("a name");
        Arc::new(Self { id, ready: AtomicBool::new(true), asked: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl Server for Echo {
    fn id(&self) -> &ContainerId {
        &self.id
    }

    async fn container(&self) -> database::Result<ContainerSpec> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(ContainerSpec {
            id: self.id.clone(),
            slot: 1,
            layers: vec![LayerRef::Machine],
            upper: Upper::Memory { bytes: 1 << 20 },
            args: vec!["/server".to_owned()],
            env: Vec::new(),
            cwd: "/".to_owned(),
            hostname: "server".to_owned(),
            profile: Profile::App,
            limits: Limits { memory_bytes: 1 << 26, cpu_millis: 1000, cpu_weight: 100, pids: 10 },
            mounts: Vec::new(),
            stdin: false,
            user: 0,
            links: Vec::new(),
            keeps_address: true,
        })
    }

    fn port(&self) -> u16 {
        5432
    }

    async fn ready(&self, address: SocketAddr) -> bool {
        self.ready.load(Ordering::Relaxed) && tokio::net::TcpStream::connect(address).await.is_ok()
    }

    fn grace(&self) -> Duration {
        Duration::from_millis(300)
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(400)
    }
}

/// An engine whose servers do one after the other what these programs say; the last one for ever.
fn engine(programs: Vec<Vec<Step>>) -> FakeEngine {
    let programs = Mutex::new(VecDeque::from(programs));
    FakeEngine::with(move |_spec| {
        let mut programs = programs.lock().expect("programs");
        let next = if programs.len() > 1 { programs.pop_front() } else { programs.front().cloned() };
        next.map(Program)
    })
}

fn well() -> Vec<Step> {
    vec![Step::HeedTerm, Step::Echo(5432)]
}

fn started(engine: &FakeEngine) -> usize {
    engine.created().len()
}

async fn until(what: &str, mut check: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !check() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what} did not come true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn awake(servers: &Servers, server: &Arc<Echo>) -> database::Result<Lease> {
    servers.awake(Arc::clone(server) as Arc<dyn Server>).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_leases_share_one_start_and_the_last_one_ends_it() {
    let engine = engine(vec![well()]);
    let servers = Servers::new(Arc::new(engine.clone()), TIMING);
    let server = Echo::new("db-one");
    let leases = (0..20).map(|_| awake(&servers, &server));
    let mut leases: Vec<_> = futures_util::future::join_all(leases).await.into_iter().map(|it| it.expect("awake")).collect();
    assert_eq!(started(&engine), 1);
    assert!(leases.windows(2).all(|pair| pair[0].address() == pair[1].address()));
    leases.truncate(1);
    tokio::time::sleep(TIMING.linger * 3).await;
    assert_eq!(engine.running(), std::slice::from_ref(&server.id), "somebody has a lease");
    drop(leases);
    // Whoever comes back while it lingers finds it.
    let again = awake(&servers, &server).await.expect("awake");
    assert_eq!(started(&engine), 1);
    drop(again);
    until("the end", || engine.running().is_empty() && servers.running().is_empty()).await;
    let _anew = awake(&servers, &server).await.expect("awake");
    assert_eq!(started(&engine), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_that_come_and_go_never_meet_a_server_that_stops() {
    let engine = engine(vec![well()]);
    let servers = Servers::new(Arc::new(engine.clone()), Timing { linger: Duration::from_millis(2), ..TIMING });
    let server = Echo::new("db-one");
    let one = |wait: u64| {
        let (servers, server) = (servers.clone(), Arc::clone(&server));
        tokio::spawn(async move {
            for round in 0..60 {
                let lease = awake(&servers, &server).await.expect("awake");
                // It answers as long as the lease lives.
                tokio::net::TcpStream::connect(lease.address()).await.expect("connected");
                drop(lease);
                tokio::time::sleep(Duration::from_millis((round * wait) % 9)).await;
            }
        })
    };
    for task in [one(1), one(2), one(5)] {
        task.await.expect("well");
    }
    assert!(started(&engine) > 1, "it stopped now and then");
    until("the end", || servers.running().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_while_it_is_needed_is_mended_and_one_while_it_is_not_is_left() {
    let engine = engine(vec![well()]);
    let servers = Servers::new(Arc::new(engine.clone()), TIMING);
    let server = Echo::new("db-one");
    let lease = awake(&servers, &server).await.expect("awake");
    for round in 2..5 {
        engine.signal(&server.id, 9).await.expect("killed");
        until("the next start", || started(&engine) == round).await;
        lease.answers().await.expect("it answers again");
        let _another = awake(&servers, &server).await.expect("awake");
    }
    drop(lease);
    engine.signal(&server.id, 9).await.expect("killed");
    until("the end", || servers.running().is_empty()).await;
    assert_eq!(started(&engine), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_server_that_does_not_start_is_told_why() {
    let fails = vec![Step::Print(String::new(), "FATAL: no data directory".to_owned()), Step::Exit(1)];
    let engine = engine(vec![fails, well()]);
    let servers = Servers::new(Arc::new(engine.clone()), TIMING);
    let server = Echo::new("db-one");
    let (one, other) = tokio::join!(awake(&servers, &server), awake(&servers, &server));
    for error in [one.expect_err("fails"), other.expect_err("fails")] {
        let text = error.to_string();
        assert!(text.contains("code 1") && text.contains("no data directory"), "{text}");
    }
    // The next one tries anew.
    let lease = awake(&servers, &server).await.expect("awake");
    drop(lease);
    // One that never answers is given up, and stopped.
    let deaf = Echo::new("db-deaf");
    deaf.ready.store(false, Ordering::Relaxed);
    let error = awake(&servers, &deaf).await.expect_err("never ready");
    assert!(matches!(&error, DatabaseError::Server(why) if why.contains("did not answer")), "{error}");
    until("the end", || engine.running().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_renewed_is_started_anew_once_nobody_holds_it() {
    let engine = engine(vec![well()]);
    let servers = Servers::new(Arc::new(engine.clone()), Timing { linger: Duration::from_mins(1), ..TIMING });
    let server = Echo::new("db-one");
    let lease = awake(&servers, &server).await.expect("awake");
    servers.renew(&server.id);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((started(&engine), engine.running().len()), (1, 1));
    drop(lease);
    until("the end", || servers.running().is_empty()).await;
    let lease = awake(&servers, &server).await.expect("awake");
    assert_eq!((started(&engine), server.asked.load(Ordering::Relaxed)), (2, 2), "its description is asked for anew");
    // It lingers again.
    drop(lease);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(engine.running().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_stops_all_in_order_and_starts_nothing() {
    let engine = engine(vec![well()]);
    let servers = Servers::new(Arc::new(engine.clone()), TIMING);
    let (one, other) = (Echo::new("db-one"), Echo::new("db-other"));
    let first = awake(&servers, &one).await.expect("awake");
    let _second = awake(&servers, &other).await.expect("awake");
    servers.stop(&one.id).await;
    assert_eq!(engine.running(), std::slice::from_ref(&other.id), "whoever has a lease");
    assert!(first.answers().await.is_err());
    // One that is being started, and one that ignores what it is told.
    let slow = Echo::new("db-slow");
    slow.ready.store(false, Ordering::Relaxed);
    let waiting = awake(&servers, &slow);
    let end = async {
        until("a start", || engine.running().contains(&slow.id)).await;
        servers.shutdown().await;
    };
    let (waited, ()) = tokio::join!(waiting, end);
    assert!(waited.is_err());
    assert!(engine.running().is_empty() && servers.running().is_empty());
    assert!(awake(&servers, &one).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_does_not_stop_in_order_is_killed() {
    let engine = engine(vec![vec![Step::IgnoreTerm, Step::Echo(5432)]]);
    let servers = Servers::new(Arc::new(engine.clone()), TIMING);
    let server = Echo::new("db-one");
    let _lease = awake(&servers, &server).await.expect("awake");
    let begun = Instant::now();
    servers.stop(&server.id).await;
    assert!(engine.running().is_empty() && begun.elapsed() >= Duration::from_millis(300));
}
