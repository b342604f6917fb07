//! The app on the platform: deployed once, visited through the edge, put to sleep, changed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use testkit::{Answer, Platform};

/// Its name on the platform.
pub(crate) const NAME: &str = "bench";
/// The start command of both sides: the guide's own.
pub(crate) const SERVER: [&str; 3] = ["gunicorn", "--threads=4", "myapp:start_app()"];

/// The app on the platform.
pub(crate) struct App<'a> {
    platform: &'a Platform,
    source: PathBuf,
    text: String,
}

impl<'a> App<'a> {
    /// Copies the source and deploys it.
    pub(crate) fn deploy(platform: &'a Platform, source: &Path) -> Result<Self> {
        let copy = platform.scratch().join("source");
        copy_files(source, &copy)?;
        let [server, threads, entry] = SERVER;
        fs::write(copy.join("Procfile"), format!("web: {server} --bind=0.0.0.0:$PORT {threads} {entry}\n"))?;
        let text = fs::read_to_string(copy.join("myapp.py"))?;
        let app = Self { platform, source: copy, text };
        app.push()?;
        Ok(app)
    }

    /// The platform that it runs on.
    pub(crate) fn platform(&self) -> &Platform {
        self.platform
    }

    /// Deploys the source as it is; the answer is the deployment's document.
    pub(crate) fn push(&self) -> Result<Value> {
        self.push_as(NAME, &[])
    }

    /// Deploys it as another app.
    pub(crate) fn push_as(&self, name: &str, arguments: &[&str]) -> Result<Value> {
        let output = self.platform.try_deploy(&self.source, &[&["--app", name], arguments].concat());
        ensure!(output.code == 0, "the deployment failed: {}{}", output.stdout, output.stderr);
        Ok(serde_json::from_str(&output.stdout)?)
    }

    /// Changes one line of the source, so that it greets with `word`.
    pub(crate) fn change(&self, word: &str) -> Result<()> {
        let changed = self.text.replace("Hello ", &format!("{word} "));
        ensure!(changed != self.text, "the app no longer says Hello: there is nothing to change");
        Ok(fs::write(self.source.join("myapp.py"), changed)?)
    }

    /// Where its source lies.
    pub(crate) fn directory(&self) -> &Path {
        &self.source
    }

    /// One visit over HTTPS with a connection of its own.
    pub(crate) fn visit(&self) -> Result<Answer> {
        self.visit_as(NAME)
    }

    /// The same to another app.
    pub(crate) fn visit_as(&self, name: &str) -> Result<Answer> {
        let answer = self.platform.request("GET", name, "/", &[], b"")?;
        ensure!(answer.status == 200, "{name} answered {}: {}", answer.status, answer.text());
        Ok(answer)
    }

    /// Stops its instance, as a quiet time would.
    pub(crate) fn sleep(&self) -> Result<()> {
        self.put_to_sleep(NAME)
    }

    /// Stops an app's instances.
    pub(crate) fn put_to_sleep(&self, name: &str) -> Result<()> {
        let answer = self.platform.api("POST", &format!("/apps/{name}/sleep"), b"")?;
        ensure!(answer.status < 300, "the app could not be put to sleep: {} {}", answer.status, answer.text());
        Ok(())
    }

    /// Deploys copies until there are `count` apps, and puts all of them to sleep; their names.
    pub(crate) fn beside(&self, count: usize) -> Result<Vec<String>> {
        let mut names = vec![NAME.to_owned()];
        for number in 1..count {
            let name = format!("{NAME}-{number}");
            if self.platform.api("GET", &format!("/apps/{name}"), b"")?.status != 200 {
                self.push_as(&name, &[])?;
            }
            self.put_to_sleep(&name)?;
            names.push(name);
        }
        self.sleep()?;
        Ok(names)
    }

    /// Its installed packages, as pins for pip.
    pub(crate) fn packages(&self) -> Result<Vec<String>> {
        for layer in fs::read_dir(self.platform.data().join("layers"))? {
            let library = layer?.path().join("fs/opt/venv/lib");
            let Ok(versions) = fs::read_dir(library) else { continue };
            for version in versions {
                let pins = pins(&version?.path().join("site-packages"))?;
                if !pins.is_empty() {
                    return Ok(pins);
                }
            }
        }
        bail!("no layer holds the app's packages")
    }
}

fn pins(site: &Path) -> Result<Vec<String>> {
    let mut pins = Vec::new();
    for entry in fs::read_dir(site)? {
        let name = entry?.file_name().into_string().unwrap_or_default();
        if let Some((package, version)) = name.strip_suffix(".dist-info").and_then(|name| name.rsplit_once('-')) {
            pins.push(format!("{package}=={version}"));
        }
    }
    pins.sort();
    Ok(pins)
}

/// Copies the files of one directory; a small app has no others.
pub(crate) fn copy_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("read the source {}", from.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
