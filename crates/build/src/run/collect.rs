//! Deletes images, layers and caches that nothing refers to any more.

use std::collections::BTreeSet;

use image::{Collected, ImageId, Recording, References};

use super::layer::now;
use super::{BuildError, Builder};

/// How long packages that only builds use are kept after their last use.
const KEEP_UNUSED: i64 = 14 * 24 * 3600;

/// A collection under way. What builds hold from now on stays, so that the references can be read in peace.
#[derive(Debug)]
pub struct Collection<'a> {
    builder: &'a Builder,
    recording: Recording,
}

impl Builder {
    /// Begins a collection of garbage. Read what is to be kept after this call.
    pub fn collection(&self) -> Collection<'_> {
        Collection { builder: self, recording: self.layout.pins().record() }
    }
}

impl Collection<'_> {
    /// Deletes all but what these images (those of kept revisions and of running instances) and the builds under way need.
    pub async fn keep(self, images: BTreeSet<ImageId>) -> Result<Collected, BuildError> {
        let layers = self.builder.jobs.layers().await?.into_iter().collect();
        let references = References { images, unused_since: now() - KEEP_UNUSED };
        let collected = self.builder.layout.collect(&self.recording, layers, &references)?;
        for layer in &collected.layers {
            self.builder.jobs.remove(layer).await?;
        }
        Ok(collected)
    }
}
