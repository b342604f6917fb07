//! The system user that the platform becomes once everything that needs root has been done.

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{User, setgroups, setresgid, setresuid};
use std::process::Command;

/// Why the platform can't become its user.
#[derive(Debug, thiserror::Error)]
pub(super) enum UserError {
    /// It is not there, and could not be made.
    #[error("the system user {0} is not there and could not be made; make it with `useradd --system {0}`")]
    Missing(String),
    /// It is root itself.
    #[error("the platform must not run as root; choose another system user with --user")]
    Root,
    /// The system said no.
    #[error("become the system user: {0}")]
    System(#[from] Errno),
}

/// Finds the user, or makes it.
pub(super) fn user(name: &str) -> Result<User, UserError> {
    if let Some(user) = User::from_name(name)? {
        return if user.uid.is_root() { Err(UserError::Root) } else { Ok(user) };
    }
    let made = Command::new("useradd")
        .args([
            "--system",
            "--user-group",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            "--shell",
            "/usr/sbin/nologin",
            "--",
        ])
        .arg(name)
        .status();
    match (made, User::from_name(name)?) {
        (_, Some(user)) => Ok(user),
        (_, None) => Err(UserError::Missing(name.to_owned())),
    }
}

/// Gives up root for good.
pub(super) fn become_user(user: &User) -> Result<(), UserError> {
    // Each visitor and each instance needs descriptors; the soft limit is made for select(2).
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    setgroups(&[])?;
    setresgid(user.gid, user.gid, user.gid)?;
    setresuid(user.uid, user.uid, user.uid)?;
    // A process of the same user must not read our memory, which holds the keys.
    prctl::set_dumpable(false)?;
    prctl::set_no_new_privs()?;
    // A heap of a few megabytes, spread over huge pages, held five times as much. The launchers, and with them the apps, were forked
    // before this and keep theirs.
    prctl::set_thp_disable(true)?;
    Ok(())
}
