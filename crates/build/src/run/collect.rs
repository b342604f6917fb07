//! Deletes images, layers and caches that nothing refers to any more.

use std::collections::BTreeSet;

use image::{Collected, ImageId, References};

use super::layer::now;
use super::{BuildError, Builder};

/// How long packages that only builds use are kept after their last use.
const KEEP_UNUSED: i64 = 14 * 24 * 3600;

impl Builder {
    /// Collects garbage. `kept` is asked for the images of kept revisions and running instances, at the one instant at which no
    /// build hands anything over.
    pub async fn collect(
        &self,
        kept: impl FnOnce() -> Result<BTreeSet<ImageId>, BuildError> + Send,
    ) -> Result<Collected, BuildError> {
        let layers = self.jobs.layers().await?.into_iter().collect();
        let collected = self.layout.collect(layers, || {
            Ok::<_, BuildError>(References { images: kept()?, unused_since: now() - KEEP_UNUSED })
        })?;
        for layer in &collected.layers {
            self.jobs.remove(layer).await?;
        }
        Ok(collected)
    }
}
