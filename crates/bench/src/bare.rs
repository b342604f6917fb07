//! The same app without a platform: the same server and packages in a virtual environment, started as a plain process of this host.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::app::{SERVER, copy_files};
use crate::visit::{first_answer, free_port};

/// The interpreters to try: first the one that the platform runs the app with.
const PYTHONS: [&str; 2] = ["/usr/bin/python3.11", "/usr/bin/python3"];

/// The app on the bare host.
pub(crate) struct Bare {
    venv: PathBuf,
    source: PathBuf,
}

/// The app while it runs; dropping it ends it.
pub(crate) struct Running {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// From the start of the process to its first answer, in seconds.
    pub(crate) seconds: f64,
}

impl Bare {
    /// Makes the environment, unless one with just these packages is there.
    pub(crate) fn prepare(cache: &Path, source: &Path, pins: &[String]) -> Result<Self> {
        fs::create_dir_all(cache)?;
        let cache = cache.canonicalize()?;
        let (venv, mark) = (cache.join("venv"), cache.join("venv.txt"));
        let wanted = pins.join("\n");
        if fs::read_to_string(&mark).unwrap_or_default() != wanted {
            if venv.exists() {
                fs::remove_dir_all(&venv)?;
            }
            let python = PYTHONS.into_iter().find(|path| Path::new(path).is_file()).context("this host has no Python")?;
            run(Command::new(python).args(["-m", "venv"]).arg(&venv))?;
            // pip compiles what it installs, as the platform's builds do.
            run(Command::new(venv.join("bin/pip")).args(["install", "--quiet", "--disable-pip-version-check"]).args(pins))?;
            fs::write(&mark, wanted)?;
        }
        let copy = cache.join("source");
        copy_files(source, &copy)?;
        Ok(Self { venv, source: copy })
    }

    /// The environment that is there already, with whatever it has; or one with the newest packages.
    pub(crate) fn any(cache: &Path, source: &Path) -> Result<Self> {
        let known = fs::read_to_string(cache.join("venv.txt")).unwrap_or_default();
        let pins = if known.is_empty() { "flask\ngunicorn" } else { &known };
        Self::prepare(cache, source, &pins.lines().map(str::to_owned).collect::<Vec<_>>())
    }

    /// Starts it and waits for its first answer.
    pub(crate) fn start(&self) -> Result<Running> {
        let port = free_port()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let began = Instant::now();
        let child = self.spawn(port)?;
        let mut running = Running { child, address, seconds: 0.0 };
        let child = &mut running.child;
        first_answer(address, || child.try_wait().is_ok_and(|status| status.is_some()))?;
        running.seconds = began.elapsed().as_secs_f64();
        Ok(running)
    }

    /// Starts it. Its first process ends the others on SIGTERM.
    pub(crate) fn spawn(&self, port: u16) -> Result<Child> {
        let [server, threads, entry] = SERVER;
        let mut command = Command::new(self.venv.join("bin").join(server));
        command.args([&format!("--bind=0.0.0.0:{port}"), threads, entry]).current_dir(&self.source).env("PORT", port.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().context("start the bare server")
    }

    /// Starts it, ends it, and says how long the start took in seconds.
    pub(crate) fn start_once(&self) -> Result<f64> {
        self.start().map(|running| running.seconds)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The server's first process ends its workers on SIGTERM; SIGKILL would leave them behind.
        let pid = self.child.id().to_string();
        let _ended = Command::new("kill").args(["-TERM", &pid]).status();
        let _reaped = self.child.wait();
    }
}

/// Runs a program to its good end.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("run {}", command.get_program().display()))?;
    ensure!(
        output.status.success(),
        "{} ended with {}: {}",
        command.get_program().display(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
