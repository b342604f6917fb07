//! The whole of a pull: manifest, configuration, layers, a name in the index.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::blob;
use super::documents::{self, ACCEPTED, Chosen, Document, Parts};
use super::error::PullError;
use super::reference::Reference;
use super::session::{Asked, Session};
use super::settings::Settings;
use super::unpack::{self, Failed};
use crate::digest::Digest;
use crate::layout::{ImageId, Layout, LayoutError};
use crate::oci::{Config, Image, Manifest, Platform};
use crate::pins::{Pin, Pinned};

/// Layers that are fetched at the same time.
const SIDE_BY_SIDE: usize = 3;
/// Bytes of the disk that no image takes.
const RESERVE: u64 = 512 << 20;
/// How often an image is larger unpacked than as it is sent, for a guess before it begins.
const GROWTH: u64 = 3;

/// Whether an image that is here is asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// What is here under this name is taken; the registry is asked only where there is nothing.
    Kept,
    /// The registry says what the name means today; what of it is here is not fetched again.
    Fresh,
}

/// How far a pull is, for whoever looks at it meanwhile.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// Bytes that are here, and bytes that there are to be; zero as long as nobody knows.
    pub fn bytes(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }

    pub(super) fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Fetches images into a layout.
#[derive(Debug, Clone)]
pub struct Client {
    layout: Arc<Layout>,
    settings: Arc<Settings>,
}

/// An image that is here, whole. As long as this lives, garbage collection leaves it alone.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// What it is referred to by from now on.
    pub id: ImageId,
    /// Its documents.
    pub image: Image,
    layout: Arc<Layout>,
    pin: Arc<Pin>,
}

impl Client {
    /// A client that fetches into this layout.
    pub fn new(layout: Arc<Layout>, settings: Settings) -> Self {
        Self { layout, settings: Arc::new(settings) }
    }

    /// What it goes by.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The layout that it fetches into.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Has an image here, whole and checked.
    pub async fn pull(&self, reference: &Reference, freshness: Freshness, progress: &Progress) -> Result<Pulled, PullError> {
        let pin = Arc::new(self.layout.pins().pin());
        // What a digest names does not change.
        let ask = freshness == Freshness::Fresh && !reference.is_fixed();
        if !ask && let Some(id) = self.kept(reference, &pin).await? {
            return self.pulled(id, pin).await;
        }
        let limits = &self.settings.limits;
        let session = Session::open(&self.settings, reference).await?;
        let (bytes, parts) = manifest(&session, reference, limits.document).await?;
        let id = ImageId(Digest::of(&bytes));
        pin.hold(Pinned::Blob(id.0));
        let unsupported = |why: String| PullError::Unsupported { image: session.image.clone(), why };
        let too_large = |what: &str, limit: String| PullError::TooLarge { what: format!("{what} of {}", session.image), limit };
        if parts.layers.len() > limits.layers {
            return Err(too_large("the number of layers", format!("{}", limits.layers)));
        }
        if parts.config.size > limits.document {
            return Err(too_large("the configuration", format!("{} bytes", limits.document)));
        }
        let size = parts.layers.iter().try_fold(0_u64, |sum, layer| sum.checked_add(layer.size)).unwrap_or(u64::MAX);
        if size > limits.compressed {
            return Err(too_large("the size", format!("{} MB", limits.compressed >> 20)));
        }
        self.room(&session.image, &parts).await?;
        progress.total.store(size.saturating_add(parts.config.size), Ordering::Relaxed);
        blob::fetch(&session, &self.layout, &pin, &parts.config, progress).await?;
        let config: Config = self.document(parts.config.digest).await.map_err(|error| match error {
            LayoutError::Damaged { source, .. } => {
                unsupported(format!("its configuration can't be read: {}", documents::line(&source)))
            }
            other => other.into(),
        })?;
        check(&session, &config, parts.layers.len())?;
        stream::iter(parts.layers.iter().map(|layer| blob::fetch(&session, &self.layout, &pin, layer, progress)))
            .buffer_unordered(SIDE_BY_SIDE)
            .try_collect::<()>()
            .await?;
        let (layout, held, name) = (Arc::clone(&self.layout), Arc::clone(&pin), reference.to_string());
        let kept = blocking(move || layout.adopt_image(&held, &name, &bytes)).await?;
        debug_assert_eq!(kept, id);
        tracing::info!(image = %reference, %id, bytes = size, "pulled an image");
        self.pulled(id, pin).await
    }

    /// The image of this name or digest, where it is here.
    async fn kept(&self, reference: &Reference, pin: &Arc<Pin>) -> Result<Option<ImageId>, PullError> {
        let (layout, held, name) = (Arc::clone(&self.layout), Arc::clone(pin), reference.to_string());
        Ok(blocking(move || layout.find(&held, &name)).await?)
    }

    async fn document<T: serde::de::DeserializeOwned + Send + 'static>(&self, digest: Digest) -> Result<T, LayoutError> {
        let layout = Arc::clone(&self.layout);
        blocking(move || layout.read_json(&digest)).await
    }

    async fn pulled(&self, id: ImageId, pin: Arc<Pin>) -> Result<Pulled, PullError> {
        let layout = Arc::clone(&self.layout);
        let image = blocking(move || layout.image(&id)).await?;
        Ok(Pulled { id, image, layout: Arc::clone(&self.layout), pin })
    }

    /// Refuses what would fill the disk, before it begins.
    async fn room(&self, image: &str, parts: &Parts) -> Result<(), PullError> {
        let layout = Arc::clone(&self.layout);
        let missing: u64 = parts.layers.iter().filter(|layer| !layout.has_blob(&layer.digest)).map(|layer| layer.size).sum();
        let free = blocking(move || layout.free_bytes()).await?;
        let all: u64 = parts.layers.iter().map(|layer| layer.size).sum();
        let wanted = missing + all * GROWTH + RESERVE;
        if wanted > free {
            return Err(PullError::NoRoom { image: image.to_owned(), wanted: wanted >> 20, free: free >> 20 });
        }
        Ok(())
    }
}

/// The manifest for this machine, as it was sent.
async fn manifest(session: &Session<'_>, reference: &Reference, limit: u64) -> Result<(Vec<u8>, Parts), PullError> {
    let unsupported = |why: String| PullError::Unsupported { image: session.image.clone(), why };
    let mut version = reference.version();
    let mut expected = reference.digest();
    let host = Platform::host();
    // An index leads to an image; one that led to another index would be of no use to anybody.
    for _ in 0..2 {
        let (head, bytes) = session.fetch(Asked::Manifest, &format!("manifests/{version}"), ACCEPTED, limit).await?;
        let found = Digest::of(&bytes);
        let announced = head.get("docker-content-digest").and_then(|value| Digest::parse(value.to_str().ok()?).ok());
        if let Some(expected) = expected.or(announced).filter(|expected| *expected != found) {
            let what = format!("the manifest of {}", session.image);
            return Err(PullError::Mismatch { what, expected, found: found.to_string() });
        }
        match documents::parse_manifest(&bytes).map_err(unsupported)? {
            Document::Image(parts) => {
                // It is kept as it is, and must be understood when it is read again.
                let kept: Result<Manifest, _> = serde_json::from_slice(&bytes);
                kept.map_err(|error| unsupported(format!("its manifest can't be read: {}", documents::line(&error))))?;
                return Ok((bytes, parts));
            }
            Document::Index(manifests) => match documents::choose(&manifests, &host) {
                Chosen::One(part) => {
                    version = part.digest.to_string();
                    expected = Some(part.digest);
                }
                Chosen::None(offered) => {
                    let wanted = format!("{}/{}", host.os, host.architecture);
                    return Err(PullError::WrongPlatform { image: session.image.clone(), wanted, offered });
                }
            },
        }
    }
    Err(unsupported("its index leads to another index".to_owned()))
}

fn check(session: &Session<'_>, config: &Config, layers: usize) -> Result<(), PullError> {
    let host = Platform::host();
    let image = session.image.clone();
    if (&config.os, &config.architecture) != (&host.os, &host.architecture) {
        let offered = documents::short(&format!("{}/{}", config.os, config.architecture));
        return Err(PullError::WrongPlatform { image, wanted: format!("{}/{}", host.os, host.architecture), offered });
    }
    if config.rootfs.diff_ids.len() != layers {
        let why = format!("it has {layers} layers, and its configuration knows {}", config.rootfs.diff_ids.len());
        return Err(PullError::Unsupported { image, why });
    }
    Ok(())
}

impl Pulled {
    /// How many layers there are.
    pub fn layers(&self) -> usize {
        self.image.manifest.layers.len().min(self.image.config.rootfs.diff_ids.len())
    }

    /// Writes the uncompressed archive of a layer (0 is the lowest) somewhere, at most `limit` bytes of it, and says how many there
    /// were. Takes its time: not for a thread that others wait for.
    ///
    /// What it wrote is to be used only once this has returned without an error: the last byte tells whether it is the right archive.
    pub fn unpack(&self, layer: usize, limit: u64, to: impl Write) -> Result<u64, PullError> {
        let (Some(descriptor), Some(expected)) =
            (self.image.manifest.layers.get(layer), self.image.config.rootfs.diff_ids.get(layer))
        else {
            return Err(PullError::Unsupported { image: self.id.to_string(), why: format!("it has no layer {layer}") });
        };
        let blob = self.layout.blob_path(&descriptor.digest);
        unpack::archive(&blob, expected, limit, to).map_err(|failed| match failed {
            Failed::Mismatch(found) => PullError::Mismatch {
                what: format!("the archive of layer {}", layer + 1),
                expected: *expected,
                found: found.to_string(),
            },
            Failed::TooLarge => PullError::TooLarge { what: "the unpacked image".to_owned(), limit: format!("{limit} bytes") },
            Failed::Read(source) => {
                PullError::Unsupported { image: self.id.to_string(), why: format!("layer {} can't be read: {source}", layer + 1) }
            }
            Failed::Write(source) => LayoutError::Io { doing: "unpacking", path: blob.clone(), source }.into(),
        })
    }

    /// What keeps it from being collected.
    pub fn pin(&self) -> &Pin {
        &self.pin
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, LayoutError> + Send + 'static) -> Result<T, LayoutError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends.
            Err(_cancelled) => {
                let source = std::io::ErrorKind::Interrupted.into();
                Err(LayoutError::Io { doing: "stopping in", path: std::path::PathBuf::new(), source })
            }
        },
    }
}
