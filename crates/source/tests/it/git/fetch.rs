//! One commit from a server that demands a token: it comes whole, and nothing of the token stays.

use std::process::Command;
use std::time::{Duration, Instant};

use source::git::{CommitId, FetchError, Origin, fetch};
use source::{Limits, TreePath};
use tempfile::TempDir;

use super::backend::{Backend, Mood};

const TOKEN: &str = "ghs_16C7e42F292c6912E7710c838347Ae178B4a";
/// `x-access-token:TOKEN` in base64.
const AUTHORIZATION: &str = "Basic eC1hY2Nlc3MtdG9rZW46Z2hzXzE2QzdlNDJGMjkyYzY5MTJFNzcxMGM4MzgzNDdBZTE3OEI0YQ==";

/// Repositories to be served: `o/r.git` with three commits, each with a text of its own, and one on a branch.
struct World {
    directory: TempDir,
    commits: Vec<CommitId>,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut world = Self { directory, commits: Vec::new() };
        world.git(&["init", "-q", "--bare", "-b", "main", "served/o/r.git"]);
        world.git(&["init", "-q", "-b", "main", "work"]);
        for text in ["one", "two", "three"] {
            std::fs::write(world.directory.path().join("work/app.py"), text).unwrap();
            world.git(&["-C", "work", "add", "."]);
            world.git(&["-C", "work", "commit", "-q", "-m", &format!("Say {text}\n\nMore words")]);
            let id = world.git(&["-C", "work", "rev-parse", "HEAD"]);
            world.commits.push(CommitId::parse(id.trim()).unwrap());
        }
        world.git(&["-C", "work", "push", "-q", "../served/o/r.git", "main"]);
        world
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.current_dir(self.directory.path()).args(["-c", "user.name=Änne Author", "-c", "user.email=a@b.example"]);
        let output = command.args(arguments).env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    async fn serve(&self) -> Backend {
        Backend::start(&self.directory.path().join("served"), AUTHORIZATION).await
    }

    fn scratch(&self) -> std::path::PathBuf {
        self.directory.path().join("scratch")
    }

    fn left(&self) -> usize {
        std::fs::read_dir(self.scratch()).map_or(0, Iterator::count)
    }
}

fn origin(backend: &Backend, path: &str) -> Origin {
    Origin::new(&backend.url(path), Some(TOKEN)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_comes_without_its_history_and_leaves_nothing() {
    let world = World::new();
    let backend = world.serve().await;
    for (commit, text) in world.commits.iter().zip(["one", "two", "three"]) {
        let fetched = fetch(&origin(&backend, "o/r.git"), commit, &world.scratch()).await.unwrap();
        assert_eq!((&*fetched.subject, &*fetched.author), (&*format!("Say {text}"), "Änne Author"));
        let dest = world.directory.path().join("tree.tar");
        let (received, notes) = fetched.receive(Limits::default(), &dest).await.unwrap();
        assert_eq!(received.tree.read(&TreePath::parse("app.py").unwrap(), 100).unwrap(), text.as_bytes());
        assert_eq!(notes, [""; 0]);
        // What lies on the disk meanwhile: one commit, no token.
        let repository = std::fs::read_dir(world.scratch()).unwrap().next().unwrap().unwrap().path();
        let all =
            Command::new("grep").args(["-r", "-a", "-e", TOKEN, "-e", &AUTHORIZATION[6..]]).arg(&repository).output().unwrap();
        assert_eq!((all.status.code(), all.stdout), (Some(1), Vec::new()));
        let repository = repository.to_str().unwrap();
        assert_eq!(world.git(&["--git-dir", repository, "rev-list", "--count", commit.as_str()]).trim(), "1");
        drop(fetched);
        assert_eq!(world.left(), 0);
    }
    assert!(backend.asked.lock().unwrap().iter().all(|asked| asked.as_deref() == Some(AUTHORIZATION)));
}

#[tokio::test(flavor = "multi_thread")]
async fn why_it_does_not_come_is_told_apart() {
    let world = World::new();
    let backend = world.serve().await;
    let last = &world.commits[2];
    let fails = async |origin: &Origin, commit: &CommitId| {
        let error = fetch(origin, commit, &world.scratch()).await.map(|_| ()).unwrap_err();
        assert!(!error.to_string().contains(TOKEN) && !format!("{error:?}").contains(TOKEN), "{error:?}");
        assert_eq!(world.left(), 0);
        error
    };
    let good = origin(&backend, "o/r.git");
    // Of two tokens, the wrong one; and none at all.
    for token in [Some("ghs_wrong"), None] {
        let wrong = Origin::new(&backend.url("o/r.git"), token).unwrap();
        let error = fails(&wrong, last).await;
        assert!(matches!(error, FetchError::NoAccess), "{error:?}");
    }
    let error = fails(&origin(&backend, "o/other.git"), last).await;
    assert!(matches!(error, FetchError::NoAccess), "{error:?}");
    let gone = CommitId::parse(&"12".repeat(20)).unwrap();
    let error = fails(&good, &gone).await;
    assert!(matches!(&error, FetchError::NoSuchCommit(id) if *id == gone), "{error:?}");
    for status in [403, 404] {
        backend.is(Mood::Status(status, None));
        let error = fails(&good, last).await;
        assert!(matches!(error, FetchError::NoAccess), "{status}: {error:?}");
    }
    for status in [429, 500, 502, 503] {
        backend.is(Mood::Status(status, None));
        let error = fails(&good, last).await;
        assert!(matches!(error, FetchError::Unreachable(_)) && error.may_pass(), "{status}: {error:?}");
    }
    // Nobody listens there.
    let nobody = Origin::new("http://127.0.0.1:1/o/r.git", Some(TOKEN)).unwrap();
    let error = fails(&nobody, last).await;
    assert!(matches!(error, FetchError::Unreachable(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirection_takes_the_token_nowhere() {
    let world = World::new();
    let (backend, elsewhere) = (world.serve().await, world.serve().await);
    for status in [301, 302, 307, 308] {
        backend.is(Mood::Status(status, Some(elsewhere.url("o/r.git/info/refs?service=git-upload-pack"))));
        let error = fetch(&origin(&backend, "o/r.git"), &world.commits[0], &world.scratch()).await.map(|_| ()).unwrap_err();
        assert!(matches!(error, FetchError::Moved), "{status}: {error:?}");
    }
    assert!(elsewhere.asked.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn given_up_it_ends_with_all_that_it_started() {
    let world = World::new();
    let backend = world.serve().await;
    backend.is(Mood::Silent);
    let began = Instant::now();
    let (from, scratch) = (origin(&backend, "o/r.git"), world.scratch());
    let given_up = tokio::time::timeout(Duration::from_millis(700), fetch(&from, &world.commits[0], &scratch));
    assert!(given_up.await.is_err(), "a silent server is waited for");
    let address = backend.address.to_string();
    loop {
        let processes = Command::new("pgrep").args(["-f", &address]).output().unwrap();
        if processes.stdout.is_empty() && world.left() == 0 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it runs on: {}", String::from_utf8_lossy(&processes.stdout));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
