//! What every engine must do, as cases that run against any of them.
//!
//! Containers of these cases run `probe` (see `tests/it/probe.c`); an engine that runs no programs has to act like it.

mod foreign;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::{Container, ContainerId, ContainerSpec, Engine, EngineError, LayerId, LayerRef, Limits, Profile, Upper};
use foreign::a_foreign_image_is_applied_layer_by_layer;

/// An engine to be looked at, and what its containers are made of.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// Layers that hold `/probe`.
    pub layers: Vec<LayerRef>,
}

/// A case: it panics where the engine falls short.
pub type Case = fn(Subject) -> Pin<Box<dyn Future<Output = ()> + Send>>;

static SERIAL: AtomicU32 = AtomicU32::new(1);

/// The longest that anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

impl Subject {
    /// A name that nothing else has.
    pub fn name(stem: &str) -> String {
        format!("{stem}-{}", SERIAL.fetch_add(1, Ordering::Relaxed))
    }

    /// A container that runs `probe` with these words as its arguments.
    pub fn spec(&self, stem: &str, words: &str) -> ContainerSpec {
        let name = Self::name(stem);
        let args = std::iter::once("/probe").chain(words.split_whitespace()).map(str::to_owned).collect();
        ContainerSpec {
            id: ContainerId::parse(&name).expect("a name"),
            slot: 7,
            layers: self.layers.clone(),
            upper: Upper::Memory { bytes: 32 << 20 },
            args,
            env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned()), ("GREETING".to_owned(), "good day".to_owned())],
            cwd: "/".to_owned(),
            hostname: "tested".to_owned(),
            profile: Profile::App,
            limits: Limits { memory_bytes: 128 << 20, cpu_millis: 1000, cpu_weight: 100, pids: 64 },
            mounts: Vec::new(),
            stdin: false,
            user: 0,
            links: Vec::new(),
            keeps_address: false,
        }
    }

    /// Makes a container that runs `probe`.
    pub async fn start(&self, stem: &str, words: &str) -> Container {
        self.create(self.spec(stem, words)).await
    }

    /// Makes a container.
    pub async fn create(&self, spec: ContainerSpec) -> Container {
        timeout(PATIENCE, self.engine.create(spec)).await.expect("in time").expect("a container")
    }

    /// Runs `probe` to its end: what it printed.
    pub async fn run(&self, stem: &str, words: &str) -> String {
        self.run_spec(self.spec(stem, words)).await
    }

    /// Runs a container to its end: what it printed.
    pub async fn run_spec(&self, spec: ContainerSpec) -> String {
        let mut container = self.create(spec).await;
        let (out, err) = output(&mut container).await;
        assert_eq!(err, "", "nothing goes to standard error");
        timeout(PATIENCE, container.exited()).await.expect("it ends");
        out
    }
}

/// All that a container prints until it ends.
pub async fn output(container: &mut Container) -> (String, String) {
    let (mut stdout, mut stderr) = container.take_output().expect("its output");
    let (mut out, mut err) = (String::new(), String::new());
    let (first, second) =
        timeout(PATIENCE, async { tokio::join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut err)) })
            .await
            .expect("the output ends");
    first.expect("standard output");
    second.expect("standard error");
    (out, err)
}

/// Waits until something answers at an address, and has it echo a word.
pub async fn echo(address: SocketAddr) {
    let until = Instant::now() + PATIENCE;
    loop {
        match timeout(Duration::from_secs(1), TcpStream::connect(address)).await {
            Ok(Ok(mut stream)) => {
                stream.write_all(b"hello").await.expect("sent");
                let mut buffer = [0; 5];
                timeout(PATIENCE, stream.read_exact(&mut buffer)).await.expect("in time").expect("an answer");
                assert_eq!(&buffer, b"hello");
                return;
            }
            other => assert!(Instant::now() < until, "nothing answers at {address}: {other:?}"),
        }
        sleep(Duration::from_millis(5)).await;
    }
}

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        /// Every case with its name.
        pub const CASES: &[(&str, Case)] = &[$((stringify!($name), |subject| Box::pin($name(subject)))),*];
    };
}

cases![
    a_container_is_reached_by_its_address,
    output_comes_by_stream,
    an_exit_code_is_told,
    what_ends_at_once_is_told_too,
    sigterm_ends_what_heeds_it,
    what_ignores_sigterm_is_killed_after_the_grace,
    what_knows_no_sigterm_does_not_use_up_the_grace,
    stopping_twice_is_fine,
    listeners_are_told,
    usage_is_told,
    what_is_not_there_is_missing,
    a_name_is_free_again_after_the_end,
    a_name_in_use_is_refused,
    many_at_once,
    an_abandoned_creation_leaves_nothing,
    a_storm_passes,
    a_frozen_container_waits_and_goes_on,
    a_frozen_container_can_be_stopped,
    a_layer_from_unpacking_to_removal,
    a_layer_written_by_a_container_counts_once_it_is_sealed,
    a_foreign_image_is_applied_layer_by_layer,
    a_missing_layer_is_an_error,
    a_missing_program_is_an_error,
    it_finds_nothing_wrong_with_itself,
];

async fn a_container_is_reached_by_its_address(it: Subject) {
    let container = it.start("echo", "listen 8080").await;
    echo(SocketAddr::new(container.address, 8080)).await;
    it.engine.stop(&container.id, Duration::ZERO).await.expect("stopped");
    let connected = timeout(Duration::from_secs(1), TcpStream::connect(SocketAddr::new(container.address, 8080))).await;
    assert!(!matches!(connected, Ok(Ok(_))), "it is gone");
}

async fn output_comes_by_stream(it: Subject) {
    let mut container = it.start("output", "print one two , print three four").await;
    assert_eq!(output(&mut container).await, ("one\nthree\n".to_owned(), "two\nfour\n".to_owned()));
    let exit = container.exited().await;
    assert_eq!((exit.code, exit.signal, exit.oom_killed), (Some(0), None, false));
}

async fn an_exit_code_is_told(it: Subject) {
    let container = it.start("exit", "pause 50 , exit 3").await;
    let exit = timeout(PATIENCE, container.exited()).await.expect("it ends");
    assert_eq!((exit.code, exit.signal, exit.oom_killed), (Some(3), None, false));
}

async fn what_ends_at_once_is_told_too(it: Subject) {
    for code in 0..8 {
        let container = it.start("quick", &format!("exit {code}")).await;
        let exit = timeout(PATIENCE, container.exited()).await.expect("its end is not missed");
        assert_eq!(exit.code, Some(code));
    }
}

async fn sigterm_ends_what_heeds_it(it: Subject) {
    let mut container = it.start("heeds", "on-term , listen 8080").await;
    echo(SocketAddr::new(container.address, 8080)).await;
    let began = Instant::now();
    it.engine.stop(&container.id, Duration::from_secs(10)).await.expect("stopped");
    assert!(began.elapsed() < Duration::from_secs(5), "it ended by itself");
    let exit = container.exited().await;
    assert_eq!((exit.code, exit.signal), (Some(0), None));
    assert_eq!(output(&mut container).await.0, "stopping\n");
}

async fn what_ignores_sigterm_is_killed_after_the_grace(it: Subject) {
    let container = it.start("ignores", "ignore-term , listen 8080").await;
    echo(SocketAddr::new(container.address, 8080)).await;
    let began = Instant::now();
    it.engine.stop(&container.id, Duration::from_secs(1)).await.expect("stopped");
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(5), "{took:?}");
    let exit = container.exited().await;
    assert_eq!((exit.code, exit.signal), (None, Some(9)));
}

async fn what_knows_no_sigterm_does_not_use_up_the_grace(it: Subject) {
    let container = it.start("plain", "listen 8080").await;
    echo(SocketAddr::new(container.address, 8080)).await;
    let began = Instant::now();
    it.engine.stop(&container.id, Duration::from_secs(10)).await.expect("stopped");
    assert!(began.elapsed() < Duration::from_secs(5), "it was left to wait though it handles no signal");
}

async fn stopping_twice_is_fine(it: Subject) {
    let container = it.start("twice", "sleep").await;
    let (first, second) =
        tokio::join!(it.engine.stop(&container.id, Duration::ZERO), it.engine.stop(&container.id, Duration::ZERO));
    first.expect("stopped");
    second.expect("stopped");
    it.engine.stop(&container.id, Duration::from_secs(10)).await.expect("it has ended already");
}

async fn listeners_are_told(it: Subject) {
    let container = it.start("listens", "listen-on 127.0.0.1 5000").await;
    let until = Instant::now() + PATIENCE;
    let found = loop {
        let found = it.engine.listeners(&container.id).await.expect("listeners");
        if !found.is_empty() || Instant::now() > until {
            break found;
        }
        sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(found, ["127.0.0.1:5000".parse::<SocketAddr>().expect("an address")]);
    it.engine.stop(&container.id, Duration::ZERO).await.expect("stopped");
}

async fn usage_is_told(it: Subject) {
    let container = it.start("usage", "listen 8080").await;
    echo(SocketAddr::new(container.address, 8080)).await;
    let usage = it.engine.usage(&container.id).await.expect("usage");
    assert!(usage.memory_bytes > 0 && usage.memory_bytes < 128 << 20, "{usage:?}");
    assert!(usage.cpu_seconds >= 0.0, "{usage:?}");
    it.engine.stop(&container.id, Duration::ZERO).await.expect("stopped");
    let exit = container.exited().await;
    assert!(Duration::from_micros(exit.cpu_micros + 1).as_secs_f64() >= usage.cpu_seconds, "{exit:?} after {usage:?}");
    assert!(exit.cpu_micros > 0, "{exit:?}");
}

async fn what_is_not_there_is_missing(it: Subject) {
    let id = ContainerId::parse(&Subject::name("nobody")).expect("a name");
    assert!(matches!(it.engine.signal(&id, 15).await, Err(EngineError::Missing(_))));
    assert!(matches!(it.engine.listeners(&id).await, Err(EngineError::Missing(_))));
    assert!(matches!(it.engine.usage(&id).await, Err(EngineError::Missing(_))));
    it.engine.stop(&id, Duration::from_secs(10)).await.expect("nothing is to be stopped");
}

async fn a_name_is_free_again_after_the_end(it: Subject) {
    let spec = it.spec("again", "listen 8080");
    for _ in 0..3 {
        let container = it.create(spec.clone()).await;
        echo(SocketAddr::new(container.address, 8080)).await;
        it.engine.stop(&container.id, Duration::ZERO).await.expect("stopped");
    }
}

async fn a_name_in_use_is_refused(it: Subject) {
    let spec = it.spec("same", "sleep");
    let container = it.create(spec.clone()).await;
    assert!(it.engine.create(spec).await.is_err());
    it.engine.stop(&container.id, Duration::ZERO).await.expect("stopped");
}

async fn many_at_once(it: Subject) {
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let it = it.clone();
            tokio::spawn(async move {
                let container = it.start(&format!("many{number}"), "listen 8080").await;
                echo(SocketAddr::new(container.address, 8080)).await;
                container
            })
        })
        .collect();
    let mut addresses = std::collections::BTreeSet::new();
    let mut containers = Vec::new();
    for task in tasks {
        let container = task.await.expect("it runs");
        addresses.insert(container.address);
        containers.push(container);
    }
    assert_eq!(addresses.len(), 20, "each has an address of its own");
    for container in containers {
        it.engine.stop(&container.id, Duration::ZERO).await.expect("stopped");
    }
}

async fn an_abandoned_creation_leaves_nothing(it: Subject) {
    let mut specs = Vec::new();
    for number in 0..12_u64 {
        let spec = it.spec("abandoned", "listen 8080");
        if let Ok(container) = timeout(Duration::from_millis(number * 4), it.engine.create(spec.clone())).await {
            let container = container.expect("a container");
            it.engine.stop(&container.id, Duration::ZERO).await.expect("stopped");
        }
        specs.push(spec);
    }
    // The names come free, which they do not while a container bears them.
    for spec in specs {
        let until = Instant::now() + PATIENCE;
        loop {
            match it.engine.create(spec.clone()).await {
                Ok(container) => break it.engine.stop(&container.id, Duration::ZERO).await.expect("stopped"),
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Starts, ends and stops of all kinds at the same time.
async fn a_storm_passes(it: Subject) {
    let tasks: Vec<_> = (0..60_u64)
        .map(|number| {
            let it = it.clone();
            tokio::spawn(async move {
                sleep(Duration::from_millis(number * 7 % 100)).await;
                let words = match number % 5 {
                    0 => "exit 0",
                    1 => "print a b , pause 20",
                    2 => "ignore-term , listen 8080",
                    3 => "on-term , listen 8080",
                    _ => "listen 8080",
                };
                let mut container = it.start("storm", words).await;
                sleep(Duration::from_millis(number * 13 % 40)).await;
                if let (Some(freezer), true) = (&container.freezer, number % 3 == 0) {
                    // One that has ended has nothing left to freeze.
                    let _ended = freezer.freeze();
                }
                it.engine.stop(&container.id, Duration::from_millis(number % 4 * 50)).await.expect("stopped");
                timeout(PATIENCE, container.exited()).await.expect("it ends");
                output(&mut container).await;
                assert!(matches!(it.engine.usage(&container.id).await, Err(EngineError::Missing(_))), "nothing is left");
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no case failed");
    }
}

async fn a_frozen_container_waits_and_goes_on(it: Subject) {
    let container = it.start("frozen", "listen 8080").await;
    let address = SocketAddr::new(container.address, 8080);
    echo(address).await;
    let Some(freezer) = &container.freezer else {
        return it.engine.stop(&container.id, Duration::ZERO).await.expect("stopped");
    };
    freezer.freeze().expect("frozen");
    sleep(Duration::from_millis(50)).await;
    let mut stream = TcpStream::connect(address).await.expect("the kernel accepts");
    stream.write_all(b"hello").await.expect("sent");
    let mut buffer = [0; 5];
    assert!(timeout(Duration::from_millis(300), stream.read_exact(&mut buffer)).await.is_err(), "it is frozen");
    freezer.thaw().expect("thawed");
    timeout(PATIENCE, stream.read_exact(&mut buffer)).await.expect("it goes on").expect("an answer");
    it.engine.stop(&container.id, Duration::ZERO).await.expect("stopped");
}

async fn a_frozen_container_can_be_stopped(it: Subject) {
    let container = it.start("frozen", "on-term , listen 8080").await;
    echo(SocketAddr::new(container.address, 8080)).await;
    if let Some(freezer) = &container.freezer {
        freezer.freeze().expect("frozen");
    }
    it.engine.stop(&container.id, Duration::from_secs(10)).await.expect("stopped");
    assert_eq!(container.exited().await.code, Some(0), "it was thawed to hear of it");
}

/// An archive with one file, `greeting`.
fn archive(text: &str) -> std::fs::File {
    use std::io::{Seek, Write};
    let mut header = [0_u8; 512];
    header[..8].copy_from_slice(b"greeting");
    header[100..107].copy_from_slice(b"0000644");
    header[108..115].copy_from_slice(b"0000000");
    header[116..123].copy_from_slice(b"0000000");
    header[124..135].copy_from_slice(format!("{:011o}", text.len()).as_bytes());
    header[136..147].copy_from_slice(b"00000000000");
    header[148..156].copy_from_slice(b"        ");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut file = tempfile();
    file.write_all(&header).expect("written");
    file.write_all(text.as_bytes()).expect("written");
    file.write_all(&vec![0; 512 - text.len() % 512 + 1024]).expect("written");
    file.rewind().expect("rewound");
    file
}

/// A file without a name.
fn tempfile() -> std::fs::File {
    let name = nix::sys::memfd::memfd_create(c"test", nix::sys::memfd::MFdFlags::MFD_CLOEXEC).expect("a file in memory");
    std::fs::File::from(name)
}

async fn a_layer_from_unpacking_to_removal(it: Subject) {
    let layer = LayerId::parse(&Subject::name("unpacked")).expect("a name");
    assert!(!it.engine.has_layer(&layer).await.expect("an answer"));
    it.engine.unpack_layer(&layer, "/app", archive("good day")).await.expect("unpacked");
    assert!(it.engine.has_layer(&layer).await.expect("an answer"));
    assert!(it.engine.layers().await.expect("layers").contains(&layer));
    let mut spec = it.spec("reads", "cat /app/greeting");
    spec.layers.push(LayerRef::Layer(layer.clone()));
    assert_eq!(it.run_spec(spec).await, "good day");
    let blobs = [tempfile(), tempfile()];
    let first = it.engine.pack_layer(&layer, blobs[0].try_clone().expect("cloned")).await.expect("packed");
    let second = it.engine.pack_layer(&layer, blobs[1].try_clone().expect("cloned")).await.expect("packed");
    assert_eq!(first, second, "the same layer makes the same blob");
    assert_eq!(first.size, blobs[0].metadata().expect("metadata").len());
    assert!(first.size > 0 && first.digest != first.diff_id);
    for digest in [&first.digest, &first.diff_id] {
        assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
    }
    it.engine.remove_layer(&layer).await.expect("removed");
    assert!(!it.engine.has_layer(&layer).await.expect("an answer"));
    it.engine.remove_layer(&layer).await.expect("there is none");
}

async fn a_layer_written_by_a_container_counts_once_it_is_sealed(it: Subject) {
    let layer = LayerId::parse(&Subject::name("written")).expect("a name");
    let mut spec = it.spec("writes", "mkdir /kept , mkdir /lost , write /kept/a 1 , write /lost/b 2");
    spec.upper = Upper::Layer(layer.clone());
    spec.profile = Profile::Build;
    assert_eq!(it.run_spec(spec).await, "mkdir: ok\nmkdir: ok\nwrite: ok\nwrite: ok\n");
    assert!(!it.engine.has_layer(&layer).await.expect("an answer"), "it is not sealed");
    assert!(!it.engine.layers().await.expect("layers").contains(&layer));
    it.engine.seal_layer(&layer, &["/kept".to_owned()]).await.expect("sealed");
    assert!(it.engine.has_layer(&layer).await.expect("an answer"));
    let mut spec = it.spec("reads", "cat /kept/a , cat /lost/b");
    spec.layers.push(LayerRef::Layer(layer.clone()));
    assert_eq!(it.run_spec(spec).await, "1cat: ENOENT\n");
    it.engine.remove_layer(&layer).await.expect("removed");
    let never = LayerId::parse(&Subject::name("never")).expect("a name");
    assert!(it.engine.seal_layer(&never, &[]).await.is_err(), "nobody has written it");
}

async fn a_missing_layer_is_an_error(it: Subject) {
    let mut spec = it.spec("missing", "sleep");
    spec.layers.push(LayerRef::Layer(LayerId::parse("nowhere").expect("a name")));
    let error = it.engine.create(spec.clone()).await.expect_err("the layer is missing");
    assert!(error.to_string().contains("nowhere"), "{error}");
    // Nothing is left that bears its name.
    spec.layers.pop();
    let container = it.create(spec).await;
    it.engine.stop(&container.id, Duration::ZERO).await.expect("stopped");
}

async fn a_missing_program_is_an_error(it: Subject) {
    let mut spec = it.spec("missing", "sleep");
    "/no-such-program".clone_into(&mut spec.args[0]);
    let error = it.engine.create(spec).await.expect_err("the program is missing");
    assert!(error.to_string().contains("no-such-program"), "{error}");
}

async fn it_finds_nothing_wrong_with_itself(it: Subject) {
    for finding in it.engine.check().await {
        assert_eq!(finding.problem, None, "{finding:?}");
    }
}
