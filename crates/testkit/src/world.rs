//! What a platform must not leave behind on the machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// The short names of a data directory: names of groups, tables and devices hold one of them, or the other after a
/// hand-over; the third is that of servers.
pub fn tags(data_dir: &Path) -> [String; 3] {
    use std::os::unix::ffi::OsStrExt;
    let digest = Sha256::digest(data_dir.as_os_str().as_bytes());
    [0, 4, 8].map(|at| format!("{:08x}", u32::from_be_bytes([digest[at], digest[at + 1], digest[at + 2], digest[at + 3]])))
}

/// Everything that bears the data directory's name or one of its tags, in words; empty in a clean world.
pub fn leftovers(data_dir: &Path) -> Vec<String> {
    let mut found = processes(data_dir);
    found.extend(mounts(data_dir));
    found.extend(tags(data_dir).iter().flat_map(|tag| tagged(tag)));
    found
}

/// A process in a container of a platform, as the machine sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contained {
    /// Its number outside the container.
    pub pid: u32,
    /// Its name: at most 15 characters (`proc_pid_comm(5)`).
    pub name: String,
    /// Whether it is the container's first: number 1 inside.
    pub first: bool,
}

/// Processes in the containers whose control groups bear the tag.
pub fn contained(tag: &str) -> Vec<Contained> {
    let below = groups(&format!("adaptable-{tag}")).into_iter().flat_map(|group| fs::read_dir(group).into_iter().flatten());
    let listed = below.flatten().flat_map(|entry| {
        let procs = fs::read_to_string(entry.path().join("cgroup.procs")).unwrap_or_default();
        procs.lines().filter_map(|line| line.parse().ok()).collect::<Vec<u32>>()
    });
    // A process is in a group of each hierarchy.
    let listed: BTreeSet<_> = listed.collect();
    listed.into_iter().filter_map(process).collect()
}

/// A process; none once it is gone.
fn process(pid: u32) -> Option<Contained> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().to_owned();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let inside = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.split_whitespace().next_back()?;
    Some(Contained { pid, name, first: inside == "1" })
}

fn tagged(tag: &str) -> Vec<String> {
    let groups = groups(&format!("adaptable-{tag}"));
    let mut found: Vec<_> = groups.iter().map(|group| format!("control group {}", group.display())).collect();
    let table = format!("adaptable_{tag}");
    found.extend(lines_of("nft", &["list", "tables"]).into_iter().filter(|line| line.contains(&table)));
    let device = format!("ad{}-", &tag[..4]);
    found.extend(
        lines_of("ip", &["-o", "link"])
            .into_iter()
            .filter(|line| line.contains(&format!(" {device}")))
            .map(|line| format!("device {line}")),
    );
    for program in ["iptables", "iptables-legacy"] {
        found.extend(lines_of(program, &["-w", "2", "-S"]).into_iter().filter(|line| line.contains(&device)));
    }
    found
}

/// Processes, zombies aside, whose command line or environment names the directory.
fn processes(data_dir: &Path) -> Vec<String> {
    let name = data_dir.to_string_lossy().into_owned();
    let mut found = Vec::new();
    for (pid, path) in numbered() {
        for file in ["cmdline", "environ"] {
            let text = fs::read(path.join(file)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).replace('\0', " ");
            if text.contains(&name) {
                found.push(format!("process {pid}, by its {file}: {}", text.chars().take(200).collect::<String>()));
                break;
            }
        }
    }
    found
}

/// Mounts from or below the directory, in the mount namespace of any process.
fn mounts(data_dir: &Path) -> Vec<String> {
    let name = data_dir.to_string_lossy().into_owned();
    let mut found = Vec::new();
    for (pid, path) in numbered() {
        let table = fs::read_to_string(path.join("mountinfo")).unwrap_or_default();
        found
            .extend(table.lines().filter(|line| line.contains(&name)).map(|line| format!("mount seen by process {pid}: {line}")));
    }
    found
}

/// Control groups of that name in any hierarchy, whichever way they are mounted.
fn groups(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![(PathBuf::from("/sys/fs/cgroup"), 0)];
    while let Some((path, depth)) = open.pop() {
        for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.file_name() == name {
                found.push(entry.path());
            } else if depth < 2 {
                open.push((entry.path(), depth + 1));
            }
        }
    }
    found
}

fn numbered() -> Vec<(u32, PathBuf)> {
    let entries = fs::read_dir("/proc").expect("the system's processes can be listed");
    entries.flatten().filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path()))).collect()
}

/// What a program prints; nothing where it is not there.
fn lines_of(program: &str, arguments: &[&str]) -> Vec<String> {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()).unwrap_or_default()
}
