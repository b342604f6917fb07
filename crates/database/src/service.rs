//! A service from a vendor's image: pulled, unpacked, and what its configuration says of how it is run.
//!
//! An image becomes one layer of the engine, all of its own layers applied one above the other: a database's image shares nothing with
//! others here, and an overlay of dozens of directories would not fit into a mount's options. What is unpacked once is not unpacked
//! again; garbage collection keeps it as long as its image ([`image::References`], [`Images::held`]).

mod config;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use engine::{Applied, ContainerId, ContainerSpec, Engine, EngineError, LayerRef, LayerRoom, Limits, Profile, Upper};
use image::ImageId;
use image::layers::{LayerId, LayerKey, LayerRecord};
use image::registry::{Client, Freshness, Progress, PullError, Pulled, Reference};
use tokio::sync::Mutex;

pub use config::Run;

use crate::{DatabaseError, Result};

/// Bytes of the disk that no image takes.
const RESERVE: u64 = 512 << 20;

/// Says whether what is on the disk may be changed now, and keeps it so as long as what it gives lives: while a platform is handed
/// over, its successor collects garbage, and knows nothing of what this one has just fetched.
pub type Gate = Box<dyn Fn() -> Result<Box<dyn Any + Send + Sync>> + Send + Sync>;

/// Makes services of images.
pub struct Images {
    client: Client,
    engine: Arc<dyn Engine>,
    /// Unpacking is one at a time: whoever comes second finds it done.
    turn: Mutex<()>,
    /// So is pulling, for each name.
    pulls: std::sync::Mutex<BTreeMap<Reference, Weak<Mutex<()>>>>,
    /// The names that settings hold: what they mean here stays.
    kept: std::sync::Mutex<BTreeSet<Reference>>,
    gate: OnceLock<Gate>,
}

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Images").finish_non_exhaustive()
    }
}

/// A service as its image has it. As long as this lives, garbage collection leaves its image alone.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its root file system.
    pub layer: engine::LayerId,
    /// How it is run.
    pub run: Run,
    pulled: Pulled,
}

impl Images {
    /// Images come by this client, and become layers of this engine.
    pub fn new(client: Client, engine: Arc<dyn Engine>) -> Self {
        Self {
            client,
            engine,
            turn: Mutex::new(()),
            pulls: std::sync::Mutex::default(),
            kept: std::sync::Mutex::default(),
            gate: OnceLock::new(),
        }
    }

    /// Asks this before anything is fetched or unpacked. Only the first counts.
    pub fn set_gate(&self, gate: Gate) {
        let _first = self.gate.set(gate);
    }

    /// Keeps what this name means here, now and later, from garbage collection.
    pub fn keep(&self, reference: &Reference) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(reference.clone());
    }

    /// The images that are to be kept from garbage collection: what the names mean that settings hold.
    ///
    /// # Errors
    /// Where that can't be found out; nothing may be collected then.
    pub fn kept(&self) -> Result<Vec<ImageId>> {
        let names: Vec<_> = self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        let held = names.iter().filter_map(|reference| self.held(reference).transpose());
        held.collect()
    }

    fn enter(&self) -> Result<Option<Box<dyn Any + Send + Sync>>> {
        self.gate.get().map(|gate| gate()).transpose()
    }

    /// The image that this name means here; none where it has not been pulled. Who keeps a service by its name keeps this one from
    /// garbage collection.
    pub fn held(&self, reference: &Reference) -> Result<Option<ImageId>> {
        let layout = self.client.layout();
        layout.find(&layout.pins().pin(), &reference.to_string()).map_err(|error| PullError::from(error).into())
    }

    /// Has a service here, ready to be run. `user` is who runs it in place of the image's own user: images whose start script wants
    /// to be root only to become somebody else are started as that one at once, since root has no rights here.
    pub async fn service(
        &self,
        reference: &Reference,
        freshness: Freshness,
        user: Option<&str>,
        progress: &Progress,
    ) -> Result<Service> {
        let turn = self.turn_of(reference);
        let pulled = {
            let _turn = turn.lock().await;
            let here = freshness == Freshness::Kept && self.held(reference)?.is_some();
            let _change = if here { None } else { self.enter()? };
            self.client.pull(reference, freshness, progress).await?
        };
        let layer = self.unpacked(reference, &pulled).await?;
        let (users, groups) = (self.text(&layer, "/etc/passwd").await?, self.text(&layer, "/etc/group").await?);
        let run = Run::of(&pulled.image.config.execution, user, &users, &groups)
            .map_err(|why| DatabaseError::Refused(format!("{reference} can't be run: {why}")))?;
        Ok(Service { layer, run, pulled })
    }

    /// Who pulls an image waits for whoever does so already.
    fn turn_of(&self, reference: &Reference) -> Arc<Mutex<()>> {
        let mut pulls = self.pulls.lock().unwrap_or_else(PoisonError::into_inner);
        pulls.retain(|_, turn| turn.strong_count() > 0);
        let known = pulls.get(reference).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let turn = Arc::new(Mutex::new(()));
            pulls.insert(reference.clone(), Arc::downgrade(&turn));
            turn
        })
    }

    /// A text file of a layer; empty where there is none.
    async fn text(&self, layer: &engine::LayerId, path: &str) -> Result<String> {
        match self.engine.layer_file(layer, path).await {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(EngineError::Missing(_)) => Ok(String::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// The layer of an image, made where it is missing.
    async fn unpacked(&self, reference: &Reference, pulled: &Pulled) -> Result<engine::LayerId> {
        let _turn = self.turn.lock().await;
        let layout = self.client.layout();
        let key = LayerKey::of_image(&pulled.id);
        let wrong = |error: &dyn fmt::Display| DatabaseError::Failed(error.to_string());
        if let Some(record) = layout.layer(pulled.pin(), &key).map_err(PullError::from)? {
            let layer = engine::LayerId::parse(record.layer.as_str()).map_err(|error| wrong(&error))?;
            if self.engine.has_layer(&layer).await? {
                return Ok(layer);
            }
        }
        let _change = self.enter()?;
        // 40 of 64 digits: what is left says nothing to people, and names have an end.
        let name = format!("i-{}", &pulled.id.0.hex()[..40]);
        let layer = engine::LayerId::parse(&name).map_err(|error| wrong(&error))?;
        let id = LayerId::parse(&name).map_err(|error| wrong(&error))?;
        pulled.pin().hold(image::pins::Pinned::Layer(id.clone()));
        let begun = std::time::Instant::now();
        let applied = match self.apply(&layer, pulled).await {
            Ok(applied) => applied,
            Err(error) => {
                self.engine.remove_layer(&layer).await?;
                return Err(error);
            }
        };
        self.engine.seal_layer(&layer, &[]).await?;
        let used_at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let used_at = i64::try_from(used_at).unwrap_or(i64::MAX);
        let record = LayerRecord { key, layer: id, blob: None, used_at, about: format!("image {reference}") };
        layout.record_layer(pulled.pin(), &record).map_err(PullError::from)?;
        tracing::info!(image = %reference, bytes = applied.bytes, files = applied.entries, took = ?begun.elapsed(), "unpacked an image");
        Ok(layer)
    }

    /// Applies all layers of an image, each through a pipe: it is decompressed and checked here, without any right, and written by
    /// the engine, which sees nothing but an archive.
    async fn apply(&self, layer: &engine::LayerId, pulled: &Pulled) -> Result<Applied> {
        if pulled.layers() == 0 {
            return Err(DatabaseError::Refused("the image has no layer: there is nothing to run in it".to_owned()));
        }
        let limits = self.client.settings().limits;
        let free = self.client.layout().free_bytes().map_err(PullError::from)?.saturating_sub(RESERVE);
        let mut room = LayerRoom { bytes: limits.unpacked.min(free), entries: limits.entries };
        let mut stream = limits.unpacked;
        let mut all = Applied::default();
        for number in 0..pulled.layers() {
            let (reader, writer) =
                std::io::pipe().map_err(|error| DatabaseError::Failed(format!("make a pipe to the engine: {error}")))?;
            let (source, limit) = (pulled.clone(), stream);
            let unpacking = tokio::task::spawn_blocking(move || source.unpack(number, limit, writer));
            let applied = self.engine.apply_layer(layer, number == 0, room, File::from(OwnedFd::from(reader))).await;
            let unpacked = unpacking.await.map_err(|error| DatabaseError::Failed(format!("unpack an image: {error}")))?;
            match (applied, unpacked) {
                (Ok(applied), Ok(bytes)) => {
                    stream -= bytes.min(stream);
                    room.bytes -= applied.bytes.min(room.bytes);
                    room.entries -= applied.entries.min(room.entries);
                    all.bytes += applied.bytes;
                    all.entries += applied.entries;
                    all.skipped += applied.skipped;
                }
                // Where the engine refused, the pipe broke; where the archive was wrong, the engine saw at most its end.
                (Err(error), Ok(_) | Err(PullError::Store(_))) => return Err(error.into()),
                (_, Err(error)) => return Err(error.into()),
            }
        }
        Ok(all)
    }
}

impl Service {
    /// The image.
    pub fn image(&self) -> ImageId {
        self.pulled.id
    }

    /// A container that runs it, with the image's own variables and without mounts, links and an address that stays.
    pub fn container(&self, id: ContainerId, slot: u16, limits: Limits, writable: u64) -> ContainerSpec {
        ContainerSpec {
            hostname: id.to_string(),
            id,
            slot,
            layers: vec![LayerRef::Layer(self.layer.clone())],
            upper: Upper::Memory { bytes: writable },
            args: self.run.args.clone(),
            env: self.run.env.clone(),
            cwd: self.run.cwd.clone(),
            profile: Profile::App,
            limits,
            mounts: Vec::new(),
            stdin: false,
            user: self.run.user,
            links: Vec::new(),
            keeps_address: false,
        }
    }
}

impl From<PullError> for DatabaseError {
    fn from(error: PullError) -> Self {
        let help = match &error {
            PullError::NotAllowed { .. } => "set a user and a password for this registry",
            PullError::Unreachable { .. } => "look at the machine's network, or set a proxy or a mirror",
            PullError::NoRoom { .. } => "make room on the disk",
            PullError::WrongPlatform { .. } => "name an image for this machine's processor",
            PullError::NoSuchImage { .. }
            | PullError::RateLimited { .. }
            | PullError::Mismatch { .. }
            | PullError::TooLarge { .. }
            | PullError::Protocol { .. }
            | PullError::Unsupported { .. }
            | PullError::Settings(_)
            | PullError::Store(_) => "",
        };
        Self::Unavailable { what: error.to_string(), help: help.to_owned() }
    }
}
