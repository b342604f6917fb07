//! A layer is taken when one of its key is finished, and made when not; half-made ones never look finished.

use std::future::Future;
use std::time::{Duration, SystemTime};

use image::layers::LayerBlob;
use image::pins::Pinned;
use image::{LayerId, LayerKey, LayerRecord};

use super::{Build, BuildError};
use crate::job::Jobs;

/// What becomes of a layer that jobs wrote.
pub(super) struct Making {
    /// What it is made of.
    pub key: LayerKey,
    /// The first letters of its directory's name.
    pub prefix: &'static str,
    /// For people.
    pub about: String,
    /// Whether images hold it.
    pub packed: bool,
}

impl Build<'_> {
    /// The finished layer of this key, if there is one.
    pub(super) async fn finished(&self, key: &LayerKey) -> Result<Option<LayerRecord>, BuildError> {
        let Some(mut record) = self.builder.layout.layer(&self.pin, key)? else { return Ok(None) };
        if !self.builder.jobs.has(&record.layer).await? {
            return Ok(None);
        }
        let now = now();
        // Images keep their layers; the others are kept by being used, which an hour's precision tells well enough.
        if record.blob.is_none() && record.used_at + 3600 < now {
            record.used_at = now;
            let again = record.clone();
            self.on_disk(move |layout, pin| layout.record_layer(pin, &again)).await?;
        }
        Ok(Some(record))
    }

    /// Makes a layer: `fill` makes it whole; then it is packed and recorded.
    pub(super) async fn make<'f, F, W>(&self, making: Making, fill: F) -> Result<LayerRecord, BuildError>
    where
        F: FnOnce(LayerId) -> W,
        W: Future<Output = Result<(), BuildError>> + 'f,
    {
        let partial = self.scratch(making.prefix, &making.key)?;
        let layer = partial.layer.clone();
        fill(layer.clone()).await?;
        let blob = if making.packed { Some(self.pack(&layer).await?) } else { None };
        let record = LayerRecord { key: making.key, layer, blob, used_at: now(), about: making.about };
        let written = record.clone();
        self.on_disk(move |layout, pin| layout.record_layer(pin, &written)).await?;
        partial.finished();
        Ok(record)
    }

    /// A name for a new layer, which is deleted again unless it is finished.
    pub(super) fn scratch(&self, prefix: &str, key: &LayerKey) -> Result<Partial, BuildError> {
        // A name that was never used before: an ended build's may still be being deleted.
        let nonce: u64 = rand::random();
        let layer = LayerId::parse(&format!("{prefix}-{}-{nonce:016x}", &key.as_str()[..16]))?;
        self.pin.hold(Pinned::Layer(layer.clone()));
        Ok(Partial { jobs: self.builder.jobs.clone(), layer, finished: false })
    }

    async fn pack(&self, layer: &LayerId) -> Result<LayerBlob, BuildError> {
        let file = self.builder.layout.blob_writer()?.file();
        let handle = file.reopen().map_err(BuildError::io("opening a blob to write"))?;
        let packed = self.builder.jobs.pack(layer, handle).await?;
        self.on_disk(move |layout, pin| layout.adopt_blob(pin, file, &packed)).await?;
        Ok(LayerBlob { digest: packed.digest, diff_id: packed.diff_id, size: packed.size })
    }
}

/// Deletes a layer when its build ends early. A crash leaves it without a record: collection finds it.
pub(super) struct Partial {
    jobs: Jobs,
    pub layer: LayerId,
    finished: bool,
}

impl Partial {
    fn finished(mut self) {
        self.finished = true;
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (jobs, layer) = (self.jobs.clone(), self.layer.clone());
        runtime.spawn(async move {
            // A job that is being killed may still write; a second attempt finds it dead.
            for pause in [Duration::ZERO, Duration::from_secs(1)] {
                tokio::time::sleep(pause).await;
                match jobs.remove(&layer).await {
                    Ok(()) => return,
                    Err(error) => tracing::debug!(layer = %layer, error = ?error, "deleting a layer of an ended build failed"),
                }
            }
            tracing::warn!(layer = %layer, "a layer of an ended build stays until garbage is collected");
        });
    }
}

pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
