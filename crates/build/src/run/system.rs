//! Layers of Debian packages: those an app runs with, and those its dependencies are built with.

use std::collections::BTreeMap;

use image::{LayerId, LayerRecord, Lower};

use super::layer::Making;
use super::step::Ground;
use super::{Build, BuildError};
use crate::plan::{DebianPackage, Step};

/// What apt leaves behind and nobody needs; below these nothing is kept.
const APT_STATE: [&str; 4] = ["/var/lib/apt/lists", "/var/cache/apt/archives", "/var/log", "/tmp"];

/// Packages are the same for all apps, so no app's variables (`LD_PRELOAD`, `APT_CONFIG`) reach their installation.
static NO_VARIABLES: BTreeMap<String, String> = BTreeMap::new();

impl Build<'_> {
    /// The layer of packages the app runs with, if the stack lacks any.
    pub(super) async fn run_packages(&self) -> Result<Option<LayerRecord>, BuildError> {
        let packages = self.stack.missing(&self.request.plan.system.run);
        let lowers = [Lower::Stack(self.stack.id.clone())];
        self.packages("run", &packages, &lowers, true).await
    }

    /// The layer of packages its dependencies are built with, if the build's stack lacks any.
    pub(super) async fn build_packages(&self) -> Result<Option<LayerRecord>, BuildError> {
        let system = &self.request.plan.system;
        let packages = self.stack.missing_in_builds(system.build.iter().chain(&system.run));
        self.packages("build", &packages, &self.tools(), false).await
    }

    async fn packages(
        &self,
        kind: &'static str,
        packages: &[&DebianPackage],
        lowers: &[Lower],
        packed: bool,
    ) -> Result<Option<LayerRecord>, BuildError> {
        if packages.is_empty() {
            return Ok(None);
        }
        let names: Vec<&str> = packages.iter().map(|package| package.as_str()).collect();
        let mut parts = vec!["packages", kind];
        parts.extend(&names);
        let key = self.key(&parts);
        if let Some(record) = self.finished(&key).await? {
            return Ok(Some(record));
        }
        // One at a time: they share apt's lists and archives, which no program of an app ever sees.
        let _held = self.builder.packages.lock().await;
        if let Some(record) = self.finished(&key).await? {
            return Ok(Some(record));
        }
        let about = format!("Debian packages: {}", names.join(" "));
        let making = Making { key, prefix: "sys", about, packed };
        let record = self.make(making, |layer| async move { self.install(&layer, lowers, &names).await }).await?;
        Ok(Some(record))
    }

    async fn install(&self, upper: &LayerId, lowers: &[Lower], names: &[&str]) -> Result<(), BuildError> {
        let release = &self.stack.release;
        let caches = [("lists", APT_STATE[0]), ("archives", APT_STATE[1])];
        let caches = caches.map(|(name, at)| (format!("apt-{name}-{release}"), at.to_owned())).to_vec();
        let ground = Ground { lowers: lowers.to_vec(), upper, caches, files: Vec::new(), build_env: &NO_VARIABLES };
        let mut install = vec!["apt-get", "--quiet", "--yes", "install", "--"];
        install.extend(names);
        self.step(&ground, &apt("read the package lists", &["apt-get", "--quiet", "update"])).await?;
        self.step(&ground, &apt(&format!("install {}", names.join(" ")), &install)).await?;
        Ok(self.builder.jobs.seal(upper, &[]).await?)
    }
}

fn apt(name: &str, args: &[&str]) -> Step {
    Step { name: name.to_owned(), args: args.iter().map(|&arg| arg.to_owned()).collect(), env: BTreeMap::new(), fatal: true }
}
