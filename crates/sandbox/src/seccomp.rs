//! The system calls that a container may make: what programs need, nothing of what only administers a machine.
//!
//! A list of what is allowed, in the manner of the usual container engines; everything else answers EPERM, and `clone3` answers
//! ENOSYS, so that C libraries fall back to `clone`, whose flags can be looked at (a new user namespace is refused).
//!
//! Filters are compiled once, by the launcher; each container's first process loads one just before it becomes the app.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;

use libseccomp::{ScmpAction, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::spec::Profile;

/// Allowed with any arguments.
const ALLOWED: &str = "
accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown clock_adjtime clock_getres
clock_gettime clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl
epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat
faccessat2 fadvise64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr
flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex futex_requeue futex_wait futex_waitv futex_wake futimesat
get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid
getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid
gettimeofday getuid getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents
io_pgetevents io_setup io_submit ioctl ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset
landlock_restrict_self lchown lgetxattr link linkat listen listxattr llistxattr lremovexattr lseek lsetxattr lstat madvise
map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mprotect
mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink mremap msgctl msgget msgrcv msgsnd msync munlock munlockall
munmap name_to_handle_at nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc
pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev
pselect6 ptrace pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recvfrom recvmmsg recvmsg remap_file_pages
removexattr rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity
sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam
sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop sendfile sendmmsg sendmsg sendto set_mempolicy
set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid setpriority setregid
setresgid setresuid setreuid setrlimit setsid setsockopt setuid setxattr shmat shmctl shmdt shmget shutdown sigaltstack
signalfd signalfd4 socketpair splice stat statfs statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time
timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times tkill
truncate umask uname unlink unlinkat utime utimensat utimes vfork wait4 waitid waitpid write writev";

/// Flags of `clone` that make a namespace: `CLONE_NEWNS`, `…CGROUP`, `…UTS`, `…IPC`, `…USER`, `…PID`, `…NET`, `…TIME`.
const NEW_NAMESPACES: u64 = 0x7E02_0080;
/// The first family of sockets that is refused: the kernel's cryptography, and after it virtual machines' hosts, and what is rarer.
const AF_ALG: u64 = 38;
/// `personality` that only asks.
const ASK: u64 = 0xFFFF_FFFF;

/// A compiled filter.
#[derive(Clone)]
pub(crate) struct Filter(Vec<libc::sock_filter>);

impl Filter {
    /// Compiles the filter of a profile.
    pub(crate) fn compile(profile: Profile) -> io::Result<Self> {
        let context = rules(profile).map_err(|error| io::Error::other(format!("compile the filter of system calls: {error}")))?;
        let mut file = File::from(memfd_create(c"seccomp", MFdFlags::MFD_CLOEXEC)?);
        context.export_bpf(file.as_fd()).map_err(io::Error::other)?;
        file.rewind()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        // struct sock_filter: code, two jumps, a value.
        let instruction = |it: &[u8]| libc::sock_filter {
            code: u16::from_ne_bytes([it[0], it[1]]),
            jt: it[2],
            jf: it[3],
            k: u32::from_ne_bytes([it[4], it[5], it[6], it[7]]),
        };
        Ok(Self(bytes.chunks_exact(8).map(instruction).collect()))
    }

    /// Applies it to the calling process and all that come of it, for ever. The process must have given up new privileges.
    pub(crate) fn load(&self) -> io::Result<()> {
        let mut instructions = self.0.clone();
        let length = libc::c_ushort::try_from(instructions.len()).map_err(io::Error::other)?;
        let program = libc::sock_fprog { len: length, filter: instructions.as_mut_ptr() };
        #[expect(unsafe_code, reason = "a system call without a wrapper")]
        // SAFETY: the program points to as many instructions as it says; both outlive the call.
        let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

fn rules(profile: Profile) -> Result<ScmpFilterContext, libseccomp::error::SeccompError> {
    let mut context = ScmpFilterContext::new(ScmpAction::Errno(libc::EPERM))?;
    // A tree instead of a list of hundreds of comparisons; where the library can't, a list does.
    let _list = context.set_ctl_optimize(2);
    // Maintainer scripts of packages; harmless within the container's user namespace.
    let more = if profile == Profile::Build { "chroot" } else { "" };
    for name in ALLOWED.split_whitespace().chain(more.split_whitespace()) {
        // A name that this library or machine does not know can't be called by programs either.
        if let Ok(number) = ScmpSyscall::from_name(name) {
            context.add_rule(ScmpAction::Allow, number)?;
        }
    }
    let mut with = |name: &str, argument: ScmpCompareOp, value: u64| {
        let condition = ScmpArgCompare::new(0, argument, value);
        context.add_rule_conditional(ScmpAction::Allow, ScmpSyscall::from_name(name)?, &[condition]).map(drop)
    };
    with("clone", ScmpCompareOp::MaskedEqual(NEW_NAMESPACES), 0)?;
    with("socket", ScmpCompareOp::Less, AF_ALG)?;
    with("personality", ScmpCompareOp::Equal, 0)?;
    with("personality", ScmpCompareOp::Equal, ASK)?;
    context.add_rule(ScmpAction::Errno(libc::ENOSYS), ScmpSyscall::from_name("clone3")?)?;
    Ok(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_compiled() {
        let app = Filter::compile(Profile::App).expect("compiled");
        let build = Filter::compile(Profile::Build).expect("compiled");
        assert!(app.0.len() > 100 && build.0.len() > app.0.len(), "{} {}", app.0.len(), build.0.len());
    }
}
