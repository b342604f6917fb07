//! The bare repositories of all apps, in one directory.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use model::AppName;
use nix::unistd::{AccessFlags, access};

use super::command::{GitError, git, run};
use super::names::{CommitId, GitRef};

/// The hook, which never changes; what differs comes over the pipes that [`super::service`] gives it:
/// 7 takes the quarantine directory, the refs and an empty line; 8 gives what to print; 9 gives the verdict.
const PRE_RECEIVE: &str = r#"#!/bin/sh
# Hands a push to the platform and shows what it says. Written at each start; changes are lost.
{ printf '%s\n' "$GIT_QUARANTINE_PATH" && cat && echo; } >&7 || exit 1
cat <&8
read -r verdict <&9 && [ "$verdict" = live ]
"#;

/// Where the repositories are.
#[derive(Clone, Debug)]
pub(crate) struct Repositories {
    directory: PathBuf,
}

impl Repositories {
    /// Prepares the directory and the hook, and makes sure that git is there.
    pub(crate) fn open(directory: &Path) -> Result<Self, GitError> {
        let mut version = git(None, None);
        version.arg("version");
        version.output().map_err(GitError::Missing)?;
        let hooks = directory.join("hooks");
        prepare(&hooks).map_err(|error| GitError::Directory(directory.to_owned(), error))?;
        let directory = directory.canonicalize().map_err(|error| GitError::Directory(directory.to_owned(), error))?;
        let repositories = Self { directory };
        // git leaves out a hook that can't be run, and goes on.
        access(&repositories.hooks().join("pre-receive"), AccessFlags::X_OK).map_err(|_errno| GitError::NoExec(hooks))?;
        Ok(repositories)
    }

    pub(crate) fn hooks(&self) -> PathBuf {
        self.directory.join("hooks")
    }

    fn path(&self, app: &AppName) -> PathBuf {
        // An app's name has no dot or slash, and `hooks` has no `.git`.
        self.directory.join(format!("{app}.git"))
    }

    /// The app's repository, made if it isn't there.
    pub(crate) fn of(&self, app: &AppName) -> Result<Repository, GitError> {
        let path = self.path(app);
        if !path.join("HEAD").exists() {
            self.create(&path)?;
        }
        Ok(Repository { path, hooks: self.hooks() })
    }

    pub(crate) fn remove(&self, app: &AppName) -> Result<(), GitError> {
        let path = self.path(app);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(GitError::Directory(path, error)),
            _ => Ok(()),
        }
    }

    /// Made aside and moved, so that there is a whole repository or none.
    fn create(&self, path: &Path) -> Result<(), GitError> {
        let failed = |error| GitError::Directory(path.to_owned(), error);
        let new = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.directory).map_err(failed)?;
        let mut init = git(None, None);
        init.args(["init", "--quiet", "--bare", "--template=", "--initial-branch=main"]).arg(new.path());
        run(init, "init")?;
        match fs::rename(new.path(), path) {
            Ok(()) => {
                let _moved = new.keep();
                Ok(())
            }
            // Somebody else was faster.
            Err(_) if path.join("HEAD").exists() => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }
}

fn prepare(hooks: &Path) -> io::Result<()> {
    fs::create_dir_all(hooks)?;
    let hook = tempfile::NamedTempFile::new_in(hooks)?;
    fs::write(hook.path(), PRE_RECEIVE)?;
    fs::set_permissions(hook.path(), fs::Permissions::from_mode(0o500))?;
    // Closed before it can be run: Linux runs no file that is open for writing.
    hook.into_temp_path().persist(hooks.join("pre-receive")).map_err(|error| error.error)
}

/// One app's bare repository.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    pub(crate) path: PathBuf,
    pub(crate) hooks: PathBuf,
}

impl Repository {
    /// The branch that `HEAD` names, whether it has a commit yet or not.
    pub(crate) fn head(&self) -> Result<Option<GitRef>, GitError> {
        let mut command = git(Some(&self.path), None);
        command.args(["symbolic-ref", "--quiet", "HEAD"]);
        let head = run(command, "symbolic-ref")?;
        Ok(std::str::from_utf8(&head).ok().and_then(|head| GitRef::parse(head.trim_end()).ok()))
    }

    /// Makes a branch the one that is deployed.
    pub(crate) fn set_head(&self, branch: &GitRef) -> Result<(), GitError> {
        let mut command = git(Some(&self.path), None);
        command.args(["symbolic-ref", "HEAD", branch.as_str()]);
        run(command, "symbolic-ref").map(drop)
    }

    /// The commit a ref is at.
    pub(crate) fn tip(&self, name: &GitRef) -> Result<Option<CommitId>, GitError> {
        let mut command = git(Some(&self.path), None);
        command.args(["for-each-ref", "--format=%(objectname) %(refname)", "--", name.as_str()]);
        let refs = run(command, "for-each-ref")?;
        let refs = String::from_utf8_lossy(&refs);
        // Given a name, it also lists the refs below of it.
        let mut lines = refs.lines().filter_map(|line| line.split_once(' '));
        Ok(lines.find(|(_, listed)| *listed == name.as_str()).and_then(|(id, _)| CommitId::parse(id).ok()))
    }

    /// Packs up what many pushes left, if there is enough of it.
    pub(crate) fn tidy(&self) -> Result<(), GitError> {
        let mut command = git(Some(&self.path), None);
        command.args(["gc", "--auto", "--quiet"]);
        run(command, "gc").map(drop)
    }
}
