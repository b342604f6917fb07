//! What the tests stand on: an engine with real containers, an authority, apps with databases.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use database::postgres::Postgres;
use database::servers::{Servers, Timing};
use database::{Certificate, Certifier, Database, DatabaseError, Kind};
use engine::local::LocalEngine;
use engine::{ContainerId, ContainerSpec, Engine, Exit, LayerRef, Limits, Link, Profile, Upper};
use model::AppName;
use model::database::{DatabaseName, DatabaseSettings};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use sandbox::{Launcher, LauncherConfig};
use tokio::io::AsyncReadExt;

/// Where Debian has PostgreSQL's programs.
pub(crate) const PROGRAMS: &str = "/usr/lib/postgresql";

/// An authority for tests.
#[derive(Debug)]
pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        // A leaf of the same name would seem to have signed itself.
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("signed");
        Self { pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }
}

impl Certifier for Authority {
    fn certify(&self, names: &[String]) -> Result<Certificate, DatabaseError> {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(names.to_vec()).expect("names");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        Ok(Certificate { chain_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    fn certify_rsa(&self, names: &[String]) -> Result<Certificate, DatabaseError> {
        // Nobody here asks for one.
        self.certify(names)
    }

    fn authority_pem(&self) -> String {
        self.pem.clone()
    }
}

/// A platform's ground, without the platform.
pub(crate) struct World {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) servers: Servers,
    pub(crate) postgres: Postgres,
    pub(crate) data: PathBuf,
    apps: AtomicU32,
    jobs: AtomicU32,
}

/// A data directory.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("adaptable-pg").tempdir_in("/var/tmp").expect("a data directory")
}

/// Runs tests in a world, and stops it in order.
pub(crate) fn with<T>(data: &Path, tests: impl AsyncFnOnce(&World) -> T) -> T {
    for name in ["layers", "cache", "stacks"] {
        std::fs::create_dir_all(data.join(name)).expect("made");
    }
    let launcher = Launcher::start(LauncherConfig::new(data, &data.join("stacks"), 0)).expect("a launcher");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (engine, gone) = LocalEngine::start(launcher).expect("an engine");
        let engine: Arc<dyn Engine> = Arc::new(engine);
        let timing = Timing { linger: Duration::from_millis(300), ..Timing::default() };
        let servers = Servers::new(Arc::clone(&engine), timing);
        let certifier: Arc<dyn Certifier> = Arc::new(Authority::new());
        let postgres = Postgres::new(servers.clone(), certifier, PROGRAMS.into(), "apps.example".to_owned());
        let (apps, jobs) = (AtomicU32::new(0), AtomicU32::new(0));
        let world = World { engine, servers, postgres, data: data.to_owned(), apps, jobs };
        let outcome = tests(&world).await;
        world.servers.shutdown().await;
        world.engine.shutdown().await;
        gone.await;
        outcome
    })
}

impl World {
    /// A database that is not there yet.
    pub(crate) async fn unmade(&self) -> Database {
        let number = self.apps.fetch_add(1, Ordering::Relaxed) + 1;
        let app = AppName::parse(&format!("shop-{number}")).expect("a name");
        Database {
            name: DatabaseName::of(&app),
            app,
            slot: u16::try_from(number + 20).expect("a slot"),
            password: database::Secret::generate(),
            kept: self.postgres.prepare().await.expect("PostgreSQL is installed"),
        }
    }

    /// An app's database.
    pub(crate) async fn made(&self, settings: &DatabaseSettings) -> Database {
        let database = self.unmade().await;
        self.postgres.create(&database, settings).await.expect("made");
        database
    }

    /// A container as an app has it, with what its database's credentials say.
    pub(crate) fn app(&self, database: &Database, links: Vec<Link>, args: &[&str]) -> ContainerSpec {
        let access = self.postgres.credentials(database);
        let number = self.jobs.fetch_add(1, Ordering::Relaxed);
        let mut env: Vec<_> = access.variables.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned())).collect();
        env.push(("PATH".to_owned(), format!("{PROGRAMS}/{}/bin:/usr/bin:/bin", database.kept.major.expect("kept"))));
        ContainerSpec {
            id: ContainerId::parse(&format!("app-{number}")).expect("an id"),
            slot: database.slot,
            layers: vec![LayerRef::Machine],
            upper: Upper::Memory { bytes: 64 << 20 },
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env,
            cwd: "/".to_owned(),
            hostname: database.app.to_string(),
            profile: Profile::App,
            limits: Limits { memory_bytes: 256 << 20, cpu_millis: 1000, cpu_weight: 100, pids: 200 },
            mounts: access.files,
            stdin: false,
            user: 0,
            links,
            keeps_address: false,
        }
    }

    /// Runs a container to its end: how it ended, and all that it wrote.
    pub(crate) async fn run(&self, spec: ContainerSpec) -> (Exit, String) {
        let mut container = self.engine.create(spec).await.expect("created");
        let (mut stdout, mut stderr) = container.take_output().expect("not taken yet");
        let (mut out, mut err) = (String::new(), String::new());
        let (first, second) = tokio::join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut err));
        first.expect("read");
        second.expect("read");
        (container.exited().await, out + &err)
    }

    /// Waits until no server runs.
    pub(crate) async fn asleep(&self) {
        wait_for("the end of all servers", async || self.servers.running().is_empty()).await;
    }

    /// What `psql` says to a statement, as the app.
    pub(crate) async fn psql(&self, database: &Database, statement: &str) -> (Exit, String) {
        let awake = self.postgres.awake(database).await.expect("awake");
        self.run(self.app(database, awake.links.clone(), &["psql", "-XAtc", statement])).await
    }

    /// The answer to a statement that goes well.
    pub(crate) async fn ask(&self, database: &Database, statement: &str) -> String {
        let (exit, text) = self.psql(database, statement).await;
        assert_eq!(exit.code, Some(0), "{statement}: {text}");
        text.trim().to_owned()
    }
}

/// The processes of PostgreSQL's servers whose data lies in this world.
pub(crate) fn processes(data: &Path) -> Vec<i32> {
    let tag = data.display().to_string();
    let entries = std::fs::read_dir("/proc").expect("proc").flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            let is_server = std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "postgres");
            // Field 4 is the directory that is shown, below the root of its file system (proc_pid_mountinfo(5)).
            let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
            is_server && mounts.lines().any(|line| line.contains(&format!("{tag}/volumes/")))
        })
        .collect()
}

/// Waits until something is true.
pub(crate) async fn wait_for(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !check().await {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what} did not come true");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
