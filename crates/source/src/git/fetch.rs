//! One commit fetched from a server elsewhere, into a repository that is gone afterwards: no history, no checkout, no credentials left behind.
//!
//! The token is in the environment of the git process alone (`GIT_CONFIG_…`), bound to the server's address: it is in no argument, no
//! file and no log, and a redirection takes it nowhere, since none is followed.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use url::{Host, Url};
use zeroize::Zeroizing;

use super::command::{FORGIVEN, GitError, MOST_PUSHED, git, run, said};
use super::names::CommitId;
use super::snapshot::{PushedTree, SnapshotError};
use crate::collect::Received;
use crate::limits::Limits;

/// The longest that a fetch may take.
const LONGEST: Duration = Duration::from_mins(10);
/// How often the size of what has come is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Below so many bytes a second for [`SLOW_SECONDS`] a server counts as gone.
const SLOW_BYTES: u32 = 1000;
const SLOW_SECONDS: u32 = 60;

/// A repository on a server, and the token that opens it.
#[derive(Clone)]
pub struct Origin {
    url: Url,
    token: Option<Zeroizing<String>>,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").field("url", &self.url.as_str()).field("token", &self.token.as_ref().map(|_| "…")).finish()
    }
}

/// An address that nothing is fetched from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// It is no address.
    #[error("the repository's address can't be read")]
    Address,
    /// Whoever listens on the way would see the token.
    #[error("a repository is fetched over https only (http is for this machine itself)")]
    Scheme,
    /// Credentials, a query or a fragment.
    #[error("a repository's address holds a host and a path, and nothing else")]
    More,
    /// A token with line breaks would be two headers.
    #[error("the token for the repository holds characters that no token has")]
    Token,
}

impl Origin {
    /// Checks an address: https, or http where the host is this machine itself; a host, perhaps a port, and a path.
    pub fn new(address: &str, token: Option<&str>) -> Result<Self, OriginError> {
        let url = Url::parse(address).map_err(|_unreadable| OriginError::Address)?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            _ => return Err(OriginError::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(OriginError::More);
        }
        if url.host().is_none() || url.path().len() < 2 {
            return Err(OriginError::Address);
        }
        if token.is_some_and(|token| token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(OriginError::Token);
        }
        Ok(Self { url, token: token.map(|token| Zeroizing::new(token.to_owned())) })
    }

    /// The server without the path, as the key of a setting that is for it alone.
    fn server(&self) -> String {
        self.url[..url::Position::BeforePath].to_owned()
    }
}

/// Whether an address names this machine itself, where nobody listens on the way.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}

/// Why a commit did not come.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server doesn't know the repository, or not for this token.
    #[error("the repository is not there, or the platform may not read it")]
    NoAccess,
    /// The repository is there, the commit isn't (any more).
    #[error("the commit {0} is not in the repository (any more)")]
    NoSuchCommit(CommitId),
    /// The repository lies elsewhere now.
    #[error("the repository's address leads to another one, which is not followed")]
    Moved,
    /// The server can't be reached, fails, or asks for patience. May pass by itself.
    #[error("the server of the repository can't be reached: {0}")]
    Unreachable(String),
    /// It takes too long. May pass by itself.
    #[error("fetching the commit took more than {} minutes", LONGEST.as_secs() / 60)]
    TooSlow,
    /// More than is taken.
    #[error("the commit is larger than the {} MB that are taken", MOST_PUSHED / 1_000_000)]
    TooLarge,
    /// Anything else that git says, a damaged commit above all.
    #[error("fetch the commit: {0}")]
    Refused(String),
    /// Our own git.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl FetchError {
    /// Whether trying again later may help.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::TooSlow)
    }
}

/// A commit that was fetched. Its repository goes when this is dropped.
#[derive(Debug)]
pub struct Fetched {
    tree: PushedTree,
    // After the tree: nobody reads it then.
    _repository: TempDir,
    /// The first line of its message.
    pub subject: String,
    /// Its author's name.
    pub author: String,
}

impl Fetched {
    /// Checks every entry of the commit and writes the canonical tar to `dest`; gives it with what is worth knowing (submodules and pointers
    /// of LFS, which are not deployed).
    pub async fn receive(&self, limits: Limits, dest: &Path) -> Result<(Received, Vec<String>), SnapshotError> {
        let (tree, dest) = (self.tree.clone(), dest.to_owned());
        let taken = spawn_blocking(move || tree.take(&limits, &dest)).await;
        let taken = taken.map_err(|error| SnapshotError::Read(io::Error::other(error)))??;
        Ok((taken.received, taken.notes))
    }
}

/// Fetches exactly that commit, without its history, into a new repository below `directory`.
///
/// git neither asks anybody anything, nor follows redirections, nor reads settings or credentials of this machine; dropping the future
/// ends it.
pub async fn fetch(origin: &Origin, commit: &CommitId, directory: &Path) -> Result<Fetched, FetchError> {
    let parent = directory.to_owned();
    let repository =
        spawn_blocking(move || create(&parent)).await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    let mut running = Running::start(command(origin, commit, repository.path()))?;
    let objects = repository.path().join("objects");
    let ended = tokio::select! {
        ended = running.ended() => ended?,
        () = outgrown(&objects) => return Err(FetchError::TooLarge),
        () = sleep(LONGEST) => return Err(FetchError::TooSlow),
    };
    if let Some(text) = ended {
        return Err(explain(&text, commit));
    }
    let tree = PushedTree::new(repository.path().to_owned(), None, commit.clone());
    let described = {
        let tree = tree.clone();
        spawn_blocking(move || tree.described()).await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?
    };
    Ok(Fetched { tree, _repository: repository, subject: described.subject, author: described.author })
}

/// An empty bare repository.
fn create(directory: &Path) -> Result<TempDir, GitError> {
    let failed = |error| GitError::Directory(directory.to_owned(), error);
    std::fs::create_dir_all(directory).map_err(failed)?;
    let repository = tempfile::Builder::new().prefix("fetch-").tempdir_in(directory).map_err(failed)?;
    let mut init = git(None, None);
    init.args(["init", "--quiet", "--bare", "--template=", "--initial-branch=main"]).arg(repository.path());
    run(init, "init")?;
    Ok(repository)
}

fn command(origin: &Origin, commit: &CommitId, repository: &Path) -> Command {
    let mut command = git(Some(repository), None);
    let mut settings = vec![
        format!("protocol.{}.allow=always", origin.url.scheme()),
        "http.followRedirects=false".to_owned(),
        "http.sslVerify=true".to_owned(),
        format!("http.lowSpeedLimit={SLOW_BYTES}"),
        format!("http.lowSpeedTime={SLOW_SECONDS}"),
        "credential.helper=".to_owned(),
        "core.askPass=".to_owned(),
        // One file that grows, whose size can be looked at.
        "fetch.unpackLimit=1".to_owned(),
        "fetch.fsckObjects=true".to_owned(),
    ];
    settings.extend(FORGIVEN.iter().map(|sin| format!("fetch.fsck.{sin}=ignore")));
    for setting in settings {
        command.args(["-c", &setting]);
    }
    if let Some(token) = &origin.token {
        // Basic, with a user that GitHub ignores: `Bearer` is for its API alone.
        let credentials = Zeroizing::new(STANDARD.encode(Zeroizing::new(format!("x-access-token:{}", token.as_str()))));
        command
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", format!("http.{}/.extraHeader", origin.server()))
            .env("GIT_CONFIG_VALUE_0", format!("Authorization: Basic {}", credentials.as_str()));
    }
    // The same that the rest of the platform trusts.
    if let Some(authorities) = std::env::var_os("SSL_CERT_FILE") {
        command.env("GIT_SSL_CAINFO", authorities);
    }
    command.args([
        "fetch",
        "--quiet",
        "--no-progress",
        "--depth=1",
        "--no-tags",
        "--no-recurse-submodules",
        "--no-write-fetch-head",
    ]);
    command.args(["--no-auto-maintenance", "--", origin.url.as_str(), commit.as_str()]);
    command
}

/// git and what it starts, which end with this.
struct Running {
    child: tokio::process::Child,
    group: Option<Pid>,
}

impl Running {
    fn start(mut command: Command) -> Result<Self, GitError> {
        command.stdout(Stdio::null());
        let mut command = tokio::process::Command::from(command);
        let child = command.process_group(0).kill_on_drop(true).spawn();
        let child = child.map_err(|error| GitError::Start("fetch", error))?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Ok(Self { child, group })
    }

    /// Waits for its end: nothing where it was a good one, else what git said.
    async fn ended(&mut self) -> Result<Option<Vec<u8>>, GitError> {
        let failed = |error| GitError::Start("fetch", error);
        let mut text = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            // Whatever is beyond that is not waited for: git ends when nobody reads.
            stderr.take(64 * 1024).read_to_end(&mut text).await.map_err(failed)?;
        }
        // Its helpers have closed their output; what still hangs after that is killed.
        let status = match timeout(Duration::from_secs(30), self.child.wait()).await {
            Ok(status) => status.map_err(failed)?,
            Err(_elapsed) => return Ok(Some(b"git did not end".to_vec())),
        };
        // It was waited for: the group's number is nobody's any more.
        self.group = None;
        Ok((!status.success()).then_some(text))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // It has not been waited for, so the number is still its own.
            killpg(group, Signal::SIGKILL).ok();
        }
    }
}

/// Returns once there is more than is taken.
async fn outgrown(objects: &Path) {
    loop {
        sleep(LOOK).await;
        let objects = objects.to_owned();
        if spawn_blocking(move || size(&objects)).await.is_ok_and(|bytes| bytes > MOST_PUSHED) {
            return;
        }
    }
}

/// The bytes of all files below a directory, which has a handful of them.
fn size(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() => size(&entry.path()),
        Ok(data) => data.len(),
        Err(_gone) => 0,
    });
    sizes.sum()
}

/// What git's words mean. They are git's own since 2.17 at least, in the language of `LC_ALL=C`.
fn explain(text: &[u8], commit: &CommitId) -> FetchError {
    let text = said(text);
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["not our ref", "unadvertised object", "did not send all necessary objects"]) {
        return FetchError::NoSuchCommit(commit.clone());
    }
    if has(&[
        "Authentication failed",
        "could not read Username",
        "could not read Password",
        "not found",
        "error: 401",
        "error: 403",
    ]) {
        return FetchError::NoAccess;
    }
    if has(&["error: 404", "error: 410", "error: 451"]) {
        return FetchError::NoAccess;
    }
    if has(&["error: 301", "error: 302", "error: 303", "error: 307", "error: 308"]) {
        return FetchError::Moved;
    }
    let unreachable = [
        "unable to access",
        "Could not resolve",
        "Failed to connect",
        "Connection",
        "timed out",
        "Operation too slow",
        "early EOF",
        "hung up unexpectedly",
        "RPC failed",
        "unexpected disconnect",
        "error: 429",
        "error: 5",
    ];
    if has(&unreachable) { FetchError::Unreachable(text) } else { FetchError::Refused(text) }
}

/// Removes what a platform that was killed has left of its fetches.
pub fn sweep(directory: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let ours = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("fetch-"));
    entries.flatten().map(|entry| entry.path()).filter(ours).try_for_each(std::fs::remove_dir_all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in [
            "https://github.com/o/r.git",
            "https://ghe.example:8443/o/r",
            "http://127.0.0.1:3000/o/r.git",
            "http://localhost/r",
            "http://[::1]:80/r",
        ] {
            assert!(Origin::new(good, Some("ghs_abc")).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("", OriginError::Address),
            ("/etc/passwd", OriginError::Address),
            ("git@github.com:o/r.git", OriginError::Address),
            ("https://github.com", OriginError::Address),
            ("file:///etc", OriginError::Scheme),
            ("ext::sh -c id", OriginError::Scheme),
            ("ssh://git@github.com/o/r", OriginError::Scheme),
            ("http://github.com/o/r", OriginError::Scheme),
            ("http://localhost.example/o/r", OriginError::Scheme),
            ("http://127.0.0.1.example/o/r", OriginError::Scheme),
            ("https://user@github.com/o/r", OriginError::More),
            ("https://u:p@github.com/o/r", OriginError::More),
            ("https://github.com/o/r?x=1", OriginError::More),
            ("https://github.com/o/r#x", OriginError::More),
        ] {
            assert_eq!(Origin::new(bad, None).err(), Some(why), "{bad}");
        }
        for token in ["", "a b", "a\r\nX: y", "ä"] {
            assert_eq!(Origin::new("https://github.com/o/r", Some(token)).err(), Some(OriginError::Token), "{token:?}");
        }
        assert!(!format!("{:?}", Origin::new("https://github.com/o/r", Some("ghs_secret"))).contains("secret"));
    }

    #[test]
    fn a_token_is_for_its_server_alone_and_in_no_argument() {
        let origin = Origin::new("https://github.com/o/r.git", Some("ghs_secret")).expect("an origin");
        let commit = CommitId::parse(&"ab".repeat(20)).expect("an id");
        let command = command(&origin, &commit, Path::new("/tmp"));
        assert!(command.get_args().all(|argument| !argument.to_string_lossy().contains("secret")), "{command:?}");
        let env = |name: &str| command.get_envs().find(|(key, _)| *key == name).and_then(|(_, value)| value?.to_str());
        assert_eq!(env("GIT_CONFIG_KEY_0"), Some("http.https://github.com/.extraHeader"));
        assert_eq!(env("GIT_CONFIG_VALUE_0"), Some("Authorization: Basic eC1hY2Nlc3MtdG9rZW46Z2hzX3NlY3JldA=="));
    }
}
