//! From a revision to the description of a container: environment, layers, limits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use database::{Access, Awake};
use edge::AppSettings;
use engine::{ContainerId, ContainerSpec, LayerRef, Limits, Profile, Upper};
use model::environment::{self, Facts};
use model::{AppName, RevisionNumber, RevisionSpec};

use crate::databases::Beside;
use crate::instance::StartFailure;
use crate::meter::Meter;
use crate::probe::Probe;
use crate::runtime::{Live, port_of};

/// The port that apps are told to listen on.
pub(crate) const PORT: u16 = 8080;
/// The machine's bundle of certificates, as it lies in every container.
const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Variables by which TLS libraries that bring a bundle of their own (certifi) find the machine's.
const BUNDLE_VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"];
/// Processes and threads of one instance.
const PIDS: u32 = 1024;
/// The share of the processor under contention that an instance has which serves, and one that is to serve later.
pub(crate) const WEIGHT: u32 = 100;
const CANDIDATE_WEIGHT: u32 = 20;
/// How long a request waits for a place where all instances are full: so long, or so many of the app's usual starts.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);
const QUEUE_STARTS: f64 = 3.5;
/// How many requests may wait for a place.
const QUEUE_LEAST: usize = 100;
const QUEUE_MOST: usize = 10_000;

/// What is the same for every container of an app.
#[derive(Debug)]
pub(crate) struct Specs {
    /// The app's name.
    pub(crate) app: AppName,
    /// Its range of user ids.
    pub(crate) slot: u16,
    /// Its host name.
    pub(crate) hostname: String,
    /// The public port of HTTPS.
    pub(crate) https_port: u16,
    /// The idle time where the app sets none.
    pub(crate) idle_default: Duration,
    /// Makes ids of instances unique in the life of this platform.
    pub(crate) counter: AtomicU64,
    /// What its instances use.
    pub(crate) meter: Arc<Meter>,
    /// The database beside the app.
    pub(crate) database: Mutex<Option<Arc<Beside>>>,
    /// The images that instances were started from since the platform's start, and how many run.
    pub(crate) images: Mutex<BTreeMap<String, usize>>,
}

/// Keeps an image from being collected while an instance of it runs.
#[derive(Debug)]
pub(crate) struct InUse {
    specs: Arc<Specs>,
    image: String,
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut images = self.specs.images.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = images.get_mut(&self.image) {
            *count -= 1;
            if *count == 0 {
                images.remove(&self.image);
            }
        }
    }
}

impl Specs {
    /// The container of an instance, and the port on which it is to listen.
    pub(crate) fn instance(&self, live: &Live) -> (ContainerSpec, u16) {
        (self.container(live.number, &live.spec, live.spec.args.clone(), "i"), port_of(&live.spec))
    }

    /// The same for an instance that starts while others serve: where the processor is short, they come first.
    pub(crate) fn candidate(&self, live: &Live) -> (ContainerSpec, u16) {
        let (mut spec, port) = self.instance(live);
        spec.limits.cpu_weight = CANDIDATE_WEIGHT;
        (spec, port)
    }

    /// The database beside the app, once it is there.
    pub(crate) fn database(&self) -> Option<Arc<Beside>> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells the instances to come of their database.
    pub(crate) fn set_database(&self, database: Option<Arc<Beside>>) {
        *self.database.lock().unwrap_or_else(PoisonError::into_inner) = database;
    }

    /// Wakes the database for a container that is about to be made, which may reach it then.
    pub(crate) async fn awake(&self, spec: &mut ContainerSpec) -> Result<Option<Awake>, StartFailure> {
        let Some(database) = self.database() else { return Ok(None) };
        let awake = database.awake().await?;
        spec.links.extend(awake.links.iter().cloned());
        Ok(Some(awake))
    }

    /// Says that an instance of this image is about to run.
    pub(crate) fn in_use(self: &Arc<Self>, image: &str) -> InUse {
        *self.images.lock().unwrap_or_else(PoisonError::into_inner).entry(image.to_owned()).or_default() += 1;
        InUse { specs: Arc::clone(self), image: image.to_owned() }
    }

    /// The images of which instances run.
    pub(crate) fn running(&self) -> Vec<String> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// The container of the release command.
    pub(crate) fn release(&self, number: RevisionNumber, spec: &RevisionSpec, args: Vec<String>) -> ContainerSpec {
        self.container(number, spec, args, "r")
    }

    fn container(&self, number: RevisionNumber, spec: &RevisionSpec, args: Vec<String>, kind: &str) -> ContainerSpec {
        let serial = self.counter.fetch_add(1, Ordering::Relaxed) + 1;
        let id = format!("{}-{number}-{kind}{serial}", self.app);
        let memory_bytes = spec.resources.memory_bytes();
        let database = self.database().map(|beside| beside.kind.credentials(&beside.database));
        ContainerSpec {
            id: ContainerId::parse(&id).expect("an app's name and numbers are a container's id"),
            slot: self.slot,
            layers: spec.layers.iter().filter_map(|layer| LayerRef::parse(layer).ok()).collect(),
            upper: Upper::Memory { bytes: memory_bytes },
            args,
            env: self.environment(number, spec, database.as_ref()).into_iter().collect(),
            cwd: build::plan::APP_DIR.to_owned(),
            hostname: self.app.to_string(),
            profile: Profile::App,
            limits: Limits { memory_bytes, cpu_millis: spec.resources.cpu_millis(), cpu_weight: WEIGHT, pids: PIDS },
            mounts: database.map(|access| access.files).unwrap_or_default(),
            stdin: false,
            user: 0,
            links: Vec::new(),
            keeps_address: false,
        }
    }

    fn environment(&self, number: RevisionNumber, spec: &RevisionSpec, database: Option<&Access>) -> BTreeMap<String, String> {
        let variables: Option<Vec<_>> = database
            .map(|access| access.variables.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned())).collect());
        let facts = Facts {
            app: &self.app,
            revision: number,
            hostname: &self.hostname,
            https_port: self.https_port,
            port: PORT,
            database: variables.as_deref(),
        };
        let bundle = BUNDLE_VARIABLES.iter().map(|name| ((*name).to_owned(), CA_BUNDLE.to_owned()));
        let image: Vec<_> = bundle.chain(spec.image_env.iter().cloned()).collect();
        environment::runtime(&image, &facts, &spec.environment)
    }

    /// How long a revision may be quiet before it sleeps.
    pub(crate) fn idle_timeout(&self, spec: &RevisionSpec) -> Duration {
        spec.idle_timeout.map_or(self.idle_default, |seconds| Duration::from_secs(u64::from(seconds)))
    }

    /// How a revision's instances are asked whether they work.
    pub(crate) fn probe(&self, spec: &RevisionSpec) -> Probe {
        Probe::new(&self.hostname, spec.serving.probe_path.as_deref()).speaking(protocol(spec))
    }
}

/// What the edge is told of a revision, whose starts usually take so long.
pub(crate) fn edge_settings(spec: &RevisionSpec, usual_start: Option<Duration>) -> AppSettings {
    let resources = &spec.resources;
    let room = resources.max_concurrent_requests_per_instance.saturating_mul(resources.max_instances) as usize;
    AppSettings {
        max_concurrent_requests_per_instance: resources.max_concurrent_requests_per_instance as usize,
        // As many as could be served at once may wait for the next turn.
        queue_limit: room.clamp(QUEUE_LEAST, QUEUE_MOST),
        queue_timeout: usual_start.unwrap_or_default().mul_f64(QUEUE_STARTS).max(QUEUE_TIMEOUT),
        request_timeout: spec.serving.request_timeout(),
        ..AppSettings::default()
    }
}

/// What a revision's instances speak.
pub(crate) fn protocol(spec: &RevisionSpec) -> edge::Protocol {
    match spec.serving.protocol {
        model::serving::Protocol::Http1 => edge::Protocol::Http1,
        model::serving::Protocol::H2c => edge::Protocol::H2c,
    }
}
