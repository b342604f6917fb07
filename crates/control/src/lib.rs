//! The use cases (deploy, roll back, pause ...), reconciliation and garbage collection.
//!
//! The store says what should be; this crate makes it so through the engine and the edge, and tells what is. It knows no HTTP and
//! not which engine it drives. A [`Control`] is the platform's inside: `web` calls it, `serve` makes it.

mod access;
mod access_log;
mod account;
mod apps;
mod audit;
mod backoff;
mod backups;
mod certificates;
mod clock;
mod construction;
mod databases;
mod deploy;
mod diagnosis;
mod doctor;
mod documents;
mod drafts;
mod error;
mod figures;
mod garbage;
mod github;
mod handover;
mod history;
mod instance;
mod invites;
mod limits;
mod linefile;
mod links;
mod local_path;
mod logs;
mod machine;
mod machine_report;
mod meter;
mod once;
mod output;
mod overview;
mod passwords;
mod pipeline;
mod probe;
mod progress;
mod push;
mod registry;
mod routes;
mod runtime;
mod sessions;
mod settings;
mod sign_in;
mod spec;
mod split;
mod starter;
mod tokens;
mod totp;
mod uploads;
mod users;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use edge::{Activate, AppHandle, AppSettings, AppStatus, EdgeHandle, HostName};
use engine::Engine;
use store::{App, Store};
use tokio::sync::{Mutex, Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backups::Backups;
use crate::error::{from_store, internal};
use crate::github::Hub;
use crate::linefile::LineFile;
use crate::machine::Machine;
use crate::output::AppLog;
use crate::registry::{Entry, Registry};
use crate::runtime::{Command, Live, Runtime, RuntimeParts};
use crate::spec::Specs;
use crate::uploads::Uploads;

pub use access::{Access, Identity, OwnToken, Right, Who, may};
pub use access_log::{AccessDetail, AccessWriter, access_log};
pub use account::NewSecondFactor;
pub use certificates::AuthorityFacts;
pub use databases::DatabaseStream;
pub use drafts::{CHECKS, Deployed, Draft, DraftSource, DraftView, Lacking, Look, Recognised};
pub use error::Result;
pub use figures::CONTENT_TYPE as FIGURES_TYPE;
pub use github::{Arrival, Branch, GitHubSource, ManifestForm, Purpose, Received};
pub use handover::{Change, InUse};
pub use invites::{GitHubWay, SignUp};
pub use links::Welcome;
pub use local_path::LocalPath;
pub use logs::Lines;
pub use machine::Sharing;
pub use once::{First, Turn};
pub use overview::{AppGlance, DeploymentGlance};
pub use passwords::{PASSWORD_MAX, PASSWORD_MIN};
pub use routes::Urls;
pub use sessions::{Browser, SignedIn};
pub use settings::{Effect, settings_version};
pub use sign_in::Step as SignInStep;
pub use starter::asked_by;
pub use store::{DeploymentKind, GitHubAccount, SignedInBy};

/// What a platform is told once, at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data directory.
    pub data_dir: PathBuf,
    /// Where visitors find the platform and its apps.
    pub urls: Urls,
    /// The platform's own host names.
    pub platform_hosts: Vec<HostName>,
    /// Where it listens, for `platform`.
    pub http: String,
    /// Where it listens, for `platform`.
    pub https: String,
    /// How long an app may be quiet before it sleeps.
    pub idle_timeout: Duration,
    /// How apps share the machine.
    pub sharing: Sharing,
    /// The most that is kept of one app's log, in bytes.
    pub log_bytes: u64,
    /// Free space below which no deployment begins, in bytes.
    pub disk_reserve: u64,
    /// The platform's own authority: its certificate.
    pub authority_pem: String,
    /// Which program runs; it changes when the program does.
    pub build: String,
    /// The port at which databases are reached from outside, where there is one.
    pub database_port: Option<u16>,
    /// Who may become a user by signing in with GitHub.
    pub sign_up: SignUp,
    /// Gives memory that has been freed back to the machine: called by a thread that used much of it at once.
    pub give_back: fn(),
}

/// The crates that a control drives.
#[derive(Debug)]
pub struct Parts {
    /// The platform's state.
    pub store: Store,
    /// Where containers run.
    pub engine: Arc<dyn Engine>,
    /// The edge's routes.
    pub edge: EdgeHandle,
    /// Makes images.
    pub builder: build::Builder,
    /// The git remote.
    pub git: source::git::Remote,
    /// The kinds of databases that apps may have.
    pub databases: Vec<Arc<dyn database::Kind>>,
    /// The places where backups lie; the nearest first.
    pub vaults: Vec<Arc<dyn vault::Vault>>,
    /// Has the images of servers: what settings name is no garbage.
    pub images: Arc<database::service::Images>,
    /// GitHub, wherever it is.
    pub github: ::github::GitHub,
}

/// The platform's inside; clones share it.
#[derive(Debug, Clone)]
pub struct Control {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    store: Store,
    engine: Arc<dyn Engine>,
    edge: EdgeHandle,
    builder: build::Builder,
    git: source::git::Remote,
    databases: Vec<Arc<dyn database::Kind>>,
    backups: Backups,
    images: Arc<database::service::Images>,
    hub: Hub,
    registry: Arc<Registry>,
    machine: Arc<Machine>,
    uploads: Uploads,
    passwords: passwords::Passwords,
    drafts: drafts::Drafts,
    entrance: sign_in::Entrance,
    /// Held while an app is created.
    creation: Mutex<()>,
    /// Wakes the collection of garbage.
    garbage: Notify,
    stopping: CancellationToken,
    tasks: TaskTracker,
    /// Changes that have begun and not ended.
    changes: TaskTracker,
    /// Whether changes are refused, because the platform is being handed over.
    quiet: AtomicBool,
    /// Whether, beyond that, all that had begun have ended.
    quieted: AtomicBool,
    serial: AtomicU64,
    builds: figures::Builds,
    /// Set where one is kept.
    access_log: OnceLock<LineFile>,
    started_at: i64,
}

impl Inner {
    /// A number that this platform has not given before.
    fn serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }
}

impl Control {
    /// Makes the inside from the store: every app has its task and its route afterwards, and what was interrupted has ended.
    ///
    /// Must be called within a runtime.
    pub fn start(config: Config, parts: Parts) -> Result<Self> {
        let Parts { store, engine, edge, builder, git, databases, vaults, images, github } = parts;
        let uploads =
            Uploads::open(&config.data_dir.join("uploads")).map_err(|error| internal("open its directory of uploads", &error))?;
        let backups = Backups::new(vaults, config.data_dir.join("dumps"))
            .map_err(|error| internal("open its directory of dumps", &error))?;
        let app = store.read_now(|tx| tx.github_app::<::github::AppKeys>()).map_err(from_store)?;
        let broken = app.as_ref().is_some_and(|app| app.problem.is_some());
        let hub = Hub::new(github, app.map(|app| app.keys), broken);
        let registry = Arc::new(Registry::default());
        let machine = Machine::new(config.sharing, Arc::clone(&registry));
        let machine = Arc::new(machine.map_err(|error| internal("start the thread that freezes", &error))?);
        let inner = Inner {
            passwords: passwords::Passwords::new(config.give_back),
            config,
            store,
            engine,
            edge,
            builder,
            git,
            databases,
            backups,
            images,
            hub,
            registry,
            machine,
            uploads,
            drafts: drafts::Drafts::default(),
            entrance: sign_in::Entrance::default(),
            creation: Mutex::new(()),
            garbage: Notify::new(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            changes: TaskTracker::new(),
            quiet: AtomicBool::new(false),
            quieted: AtomicBool::new(false),
            serial: AtomicU64::new(1),
            builds: figures::Builds::default(),
            access_log: OnceLock::new(),
            started_at: clock::now(),
        };
        let control = Self { inner: Arc::new(inner) };
        control.gate_images();
        for app in control.inner.store.read_now(|tx| tx.apps()).map_err(from_store)? {
            let live = match app.live {
                Some(number) => control.inner.store.read_now(|tx| tx.revision(app.id, number)).map_err(from_store)?,
                None => None,
            };
            let live = live.map(|revision| Live { number: revision.number, spec: Arc::new(revision.spec) });
            let entry = control.adopt(&app, live)?;
            let Some(split) = app.split else { continue };
            if let Some(other) = control.inner.store.read_now(|tx| tx.revision(app.id, split.revision)).map_err(from_store)? {
                control.resume_split(&entry, split, Live { number: other.number, spec: Arc::new(other.spec) });
            }
        }
        control.end_interrupted()?;
        control.publish_routes();
        control.inner.tasks.spawn(control.clone().collect_forever());
        control.inner.tasks.spawn(control.clone().back_up_forever());
        let watching = Arc::clone(&control.inner.machine).watch(Arc::clone(&control.inner.engine));
        let stopping = control.inner.stopping.clone();
        control.inner.tasks.spawn(async move {
            tokio::select! {
                () = watching => {}
                () = stopping.cancelled() => {}
            }
        });
        control.inner.tasks.spawn(control.clone().look_after_databases());
        Ok(control)
    }

    /// What the edge asks for instances.
    pub fn activate(&self) -> Arc<dyn Activate> {
        Arc::clone(&self.inner.registry) as Arc<dyn Activate>
    }

    /// The certificate of the platform's own authority.
    pub fn authority_pem(&self) -> &str {
        &self.inner.config.authority_pem
    }

    /// Who answers.
    pub fn platform(&self) -> api::Platform {
        let config = &self.inner.config;
        let app_url = match config.urls.https_port {
            443 => format!("https://NAME.{}", config.urls.domain),
            port => format!("https://NAME.{}:{port}", config.urls.domain),
        };
        api::Platform {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build: config.build.clone(),
            domain: config.urls.domain.clone(),
            url: config.urls.platform(),
            app_url,
            http: config.http.clone(),
            https: config.https.clone(),
            pid: std::process::id(),
            data_dir: config.data_dir.display().to_string(),
            started_at: clock::timestamp(self.inner.started_at),
            own_ca: true,
        }
    }

    /// Gives an app of the store its task, its log and its entry at the edge.
    pub(crate) fn adopt(&self, app: &App, live: Option<Live>) -> Result<Arc<Entry>> {
        let config = &self.inner.config;
        let specs = Arc::new(Specs {
            app: app.name.clone(),
            slot: app.slot,
            hostname: config.urls.hostname(&app.name),
            https_port: config.urls.https_port,
            idle_default: config.idle_timeout,
            counter: AtomicU64::new(0),
            meter: Arc::default(),
            database: std::sync::Mutex::default(),
            images: std::sync::Mutex::default(),
        });
        let directory = config.data_dir.join("logs").join(app.name.as_str());
        let log = AppLog::open(&directory, config.log_bytes).map_err(|error| internal("open the app's log", &error))?;
        let edge_settings = live.as_ref().map_or_else(AppSettings::default, |live| spec::edge_settings(&live.spec, None));
        let handle = AppHandle::new(app.name.as_str(), edge_settings, AppStatus::NoRevision);
        let (mailbox, receiver) = mpsc::unbounded_channel();
        let entry = Arc::new(Entry {
            id: app.id,
            name: app.name.clone(),
            specs: Arc::clone(&specs),
            handle: Arc::clone(&handle),
            log: log.clone(),
            directory,
            mailbox: mailbox.clone(),
            queue: deploy::Queue::default(),
            settings: Mutex::new(()),
            side: std::sync::Mutex::default(),
        });
        self.adopt_database(&entry)?;
        let parts = RuntimeParts {
            app: app.name.clone(),
            specs,
            engine: Arc::clone(&self.inner.engine),
            machine: Arc::clone(&self.inner.machine),
            handle,
            log,
            live,
            paused: app.paused,
        };
        drop(Runtime::spawn(parts, (mailbox, receiver)));
        let _begins = entry.mailbox.send(Command::Check);
        self.inner.registry.insert(Arc::clone(&entry));
        Ok(entry)
    }

    /// Ends deployments and instances; nothing runs afterwards. Visitors are no longer served when this is called.
    pub async fn stop(&self) {
        self.inner.stopping.cancel();
        self.inner.garbage.notify_one();
        self.inner.git.close().await;
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        let ends = self.inner.registry.all().into_iter().map(|entry| async move {
            split::ask_all(&entry, Command::End).await;
            entry.log.close();
        });
        futures_util::future::join_all(ends).await;
        self.stop_databases().await;
    }
}
