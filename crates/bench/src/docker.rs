//! `docker run` of the very image that the platform built, where a Docker engine answers.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::app::{App, NAME};
use crate::bare::run;
use crate::visit::{first_answer, free_port};

/// The image's and the container's name.
const IMAGE: &str = "adaptable-bench";
/// How long an engine may take to start.
const START: Duration = Duration::from_secs(30);

/// A Docker engine that answers.
pub(crate) struct Docker {
    /// How its client finds it.
    host: Option<OsString>,
    engine: Option<Own>,
}

/// An engine that the bench started. Dropping it ends it, with all that it kept.
struct Own {
    child: Child,
    directory: TempDir,
}

/// An engine that holds the image.
pub(crate) struct Loaded {
    docker: Docker,
}

impl Docker {
    /// Finds an engine, or starts one where that is wanted.
    pub(crate) fn find(start: bool) -> Result<Self> {
        let docker = Self { host: None, engine: None };
        if run(docker.client().args(["info", "--format", "{{.ID}}"])).is_ok() {
            return Ok(docker);
        }
        if !start {
            bail!("no Docker engine here");
        }
        let directory = tempfile::Builder::new().prefix("adaptable-bench-docker-").tempdir_in("/var/tmp")?;
        let at = |name: &str| directory.path().join(name);
        let mut host = OsString::from("unix://");
        host.push(at("sock"));
        let log = fs::File::create(at("log"))?;
        let child = Command::new("dockerd")
            .arg("--host")
            .arg(&host)
            .arg("--data-root")
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--pidfile")
            .arg(at("pid"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("no Docker engine is installed here")?;
        let mut docker = Self { host: Some(host), engine: Some(Own { child, directory }) };
        let began = Instant::now();
        while run(docker.client().args(["info", "--format", "{{.ID}}"])).is_err() {
            let own = docker.engine.as_mut().context("it was just started")?;
            if began.elapsed() > START || own.child.try_wait()?.is_some() {
                let log = fs::read_to_string(own.directory.path().join("log")).unwrap_or_default();
                bail!("the Docker engine did not start: {}", log.lines().last().unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(docker)
    }

    fn client(&self) -> Command {
        let mut command = Command::new("docker");
        if let Some(host) = &self.host {
            command.arg("--host").arg(host);
        }
        command
    }

    /// Gives it the app's image.
    pub(crate) fn load(self, app: &App<'_>) -> Result<Loaded> {
        let directory = tempfile::tempdir_in("/var/tmp")?;
        let archive: PathBuf = directory.path().join("image.tar");
        let layout = app.platform().data().join("images");
        let source = format!("oci:{}:{}", layout.display(), reference(app)?);
        let target = format!("docker-archive:{}:{IMAGE}:latest", archive.display());
        run(Command::new("skopeo").args(["copy", "--quiet", "--insecure-policy", &source, &target])).context("copy the image")?;
        run(self.client().args(["load", "--quiet", "--input"]).arg(&archive)).context("load the image")?;
        Ok(Loaded { docker: self })
    }
}

/// The image's name in the layout.
fn reference(app: &App<'_>) -> Result<String> {
    let index = fs::read(app.platform().data().join("images/index.json"))?;
    let index: serde_json::Value = serde_json::from_slice(&index)?;
    let prefix = format!("{NAME}:");
    index["manifests"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|manifest| manifest["annotations"]["org.opencontainers.image.ref.name"].as_str())
        .find(|name| name.starts_with(&prefix))
        .map(str::to_owned)
        .context("the layout does not name the app's image")
}

impl Loaded {
    /// Runs the image until its first answer, with the limits that the platform sets, and removes the container; the answer is the
    /// time in seconds.
    pub(crate) fn run_once(&self) -> Result<f64> {
        let port = free_port()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut command = self.docker.client();
        command.args(["run", "--detach", "--rm", "--name", IMAGE, "--memory", "512m", "--cpus", "1", "--env", "PORT=8000"]);
        command.args(["--publish", &format!("127.0.0.1:{port}:8000"), &format!("{IMAGE}:latest")]);
        let began = Instant::now();
        run(&mut command)?;
        let answered = first_answer(address, || false);
        let seconds = began.elapsed().as_secs_f64();
        run(self.docker.client().args(["rm", "--force", IMAGE]))?;
        answered?;
        Ok(seconds)
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let _gone = run(self.docker.client().args(["image", "rm", "--force", IMAGE]));
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ended = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _reaped = self.child.wait();
    }
}
