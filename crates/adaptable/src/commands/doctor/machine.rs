//! Checks of the machine: the kernel, control groups, programs, room on the disks.

use std::fs;
use std::path::{Path, PathBuf};

use api::Check;
use nix::sys::statvfs::statvfs;
use nix::unistd::geteuid;

use crate::config::ServeConfig;
use crate::printer::bytes;

/// Programs the platform calls, the Debian package of each, and what it is for.
const PROGRAMS: [(&str, &str, &str); 3] = [
    ("git", "git", "receives pushes"),
    ("mmdebstrap", "mmdebstrap", "makes the base system of apps, once"),
    ("setpriv", "util-linux", "runs programs of the base system without power"),
];
/// What has to be free for builds and images.
const ROOM: u64 = 2_000_000_000;

/// All checks.
pub(super) fn all(config: &ServeConfig) -> Vec<Check> {
    let mut checks = vec![root(), kernel(), user_namespaces(), overlay(), seccomp(), cgroups(), memory()];
    checks.extend(PROGRAMS.map(|(program, package, purpose)| self::program(program, package, purpose)));
    checks.push(user(&config.user));
    checks.push(room("data directory", &config.data_dir));
    checks.push(room("base systems", &config.stack_dir));
    checks.push(stacks(&config.stack_dir));
    checks
}

fn root() -> Check {
    if geteuid().is_root() {
        Check::ok("root", "this user may run the platform")
    } else {
        Check::warn("root", "this user may not run the platform, and some checks see less", "use sudo")
    }
}

/// A file of the kernel's, without its end of line.
fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn kernel() -> Check {
    let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    kernel_check(&release)
}

/// Layers are shared by mounts with shifted ids, below an overlay: Linux 5.19 has both.
fn kernel_check(release: &str) -> Check {
    let mut numbers = release.split(['.', '-', '+']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= (5, 19) {
        Check::ok("kernel", format!("Linux {release}"))
    } else {
        Check::fail("kernel", format!("Linux {release} can't lay an overlay over id-mapped mounts"), "run Linux 5.19 or later")
    }
}

fn user_namespaces() -> Check {
    match read("/proc/sys/user/max_user_namespaces").and_then(|text| text.parse::<u64>().ok()) {
        Some(0) => Check::fail("user namespaces", "they are switched off", "sysctl user.max_user_namespaces=15000"),
        Some(most) => Check::ok("user namespaces", format!("up to {most}")),
        None => Check::fail("user namespaces", "the kernel has none", "use a kernel with CONFIG_USER_NS"),
    }
}

fn overlay() -> Check {
    let there = read("/proc/filesystems")
        .is_some_and(|text| text.lines().any(|line| line.trim_start_matches("nodev").trim() == "overlay"));
    let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let folder = PathBuf::from(format!("/lib/modules/{release}/kernel/fs/overlayfs"));
    if there {
        Check::ok("overlay", "the kernel has it")
    } else if folder.exists() {
        Check::ok("overlay", "the kernel loads it when it is needed")
    } else {
        Check::fail(
            "overlay",
            "the kernel has no overlay file system",
            "modprobe overlay, or use a kernel with CONFIG_OVERLAY_FS",
        )
    }
}

fn seccomp() -> Check {
    if Path::new("/proc/sys/kernel/seccomp/actions_avail").exists() {
        Check::ok("seccomp", "the kernel filters system calls")
    } else {
        Check::fail("seccomp", "the kernel can't filter system calls", "use a kernel with CONFIG_SECCOMP_FILTER")
    }
}

fn cgroups() -> Check {
    cgroups_check(
        &read("/proc/self/mountinfo").unwrap_or_default(),
        &read("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default(),
    )
}

/// Which layout of control groups is mounted, and whether it has what limits an instance.
fn cgroups_check(mountinfo: &str, controllers: &str) -> Check {
    const NEEDED: [&str; 3] = ["cpu", "memory", "pids"];
    let mut unified = false;
    let mut first: Vec<&str> = Vec::new();
    for line in mountinfo.lines() {
        let Some((_, after)) = line.split_once(" - ") else { continue };
        let mut fields = after.split(' ');
        match fields.next() {
            Some("cgroup2") => unified = true,
            Some("cgroup") => first.extend(fields.nth(1).unwrap_or_default().split(',')),
            _ => {}
        }
    }
    let second: Vec<_> = controllers.split_whitespace().collect();
    let missing: Vec<_> = NEEDED.into_iter().filter(|name| !first.contains(name) && !second.contains(name)).collect();
    let layout = match (first.iter().any(|name| NEEDED.contains(name)), unified) {
        (false, true) => "version 2",
        (true, true) => "version 1, with version 2 beside it",
        (true, false) => "version 1",
        (false, false) => "none",
    };
    if !missing.is_empty() {
        let help = "mount cgroup2 at /sys/fs/cgroup (systemd does), with these controllers";
        return Check::fail("control groups", format!("{layout}; missing: {}", missing.join(", ")), help);
    }
    if !unified && !first.contains(&"freezer") {
        return Check::warn(
            "control groups",
            format!("{layout}, without a freezer"),
            "mount cgroup2, so that idle apps can be frozen",
        );
    }
    Check::ok("control groups", layout)
}

fn memory() -> Check {
    let text = read("/proc/meminfo").unwrap_or_default();
    let kilobytes = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse::<u64>().ok()
    };
    let (Some(total), Some(free)) = (kilobytes("MemTotal"), kilobytes("MemAvailable")) else {
        return Check::warn("memory", "the kernel does not tell", "");
    };
    let message = format!("{} of {} are free", bytes(free * 1024), bytes(total * 1024));
    if free < 512 * 1024 { Check::warn("memory", message, "a build may need up to 1 GB") } else { Check::ok("memory", message) }
}

/// Finds a program where a service would.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/bin"].map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

pub(super) fn program(program: &str, package: &str, purpose: &str) -> Check {
    match find(program) {
        Some(file) => Check::ok(program, file.display().to_string()),
        None => Check::fail(program, format!("the program that {purpose} is not there"), format!("apt-get install {package}")),
    }
}

fn user(name: &str) -> Check {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    if users.lines().any(|line| line.split(':').next() == Some(name)) {
        Check::ok("system user", name)
    } else {
        let help = format!("useradd --system --user-group --home-dir /nonexistent --shell /usr/sbin/nologin {name}");
        Check::warn("system user", format!("there is no user {name} to run as yet"), help)
    }
}

/// The nearest directory that is there: the file system that a directory will be on.
fn nearest(path: &Path) -> &Path {
    path.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"))
}

fn room(name: &str, path: &Path) -> Check {
    let shown = path.display();
    match statvfs(nearest(path)) {
        Ok(room) => {
            let free = room.blocks_available() * room.fragment_size();
            let message = format!("{} are free for {shown}", bytes(free));
            if free < ROOM {
                Check::warn(name, message, format!("make room: builds and images want {}", bytes(ROOM)))
            } else {
                Check::ok(name, message)
            }
        }
        Err(error) => Check::fail(name, format!("can't look at {shown}: {error}"), ""),
    }
}

fn stacks(folder: &Path) -> Check {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .filter(|entry| entry.path().join("meta.json").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    if names.is_empty() {
        Check::warn(
            "base systems",
            format!("none yet in {}", folder.display()),
            "the platform makes them when it first needs them, in about a minute",
        )
    } else {
        Check::ok("base systems", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use api::CheckState;

    use super::*;

    #[test]
    fn kernels_are_compared_by_number() {
        for (release, state) in [
            ("6.1.0-18-amd64", CheckState::Ok),
            ("5.19.0", CheckState::Ok),
            ("5.4.0-1-x", CheckState::Fail),
            ("", CheckState::Fail),
        ] {
            assert_eq!(kernel_check(release).state, state, "{release}");
        }
    }

    #[test]
    fn every_layout_of_control_groups_is_known() {
        let first = "25 1 0:2 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                     26 1 0:3 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
                     27 1 0:4 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";
        let second = "28 1 0:5 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(cgroups_check(second, "cpu memory pids").message, "version 2");
        assert_eq!(cgroups_check(&format!("{first}{second}"), "").message, "version 1, with version 2 beside it");
        assert_eq!(cgroups_check(first, "").state, CheckState::Warn);
        assert_eq!(cgroups_check(second, "cpu").state, CheckState::Fail);
        assert_eq!(cgroups_check("", "").state, CheckState::Fail);
    }

    #[test]
    fn programs_are_found_or_named_with_their_package() {
        assert_eq!(program("sh", "dash", "runs").state, CheckState::Ok);
        let missing = program("no-such-program", "the-package", "does it");
        assert_eq!((missing.state, missing.help.as_str()), (CheckState::Fail, "apt-get install the-package"));
    }
}
