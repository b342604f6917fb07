//! The dependencies' layer: made by the plan's steps over the build's stack, keyed by all that they read.

use image::{LayerId, LayerKey, LayerRecord, Lower};

use super::env::CACHE_DIR;
use super::layer::{Making, Partial};
use super::step::Ground;
use super::{Build, BuildError, tarball};
use crate::key::dependencies_key;
use crate::plan::{APP_DIR, VENV_DIR};

impl<'s> Build<'s> {
    /// The dependencies' layer, and whether it was there already; none when there is nothing to install.
    pub(super) async fn dependencies(&self, source: &LayerRecord) -> Result<(bool, Option<LayerRecord>), BuildError> {
        let dependencies = &self.request.plan.dependencies;
        if dependencies.steps.is_empty() {
            return Ok((true, None));
        }
        let key = self.dependencies_key()?;
        if let Some(record) = self.finished(&key).await? {
            return Ok((true, Some(record)));
        }
        let _running = self.builder.running.acquire().await.expect("the semaphore is never closed");
        let tools = self.build_packages().await?;
        // What the steps read: the whole source, or a layer of the key files alone, thrown away afterwards.
        let inputs = if dependencies.needs_whole_tree { None } else { Some(self.inputs(&key).await?) };
        let below = inputs.as_ref().map_or(&source.layer, |inputs| &inputs.layer);
        let about = format!("dependencies of {}", self.request.app);
        let making = Making { key, prefix: "deps", about, packed: true };
        let install = |layer| async move { self.install_dependencies(&layer, below, tools.as_ref()).await };
        Ok((false, Some(self.make(making, install).await?)))
    }

    async fn inputs(&self, key: &LayerKey) -> Result<Partial, BuildError> {
        let inputs = self.scratch("in", key)?;
        let tar = tarball::of(self.request.tree, &self.request.plan.dependencies.key_files)?;
        self.builder.jobs.unpack(&inputs.layer, APP_DIR, tar).await?;
        Ok(inputs)
    }

    async fn install_dependencies(
        &self,
        upper: &LayerId,
        inputs: &LayerId,
        tools: Option<&LayerRecord>,
    ) -> Result<(), BuildError> {
        let dependencies = &self.request.plan.dependencies;
        let mut ground = self.ground(upper, tools);
        ground.lowers.push(Lower::Layer(inputs.clone()));
        ground.files.extend(dependencies.generated.iter().map(|file| (file.path(), file.contents.clone().into_bytes())));
        for step in &dependencies.steps {
            self.step(&ground, step).await?;
        }
        Ok(self.builder.jobs.seal(upper, &[VENV_DIR.to_owned()]).await?)
    }

    /// The build's stack and packages below a layer, with the app's own caches and variables.
    pub(super) fn ground<'a>(&'s self, upper: &'a LayerId, tools: Option<&LayerRecord>) -> Ground<'a>
    where
        's: 'a,
    {
        let mut lowers = self.tools();
        lowers.extend(tools.map(|record| Lower::Layer(record.layer.clone())));
        // An app's cache is its own: what one app's installer leaves there must not end up in another app.
        let caches = vec![(super::cache_name(self.request.app), CACHE_DIR.to_owned())];
        Ground { lowers, upper, caches, files: Vec::new(), build_env: self.request.build_env }
    }

    fn dependencies_key(&self) -> Result<LayerKey, BuildError> {
        let request = self.request;
        let planned = dependencies_key(request.plan, request.tree, &self.stack.id)?;
        let mut parts = vec!["dependencies", request.app, &planned];
        // A project of the app's own is installed editable: the plan's key files say when that has to be done again.
        for (name, value) in request.build_env {
            parts.extend([name.as_str(), value.as_str()]);
        }
        Ok(self.key(&parts))
    }
}
