//! The stand-in's repositories: real bare ones on the disk, made and read with git.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jiff::Timestamp;

/// A commit as git tells of it.
#[derive(Debug, Clone)]
pub(super) struct Commit {
    pub(super) sha: String,
    pub(super) tree: String,
    pub(super) parents: Vec<String>,
    pub(super) author: String,
    pub(super) email: String,
    pub(super) at: Timestamp,
    pub(super) message: String,
    pub(super) files: Vec<String>,
}

/// What a commit is to do with a file.
pub(super) type Change = (String, Vec<u8>, bool);

/// git, in that directory, free of the machine's settings.
pub(super) fn git(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(dir).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("HOME", dir);
    command
}

fn output(dir: &Path, arguments: &[&str]) -> Option<Vec<u8>> {
    let output = git(dir).args(arguments).stderr(Stdio::null()).output().expect("git runs");
    output.status.success().then_some(output.stdout)
}

/// Makes an empty repository whose commits can be fetched one by one, as GitHub's can.
pub(super) fn make(dir: PathBuf, default_branch: &str) -> PathBuf {
    std::fs::create_dir_all(&dir).expect("a directory");
    output(&dir, &["init", "--quiet", "--bare", "--initial-branch", default_branch]).expect("a repository");
    output(&dir, &["config", "uploadpack.allowAnySHA1InWant", "true"]).expect("a setting");
    output(&dir, &["config", "uploadpack.allowFilter", "true"]).expect("a setting");
    dir
}

/// Commits changes on top of a branch, which begins with this where it is not there; `all` is the whole tree, not what changes.
pub(super) fn add(dir: &Path, branch: &str, changes: &[Change], all: bool, message: &str, author: &str) -> Commit {
    let reference = format!("refs/heads/{branch}");
    let mut stream = Vec::new();
    let now = Timestamp::now().as_second();
    write!(
        stream,
        "commit {reference}\ncommitter {author} <{author}@users.example> {now} +0000\ndata {}\n{message}\n",
        message.len()
    )
    .expect("memory takes all");
    if output(dir, &["rev-parse", "--verify", "--quiet", &reference]).is_some() {
        writeln!(stream, "from {reference}^0").expect("memory takes all");
    }
    if all {
        stream.extend_from_slice(b"deleteall\n");
    }
    for (path, contents, is_program) in changes {
        let mode = if *is_program { "100755" } else { "100644" };
        write!(stream, "M {mode} inline {path}\ndata {}\n", contents.len()).expect("memory takes all");
        stream.extend_from_slice(contents);
        stream.push(b'\n');
    }
    let mut import = git(dir).args(["fast-import", "--quiet", "--force"]).stdin(Stdio::piped()).spawn().expect("git runs");
    import.stdin.take().expect("a pipe").write_all(&stream).expect("git reads");
    assert!(import.wait().expect("git ends").success(), "git takes the commit");
    commit(dir, &reference).expect("the commit")
}

/// Points branches at a commit.
pub(super) fn point(dir: &Path, branches: &[String], sha: &str) {
    let mut stream = String::new();
    for branch in branches {
        writeln!(stream, "update refs/heads/{branch} {sha}").expect("a string takes all");
    }
    let mut update = git(dir).args(["update-ref", "--stdin"]).stdin(Stdio::piped()).spawn().expect("git runs");
    update.stdin.take().expect("a pipe").write_all(stream.as_bytes()).expect("git reads");
    assert!(update.wait().expect("git ends").success(), "git points the branches");
}

/// Removes a branch; the commit that it pointed at.
pub(super) fn remove(dir: &Path, branch: &str) -> String {
    let head = commit(dir, &format!("refs/heads/{branch}")).expect("a branch that is there");
    output(dir, &["update-ref", "-d", &format!("refs/heads/{branch}")]).expect("git removes the branch");
    head.sha
}

/// All branches, by name.
pub(super) fn branches(dir: &Path) -> Vec<(String, String)> {
    let listed = output(dir, &["for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads/"]).unwrap_or_default();
    let listed = String::from_utf8_lossy(&listed).into_owned();
    listed.lines().filter_map(|line| line.rsplit_once(' ')).map(|(name, sha)| (name.to_owned(), sha.to_owned())).collect()
}

/// A commit by its id or by a reference.
pub(super) fn commit(dir: &Path, name: &str) -> Option<Commit> {
    if name.is_empty() || name.starts_with('-') {
        return None;
    }
    let format = "--format=%H%x00%T%x00%P%x00%an%x00%ae%x00%aI%x00%B";
    let name = format!("{name}^{{commit}}");
    let sha = output(dir, &["rev-parse", "--verify", "--quiet", "--end-of-options", &name])?;
    let sha = String::from_utf8_lossy(&sha).trim().to_owned();
    let shown = output(dir, &["log", "-1", format, &sha])?;
    let shown = String::from_utf8_lossy(&shown).into_owned();
    let mut parts = shown.splitn(7, '\0').map(str::to_owned);
    let mut next = || parts.next();
    let (sha, tree, parents, author, email, at) = (next()?, next()?, next()?, next()?, next()?, next()?);
    let message = next()?.trim_end().to_owned();
    let files = output(dir, &["diff-tree", "-r", "--root", "--no-commit-id", "--name-only", &sha]).unwrap_or_default();
    let files = String::from_utf8_lossy(&files).lines().map(str::to_owned).collect();
    let parents = parents.split_whitespace().map(str::to_owned).collect();
    Some(Commit { sha, tree, parents, author, email, at: at.parse().ok()?, message, files })
}
