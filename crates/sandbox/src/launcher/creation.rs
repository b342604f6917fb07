//! The making of containers, from the request to the answer: each by a child of the launcher, several at the same time.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};
use nix::unistd::{ForkResult, Pid, fork, pipe2};

use super::alone;
use super::server::{Helper, HelperKind, Running, Server};
use super::signals;
use crate::cgroup::Group;
use crate::channel::{PACKET_MAX, Refusal, Reply, send};
use crate::create::{self, Order, Report};
use crate::rootfs::quit;
use crate::spec::{ContainerId, ContainerSpec, Upper};
use crate::volume::{self, Held};

/// How long a creation may take; it takes milliseconds.
const DEADLINE: Duration = Duration::from_secs(30);

/// A child that waits for an order, in the control group that its container will have.
pub(super) struct Creator {
    pid: i32,
    pub(super) group: Group,
    orders: OwnedFd,
}

impl Server {
    /// Begins a container; the answer follows.
    pub(super) fn create(&mut self, question: u64, spec: ContainerSpec) -> io::Result<()> {
        if self.stopping.is_some() {
            return self.refuse(question, Refusal::Failed("the launcher is stopping".to_owned()));
        }
        if self.running.contains_key(&spec.id) {
            return self.refuse(question, Refusal::Failed(format!("a container {} is there already", spec.id)));
        }
        let volumes = match volume::hold_all(&self.shared.places, &spec.mounts) {
            Ok(volumes) => volumes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return self.refuse(question, Refusal::Busy(error.to_string()));
            }
            Err(error) => return self.refuse(question, Refusal::Failed(error.to_string())),
        };
        let kept = if spec.keeps_address { self.kept.get(&spec.id).copied() } else { None };
        let Some(number) = kept.or_else(|| self.pool.take()) else {
            return self.refuse(question, Refusal::NoRoom("no address is free for another container".to_owned()));
        };
        if spec.keeps_address {
            self.kept.insert(spec.id.clone(), number);
        }
        let keeps_address = spec.keeps_address;
        match self.order(question, &Order { spec, number }, volumes) {
            Ok(()) => Ok(()),
            Err(error) => {
                if !keeps_address {
                    self.pool.give_back(number);
                }
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
            self.leave(&running);
            if !running.group.remove() {
                self.leftovers.push(running.group);
            }
        }
    }

    /// The address of a container that is gone is the next one's, unless it stays its name's; what it might reach, nobody may.
    pub(super) fn leave(&mut self, running: &Running) {
        self.shared.network.unlink(running.number, &running.links);
        if !running.keeps_address {
            self.pool.give_back(running.number);
        }
    }

    /// Gives up the address that is kept for a name. That of a container which runs stays.
    pub(super) fn release(&mut self, id: &ContainerId) {
        if !self.running.contains_key(id)
            && let Some(number) = self.kept.remove(id)
        {
            self.pool.give_back(number);
        }
    }

    /// A creator that is ready, or else a new one.
    fn creator(&mut self) -> io::Result<Creator> {
        match self.spare.take() {
            Some(spare) => Ok(spare),
            None => self.fork_creator(),
        }
    }

    /// Makes a creator for the next container, while nobody waits for it.
    pub(super) fn provide_spare(&mut self) {
        if self.spare.is_none() && self.stopping.is_none() && !self.is_creating() {
            // Without one the next container makes its own.
            self.spare = self.fork_creator().ok();
        }
    }

    fn fork_creator(&mut self) -> io::Result<Creator> {
        let (orders, ordered) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        for socket in [&orders, &ordered] {
            let _smaller = setsockopt(socket, sockopt::SndBufForce, &(2 * PACKET_MAX));
        }
        self.serial += 1;
        let group = self.cgroups.create(&format!("c{}", self.serial))?;
        // SAFETY: this process has one thread.
        #[expect(unsafe_code, reason = "fork")]
        match unsafe { fork() } {
            Ok(ForkResult::Child) => {
                signals::plain();
                match alone(ordered) {
                    Ok(ordered) => create::run(&self.shared, &group, &ordered),
                    Err(_no_such_call) => quit(1),
                }
            }
            Ok(ForkResult::Parent { child }) => Ok(Creator { pid: child.as_raw(), group, orders }),
            Err(error) => {
                group.remove();
                Err(error.into())
            }
        }
    }

    fn order(&mut self, question: u64, order: &Order, volumes: Vec<Held>) -> io::Result<()> {
        let spec = &order.spec;
        let (stdout, stdout_in) = pipe2(OFlag::O_CLOEXEC)?;
        let (stderr, stderr_in) = pipe2(OFlag::O_CLOEXEC)?;
        let (stdin_out, stdin) = if spec.stdin { Some(pipe2(OFlag::O_CLOEXEC)?) } else { None }.unzip();
        let (report, say) = pipe2(OFlag::O_CLOEXEC)?;
        // So that a program may open /dev/stdout, as it may anywhere else.
        for end in [&stdout_in, &stderr_in].into_iter().chain(&stdin_out) {
            nix::unistd::fchown(end, Some(spec.user_outside().into()), Some(spec.user_outside().into()))?;
        }
        let fds: Vec<_> = [&stdout_in, &stderr_in, &say].into_iter().chain(&stdin_out).map(AsFd::as_fd).collect();
        let mut creator = self.creator()?;
        creator.group.limit(&spec.limits)?;
        if send(creator.orders.as_fd(), order, &fds).is_err() {
            // A spare one may have been killed while it waited.
            self.leftovers.push(creator.group);
            creator = self.fork_creator()?;
            creator.group.limit(&spec.limits)?;
            send(creator.orders.as_fd(), order, &fds)?;
        }
        let on_disk = matches!(spec.upper, Upper::Layer(_));
        let Creator { pid, group, orders: _ } = creator;
        let freezer = group.freezer();
        let has_freezer = freezer.is_some();
        let fds = [Some(stdout), Some(stderr), freezer.map(OwnedFd::from), stdin].into_iter().flatten().collect();
        let kind =
            HelperKind::Creator { id: spec.id.clone(), fds, freezer: has_freezer, pid, deadline: Instant::now() + DEADLINE };
        self.helpers.push(Helper { question, report: report.into(), bytes: Vec::new(), kind });
        let running = Running {
            id: spec.id.clone(),
            number: order.number,
            group,
            on_disk,
            pid: None,
            _volumes: volumes,
            links: spec.links.clone(),
            keeps_address: spec.keeps_address,
        };
        self.running.insert(spec.id.clone(), running);
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
