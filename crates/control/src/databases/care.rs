//! What databases need while they are awake: a look at what they hold.

use std::sync::Arc;
use std::time::Duration;

use crate::Control;
use crate::databases::failed;
use crate::error::Result;
use crate::registry::Entry;

/// How often the databases of apps that have visitors are looked at.
const LOOK: Duration = Duration::from_secs(20);

impl Control {
    /// Looks at databases as long as the platform runs. Of an app that nobody visits nothing is asked: it costs the processor nothing.
    pub(crate) async fn look_after_databases(self) {
        let stopping = self.inner.stopping.clone();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            for entry in self.inner.registry.all() {
                let visited = entry.handle.idle_for().is_some_and(|idle| idle < LOOK);
                if visited && let Err(error) = self.look_at_database(&entry).await {
                    tracing::warn!(app = %entry.name, "look at its database: {}", error.message);
                }
            }
        }
    }

    async fn look_at_database(&self, entry: &Arc<Entry>) -> Result<()> {
        let Some(beside) = entry.specs.database() else { return Ok(()) };
        let settings = self.settings(&entry.name).await?;
        let found = beside.kind.enforce(&beside.database, &settings.database).await.map_err(|error| failed(&error))?;
        if beside.note(found.bytes, found.over) {
            let limit = settings.database.storage;
            entry.log.say(
                "",
                &if found.over {
                    format!(
                        "the database holds {} MB, more than its limit of {limit} MB: writes are refused until there is room again \
                         (delete with `SET default_transaction_read_only = off`, then VACUUM FULL), or the limit is raised",
                        found.bytes >> 20
                    )
                } else {
                    "the database is below its limit again: writes are taken".to_owned()
                },
            );
        }
        Ok(())
    }
}
