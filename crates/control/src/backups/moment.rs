//! A database as it was at a moment, in the place of what it holds.

use std::io::Seek;

use api::{ErrorBody, ErrorCode, MomentDocument};
use jiff::Timestamp;
use model::AppName;
use store::BackupRow;

use super::SPEAKER;
use crate::Control;
use crate::databases::{Beside, failed, none};
use crate::error::{Result, internal};
use crate::registry::Entry;

impl Control {
    /// Puts what an app's database held at a moment in the place of what it holds, of which a backup is made first. Visitors wait
    /// with 503 meanwhile, and the database's server is stopped.
    pub async fn restore_moment(&self, name: &AppName, at: Timestamp) -> Result<MomentDocument> {
        let entry = self.entry(name)?;
        let control = self.clone();
        let aside = self
            .to_the_end(async move {
                let _turn = control.inner.backups.turn(&entry.name)?;
                // A release that migrates the database must not run in the middle.
                let _deployments = entry.queue.turn().await;
                let beside = entry.specs.database().ok_or_else(|| none(&entry.name))?;
                check(&entry, &beside, at).await?;
                control.with_nobody_inside(&entry, control.go_back(&entry, &beside, at)).await
            })
            .await?;
        Ok(MomentDocument { app: name.clone(), at, before: aside.backup.id })
    }

    async fn go_back(&self, entry: &Entry, beside: &Beside, at: Timestamp) -> Result<BackupRow> {
        let aside = self.set_aside(entry).await?;
        let (mut dump, own) = self.inner.backups.scratch()?;
        beside.kind.at(&beside.database, at.into(), own).await.map_err(|error| failed(&error))?;
        dump.rewind().map_err(|error| internal("read a dump", &error))?;
        beside.kind.restore(&beside.database, dump).await.map_err(|error| failed(&error))?;
        let kept = &aside.backup.id;
        entry.log.say(SPEAKER, &format!("the database is as it was at {at}; what was there before is backup {kept}"));
        Ok(aside)
    }

    /// Makes a copy from which moments from now on can be recovered, where the settings ask for it. Moments that older copies cover
    /// stay covered where it fails.
    pub(super) async fn renew_base(&self, entry: &Entry) {
        let made = async {
            let beside = entry.specs.database().ok_or_else(|| none(&entry.name))?;
            if self.settings(&entry.name).await?.database.point_in_time {
                beside.kind.base(&beside.database).await.map_err(|error| failed(&error))?;
            }
            Ok::<_, ErrorBody>(())
        };
        if let Err(error) = made.await {
            entry.log.say(SPEAKER, &format!("no new beginning for recovery to a moment: {}", error.message));
        }
    }
}

/// Refuses a moment that can't be recovered, before anything else is done.
async fn check(entry: &Entry, beside: &Beside, at: Timestamp) -> Result<()> {
    let since = beside.kind.covered(&beside.database).await.map_err(|error| failed(&error))?;
    let since = since.and_then(|since| Timestamp::try_from(since).ok());
    let app = &entry.name;
    let Some(since) = since else {
        return Err(ErrorBody::new(ErrorCode::Conflict, format!("the database of {app} can't be restored to a moment")).help(
            format!(
                "moments are kept from when database.pointInTime is true in its settings (PostgreSQL); a backup can be restored: \
             adaptable db {app} backups"
            ),
        ));
    };
    let now = Timestamp::now();
    if at < since || at >= now {
        return Err(ErrorBody::new(ErrorCode::Conflict, format!("{at} is not covered: it must be from {since} to now ({now})"))
            .help(format!("what is older may be in a backup: adaptable db {app} backups")));
    }
    Ok(())
}
