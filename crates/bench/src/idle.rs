//! What an idle platform takes: the memory of all its processes, and their CPU time over a while.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// After the last work, before it counts as idle.
const REST: Duration = Duration::from_secs(3);
/// How often it may turn out that work was still ending.
const TRIES: usize = 10;

/// What was measured.
pub(crate) struct Idle {
    /// Its processes.
    pub(crate) processes: Vec<Process>,
    /// CPU time of all of them as a part of one core.
    pub(crate) cpu: f64,
    /// How long that was counted for.
    pub(crate) over: Duration,
}

/// One process.
pub(crate) struct Process {
    /// Its name.
    pub(crate) name: String,
    /// Its part of the memory that it has or shares.
    pub(crate) pss: u64,
    /// All memory that it has or shares.
    pub(crate) rss: u64,
    /// How many threads it has.
    pub(crate) threads: usize,
}

impl Idle {
    /// Proportional set size of all.
    pub(crate) fn pss(&self) -> u64 {
        self.processes.iter().map(|process| process.pss).sum()
    }

    /// Resident set size of all; what they share counts twice.
    pub(crate) fn rss(&self) -> u64 {
        self.processes.iter().map(|process| process.rss).sum()
    }
}

/// Measures the process and all its descendants. Where one of them ends meanwhile, it was not idle, and is measured again.
pub(crate) fn measure(root: u32, over: Duration) -> Result<Idle> {
    let mut tries = 1;
    loop {
        std::thread::sleep(REST);
        let pids = family(root)?;
        match over_a_while(&pids, over) {
            Err(_ended) if tries < TRIES && family(root)? != pids => tries += 1,
            measured => return measured,
        }
    }
}

fn over_a_while(pids: &[u32], over: Duration) -> Result<Idle> {
    let before = cpu(pids)?;
    let began = Instant::now();
    std::thread::sleep(over);
    let spent = cpu(pids)?.saturating_sub(before);
    let elapsed = began.elapsed();
    let processes = pids.iter().map(|pid| process(*pid)).collect::<Result<_>>()?;
    Ok(Idle { processes, cpu: spent.as_secs_f64() / elapsed.as_secs_f64(), over: elapsed })
}

/// The processes of a platform and all below it, those of its instances included.
pub(crate) fn processes(root: u32) -> Result<Vec<Process>> {
    Ok(family(root)?.into_iter().filter_map(|pid| process(pid).ok()).collect())
}

/// A process and its descendants.
pub(crate) fn family(root: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // It may have ended since.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        parents.extend(parent.map(|parent| (pid, parent)));
    }
    let mut family = vec![root];
    let mut at = 0;
    while let Some(&parent) = family.get(at) {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    Ok(family)
}

/// The CPU time that processes have taken with all their threads, also those that have ended since.
pub(crate) fn cpu(pids: &[u32]) -> Result<Duration> {
    let mut total = Duration::ZERO;
    for pid in pids {
        let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(*pid)?))?;
        total += Duration::from(clock_gettime(clock)?);
    }
    Ok(total)
}

fn process(pid: u32) -> Result<Process> {
    let directory = Path::new("/proc").join(pid.to_string());
    let rollup = fs::read_to_string(directory.join("smaps_rollup"))?;
    let field = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    Ok(Process {
        name: fs::read_to_string(directory.join("comm"))?.trim().to_owned(),
        pss: field("Pss:").context("the kernel counts no proportional memory")?,
        rss: field("Rss:").context("the kernel counts no resident memory")?,
        threads: fs::read_dir(directory.join("task"))?.count(),
    })
}
