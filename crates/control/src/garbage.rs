//! Garbage: what no kept revision, no running instance, no build and no setting refers to goes.

use std::collections::BTreeSet;
use std::time::Duration;

use image::ImageId;

use crate::error::internal;
use crate::{Control, clock};

/// Revisions kept of each app.
const REVISIONS_KEPT: u32 = 10;
/// How long the audit log goes back, in milliseconds: two years.
const AUDIT_KEPT: i64 = 2 * 365 * 24 * 60 * 60 * 1000;
/// How long after a change the collection begins: several changes share one.
const PAUSE: Duration = Duration::from_secs(5);
/// How often it runs without a change.
const PERIOD: Duration = Duration::from_hours(1);

impl Control {
    /// Asks for a collection soon.
    pub(crate) fn collect_soon(&self) {
        self.inner.garbage.notify_one();
    }

    /// Collects after changes and now and then, until the platform stops.
    pub(crate) async fn collect_forever(self) {
        let stopping = self.inner.stopping.clone();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = self.inner.garbage.notified() => {}
                () = tokio::time::sleep(PERIOD) => {}
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
            // While the platform is handed over, what is garbage is the successor's to say.
            let Ok(_change) = self.begin_change() else { continue };
            if let Err(error) = self.collect().await {
                tracing::warn!(%error, "collect garbage");
            }
        }
    }

    async fn collect(&self) -> crate::Result<()> {
        self.sweep_drafts().await;
        let before = clock::now() - AUDIT_KEPT;
        let _forgotten = self.write(move |tx| tx.forget_old_audit(before)).await?;
        // Where that is not known, none is swept.
        if let Ok(needed) = self.uploads_of_drafts().await {
            let uploads = self.clone();
            let _swept = tokio::task::spawn_blocking(move || uploads.inner.uploads.sweep(&needed)).await;
        }
        self.sweep_once().await?;
        // Begun before the references are read: what builds hold from here on stays.
        let collection = self.inner.builder.collection();
        let revisions = self
            .write(|tx| {
                let mut kept = Vec::new();
                for app in tx.apps()? {
                    tx.prune_revisions(app.id, REVISIONS_KEPT)?;
                    kept.extend(tx.revisions(app.id)?);
                }
                Ok(kept)
            })
            .await?;
        let mut images: BTreeSet<ImageId> =
            revisions.iter().filter_map(|revision| ImageId::parse(&revision.spec.image).ok()).collect();
        // Revisions that are just being replaced still have instances that drain.
        images.extend(
            self.inner
                .registry
                .all()
                .iter()
                .flat_map(|entry| entry.specs.running())
                .filter_map(|image| ImageId::parse(&image).ok()),
        );
        // Images of servers that settings name, whether such a server runs or not.
        images.extend(self.inner.images.kept().map_err(|error| internal("look for the images of servers", &error))?);
        let collected = collection.keep(images).await.map_err(|error| internal("collect garbage", &error))?;
        if !collected.layers.is_empty() {
            tracing::info!(layers = collected.layers.len(), "collected what nothing refers to any more");
        }
        Ok(())
    }
}
