//! Signals: as programs expect to find them, and what SIGTERM means to the first process of a container.

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::cgroup::Group;

/// Signals as every program expects to find them: none blocked, and SIGPIPE not ignored, which the standard library sees to otherwise.
pub(super) fn plain() {
    let _none_blocked = SigSet::all().thread_unblock();
    #[expect(unsafe_code, reason = "signal dispositions are the process's")]
    // SAFETY: no handler is installed, the default is restored.
    let _old = unsafe { nix::sys::signal::signal(Signal::SIGPIPE, nix::sys::signal::SigHandler::SigDfl) };
}

/// What ends a container's first process as SIGTERM ends any other.
///
/// The first process of a process namespace ignores signals that it has no handler for. Left at that, every program that brings none
/// would use up its grace; so it gets what SIGTERM does by default: the end. Where others depend on it, as on a shell that waits for
/// its child, they are told instead, and it goes on from their end.
pub(super) fn terminate(pid: i32, group: &Group) -> Signal {
    if handles(pid, Signal::SIGTERM) {
        return Signal::SIGTERM;
    }
    let others: Vec<i32> = group.processes().into_iter().filter(|other| *other != pid).collect();
    if others.is_empty() {
        return Signal::SIGKILL;
    }
    for other in others {
        let _gone = kill(Pid::from_raw(other), Signal::SIGTERM);
    }
    Signal::SIGTERM
}

/// Whether a process catches or ignores a signal (proc(5), `SigCgt` and `SigIgn`).
fn handles(pid: i32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| u64::from_str_radix(line.trim(), 16).ok()).unwrap_or_default()
    };
    (mask("SigCgt:") | mask("SigIgn:")) & (1 << (signal as i32 - 1)) != 0
}
