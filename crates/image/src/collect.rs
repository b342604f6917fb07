//! Garbage collection by reference: what nothing refers to is deleted, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::Digest;
use crate::layers::{LayerId, LayerKey, LayerRecord};
use crate::layout::{ImageId, Layout, LayoutError};
use crate::oci::{Lower, Manifest};
use crate::pins::{PinLock, Pinned, Recording};

/// What must stay, as the caller knows it: the images of kept revisions and of running instances.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// The images.
    pub images: BTreeSet<ImageId>,
    /// Layers that only builds use stay when they were used at or after this time, in seconds since 1970.
    pub unused_since: i64,
}

/// What lies in a data directory.
#[derive(Debug, Clone, Default)]
pub struct Present {
    /// All images of the index and of the references that can be read.
    pub images: BTreeMap<ImageId, Manifest>,
    /// All blobs.
    pub blobs: BTreeSet<Digest>,
    /// All records of layers.
    pub records: Vec<LayerRecord>,
    /// All layer directories.
    pub layers: BTreeSet<LayerId>,
}

/// What is to be deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Images to take out of the index.
    pub images: BTreeSet<ImageId>,
    /// Blobs.
    pub blobs: BTreeSet<Digest>,
    /// Records of layers.
    pub records: BTreeSet<LayerKey>,
    /// Layer directories.
    pub layers: BTreeSet<LayerId>,
}

/// What a collection did; the directories are left for the caller, who alone can delete them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Bytes of blobs deleted.
    pub freed: u64,
    /// Layer directories that nothing refers to any more.
    pub layers: BTreeSet<LayerId>,
}

/// Decides what nothing refers to: no kept image, no pin of a build, no recent use.
pub fn decide(references: &References, present: &Present, pinned: &impl Fn(&Pinned) -> bool) -> Garbage {
    let kept_image = |id: &ImageId| references.images.contains(id) || pinned(&Pinned::Blob(id.0));
    let mut blobs = BTreeSet::new();
    let mut layers = BTreeSet::new();
    for (id, manifest) in present.images.iter().filter(|(id, _)| kept_image(id)) {
        blobs.insert(id.0);
        blobs.extend(manifest.blobs());
        for lower in manifest.lowers().into_iter().flatten() {
            if let Lower::Layer(layer) = lower {
                layers.insert(layer);
            }
        }
    }
    let unpacked: BTreeSet<LayerKey> =
        references.images.iter().chain(present.images.keys().filter(|id| kept_image(id))).map(LayerKey::of_image).collect();
    // A reference that can't be read says nothing about its blobs; its own at least stays.
    blobs.extend(references.images.iter().map(|id| id.0));
    let mut garbage = Garbage::default();
    for record in &present.records {
        let recent = record.blob.is_none() && record.used_at >= references.unused_since;
        let wanted = recent
            || layers.contains(&record.layer)
            || unpacked.contains(&record.key)
            || pinned(&Pinned::Key(record.key.clone()))
            || pinned(&Pinned::Layer(record.layer.clone()));
        if wanted {
            layers.insert(record.layer.clone());
            blobs.extend(record.blob.map(|blob| blob.digest));
        } else {
            garbage.records.insert(record.key.clone());
        }
    }
    garbage.images = present.images.keys().filter(|id| !kept_image(id)).copied().collect();
    garbage.blobs =
        present.blobs.iter().filter(|blob| !blobs.contains(blob) && !pinned(&Pinned::Blob(**blob))).copied().collect();
    garbage.layers = present
        .layers
        .iter()
        .filter(|layer| !layers.contains(layer) && !pinned(&Pinned::Layer((*layer).clone())))
        .cloned()
        .collect();
    garbage
}

impl Layout {
    /// Collects garbage. `recording` began before `references` and `layers` (the directories there are) were looked up, so that
    /// what a build hands over meanwhile is still pinned or already referred to.
    ///
    /// Deletes in an order that a crash can't hurt: index, records, blobs; the caller deletes the directories last.
    pub fn collect(
        &self,
        recording: &Recording,
        layers: BTreeSet<LayerId>,
        references: &References,
    ) -> Result<Collected, LayoutError> {
        self.collect_under(&recording.lock(), layers, references)
    }

    fn collect_under(
        &self,
        lock: &PinLock<'_>,
        layers: BTreeSet<LayerId>,
        references: &References,
    ) -> Result<Collected, LayoutError> {
        let mut images = BTreeMap::new();
        let indexed = self.images()?;
        for id in indexed.iter().map(|(_, id)| id).chain(&references.images) {
            match self.manifest(id) {
                Ok(manifest) => {
                    images.insert(*id, manifest);
                }
                // Something that must stay can't be read: then nothing can be known to be garbage.
                Err(error) if references.images.contains(id) => return Err(error),
                Err(_) => {}
            }
        }
        let present =
            Present { images, blobs: self.present_blobs()?.into_iter().collect(), records: self.layer_records()?, layers };
        let garbage = decide(references, &present, &|thing| lock.holds(thing));
        let unreadable = |id: &ImageId| !present.images.contains_key(id);
        if indexed.iter().any(|(_, id)| garbage.images.contains(id) || unreadable(id)) {
            self.forget(|id| garbage.images.contains(id) || unreadable(id))?;
        }
        for key in &garbage.records {
            self.remove_record(key)?;
        }
        let mut freed = 0;
        for blob in &garbage.blobs {
            freed += self.remove_blob(blob)?;
        }
        Ok(Collected { freed, layers: garbage.layers })
    }
}

#[cfg(test)]
mod tests;
