//! The making of containers, from the request to the answer: each by a child of the launcher, several at the same time.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{ForkResult, Pid, fork, pipe2};

use super::server::{Helper, HelperKind, Running, Server};
use super::signals;
use crate::channel::{Refusal, Reply};
use crate::create::{self, Job, Report};
use crate::spec::{ContainerId, ContainerSpec, Mount, Profile};

/// How long a creation may take; it takes milliseconds.
const DEADLINE: Duration = Duration::from_secs(30);

impl Server {
    /// Begins a container; the answer follows.
    pub(super) fn create(&mut self, question: u64, mut spec: ContainerSpec) -> io::Result<()> {
        if self.stopping.is_some() {
            return self.refuse(question, Refusal::Failed("the launcher is stopping".to_owned()));
        }
        if self.running.contains_key(&spec.id) {
            return self.refuse(question, Refusal::Failed(format!("a container {} is there already", spec.id)));
        }
        let Some(number) = self.pool.take() else {
            return self.refuse(question, Refusal::NoRoom("no address is free for another container".to_owned()));
        };
        self.complete(&mut spec);
        let id = spec.id.clone();
        match self.fork_creator(question, spec, number) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.forget(&id);
                self.pool.give_back(number);
                self.refuse(question, Refusal::NoRoom(format!("begin a container: {error}")))
            }
        }
    }

    fn refuse(&self, question: u64, refusal: Refusal) -> io::Result<()> {
        self.answer(question, Reply::Refused(refusal), &[])
    }

    /// Gives up a container that has not come to be; its group goes once the last process in it has been killed.
    fn forget(&mut self, id: &ContainerId) {
        if let Some(running) = self.running.remove(id) {
            self.pool.give_back(running.number);
            if !running.group.remove() {
                self.leftovers.push(running.group);
            }
        }
    }

    /// The machine's resolver and its bundle of certificates serve inside, too.
    fn complete(&self, spec: &mut ContainerSpec) {
        let mut file = |at: &str, contents: Vec<u8>| spec.mounts.push(Mount::File { at: at.to_owned(), contents });
        file("/etc/resolv.conf", self.shared.resolv_conf.clone());
        let hosts = format!("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{}\n", spec.hostname);
        file("/etc/hosts", hosts.into_bytes());
        if let Some(bundle) = &self.shared.ca_bundle {
            file("/etc/ssl/certs/ca-certificates.crt", bundle.clone());
        }
    }

    fn fork_creator(&mut self, question: u64, spec: ContainerSpec, number: u32) -> io::Result<()> {
        // An earlier container of the same name may have left its group busy: it is used again.
        self.leftovers.retain(|group| group.id() != spec.id.as_str());
        let group = self.shared.cgroups.create(spec.id.as_str(), &spec.limits)?;
        let (stdout, stdout_in) = pipe2(OFlag::O_CLOEXEC)?;
        let (stderr, stderr_in) = pipe2(OFlag::O_CLOEXEC)?;
        let (stdin_out, stdin) = if spec.stdin { Some(pipe2(OFlag::O_CLOEXEC)?) } else { None }.unzip();
        let (report, say) = pipe2(OFlag::O_CLOEXEC)?;
        // So that a program may open /dev/stdout, as it may anywhere else.
        for end in [&stdout_in, &stderr_in].into_iter().chain(&stdin_out) {
            nix::unistd::fchown(end, Some(spec.id_base().into()), Some(spec.id_base().into()))?;
        }
        let freezer = group.freezer();
        let running = Running { id: spec.id.clone(), number, group: group.clone(), pid: None };
        // SAFETY: this process has one thread.
        #[expect(unsafe_code, reason = "fork")]
        let pid = match unsafe { fork() }? {
            ForkResult::Child => {
                signals::plain();
                create::run(Job {
                    spec: &spec,
                    places: &self.shared.places,
                    network: &self.shared.network,
                    number,
                    group,
                    filter: match spec.profile {
                        Profile::App => self.shared.app_filter.clone(),
                        Profile::Build => self.shared.build_filter.clone(),
                    },
                    stdin: stdin_out,
                    stdout: stdout_in,
                    stderr: stderr_in,
                    report: say,
                })
            }
            ForkResult::Parent { child } => child.as_raw(),
        };
        let has_freezer = freezer.is_some();
        let fds = [Some(stdout), Some(stderr), freezer.map(OwnedFd::from), stdin].into_iter().flatten().collect();
        let kind = HelperKind::Creator { id: spec.id.clone(), fds, freezer: has_freezer, pid, deadline: Instant::now() + DEADLINE };
        self.helpers.push(Helper { question, report: report.into(), bytes: Vec::new(), kind });
        self.running.insert(spec.id, running);
        Ok(())
    }

    /// Ends creations that hang; their reports end with them.
    pub(super) fn end_overdue(&self) {
        for helper in &self.helpers {
            if let HelperKind::Creator { id, pid, deadline, .. } = &helper.kind
                && *deadline <= Instant::now()
            {
                let _gone = kill(Pid::from_raw(*pid), Signal::SIGKILL);
                if let Some(running) = self.running.get(id) {
                    running.group.kill();
                }
            }
        }
    }

    /// Whether there is a creation under way.
    pub(super) fn is_creating(&self) -> bool {
        self.helpers.iter().any(|helper| matches!(helper.kind, HelperKind::Creator { .. }))
    }

    /// A creator has reported: the answer goes out.
    pub(super) fn created(
        &mut self,
        question: u64,
        id: &ContainerId,
        fds: &[OwnedFd],
        freezer: bool,
        report: Report,
    ) -> io::Result<()> {
        match report {
            Report::Started(pid) => {
                let Some(running) = self.running.get_mut(id) else { return Ok(()) };
                running.pid = Some(pid);
                let address = self.shared.network.address(running.number);
                let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
                self.answer(question, Reply::Created { address, freezer }, &fds)?;
                match self.early.remove(&pid) {
                    Some((code, signal)) => self.ended(id, code, signal)?,
                    None if self.stopping.is_some() => self.kill_all(),
                    None => {}
                }
                Ok(())
            }
            Report::NoRoom(why) => {
                self.forget(id);
                self.refuse(question, Refusal::NoRoom(why))
            }
            Report::Failed(why) => {
                self.forget(id);
                self.refuse(question, Refusal::Failed(why))
            }
        }
    }
}
