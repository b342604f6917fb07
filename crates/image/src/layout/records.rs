//! The layout's records of layers: which key was made into which directory and blob.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::{Layout, LayoutError, failed, read_document, sync_dir, to_json};
use crate::layers::{LayerKey, LayerRecord};
use crate::pins::{Pin, Pinned};

impl Layout {
    /// The finished layer of this key, pinned. A record whose blob has vanished counts as none.
    pub fn layer(&self, pin: &Pin, key: &LayerKey) -> Result<Option<LayerRecord>, LayoutError> {
        pin.hold(Pinned::Key(key.clone()));
        let path = self.record_path(key);
        let record: LayerRecord = match read_document(&path) {
            Ok(record) => record,
            Err(LayoutError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(LayoutError::Damaged { path, source }) => {
                tracing::warn!(path = %path.display(), %source, "a layer's record is damaged and is made anew");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        pin.hold(Pinned::Layer(record.layer.clone()));
        if let Some(blob) = &record.blob {
            pin.hold(Pinned::Blob(blob.digest));
            if !self.has_blob(&blob.digest) {
                return Ok(None);
            }
        }
        Ok(Some(record))
    }

    /// Records a finished layer: its directory is sealed, its blob is in the layout.
    pub fn record_layer(&self, pin: &Pin, record: &LayerRecord) -> Result<(), LayoutError> {
        pin.hold(Pinned::Key(record.key.clone()));
        pin.hold(Pinned::Layer(record.layer.clone()));
        if record.blob.is_some() {
            sync_dir(&self.blobs())?;
        }
        self.replace(&self.record_path(&record.key), &to_json(record))
    }

    /// All records.
    pub fn layer_records(&self) -> Result<Vec<LayerRecord>, LayoutError> {
        let dir = self.records();
        let mut records = Vec::new();
        for entry in fs::read_dir(&dir).map_err(failed("reading", &dir))? {
            let path = entry.map_err(failed("reading", &dir))?.path();
            match read_document(&path) {
                Ok(record) => records.push(record),
                Err(LayoutError::Damaged { path, .. }) => {
                    fs::remove_file(&path).map_err(failed("deleting", &path))?;
                }
                Err(LayoutError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(records)
    }

    /// Forgets a layer: a build that wants it makes it anew.
    pub fn remove_record(&self, key: &LayerKey) -> Result<(), LayoutError> {
        let path = self.record_path(key);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("deleting", &path)(error)),
            _ => Ok(()),
        }
    }

    fn record_path(&self, key: &LayerKey) -> PathBuf {
        self.records().join(key.as_str())
    }
}
