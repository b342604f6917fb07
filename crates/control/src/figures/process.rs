//! What the platform itself uses: its process, and the engine's beside it (proc(5)).

use std::fs;

use figures::{Kind, Text};

/// Ticks of a second in `/proc/PID/stat`; the same on every machine that we run on.
const TICKS: f64 = 100.0;

/// Writes the figures of this process, under the names that all programs have, and of the engine's helper. What can't be read is
/// left out.
pub(super) fn write(text: &mut Text, started_at: i64, helper: Option<u32>) {
    let own = Process::read("self");
    if let Some(seconds) = own.cpu_seconds {
        text.family("process_cpu_seconds_total", Kind::Counter, "Processor time of the platform's process.").sample(&[], seconds);
    }
    if let Some(bytes) = own.resident {
        text.family("process_resident_memory_bytes", Kind::Gauge, "Memory of the platform's process.").sample(&[], bytes);
    }
    if let Some(bytes) = own.virtual_size {
        text.family("process_virtual_memory_bytes", Kind::Gauge, "Address space of the platform's process.").sample(&[], bytes);
    }
    #[expect(clippy::cast_precision_loss, reason = "2^53 milliseconds are 285,000 years")]
    let started = started_at as f64 / 1000.0;
    text.family("process_start_time_seconds", Kind::Gauge, "When the platform started, in seconds since 1970.")
        .sample(&[], started);
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        text.family("process_open_fds", Kind::Gauge, "Descriptors that the platform has open.").sample(&[], open.count());
    }
    if let Some(most) = fs::read_to_string("/proc/self/limits").ok().as_deref().and_then(max_fds) {
        text.family("process_max_fds", Kind::Gauge, "Descriptors that it may have open.").sample(&[], most);
    }
    let Some(helper) = helper.map(|pid| Process::read(&pid.to_string())) else { return };
    if let Some(seconds) = helper.cpu_seconds {
        text.family("adaptable_launcher_cpu_seconds_total", Kind::Counter, "Processor time of the launcher.")
            .sample(&[], seconds);
    }
    if let Some(bytes) = helper.resident {
        text.family(
            "adaptable_launcher_resident_memory_bytes",
            Kind::Gauge,
            "Memory of the launcher; much of it is shared with the platform.",
        )
        .sample(&[], bytes);
    }
}

#[derive(Debug, Default, PartialEq)]
struct Process {
    cpu_seconds: Option<f64>,
    resident: Option<u64>,
    virtual_size: Option<u64>,
}

impl Process {
    fn read(pid: &str) -> Self {
        let file = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        Self::parse(&file("stat"), &file("status"))
    }

    fn parse(stat: &str, status: &str) -> Self {
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix("kB"))?;
            Some(line.trim().parse::<u64>().ok()? * 1024)
        };
        Self { cpu_seconds: cpu_seconds(stat), resident: kilobytes("VmRSS:"), virtual_size: kilobytes("VmSize:") }
    }
}

/// User and system time: the 14th and 15th field. The second is the program's name in parentheses, and may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok().map(f64::from);
    Some((ticks()? + ticks()?) / TICKS)
}

/// The soft limit of open files.
fn max_fds(limits: &str) -> Option<u64> {
    limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 6 7 20 0 1 0 123 456 789";
        let status = "Name:\ta\nVmSize:\t   1000 kB\nVmRSS:\t     20 kB\n";
        let wanted = Process { cpu_seconds: Some(3.0), resident: Some(20 * 1024), virtual_size: Some(1000 * 1024) };
        assert_eq!(Process::parse(stat, status), wanted);
        assert_eq!(Process::parse("", ""), Process::default());
        assert_eq!(
            max_fds("Limit  Soft\nMax open files            1024                 524288               files\n"),
            Some(1024)
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_found() {
        let own = Process::read("self");
        assert!(own.resident.is_some_and(|bytes| bytes > 1 << 20) && own.cpu_seconds.is_some(), "{own:?}");
        assert_eq!(Process::read("0"), Process::default());
    }
}
