//! The `git` program, started with settings of ours and nobody else's.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The largest pack taken, compressed.
pub(crate) const MOST_PUSHED: u64 = 512 * 1000 * 1000;

/// Small sins of old commits, which well-known projects have in their history and nobody can mend. What could do harm stays refused.
pub(crate) const FORGIVEN: [&str; 9] = [
    "badTimezone",
    "badDate",
    "badDateOverflow",
    "badEmail",
    "missingEmail",
    "missingNameBeforeEmail",
    "missingSpaceBeforeDate",
    "missingSpaceBeforeEmail",
    "zeroPaddedFilemode",
];

/// What fails when git is served.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The program isn't there.
    #[error("run git, which pushes need (on Debian: apt install git)")]
    Missing(#[source] io::Error),
    /// Our own directory.
    #[error("prepare the git directory {0}")]
    Directory(PathBuf, #[source] io::Error),
    /// Hooks don't run there, so that pushes would be taken without being deployed.
    #[error("programs can't be run from {0} (is it mounted noexec?), but pushes by git need it; choose another data directory")]
    NoExec(PathBuf),
    /// It couldn't be started.
    #[error("start git {0}")]
    Start(&'static str, #[source] io::Error),
    /// It failed.
    #[error("git {command} failed: {said}")]
    Failed {
        /// What was run.
        command: &'static str,
        /// What it said.
        said: String,
    },
}

/// A git command on a repository. Nothing of the caller's environment, and no settings but ours, reach it.
pub(crate) fn git(repository: Option<&Path>, hooks: Option<&Path>) -> Command {
    let mut command = Command::new("git");
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs([
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("HOME", "/nonexistent"),
        ("LC_ALL", "C.UTF-8"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_NO_REPLACE_OBJECTS", "1"),
    ]);
    if let Some(repository) = repository {
        command.env("GIT_DIR", repository).current_dir(repository);
    }
    let mut settings = vec![
        "receive.fsckObjects=true".to_owned(),
        "transfer.fsckObjects=true".to_owned(),
        format!("receive.maxInputSize={MOST_PUSHED}"),
        // A clone made with `--depth`, as CI makes them, may be pushed.
        "receive.shallowUpdate=true".to_owned(),
        "receive.autogc=false".to_owned(),
        "receive.keepAlive=5".to_owned(),
        "gc.autoDetach=false".to_owned(),
        // git as a client: never, whatever a .gitmodules says.
        "protocol.allow=never".to_owned(),
        // Bounds on memory: what is larger is streamed, and neither compared nor held.
        "core.bigFileThreshold=16m".to_owned(),
        "core.deltaBaseCacheLimit=32m".to_owned(),
        "core.packedGitLimit=256m".to_owned(),
        "pack.windowMemory=32m".to_owned(),
        "pack.threads=1".to_owned(),
    ];
    settings.extend(FORGIVEN.iter().map(|sin| format!("receive.fsck.{sin}=ignore")));
    for setting in settings {
        command.args(["-c", &setting]);
    }
    if let Some(hooks) = hooks {
        let mut setting = OsStr::new("core.hooksPath=").to_owned();
        setting.push(hooks);
        command.arg("-c").arg(setting);
    } else {
        command.args(["-c", "core.hooksPath=/dev/null"]);
    }
    command
}

/// Runs a command whose answer is short.
pub(crate) fn run(mut command: Command, name: &'static str) -> Result<Vec<u8>, GitError> {
    let output = command.output().map_err(|error| GitError::Start(name, error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(GitError::Failed { command: name, said: said(&output.stderr) })
}

/// What a program said on its way out, in one line and not endless.
pub(crate) fn said(stderr: &[u8]) -> String {
    const SHOWN: usize = 500;
    let text = String::from_utf8_lossy(&stderr[..stderr.len().min(4096)]);
    let text: String = text.trim().chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(SHOWN).collect();
    if text.is_empty() { "it said nothing".to_owned() } else { text }
}
