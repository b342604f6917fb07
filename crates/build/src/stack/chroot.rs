//! Programs run as root in a directory that becomes a stack; they and their mounts vanish with us, however we end.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::make::{MakeError, Report};
use crate::host::{CA_BUNDLE, HostSettings};

/// How many of the last lines an error shows.
const TAIL: usize = 15;

/// A command that is killed with all its children when the thread that waits for it ends, however it ends.
pub(super) fn bound(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]).arg(program);
    command.stdin(Stdio::null());
    command
}

/// Runs a command to its end, reporting its lines.
pub(super) fn run(doing: &'static str, mut command: Command, report: &Report<'_>) -> Result<String, MakeError> {
    let failed = |source| MakeError::Program { doing, source };
    let (reader, writer) = io::pipe().map_err(failed)?;
    command.stderr(writer.try_clone().map_err(failed)?).stdout(writer);
    let mut child = command.spawn().map_err(failed)?;
    // The command holds the write ends; the reader would never see the end.
    drop(command);
    let mut lines: Vec<String> = Vec::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line.map_err(failed)?).trim_end().to_owned();
        report.line(doing, &line);
        lines.push(line);
    }
    let status = child.wait().map_err(failed)?;
    if status.success() {
        return Ok(lines.join("\n"));
    }
    let tail = lines.split_off(lines.len().saturating_sub(TAIL)).join("\n");
    Err(MakeError::Failed { doing, status: status.to_string(), tail })
}

/// A root directory with the mounts that programs inside need, in a mount namespace of the calling thread alone.
#[derive(Debug)]
pub(super) struct Chroot<'a> {
    root: &'a Path,
    host: &'a HostSettings,
}

impl<'a> Chroot<'a> {
    /// Takes the calling thread into a mount namespace of its own and lays `upper` over `lower` at `root`. The thread must end afterwards.
    pub(super) fn overlay(
        lower: &Path,
        upper: &Path,
        work: &Path,
        root: &'a Path,
        host: &'a HostSettings,
    ) -> Result<Self, MakeError> {
        let mounting = |what: &'static str| move |errno: nix::Error| MakeError::Program { doing: what, source: errno.into() };
        unshare(CloneFlags::CLONE_NEWNS).map_err(mounting("making a mount namespace"))?;
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).map_err(mounting("making mounts private"))?;
        // Without these features the upper directory stands for itself wherever the lower one is moved to.
        let options = format!(
            "lowerdir={},upperdir={},workdir={},index=off,redirect_dir=off,metacopy=off",
            lower.display(),
            upper.display(),
            work.display()
        );
        mount(Some("overlay"), root, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
            .map_err(mounting("mounting an overlay"))?;
        mount(Some("proc"), &root.join("proc"), Some("proc"), MsFlags::empty(), none).map_err(mounting("mounting /proc"))?;
        for path in ["/dev", "/etc/resolv.conf", CA_BUNDLE] {
            let target = root.join(path.trim_start_matches('/'));
            let source =
                fs::canonicalize(path).map_err(|source| MakeError::Program { doing: "finding what to mount", source })?;
            mount(Some(&source), &target, none, MsFlags::MS_BIND | MsFlags::MS_REC, none).map_err(mounting("mounting a file"))?;
        }
        for inside in host.files.keys() {
            let target = root.join(inside.trim_start_matches('/'));
            if let (true, Some(parent)) = (Path::new(inside).is_file(), target.parent()) {
                let made = fs::create_dir_all(parent).and_then(|()| File::options().append(true).create(true).open(&target));
                made.map_err(|source| MakeError::Program { doing: "making a file to mount on", source })?;
                mount(Some(inside.as_str()), &target, none, MsFlags::MS_BIND, none).map_err(mounting("mounting a file"))?;
            }
        }
        Ok(Self { root, host })
    }

    /// A program inside.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = bound("chroot");
        command
            .arg(self.root)
            .arg(program)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("LC_ALL", "C.UTF-8")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .envs(&self.host.env);
        command
    }
}
