//! One platform: its process, its data directory, and the ways to talk to it.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::http::{Answer, Connection, connect, exchange};
use crate::world;

/// Platforms that run at the same time in one test program: containers share two cores with the tests.
const AT_ONCE: usize = 2;
/// How long a platform may take until it answers.
const START: Duration = Duration::from_mins(1);

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// A place among those that run.
#[derive(Debug)]
struct Permit;

impl Permit {
    fn take() -> Self {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        while *running >= AT_ONCE {
            running = ENDED.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
        *running += 1;
        Self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ENDED.notify_one();
    }
}

/// How a platform is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long an app without requests keeps its instance, as on the command line.
    pub idle_timeout: String,
    /// More variables of the platform's process.
    pub environment: Vec<(String, String)>,
    /// What stands in its `config.toml`, which only root may read; there is none where this is empty.
    pub config: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { idle_timeout: "15m".to_owned(), environment: Vec::new(), config: String::new() }
    }
}

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// How long it took.
    pub seconds: f64,
}

impl Output {
    /// Fails unless the command ended with this code.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, reason = "often the check is all that is wanted")]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "exit code {} in place of {code}\n--- stdout\n{}\n--- stderr\n{}",
            self.code, self.stdout, self.stderr
        );
        self
    }

    /// The one document on standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not one document ({error}):\n{}\n{}", self.stdout, self.stderr))
    }
}

/// A running platform. Dropping it stops it and looks the machine over.
#[derive(Debug)]
pub struct Platform {
    program: PathBuf,
    options: Options,
    directory: TempDir,
    data: PathBuf,
    child: Option<Child>,
    /// Those that a successor has taken over from, and that end by themselves.
    leaving: Vec<Child>,
    http: SocketAddr,
    https: SocketAddr,
    // The last field: the place is free once all else is gone.
    _permit: Option<Permit>,
}

impl Platform {
    /// Starts a platform with an empty data directory, once there is a place for it.
    pub fn start(program: &str, options: Options) -> Self {
        let permit = Permit::take();
        Self::make(program, options, Some(permit))
    }

    /// Starts another one for a test that has one already.
    pub fn start_beside(program: &str, options: Options) -> Self {
        Self::make(program, options, None)
    }

    fn make(program: &str, options: Options, permit: Option<Permit>) -> Self {
        // Layers and images lie there: a memory file system would be counted twice.
        let directory =
            tempfile::Builder::new().prefix("adaptable-e2e-").tempdir_in("/var/tmp").expect("a directory of one's own");
        // The platform gives up root and must still get to its data.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("our own directory");
        let data = directory.path().join("data");
        let anywhere: SocketAddr = ([127, 0, 0, 1], 0).into();
        let mut platform = Self {
            program: program.into(),
            options,
            directory,
            data,
            child: None,
            leaving: Vec::new(),
            http: anywhere,
            https: anywhere,
            _permit: permit,
        };
        if !platform.options.config.is_empty() {
            use std::os::unix::fs::OpenOptionsExt;
            fs::create_dir(&platform.data).expect("our own directory");
            let file = platform.data.join("config.toml");
            let open = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
            let written = open.and_then(|mut file| io::Write::write_all(&mut file, platform.options.config.as_bytes()));
            written.expect("its settings");
        }
        platform.restart();
        platform
    }

    /// Starts the platform again where it is not running: same data directory, same ports.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "it still runs");
        let (http, https) = (self.http.to_string(), self.https.to_string());
        let idle = self.options.idle_timeout.clone();
        self.child = Some(self.serve(&["--http", &http, "--https", &https, "--idle-timeout", &idle]));
        let began = Instant::now();
        let document = loop {
            if let Ok(answer) = self.api("GET", "/platform", b"")
                && answer.status == 200
            {
                break answer.json();
            }
            let ended = self.child.as_mut().expect("just started").try_wait().expect("a child of ours");
            assert!(ended.is_none(), "the platform ended before it answered:\n{}", self.log());
            assert!(began.elapsed() < START, "the platform did not answer:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        };
        let address = |key: &str| document[key].as_str().and_then(|text| text.parse().ok()).expect("an address");
        (self.http, self.https) = (address("http"), address("https"));
    }

    fn serve(&self, arguments: &[&str]) -> Child {
        let log = fs::File::options().create(true).append(true).open(self.log_path()).expect("the platform's log");
        Command::new(&self.program)
            .args(["serve", "--data-dir"])
            .arg(&self.data)
            .args(arguments)
            .envs(self.options.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log)
            .spawn()
            .expect("the program starts")
    }

    /// Starts a successor, which takes over from the platform once it is ready; it gets no flags but that one.
    pub fn successor(&self) -> Child {
        self.serve(&["--take-over"])
    }

    /// The same, told where to listen, as it has to be where no platform runs.
    pub fn successor_of_none(&self) -> Child {
        self.serve(&["--take-over", "--http", &self.http.to_string(), "--https", &self.https.to_string()])
    }

    /// Lets a successor take over, and returns once that answers. The platform of before ends by itself.
    #[track_caller]
    pub fn take_over(&mut self) {
        let mut successor = self.successor();
        let began = Instant::now();
        while self.answering() != Some(successor.id()) {
            let ended = successor.try_wait().expect("a child of ours");
            assert!(ended.is_none(), "the successor ended before it answered:\n{}", self.log());
            assert!(began.elapsed() < START, "the successor did not answer:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.adopt(successor);
    }

    /// Goes on with a successor that answers.
    pub fn adopt(&mut self, successor: Child) {
        self.leaving.extend(self.child.replace(successor));
    }

    /// The process that answers on the platform's socket.
    pub fn answering(&self) -> Option<u32> {
        let document = self.api("GET", "/platform", b"").ok().filter(|answer| answer.status == 200)?.json();
        document["pid"].as_u64().and_then(|pid| pid.try_into().ok())
    }

    /// Whether a platform that was taken over from has not ended yet.
    pub fn is_leaving(&mut self) -> bool {
        self.leaving.iter_mut().any(|child| child.try_wait().expect("a child of ours").is_none())
    }

    /// Goes on with a process that is no child of ours: `up` has started it, and the one of before ends by itself.
    pub fn taken_over_by_another(&mut self) {
        self.leaving.extend(self.child.take());
    }

    /// Kills the platform's process, as a crash or the machine's out-of-memory killer would.
    pub fn kill9(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("a child of ours");
        child.wait().expect("a child of ours");
    }

    /// Waits for the platform's own end, and says with which code.
    pub fn ended(&mut self, within: Duration) -> Option<i32> {
        let began = Instant::now();
        loop {
            let child = self.child.as_mut().expect("it runs");
            if let Some(status) = child.try_wait().expect("a child of ours") {
                self.child = None;
                return status.code();
            }
            if began.elapsed() > within {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs a command of the command line against this platform.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        run(&mut self.command(arguments))
    }

    /// The same, not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare_command(arguments);
        command.arg("--data-dir").arg(&self.data);
        command
    }

    /// A command that is not told where the platform is.
    pub fn bare_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ADAPTABLE_") {
                command.env_remove(name);
            }
        }
        command
    }

    /// Deploys a directory and fails the test unless it becomes live; the answer is the document.
    #[track_caller]
    pub fn deploy(&self, directory: &Path, arguments: &[&str]) -> Value {
        let output = self.try_deploy(directory, arguments).expect(0);
        let document = output.json();
        assert_eq!(document["state"], "live", "{document}");
        document
    }

    /// Deploys a directory, with `--json`.
    pub fn try_deploy(&self, directory: &Path, arguments: &[&str]) -> Output {
        let directory = directory.to_str().expect("a plain path");
        self.cli(&[&["deploy", directory, "--json"], arguments].concat())
    }

    /// Writes an app's source into a directory of that name, which must not be there yet.
    pub fn source(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = self.directory.path().join("src").join(name);
        assert!(!root.exists(), "{name} is written already");
        fs::create_dir_all(&root).expect("a new directory");
        for (path, text) in files {
            write(&root.join(path), text);
        }
        root
    }

    /// A visit over HTTPS to an app.
    #[track_caller]
    pub fn get(&self, app: &str, path: &str) -> Answer {
        self.request("GET", app, path, &[], b"").unwrap_or_else(|error| panic!("{app}{path}: {error}\n{}", self.log()))
    }

    /// A request over HTTPS to an app (or to the platform itself, under the empty name).
    pub fn request(&self, method: &str, app: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        let began = Instant::now();
        let host = host(app);
        let connection = self.connect(app)?;
        let authority = format!("{host}:{}", self.https.port());
        let answer = exchange(connection, method, &authority, path, headers, body)?;
        Ok(Answer { seconds: began.elapsed().as_secs_f64(), ..answer })
    }

    /// A TLS connection to the edge under an app's name.
    pub fn connect(&self, app: &str) -> io::Result<Connection> {
        connect(self.https, &host(app), &fs::read(self.data.join("ca.pem"))?)
    }

    /// A request to the API through the platform's socket.
    pub fn api(&self, method: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
        self.socket(method, &format!("/api/v1{path}"), body)
    }

    /// A request through the platform's socket.
    pub fn socket(&self, method: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
        let stream = UnixStream::connect(self.data.join("adaptable.sock"))?;
        stream.set_read_timeout(Some(Duration::from_mins(1)))?;
        let headers = [("Content-Type", "application/json"), ("Accept", "application/json")];
        exchange(stream, method, "localhost", path, &headers, body)
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A directory for what a test writes; it goes with the platform.
    pub fn scratch(&self) -> &Path {
        self.directory.path()
    }

    /// Where the edge listens for HTTPS.
    pub fn https(&self) -> SocketAddr {
        self.https
    }

    /// Where the edge listens for HTTP.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// The platform's process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// What the platform wrote to its own log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("serve.log")
    }

    fn stop(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(mut child) = self.child.take() {
            let down = self.cli(&["down"]);
            if down.code != 0 {
                found.push(format!("'down' ended with {}: {}", down.code, down.stderr));
                let _gone = child.kill();
            }
            let status = child.wait().expect("a child of ours");
            if !status.success() {
                found.push(format!("the platform ended with {status}"));
            }
        } else if self.answering().is_some() {
            let down = self.cli(&["down"]);
            if down.code != 0 {
                found.push(format!("'down' ended with {}: {}", down.code, down.stderr));
            }
        } else if self.data.exists() {
            // Killed, and not started again: what it left is cleaned up by the next start.
            self.restart();
            return self.stop();
        }
        for mut child in self.leaving.drain(..) {
            let status = child.wait().expect("a child of ours");
            if !status.success() {
                found.push(format!("a platform that was taken over from ended with {status}"));
            }
        }
        let mut left = world::leftovers(&self.data);
        let began = Instant::now();
        // The kernel takes a moment to let go of a network namespace and its devices.
        while !left.is_empty() && began.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(50));
            left = world::leftovers(&self.data);
        }
        found.append(&mut left);
        found.extend(self.log().lines().filter(|line| line.contains("panicked at")).map(|line| format!("a panic: {line}")));
        found
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        let already = std::thread::panicking();
        let found = if already {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.stop())).unwrap_or_default()
        } else {
            self.stop()
        };
        if already {
            eprintln_log(&self.log(), &found);
        } else {
            assert!(found.is_empty(), "the platform left behind:\n{}\n--- its log\n{}", found.join("\n"), self.log());
        }
    }
}

#[expect(clippy::print_stderr, reason = "a failing test shows what the platform said")]
fn eprintln_log(log: &str, found: &[String]) {
    eprintln!("--- the platform's log\n{log}--- left behind\n{}", found.join("\n"));
}

fn host(app: &str) -> String {
    if app.is_empty() { "localhost".to_owned() } else { format!("{app}.localhost") }
}

/// Writes a file, with the directories above it.
fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("below the source")).expect("a directory");
    fs::write(path, text).expect("a file");
}

/// Runs a command to its end.
fn run(command: &mut Command) -> Output {
    let began = Instant::now();
    let output = command.output().expect("the program starts");
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        seconds: began.elapsed().as_secs_f64(),
    }
}

impl From<&mut Command> for Output {
    fn from(command: &mut Command) -> Self {
        run(command)
    }
}

/// Waits until something holds, and fails the test when it does not in time.
#[track_caller]
pub fn wait_until(what: &str, seconds: u64, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(seconds), "{what}: not within {seconds} s");
        std::thread::sleep(Duration::from_millis(20));
    }
}
