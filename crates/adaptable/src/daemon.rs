//! The platform in the background: starting it, and stopping it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use api::{ClientError, Platform};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use crate::cli::ServeArgs;
use crate::config;
use crate::explain::Failure;
use crate::identity;
use crate::printer::{Printer, clean};
use crate::progress::Progress;
use crate::reach::here;

/// The file that a running platform and its launcher hold a lock on.
const LOCK: &str = "lock";
/// The file with the platform's process id.
const PID: &str = "adaptable.pid";
/// How long a platform may take to answer for the first time.
const START: Duration = Duration::from_mins(15);
/// How long a platform may take to stop its apps and itself.
const STOP: Duration = Duration::from_secs(90);
/// How much of the log's end is shown when it ends before it answered.
const LINES: usize = 15;

/// The platform of a data directory: started where none answers, and upgraded where it is another program than this one.
pub(crate) async fn ensure(data_dir: &Path, args: &ServeArgs, printer: Printer) -> Result<Platform, Failure> {
    match here(data_dir).platform().await {
        Ok(platform) => {
            if platform.build != identity::build() {
                if platform.build.is_empty() {
                    printer.note(
                        "a platform of an older version runs, which can't be upgraded while it does: 'adaptable down' stops it",
                    );
                } else if geteuid().is_root() {
                    return start(data_dir, args, printer, Some(platform.pid)).await;
                } else {
                    printer.note("a platform of another build runs; 'adaptable up' as root upgrades it");
                }
            }
            if !config::given(args).is_empty() {
                printer
                    .note("a platform runs already; the flags that say how to serve were not used ('adaptable down' stops it)");
            }
            return Ok(platform);
        }
        Err(ClientError::NoPlatform { .. }) if !geteuid().is_root() => return Err(Failure::needs_root("up")),
        // A platform that holds the lock but does not answer yet is waited for, below.
        Err(error) if !error.is_lost() => return Err(error.into()),
        Err(_silent) => {}
    }
    // What is wrong with the settings is said here, not in a log.
    config::resolve(args, data_dir.to_owned(), &crate::commands::variable)?;
    start(data_dir, args, printer, None).await
}

/// Starts a platform in the background, which takes over from the process `running` where there is one, and waits until it answers.
async fn start(data_dir: &Path, args: &ServeArgs, printer: Printer, running: Option<u32>) -> Result<Platform, Failure> {
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(|error| Failure::file("make", data_dir, error))?;
    let mut log = Log::open(&data_dir.join("serve.log"))?;
    let mut child = spawn(data_dir, args, &log.file, running.is_some())?;
    let progress = Progress::new(printer);
    let doing = if running.is_some() { "upgrading" } else { "starting" };
    if !printer.live() {
        printer.note(&format!("{doing} the platform; its log: {}", log.path.display()));
    }
    progress.say(doing, "the platform");
    let (began, lock) = (Instant::now(), Lock(data_dir));
    let answer = loop {
        match here(data_dir).platform().await {
            // Until the new one serves, the one before answers.
            Ok(platform) if Some(platform.pid) == running => {}
            Ok(platform) => break Ok(platform),
            Err(error) if !error.is_lost() => break Err(error.into()),
            Err(_not_yet) => {}
        }
        match child.try_wait() {
            // Somebody else's platform was faster; once it answers, it is as good as ours.
            Ok(Some(_)) if running.is_none() && began.elapsed() < START && lock.is_held()? => {}
            Ok(Some(status)) => break Err(log.early_end(printer, status)),
            Ok(None) if began.elapsed() < START => {}
            Ok(None) => {
                kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).ok();
                break Err(log.failure(&format!("the platform did not answer within {} s", START.as_secs())));
            }
            Err(error) => break Err(Failure::local(format!("can't watch the platform: {error}"), "")),
        }
        if let Some(line) = log.newest() {
            progress.say(doing, &line);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    progress.close();
    if running.is_some() {
        match &answer {
            Ok(_) => printer.note("the platform was upgraded"),
            Err(_) => printer.note("the platform was not upgraded; the one that runs goes on"),
        }
    }
    answer
}

/// Starts our own program again, in a session of its own.
fn spawn(data_dir: &Path, args: &ServeArgs, log: &File, take_over: bool) -> Result<Child, Failure> {
    let fail = |error: std::io::Error| Failure::local(format!("can't start the platform: {error}"), "");
    let program = std::env::current_exe().map_err(fail)?;
    Command::new(program)
        .arg("serve")
        .arg("--detached")
        .args(take_over.then_some("--take-over"))
        .arg("--data-dir")
        .arg(data_dir)
        .args(config::given(args))
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(fail)?)
        .stderr(log.try_clone().map_err(fail)?)
        .current_dir("/")
        .spawn()
        .map_err(fail)
}

/// The log of a platform in the background.
struct Log {
    path: PathBuf,
    file: File,
    /// Where the part of this start begins.
    begin: u64,
    seen: u64,
}

impl Log {
    fn open(path: &Path) -> Result<Self, Failure> {
        let fail = |error| Failure::file("open", path, error);
        // The directory belongs to the platform's user, we are root: a link there must not choose what we write to.
        let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
        let open = OpenOptions::new().read(true).append(true).create(true).mode(0o600).custom_flags(flags).open(path);
        let file = open.map_err(fail)?;
        let metadata = file.metadata().map_err(fail)?;
        if !metadata.is_file() {
            return Err(Failure::file("open", path, "it is not a file"));
        }
        Ok(Self { path: path.to_owned(), file, begin: metadata.len(), seen: metadata.len() })
    }

    /// The newest line, where there is one that was not seen yet.
    fn newest(&mut self) -> Option<String> {
        let length = self.file.metadata().ok()?.len();
        if length == self.seen {
            return None;
        }
        self.seen = length;
        self.lines().pop()
    }

    /// The last lines of this start.
    fn lines(&self) -> Vec<String> {
        const MOST: u64 = 64 * 1024;
        let read = || {
            let mut file = File::open(&self.path)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(self.begin.max(length.saturating_sub(MOST))))?;
            let mut bytes = Vec::new();
            file.take(MOST).read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>(bytes)
        };
        let bytes = read().unwrap_or_default();
        let lines: Vec<_> = String::from_utf8_lossy(&bytes).lines().map(clean).filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(LINES)..].to_vec()
    }

    fn failure(&self, message: &str) -> Failure {
        Failure::local(message, format!("its log: {}", self.path.display()))
    }

    /// The platform ended before it answered: its last words say why.
    fn early_end(&self, printer: Printer, status: ExitStatus) -> Failure {
        for line in self.lines() {
            printer.note(&format!("  {line}"));
        }
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("with exit code {code}"),
            (None, Some(signal)) => format!("by signal {signal}"),
            (None, None) => "for an unknown reason".to_owned(),
        };
        self.failure(&format!("the platform ended {how} before it answered"))
    }
}

/// Stops the platform of a data directory and waits until it is gone. Says whether there was one.
pub(crate) async fn stop(data_dir: &Path) -> Result<bool, Failure> {
    let pid = match here(data_dir).platform().await {
        Ok(platform) => Some(platform.pid),
        Err(ClientError::NotAllowed { .. }) => return Err(Failure::needs_root("down")),
        // Not answering is not the same as not running.
        Err(_silent) => None,
    };
    let lock = Lock(data_dir);
    let Some(pid) = pid.or(lock.holder()?) else { return Ok(false) };
    let pid = Pid::from_raw(i32::try_from(pid).map_err(|_absurd| Failure::local(format!("{pid} is not a process"), ""))?);
    match kill(pid, Signal::SIGTERM) {
        // It ended by itself meanwhile; what it leaves behind is waited for all the same.
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(Errno::EPERM) => return Err(Failure::needs_root("down")),
        Err(error) => return Err(Failure::local(format!("can't stop process {pid}: {error}"), "")),
    }
    let began = Instant::now();
    while runs(pid) || lock.is_held()? {
        if began.elapsed() > STOP {
            return Err(Failure::local(
                format!("the platform (process {pid}) did not stop within {} s", STOP.as_secs()),
                format!("its log: {}", data_dir.join("serve.log").display()),
            ));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(true)
}

/// Whether a process runs. One that has ended and was not collected by its parent does not.
fn runs(pid: Pid) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The name, in parentheses, may hold anything; the state follows the last of them.
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, Some('Z' | 'X') | None)
}

/// The lock of a data directory.
struct Lock<'a>(&'a Path);

impl Lock<'_> {
    fn open(&self, name: &str) -> Result<Option<File>, Failure> {
        let path = self.0.join(name);
        match OpenOptions::new().read(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(Failure::needs_root("down")),
            Err(error) => Err(Failure::file("read", &path, error)),
        }
    }

    fn is_held(&self) -> Result<bool, Failure> {
        let Some(file) = self.open(LOCK)? else { return Ok(false) };
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(_free_again) => Ok(false),
            Err((_, Errno::EWOULDBLOCK)) => Ok(true),
            Err((_, error)) => Err(Failure::file("lock", &self.0.join(LOCK), error)),
        }
    }

    /// The process that holds it. Without the lock, the number is a leftover, and perhaps somebody else's by now.
    fn holder(&self) -> Result<Option<u32>, Failure> {
        if !self.is_held()? {
            return Ok(None);
        }
        let path = self.0.join(PID);
        let mut text = String::new();
        if let Some(file) = self.open(PID)? {
            file.take(64).read_to_string(&mut text).map_err(|error| Failure::file("read", &path, error))?;
        }
        let pid = text.trim().parse().ok().filter(|pid| *pid > 1);
        pid.map(Some).ok_or_else(|| Failure::file("read", &path, "a platform runs, but its process is not named there"))
    }
}

#[cfg(test)]
mod tests;
