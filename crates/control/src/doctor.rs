//! The platform's own checks of itself, for `adaptable doctor`.

use api::{Check, DoctorReport};

use crate::Control;

impl Control {
    /// What the platform finds of itself: its database, its disk, its engine.
    pub async fn doctor(&self) -> DoctorReport {
        let mut checks = Vec::new();
        checks.push(match self.read(|tx| tx.apps()).await {
            Ok(apps) => Check::ok("database", format!("it answers; {} apps", apps.len())),
            Err(error) => Check::fail("database", error.message, error.help),
        });
        checks.push(self.disk_check());
        for kind in &self.inner.databases {
            let what = format!("databases: {}", kind.kind().as_str());
            checks.push(match kind.available().await {
                Ok(()) => Check::ok(what, "apps can have one".to_owned()),
                Err(error) => Check::warn(what, error.to_string(), error.help()),
            });
        }
        checks.extend(self.backup_checks().await);
        for finding in self.inner.engine.check().await {
            checks.push(match finding.problem {
                None => Check::ok(finding.what, finding.found),
                Some(help) => Check::warn(finding.what, finding.found, help),
            });
        }
        DoctorReport { checks }
    }

    fn disk_check(&self) -> Check {
        let reserve = self.inner.config.disk_reserve;
        match build::disk::free(&self.inner.config.data_dir) {
            Ok(free) if free < reserve => Check::fail(
                "disk",
                format!("{} MB are free, less than the {} MB below which nothing is deployed", free >> 20, reserve >> 20),
                "free some space on the disk of the data directory",
            ),
            Ok(free) => Check::ok("disk", format!("{} MB are free", free >> 20)),
            Err(error) => Check::warn("disk", format!("its free space is not known: {error}"), ""),
        }
    }
}
