//! Control groups of either version: one group a container, its limits, its figures (cgroups(7)).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::spec::{Finding, Limits, Usage};

/// Where the hierarchies are mounted.
const ROOT: &str = "/sys/fs/cgroup";
/// How long the kernel may take to end what was killed.
const DYING: Duration = Duration::from_secs(5);
/// The controllers that version 1 is used for, where it is there.
const CONTROLLERS: [&str; 4] = ["memory", "cpu", "cpuacct", "pids"];

/// The machine's layout, and our group in it.
#[derive(Debug, Clone)]
pub(crate) struct Cgroups {
    /// The name of the platform's group, as in `adaptable-1a2b3c4d`.
    group: String,
    /// Directories of version 1, with what each controls.
    v1: Vec<(&'static str, PathBuf)>,
    /// The directory of version 2: the whole of it, or its freezer alone beside version 1.
    v2: Option<PathBuf>,
}

impl Cgroups {
    /// Finds the layout.
    pub(crate) fn find(group: String) -> Self {
        let root = Path::new(ROOT);
        if root.join("cgroup.controllers").is_file() {
            return Self { group, v1: Vec::new(), v2: Some(root.to_owned()) };
        }
        let v1 = CONTROLLERS.into_iter().map(|name| (name, root.join(name))).filter(|(_, path)| path.is_dir()).collect();
        let unified = root.join("unified");
        let v2 = unified.join("cgroup.procs").is_file().then_some(unified);
        Self { group, v1, v2 }
    }

    /// Whether version 2 has the controllers.
    fn pure(&self) -> bool {
        self.v1.is_empty()
    }

    /// The platform's own groups, in every hierarchy.
    fn tops(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.v1.iter().map(|(_, path)| path).chain(&self.v2).map(|path| path.join(&self.group))
    }

    /// Removes what an earlier platform left, and makes the platform's groups.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        self.remove_all();
        // The containers of a platform that was killed a moment ago may not have ended yet.
        let until = Instant::now() + DYING;
        while self.tops().any(|top| top.exists()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
            self.remove_all();
        }
        for top in self.tops() {
            fs::create_dir_all(&top)?;
        }
        if let (true, Some(root)) = (self.pure(), &self.v2) {
            for directory in [root.clone(), root.join(&self.group)] {
                for controller in ["+memory", "+cpu", "+pids"] {
                    // One that is missing leaves its limit unset; `doctor` tells.
                    let _missing = fs::write(directory.join("cgroup.subtree_control"), controller);
                }
            }
        }
        Ok(())
    }

    /// Removes every group of the platform with what still runs in it, as far as that has ended.
    pub(crate) fn remove_all(&self) {
        for top in self.tops() {
            if let Ok(entries) = fs::read_dir(&top) {
                for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
                    let _version_1 = fs::write(path.join("cgroup.kill"), "1");
                    let _busy = fs::remove_dir(path);
                }
            }
            let _busy = fs::remove_dir(&top);
        }
    }

    /// What the machine has of what containers need.
    pub(crate) fn check(&self) -> Vec<Finding> {
        let layout = if self.pure() { "version 2" } else { "version 1" };
        let missing: Vec<&str> = ["memory", "cpu", "pids"]
            .into_iter()
            .filter(|name| match (&self.v2, self.pure()) {
                (Some(root), true) => {
                    let text = fs::read_to_string(root.join(&self.group).join("cgroup.controllers")).unwrap_or_default();
                    !text.split_whitespace().any(|word| word == *name)
                }
                _ => !self.v1.iter().any(|(have, _)| have == name),
            })
            .collect();
        let limits = Finding {
            what: "control groups".to_owned(),
            found: if missing.is_empty() {
                format!("{layout}, with every controller")
            } else {
                format!("{layout}, without {}", missing.join(", "))
            },
            problem: (!missing.is_empty()).then(|| "enable the missing controllers, or apps run without these limits".to_owned()),
        };
        let freezer = self.v2.is_some();
        let freezer = Finding {
            what: "freezer".to_owned(),
            found: if freezer { "of version 2" } else { "none of version 2" }.to_owned(),
            problem: (!freezer).then(|| "mount cgroup2 at /sys/fs/cgroup/unified, or idle apps can't be frozen".to_owned()),
        };
        vec![limits, freezer, user_namespaces()]
    }

    /// Makes a group.
    pub(crate) fn create(&self, id: &str) -> io::Result<Group> {
        let group = Group { cgroups: self.clone(), id: id.to_owned() };
        for directory in group.directories() {
            match fs::create_dir(&directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        // One that was there before may be frozen, and would stop whoever enters it.
        group.thaw();
        Ok(group)
    }
}

fn user_namespaces() -> Finding {
    let most = fs::read_to_string("/proc/sys/user/max_user_namespaces").ok().and_then(|text| text.trim().parse::<u64>().ok());
    Finding {
        what: "user namespaces".to_owned(),
        found: most.map_or("not supported by this kernel".to_owned(), |most| format!("up to {most}")),
        problem: (most.unwrap_or(0) == 0)
            .then(|| "set user.max_user_namespaces to 10000 or more: every container needs one".to_owned()),
    }
}

/// A weight in the unit of version 1.
fn shares(weight: u32) -> u64 {
    (u64::from(weight) * 1024 / 100).clamp(2, 262_144)
}

/// Hides the hierarchies from the calling process and all its children to come; it must be in a mount namespace of its own.
///
/// The runtime would look after groups by itself: join them once more, a matter of milliseconds, and at a failure kill whoever is in
/// them, its caller included. It finds no controller now, and leaves all to us.
pub(crate) fn hide() -> io::Result<()> {
    // Where nothing is mounted there is nothing to hide.
    let _no_mount = umount2(ROOT, MntFlags::MNT_DETACH);
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY;
    mount(Some("tmpfs"), ROOT, Some("tmpfs"), flags, Some("size=4k"))?;
    Ok(())
}

/// One container's group.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    cgroups: Cgroups,
    id: String,
}

impl Group {
    fn directories(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.cgroups.tops().map(|top| top.join(&self.id))
    }

    fn v1(&self, controller: &str, file: &str) -> Option<PathBuf> {
        let (_, root) = self.cgroups.v1.iter().find(|(name, _)| *name == controller)?;
        Some(root.join(&self.cgroups.group).join(&self.id).join(file))
    }

    fn v2(&self, file: &str) -> Option<PathBuf> {
        Some(self.cgroups.v2.as_ref()?.join(&self.cgroups.group).join(&self.id).join(file))
    }

    /// Sets its limits.
    pub(crate) fn limit(&self, limits: &Limits) -> io::Result<()> {
        let quota = u64::from(limits.cpu_millis.max(10)) * 100;
        // What a period leaves unused may be spent in the next, and each group begins with that much: a server's first process and
        // its worker start side by side, and would else wait for each other at the end of every period.
        if self.cgroups.pure() {
            let weight = limits.cpu_weight.clamp(1, 10_000);
            for (file, value) in [
                ("memory.max", limits.memory_bytes.to_string()),
                ("memory.swap.max", "0".to_owned()),
                ("memory.oom.group", "1".to_owned()),
                ("cpu.max", format!("{quota} 100000")),
                ("cpu.max.burst", quota.to_string()),
                ("cpu.weight", weight.to_string()),
                ("pids.max", limits.pids.to_string()),
            ] {
                if let Some(path) = self.v2(file).filter(|path| path.exists()) {
                    fs::write(path, value)?;
                }
            }
            return Ok(());
        }
        for (controller, file, value) in [
            ("memory", "memory.limit_in_bytes", limits.memory_bytes.to_string()),
            ("memory", "memory.memsw.limit_in_bytes", limits.memory_bytes.to_string()),
            ("cpu", "cpu.cfs_period_us", "100000".to_owned()),
            ("cpu", "cpu.cfs_quota_us", quota.to_string()),
            ("cpu", "cpu.cfs_burst_us", quota.to_string()),
            ("cpu", "cpu.shares", shares(limits.cpu_weight).to_string()),
            ("pids", "pids.max", limits.pids.to_string()),
        ] {
            if let Some(path) = self.v1(controller, file).filter(|path| path.exists()) {
                fs::write(path, value)?;
            }
        }
        Ok(())
    }

    /// Changes its share of the processor under contention; 100 is usual.
    pub(crate) fn weigh(&self, weight: u32) -> io::Result<()> {
        let (path, value) = if self.cgroups.pure() {
            (self.v2("cpu.weight"), u64::from(weight.clamp(1, 10_000)))
        } else {
            (self.v1("cpu", "cpu.shares"), shares(weight))
        };
        path.filter(|path| path.exists()).map_or(Ok(()), |path| fs::write(path, value.to_string()))
    }

    /// Puts the calling process, and all its children to come, into the group.
    pub(crate) fn enter(&self) -> io::Result<()> {
        for directory in self.directories() {
            fs::write(directory.join("cgroup.procs"), "0")?;
        }
        Ok(())
    }

    /// Kills every process in it.
    pub(crate) fn kill(&self) {
        self.thaw();
        for pid in self.processes() {
            let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }

    /// The processes in it.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let procs = self.directories().next().and_then(|directory| fs::read_to_string(directory.join("cgroup.procs")).ok());
        procs.unwrap_or_default().lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// The file by which all of it is frozen and thawed, opened for writing.
    pub(crate) fn freezer(&self) -> Option<File> {
        OpenOptions::new().write(true).open(self.v2("cgroup.freeze")?).ok()
    }

    /// Thaws it, so that signals have their effect.
    pub(crate) fn thaw(&self) {
        if let Some(path) = self.v2("cgroup.freeze") {
            let _gone = fs::write(path, "0");
        }
    }

    /// Pushes its memory out to swap, where the machine has some; it comes back page by page when it is touched.
    pub(crate) fn push_out(&self) -> io::Result<()> {
        let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
        if swaps.lines().nth(1).is_none() {
            return Ok(());
        }
        if !self.cgroups.pure() {
            // What may be swapped is limited together with memory, so nothing more is taken than before.
            return self.v1("memory", "memory.force_empty").map_or(Ok(()), |path| fs::write(path, "0"));
        }
        let (Some(limit), Some(reclaim)) = (self.v2("memory.swap.max"), self.v2("memory.reclaim")) else { return Ok(()) };
        let current = self.v2("memory.current").and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        // Only now, not while it runs: an app's limit is memory.
        fs::write(&limit, "max")?;
        let pushed = fs::write(reclaim, current.trim());
        fs::write(limit, "0")?;
        match pushed {
            // Less was found than asked for, as is usual.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }

    /// What it uses now.
    pub(crate) fn usage(&self) -> Usage {
        let (memory, droppable) = if self.cgroups.pure() {
            (number(self.v2("memory.current")), field(self.v2("memory.stat"), "inactive_file "))
        } else {
            (number(self.v1("memory", "memory.usage_in_bytes")), field(self.v1("memory", "memory.stat"), "total_inactive_file "))
        };
        let memory_bytes = memory.unwrap_or(0).saturating_sub(droppable.unwrap_or(0));
        Usage { memory_bytes, cpu_seconds: Duration::from_micros(self.cpu_micros()).as_secs_f64() }
    }

    /// The processor time that its processes have used, in microseconds.
    pub(crate) fn cpu_micros(&self) -> u64 {
        if self.cgroups.pure() {
            return field(self.v2("cpu.stat"), "usage_usec ").unwrap_or(0);
        }
        number(self.v1("cpuacct", "cpuacct.usage")).unwrap_or(0) / 1000
    }

    /// Whether the kernel has killed one of its processes for want of memory.
    pub(crate) fn oom_killed(&self) -> bool {
        let path = if self.cgroups.pure() { self.v2("memory.events") } else { self.v1("memory", "memory.oom_control") };
        let text = path.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        text.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"))
    }

    /// Removes it; whether that went well, which it does once its last process is gone.
    pub(crate) fn remove(&self) -> bool {
        self.directories().all(|directory| match fs::remove_dir(&directory) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        })
    }
}

/// A file that holds a number alone.
fn number(path: Option<PathBuf>) -> Option<u64> {
    fs::read_to_string(path?).ok()?.trim().parse().ok()
}

/// The number behind a name, in a file of such lines.
fn field(path: Option<PathBuf>, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path?).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}
