//! Blobs of a layout: written to a temporary file, made durable, then renamed to their digest.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::NamedTempFile;

use super::{Layout, LayoutError, failed, read_document, to_json};
use crate::digest::{Digest, HashWriter};
use crate::oci::Descriptor;
use crate::pins::{Pin, Pinned};

/// What somebody else wrote into a [`BlobWriter`]'s file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    /// The SHA-256 of the file.
    pub digest: Digest,
    /// The SHA-256 of the tar stream inside.
    pub diff_id: Digest,
    /// The size of the file.
    pub size: u64,
}

/// A blob that is being written. Dropped without an end, it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter {
    file: HashWriter<NamedTempFile>,
}

impl BlobWriter {
    /// The file behind, for a process that writes (and hashes) it in our place; then [`Layout::adopt_blob`] is its end.
    pub fn file(self) -> NamedTempFile {
        self.file.finish().0
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Layout {
    /// Where a blob lies, or would lie.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    /// Whether a blob is there.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.blob_path(digest).exists()
    }

    /// Begins a blob.
    pub fn blob_writer(&self) -> Result<BlobWriter, LayoutError> {
        let temporary = self.temporary();
        let file = NamedTempFile::new_in(&temporary).map_err(failed("making a file in", &temporary))?;
        Ok(BlobWriter { file: HashWriter::new(file) })
    }

    /// Ends a blob: it is on disk under its digest, and pinned.
    pub fn finish_blob(&self, pin: &Pin, blob: BlobWriter) -> Result<(Digest, u64), LayoutError> {
        let (file, digest, size) = blob.file.finish();
        self.keep_blob(pin, file, digest)?;
        Ok((digest, size))
    }

    /// Ends a blob that was announced with a digest: nothing is kept of one that has another.
    pub fn finish_announced(&self, pin: &Pin, blob: BlobWriter, expected: &Digest) -> Result<u64, LayoutError> {
        let (file, found, size) = blob.file.finish();
        if found != *expected {
            return Err(LayoutError::Mismatch { expected: *expected, found });
        }
        self.keep_blob(pin, file, found)?;
        Ok(size)
    }

    /// Ends a blob whose bytes another process of ours wrote and hashed.
    pub fn adopt_blob(&self, pin: &Pin, file: NamedTempFile, packed: &Packed) -> Result<(), LayoutError> {
        self.keep_blob(pin, file, packed.digest)
    }

    /// Takes a blob over from a file outside of the layout, and checks its digest on the way.
    pub fn import_blob(&self, pin: &Pin, mut from: File, expected: &Digest) -> Result<(), LayoutError> {
        pin.hold(Pinned::Blob(*expected));
        if self.has_blob(expected) {
            return Ok(());
        }
        let mut writer = self.blob_writer()?;
        io::copy(&mut from, &mut writer).map_err(failed("writing", &self.blob_path(expected)))?;
        let (file, found, _) = writer.file.finish();
        if found != *expected {
            return Err(LayoutError::Mismatch { expected: *expected, found });
        }
        self.keep_blob(pin, file, found)?;
        super::sync_dir(&self.blobs())
    }

    fn keep_blob(&self, pin: &Pin, file: NamedTempFile, digest: Digest) -> Result<(), LayoutError> {
        pin.hold(Pinned::Blob(digest));
        let path = self.blob_path(&digest);
        if path.exists() {
            return Ok(());
        }
        file.as_file().sync_all().map_err(failed("writing", &path))?;
        file.persist(&path).map_err(|error| failed("naming", &path)(error.error))?;
        Ok(())
    }

    pub(super) fn put_json(&self, pin: &Pin, media_type: &str, value: &impl Serialize) -> Result<Descriptor, LayoutError> {
        let mut writer = self.blob_writer()?;
        writer.write_all(&to_json(value)).map_err(failed("writing a document to", &self.temporary()))?;
        let (digest, size) = self.finish_blob(pin, writer)?;
        Ok(Descriptor { media_type: media_type.to_owned(), digest, size, annotations: BTreeMap::new(), platform: None })
    }

    pub(crate) fn read_json<T: DeserializeOwned>(&self, digest: &Digest) -> Result<T, LayoutError> {
        let path = self.blob_path(digest);
        if !path.exists() {
            return Err(LayoutError::NoBlob(*digest));
        }
        read_document(&path)
    }

    /// All blobs.
    pub(crate) fn present_blobs(&self) -> Result<Vec<Digest>, LayoutError> {
        let dir = self.blobs();
        let mut blobs = Vec::new();
        for entry in fs::read_dir(&dir).map_err(failed("reading", &dir))? {
            let name = entry.map_err(failed("reading", &dir))?.file_name();
            blobs.extend(name.to_str().and_then(|name| Digest::parse_hex(name).ok()));
        }
        Ok(blobs)
    }

    pub(crate) fn remove_blob(&self, digest: &Digest) -> Result<u64, LayoutError> {
        let path = self.blob_path(digest);
        let size = fs::metadata(&path).map_or(0, |meta| meta.len());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("deleting", &path)(error)),
            _ => Ok(size),
        }
    }
}
