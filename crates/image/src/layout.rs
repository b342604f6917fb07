//! An OCI image layout in a directory: blobs written whole or not at all, an index with one reference per image.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::oci::{CONFIG, Config, Descriptor, Image, Index, MANIFEST, Manifest, Platform, REF_NAME};
use crate::pins::{Pin, Pinned, Pins};

mod blob;
mod records;
#[cfg(test)]
mod tests;

pub use blob::{BlobWriter, Packed};

/// The largest JSON document that is read from a layout.
const DOCUMENT_LIMIT: u64 = 16 * 1024 * 1024;

/// What went wrong with a layout.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The file system refused.
    #[error("{doing} {path} failed")]
    Io {
        /// What was being done, such as `writing`.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A document isn't what it should be.
    #[error("{path} is damaged; it can be deleted, the next deployment writes it anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: serde_json::Error,
    },
    /// A document is larger than any of ours.
    #[error("{0} is too large for a document of an image")]
    TooLarge(PathBuf),
    /// A blob isn't there.
    #[error("the image store has no blob {0}")]
    NoBlob(Digest),
    /// The bytes don't have the digest they were announced with.
    #[error("the blob was to be {expected}, but is {found}")]
    Mismatch {
        /// What was announced.
        expected: Digest,
        /// What came.
        found: Digest,
    },
}

/// The digest of an image's manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageId(pub Digest);

impl ImageId {
    /// Checks a text from outside.
    pub fn parse(text: &str) -> Result<Self, crate::digest::DigestError> {
        Digest::parse(text).map(Self)
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An image's name in the index: words of a-z, 0-9 and inner `-`, joined by one of `._:/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef(String);

/// Text that can't name an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} can't name an image: use a-z, 0-9 and between them '-', '.', '_', ':' or '/'")]
pub struct RefError(String);

impl ImageRef {
    /// Checks a text from outside.
    pub fn parse(text: &str) -> Result<Self, RefError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let word = |part: &str| {
            let bytes = part.as_bytes();
            let ends = bytes.first().zip(bytes.last());
            ends.is_some_and(|(first, last)| plain(*first) && plain(*last)) && bytes.iter().all(|b| plain(*b) || *b == b'-')
        };
        if text.len() <= 200 && text.split(['.', '_', ':', '/']).all(word) {
            Ok(Self(text.to_owned()))
        } else {
            Err(RefError(text.chars().take(200).collect()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An OCI image layout. One process at a time may write to it.
#[derive(Debug)]
pub struct Layout {
    root: PathBuf,
    /// Held from reading the index to having replaced it.
    index: Mutex<()>,
    pins: Pins,
}

impl Layout {
    /// Opens a layout, makes it when it isn't there, and sweeps what an earlier process left half-written.
    pub fn open(root: &Path) -> Result<Self, LayoutError> {
        let layout = Self { root: root.to_owned(), index: Mutex::new(()), pins: Pins::default() };
        for dir in [layout.blobs(), layout.records()] {
            fs::create_dir_all(&dir).map_err(failed("making", &dir))?;
        }
        let temporary = layout.temporary();
        match fs::remove_dir_all(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("sweeping", &temporary)(error)),
            _ => fs::create_dir(&temporary).map_err(failed("making", &temporary))?,
        }
        layout.replace(&layout.root.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        if !layout.index_path().exists() {
            layout.write_index(&Index::default())?;
        }
        Ok(layout)
    }

    /// The layout's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What builds hold against collection.
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Writes an image's configuration and manifest, and puts it into the index. Its layers' blobs are there already.
    pub fn write_image(
        &self,
        pin: &Pin,
        name: &ImageRef,
        config: &Config,
        layers: Vec<Descriptor>,
    ) -> Result<ImageId, LayoutError> {
        for layer in &layers {
            pin.hold(Pinned::Blob(layer.digest));
            if !self.has_blob(&layer.digest) {
                return Err(LayoutError::NoBlob(layer.digest));
            }
        }
        let config = self.put_json(pin, CONFIG, config)?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            config,
            layers,
            annotations: std::collections::BTreeMap::new(),
        };
        let mut descriptor = self.put_json(pin, MANIFEST, &manifest)?;
        sync_dir(&self.blobs())?;
        let id = ImageId(descriptor.digest);
        descriptor.annotations.insert(REF_NAME.to_owned(), name.as_str().to_owned());
        descriptor.platform = Some(Platform::host());
        self.update_index(|index| {
            index.manifests.retain(|entry| reference(entry) != Some(name.as_str()));
            index.manifests.push(descriptor);
        })?;
        Ok(id)
    }

    /// Puts an image from elsewhere into the index, under the name by which it was asked for. Its configuration and layers are there
    /// already; its manifest stays as it is, byte by byte.
    pub fn adopt_image(&self, pin: &Pin, name: &str, manifest: &[u8]) -> Result<ImageId, LayoutError> {
        let digest = Digest::of(manifest);
        let parsed: Manifest =
            serde_json::from_slice(manifest).map_err(|source| LayoutError::Damaged { path: self.blob_path(&digest), source })?;
        for blob in parsed.blobs() {
            pin.hold(Pinned::Blob(blob));
            if !self.has_blob(&blob) {
                return Err(LayoutError::NoBlob(blob));
            }
        }
        let mut writer = self.blob_writer()?;
        writer.write_all(manifest).map_err(failed("writing", &self.blob_path(&digest)))?;
        self.finish_blob(pin, writer)?;
        sync_dir(&self.blobs())?;
        let media_type = if parsed.media_type.is_empty() { MANIFEST.to_owned() } else { parsed.media_type };
        let descriptor = Descriptor {
            media_type,
            digest,
            size: manifest.len() as u64,
            annotations: std::collections::BTreeMap::from([(REF_NAME.to_owned(), name.to_owned())]),
            platform: Some(Platform::host()),
        };
        self.update_index(|index| {
            index.manifests.retain(|entry| reference(entry) != Some(name));
            index.manifests.push(descriptor);
        })?;
        Ok(ImageId(digest))
    }

    /// The image of this name, pinned with its blobs, if all of them are here.
    pub fn find(&self, pin: &Pin, name: &str) -> Result<Option<ImageId>, LayoutError> {
        let Some((_, id)) = self.images()?.into_iter().find(|(other, _)| other == name) else { return Ok(None) };
        pin.hold(Pinned::Blob(id.0));
        let Ok(manifest) = self.manifest(&id) else { return Ok(None) };
        for blob in manifest.blobs() {
            pin.hold(Pinned::Blob(blob));
            if !self.has_blob(&blob) {
                return Ok(None);
            }
        }
        Ok(Some(id))
    }

    /// Bytes that may still be written to the disk that it lies on.
    pub fn free_bytes(&self) -> Result<u64, LayoutError> {
        let disk = nix::sys::statvfs::statvfs(&self.root).map_err(|error| failed("asking about", &self.root)(error.into()))?;
        Ok(disk.blocks_available() * disk.fragment_size())
    }

    /// Reads an image.
    pub fn image(&self, id: &ImageId) -> Result<Image, LayoutError> {
        let manifest: Manifest = self.read_json(&id.0)?;
        let config = self.read_json(&manifest.config.digest)?;
        Ok(Image { manifest, config })
    }

    /// Reads an image's manifest.
    pub fn manifest(&self, id: &ImageId) -> Result<Manifest, LayoutError> {
        self.read_json(&id.0)
    }

    /// The images of the index, with their references.
    pub fn images(&self) -> Result<Vec<(String, ImageId)>, LayoutError> {
        let index = self.read_index()?;
        Ok(index.manifests.iter().map(|entry| (reference(entry).unwrap_or_default().to_owned(), ImageId(entry.digest))).collect())
    }

    /// Takes images out of the index; their blobs stay until they are collected.
    pub fn forget(&self, gone: impl Fn(&ImageId) -> bool) -> Result<(), LayoutError> {
        self.update_index(|index| index.manifests.retain(|entry| !gone(&ImageId(entry.digest))))
    }

    fn update_index(&self, change: impl FnOnce(&mut Index)) -> Result<(), LayoutError> {
        let _held = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let mut index = self.read_index()?;
        change(&mut index);
        self.write_index(&index)
    }

    fn read_index(&self) -> Result<Index, LayoutError> {
        read_document(&self.index_path())
    }

    fn write_index(&self, index: &Index) -> Result<(), LayoutError> {
        self.replace(&self.index_path(), &to_json(index))
    }

    /// Puts a file in place of another one, durably, so that a reader sees the old one or the new one.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), LayoutError> {
        let temporary = self.temporary();
        let mut file = tempfile::NamedTempFile::new_in(&temporary).map_err(failed("making a file in", &temporary))?;
        file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed("writing", path))?;
        file.persist(path).map_err(|error| failed("replacing", path)(error.error))?;
        sync_dir(path.parent().unwrap_or(&self.root))
    }

    fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    fn records(&self) -> PathBuf {
        self.root.join("layers")
    }

    fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    fn index_path(&self) -> PathBuf {
        self.root.join("index.json")
    }
}

fn reference(entry: &Descriptor) -> Option<&str> {
    entry.annotations.get(REF_NAME).map(String::as_str)
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("our documents have string keys and no failing serializer")
}

fn read_document<T: DeserializeOwned>(path: &Path) -> Result<T, LayoutError> {
    let file = File::open(path).map_err(failed("reading", path))?;
    let mut bytes = Vec::new();
    file.take(DOCUMENT_LIMIT + 1).read_to_end(&mut bytes).map_err(failed("reading", path))?;
    if bytes.len() as u64 > DOCUMENT_LIMIT {
        return Err(LayoutError::TooLarge(path.to_owned()));
    }
    serde_json::from_slice(&bytes).map_err(|source| LayoutError::Damaged { path: path.to_owned(), source })
}

fn sync_dir(dir: &Path) -> Result<(), LayoutError> {
    File::open(dir).and_then(|handle| handle.sync_all()).map_err(failed("writing", dir))
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> LayoutError + 'a {
    move |source| LayoutError::Io { doing, path: path.to_owned(), source }
}
