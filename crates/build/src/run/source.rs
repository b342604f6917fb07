//! The source's layer: the unpacked tree, its bytecode, and what the plan's last steps leave.

use std::collections::BTreeMap;
use std::io::Seek as _;
use std::path::Path;

use image::{LayerKey, LayerRecord, Lower};

use super::layer::Making;
use super::{Build, BuildError};
use crate::plan::{APP_DIR, Step, VENV_DIR};
use crate::tree::Entry;

/// Sources with more Python than this are compiled while building. Less is compiled in less time than a job takes, at the start.
const COMPILE_ABOVE: u64 = 64 * 1024;

impl Build<'_> {
    /// The source's layer: the tree as it is, unpacked and packed without a job.
    pub(super) async fn source(&self) -> Result<LayerRecord, BuildError> {
        let key = self.key(&["source", self.request.app, self.request.source_digest]);
        if let Some(record) = self.finished(&key).await? {
            return Ok(record);
        }
        let mut tar = self.request.source.try_clone().map_err(BuildError::io("opening the source"))?;
        tar.rewind().map_err(BuildError::io("opening the source"))?;
        let making = Making { key, prefix: "src", about: format!("source of {}", self.request.app), packed: true };
        self.make(making, |layer| async move { Ok(self.builder.jobs.unpack(&layer, APP_DIR, tar).await?) }).await
    }

    /// What the plan's last steps and the compiler leave on top of the source; none when there is nothing to do.
    pub(super) async fn finish(
        &self,
        dependencies: Option<&LayerRecord>,
        source: &LayerRecord,
    ) -> Result<Option<LayerRecord>, BuildError> {
        let steps = self.finish_steps();
        if steps.is_empty() {
            return Ok(None);
        }
        let key = self.finish_key(dependencies, source, &steps);
        if let Some(record) = self.finished(&key).await? {
            return Ok(Some(record));
        }
        let _running = self.builder.running.acquire().await.expect("the semaphore is never closed");
        let tools = self.build_packages().await?;
        let below = dependencies.into_iter().chain([source]).map(|record| Lower::Layer(record.layer.clone()));
        let making = Making { key, prefix: "fin", about: format!("finished source of {}", self.request.app), packed: true };
        let (steps, tools) = (&steps, tools.as_ref());
        let record = self.make(making, |layer| async move {
            let mut ground = self.ground(&layer, tools);
            ground.lowers.extend(below);
            for step in steps {
                self.step(&ground, step).await?;
            }
            Ok(self.builder.jobs.seal(&layer, &[APP_DIR.to_owned(), VENV_DIR.to_owned()]).await?)
        });
        Ok(Some(record.await?))
    }

    fn finish_steps(&self) -> Vec<Step> {
        let plan = self.request.plan;
        let compile = worth_compiling(self.request.tree.entries()).then(|| compile(&plan.python.version.to_string()));
        plan.finish.iter().cloned().chain(compile).collect()
    }

    fn finish_key(&self, dependencies: Option<&LayerRecord>, source: &LayerRecord, steps: &[Step]) -> LayerKey {
        let mut parts = vec!["finish", source.key.as_str()];
        parts.extend(dependencies.map(|record| record.key.as_str()));
        for step in steps {
            parts.push("step");
            parts.extend(step.args.iter().map(String::as_str));
            parts.extend(step.env.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]));
        }
        parts.push("variables");
        parts.extend(self.request.build_env.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]));
        self.key(&parts)
    }
}

fn worth_compiling(entries: &[Entry]) -> bool {
    let python = |entry: &&Entry| !entry.symlink && Path::new(&entry.path).extension().is_some_and(|extension| extension == "py");
    entries.iter().filter(python).map(|entry| entry.size).sum::<u64>() > COMPILE_ABOVE
}

/// Compiles the source. Checked by hash: it stays right whatever becomes of times, and when the app changes its own source.
fn compile(version: &str) -> Step {
    let python = format!("/usr/bin/python{version}");
    let args = [python.as_str(), "-I", "-m", "compileall", "-q", "-q", "-j", "0", "--invalidation-mode", "checked-hash", APP_DIR];
    Step {
        name: "compile bytecode".to_owned(),
        args: args.map(str::to_owned).to_vec(),
        env: BTreeMap::new(),
        // A file of Python 2 among the tests is no reason to refuse an app.
        fatal: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_much_python_is_worth_a_job() {
        let entry = |path: &str, size| Entry { path: path.to_owned(), size, symlink: false };
        assert!(!worth_compiling(&[entry("app.py", 900), entry("data.bin", 1 << 30)]));
        assert!(worth_compiling(&[entry("a.py", 60_000), entry("b/c.py", 60_000)]));
    }
}
