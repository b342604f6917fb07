//! PostgreSQL from an image: made by umoci, kept in a registry with users, pulled, unpacked, run with a volume. Needs root.
//!
//! No test harness: the launcher must be forked while the process has one thread.

#![expect(clippy::print_stdout, reason = "this is the test runner")]

#[path = "image/made.rs"]
mod made;
#[path = "image/registry.rs"]
mod registry;
#[path = "image/shared.rs"]
mod shared;

use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use database::servers::{Server, Servers, Timing};
use database::service::{Images, Service};
use database::{DatabaseError, Result};
use engine::local::LocalEngine;
use engine::{ContainerId, ContainerSpec, Engine, Limits, Mount, VolumeName};
use futures_util::FutureExt;
use image::Layout;
use image::registry::{Client, Freshness, Progress, Proxy, Reference, Settings};
use sandbox::{Launcher, LauncherConfig};
use tokio::net::TcpStream;
use tokio_postgres::{Config, NoTls};

struct World {
    engine: Arc<dyn Engine>,
    servers: Servers,
    layout: Arc<Layout>,
}

const PASSWORD: &str = "se cr:et@/";

/// PostgreSQL as its image has it.
#[derive(Debug)]
struct FromImage {
    id: ContainerId,
    service: Service,
}

#[async_trait]
impl Server for FromImage {
    fn id(&self) -> &ContainerId {
        &self.id
    }

    async fn container(&self) -> Result<ContainerSpec> {
        let limits = Limits { memory_bytes: 512 << 20, cpu_millis: 2000, cpu_weight: 100, pids: 200 };
        let mut spec = self.service.container(self.id.clone(), 40, limits, 64 << 20);
        spec.env.push(("POSTGRES_PASSWORD".to_owned(), PASSWORD.to_owned()));
        spec.keeps_address = true;
        for at in &self.service.run.volumes {
            let name = VolumeName::parse("image-pg").expect("a name");
            spec.mounts.push(Mount::Volume { name, at: at.clone(), owner: spec.user, read_only: false });
        }
        Ok(spec)
    }

    fn port(&self) -> u16 {
        self.service.run.ports[0]
    }

    async fn ready(&self, address: SocketAddr) -> bool {
        connect(address).await.is_ok()
    }

    fn stop_signal(&self) -> i32 {
        self.service.run.stop_signal
    }
}

async fn connect(address: SocketAddr) -> std::result::Result<tokio_postgres::Client, Box<dyn std::error::Error>> {
    let mut config = Config::new();
    config.user("postgres").password(PASSWORD).dbname("postgres");
    let (client, connection) = config.connect_raw(TcpStream::connect(address).await?, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn settings(host: &str, user: Option<(&str, &str)>) -> Settings {
    let credentials = user.map(|(user, password)| {
        let credentials = image::registry::Credentials { user: user.to_owned(), password: password.to_owned() };
        (host.to_owned(), credentials)
    });
    Settings { proxy: Proxy::None, credentials: credentials.into_iter().collect(), ..Settings::default() }
}

/// A row that a client stored is there after the server has been stopped and started, and after it was killed.
async fn postgresql_from_an_image_keeps_what_it_is_told(world: &World) {
    let registry = registry::Registry::start("keeper", "secret");
    let made = made::postgresql();
    registry.push(&made, "vendor/postgres:15");
    let name = format!("{}/vendor/postgres:15", registry.host());
    let reference = Reference::parse(&name).expect("a reference");
    let images =
        |user| Images::new(Client::new(Arc::clone(&world.layout), settings(&registry.host(), user)), Arc::clone(&world.engine));
    let stranger = images(None).service(&reference, Freshness::Kept, None, &Progress::default()).await;
    let Err(DatabaseError::Unavailable { what, help }) = stranger else { panic!("a stranger has it") };
    assert!(what.contains(&name) && help.contains("user"), "{what}: {help}");

    let images = images(Some(("keeper", "secret")));
    assert_eq!(images.held(&reference).expect("asked"), None);
    let progress = Progress::default();
    let begun = Instant::now();
    let second = Progress::default();
    // Two apps that wake at the same time.
    let (service, other) = tokio::join!(
        images.service(&reference, Freshness::Kept, None, &progress),
        images.service(&reference, Freshness::Kept, None, &second)
    );
    let (service, other) = (service.expect("a service"), other.expect("a service"));
    assert_eq!((&service.layer, second.bytes()), (&other.layer, (0, 0)), "who comes second fetches nothing");
    println!("  pulled and unpacked in {:?}: {} MB", begun.elapsed(), progress.bytes().1 >> 20);
    assert_eq!(progress.bytes().0, progress.bytes().1);
    assert_eq!((service.run.user, service.run.stop_signal, service.run.ports.as_slice()), (999, 2, &[5432][..]));
    assert_eq!(service.run.volumes, ["/var/lib/postgresql/data"]);
    assert_eq!(images.held(&reference).expect("asked"), Some(service.image()));

    // The second time nothing is fetched or unpacked: the registry is gone.
    drop(registry);
    let begun = Instant::now();
    let again = images.service(&reference, Freshness::Kept, None, &Progress::default()).await.expect("a service");
    println!("  the second time in {:?}", begun.elapsed());
    assert_eq!((again.layer, again.run), (service.layer.clone(), service.run.clone()));

    let server = Arc::new(FromImage { id: ContainerId::parse("db-image").expect("an id"), service });
    let begun = Instant::now();
    let lease = world.servers.awake(Arc::clone(&server) as _).await.expect("it starts");
    println!("  first start, which makes the cluster, in {:?}", begun.elapsed());
    let client = connect(lease.address()).await.expect("connected");
    client.batch_execute("CREATE TABLE entries (text text); INSERT INTO entries VALUES ('stays')").await.expect("stored");
    let hidden = client.query_one("SELECT pg_stat_file('/opt/removed', true) IS NULL", &[]).await.expect("asked");
    assert!(hidden.get::<_, bool>(0), "a whiteout of the image counts");
    drop((client, lease));
    world.servers.stop(server.id()).await;

    let begun = Instant::now();
    let lease = world.servers.awake(Arc::clone(&server) as _).await.expect("it starts again");
    println!("  start of what is there in {:?}", begun.elapsed());
    let rows = async |address| {
        let client = connect(address).await.expect("connected");
        let rows = client.query("SELECT text FROM entries", &[]).await.expect("asked");
        rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>()
    };
    assert_eq!(rows(lease.address()).await, ["stays"]);
    // As if it had crashed: the lease stays good.
    let client = connect(lease.address()).await.expect("connected");
    client.batch_execute("INSERT INTO entries VALUES ('acknowledged')").await.expect("stored");
    world.engine.signal(server.id(), 9).await.expect("killed");
    while client.simple_query("SELECT 1").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let until = Instant::now() + Duration::from_mins(1);
    while connect(lease.address()).await.is_err() {
        assert!(Instant::now() < until, "it is not started again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(rows(lease.address()).await, ["stays", "acknowledged"]);
    drop(lease);
    world.servers.stop(server.id()).await;
}

/// What is wrong with an archive ends with an error, and leaves no layer.
async fn an_image_that_cannot_be_unpacked_leaves_nothing(world: &World) {
    let registry = registry::Registry::start("keeper", "secret");
    let hostile = made::hostile();
    for (tag, image, why) in &hostile {
        registry.push(image, &format!("hostile:{tag}"));
        let reference = Reference::parse(&format!("{}/hostile:{tag}", registry.host())).expect("a reference");
        let client = Client::new(Arc::clone(&world.layout), settings(&registry.host(), Some(("keeper", "secret"))));
        let images = Images::new(client, Arc::clone(&world.engine));
        let before = world.engine.layers().await.expect("layers");
        let error = images.service(&reference, Freshness::Kept, None, &Progress::default()).await.expect_err(tag);
        assert!(error.to_string().contains(why) && !error.to_string().contains('\n'), "{tag}: {error}");
        assert_eq!(world.engine.layers().await.expect("layers"), before, "{tag}");
    }
}

type Test = for<'a> fn(&'a World) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

const TESTS: &[(&str, Test)] = &[
    ("postgresql_from_an_image_keeps_what_it_is_told", |world| Box::pin(postgresql_from_an_image_keeps_what_it_is_told(world))),
    ("mongodb_is_started_from_its_image", |world| Box::pin(shared::mongodb_is_started_from_its_image(world))),
    ("sql_server_is_started_from_its_image", |world| Box::pin(shared::sql_server_is_started_from_its_image(world))),
    ("an_image_that_cannot_be_unpacked_leaves_nothing", |world| Box::pin(an_image_that_cannot_be_unpacked_leaves_nothing(world))),
];

fn main() -> ExitCode {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if std::env::args().any(|argument| argument == "--list") {
        for (name, _) in TESTS {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let data = tempfile::Builder::new().prefix("adaptable-image").tempdir_in("/var/tmp").expect("a data directory");
    for name in ["layers", "cache", "stacks"] {
        std::fs::create_dir_all(data.path().join(name)).expect("made");
    }
    let launcher = Launcher::start(LauncherConfig::new(data.path(), &data.path().join("stacks"), 0)).expect("a launcher");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let (passed, failed) = runtime.block_on(async {
        let (engine, gone) = LocalEngine::start(launcher).expect("an engine");
        let engine: Arc<dyn Engine> = Arc::new(engine);
        let timing = Timing { linger: Duration::from_millis(300), ..Timing::default() };
        let servers = Servers::new(Arc::clone(&engine), timing);
        let layout = Arc::new(Layout::open(&Path::new(data.path()).join("images")).expect("a layout"));
        let world = World { engine, servers, layout };
        let (mut passed, mut failed) = (0, 0);
        for (name, test) in TESTS.iter().filter(|(name, _)| filter.as_deref().is_none_or(|filter| name.contains(filter))) {
            let begun = Instant::now();
            let ok = std::panic::AssertUnwindSafe(test(&world)).catch_unwind().await.is_ok();
            println!("test {name} ... {} ({:?})", if ok { "ok" } else { "FAILED" }, begun.elapsed());
            if ok { passed += 1 } else { failed += 1 }
        }
        world.servers.shutdown().await;
        world.engine.shutdown().await;
        gone.await;
        (passed, failed)
    });
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out\n");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
