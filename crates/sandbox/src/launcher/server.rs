//! The launcher's loop: requests in, children made, ends noticed, answers out.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe2};

use crate::cgroup::{Cgroups, Group};
use crate::channel::{Message, Question, Refusal, Reply, Request, receive, send};
use crate::create::{Report, Shared};
use crate::launcher::claim::Claim;
use crate::launcher::creation::Creator;
use crate::launcher::signals;
use crate::launcher::work::{self, Work};
use crate::network::{self, Pool};
use crate::spec::{ContainerId, Exit, Link};
use crate::volume::Held;

/// The room on the disk that no container may use up.
const DISK_RESERVE: u64 = 256 * 1024 * 1024;

/// A container from the request on until nothing of it is left.
pub(super) struct Running {
    pub(super) id: ContainerId,
    pub(super) number: u32,
    pub(super) group: Group,
    /// Whether its changes go to the disk.
    pub(super) on_disk: bool,
    /// Its first process, once it is known.
    pub(super) pid: Option<i32>,
    /// Keeps its volumes its own as long as it is here.
    pub(super) _volumes: Vec<Held>,
    /// Whom it may reach.
    pub(super) links: Vec<Link>,
    /// Whether its address stays its name's.
    pub(super) keeps_address: bool,
}

/// A child that works on a request.
pub(super) struct Helper {
    /// What it answers.
    pub(super) question: u64,
    pub(super) report: File,
    pub(super) bytes: Vec<u8>,
    pub(super) kind: HelperKind,
}

pub(super) enum HelperKind {
    /// It makes a container; the descriptors go to the platform with the answer.
    Creator { id: ContainerId, fds: Vec<OwnedFd>, freezer: bool, pid: i32, deadline: Instant },
    /// It works on a layer.
    Worker,
}

pub(super) struct Server {
    pub(super) shared: Shared,
    pub(super) cgroups: Cgroups,
    claim: Claim,
    socket: OwnedFd,
    signals: SignalFd,
    pub(super) pool: Pool,
    /// Addresses that stay those of containers of a name.
    pub(super) kept: HashMap<ContainerId, u32>,
    pub(super) running: HashMap<ContainerId, Running>,
    pub(super) helpers: Vec<Helper>,
    /// Ends whose process is not known to us yet: the creator has not reported.
    pub(super) early: HashMap<i32, (Option<i32>, Option<i32>)>,
    /// Groups that were still busy when they were to be removed.
    pub(super) leftovers: Vec<Group>,
    pub(super) stopping: Option<u64>,
    /// A creator that waits for the next container.
    pub(super) spare: Option<Creator>,
    /// Counts groups, so that no two have one name.
    pub(super) serial: u64,
}

impl Server {
    pub(super) fn new(shared: Shared, cgroups: Cgroups, claim: Claim, socket: OwnedFd) -> io::Result<Self> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self {
            shared,
            cgroups,
            claim,
            socket,
            signals,
            pool: Pool::default(),
            kept: HashMap::new(),
            running: HashMap::new(),
            helpers: Vec::new(),
            early: HashMap::new(),
            leftovers: Vec::new(),
            stopping: None,
            spare: None,
            serial: 0,
        })
    }

    /// Serves until the platform is gone or asks for the end.
    pub(super) fn serve(mut self) -> io::Result<()> {
        loop {
            self.provide_spare();
            let mut fds =
                vec![PollFd::new(self.socket.as_fd(), PollFlags::POLLIN), PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            fds.extend(self.helpers.iter().map(|helper| PollFd::new(helper.report.as_fd(), PollFlags::POLLIN)));
            let timeout = match (self.leftovers.is_empty(), self.is_creating()) {
                (false, _) => PollTimeout::from(20_u8),
                (true, true) => PollTimeout::from(1000_u16),
                (true, false) if self.running.values().any(|it| it.on_disk) => PollTimeout::from(1000_u16),
                (true, false) => PollTimeout::NONE,
            };
            match poll(&mut fds, timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            let ready = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
            let (asked, signalled) = (ready(&fds[0]), ready(&fds[1]));
            let reported: Vec<usize> = fds[2..].iter().enumerate().filter(|(_, fd)| ready(fd)).map(|(index, _)| index).collect();
            drop(fds);
            // From the back, so that removing one leaves the others' places as they are.
            for index in reported.into_iter().rev() {
                self.report(index)?;
            }
            if signalled {
                while let Ok(Some(_signal)) = self.signals.read_signal() {}
                self.reap()?;
            }
            self.leftovers.retain(|group| {
                group.kill();
                !group.remove()
            });
            self.end_overdue();
            self.keep_disk();
            if asked {
                match receive::<Question>(self.socket.as_fd())? {
                    Some((question, fds)) => self.request(question, fds)?,
                    // The platform is gone: so are we, and with us all containers.
                    None => break,
                }
            }
            if self.stopping.is_some() && self.running.is_empty() && self.leftovers.is_empty() && !self.is_creating() {
                break;
            }
        }
        self.put_back()
    }

    fn put_back(&mut self) -> io::Result<()> {
        self.kill_all();
        self.leftovers.extend(self.spare.take().map(|spare| spare.group));
        if self.stopping.is_none() {
            // Nobody waits for what is under way. A container whose creator has not reported yet is in no list, but in this
            // namespace of process ids, like everything here.
            let _none = kill(Pid::from_raw(-1), Signal::SIGKILL);
        }
        while waitpid(None, None).is_ok() {}
        for group in self.running.values().map(|running| &running.group).chain(&self.leftovers) {
            // The last processes of a group may be gone only a moment after they were waited for.
            for _ in 0..100 {
                if group.remove() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
        self.cgroups.remove_all();
        self.shared.network.remove();
        self.claim.give_up();
        match self.stopping.take() {
            Some(question) => self.answer(question, Reply::Done, &[]),
            None => Ok(()),
        }
    }

    pub(super) fn kill_all(&self) {
        for running in self.running.values() {
            running.group.thaw();
            if let Some(pid) = running.pid {
                let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }

    /// Kills what writes to the disk when the disk is about to be full: the platform's own state is on it, too.
    fn keep_disk(&self) {
        let mut writers = self.running.values().filter(|it| it.on_disk).peekable();
        if writers.peek().is_none() {
            return;
        }
        let Ok(disk) = nix::sys::statvfs::statvfs(&self.shared.places.data) else { return };
        let free = disk.blocks_available().saturating_mul(disk.fragment_size());
        if free < DISK_RESERVE {
            for running in writers {
                tracing::warn!(container = %running.id, free, "killed, because the disk is nearly full");
                running.group.kill();
            }
        }
    }

    pub(super) fn answer(&self, question: u64, reply: Reply, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.tell(&Message::Answer(question, reply), fds)
    }

    fn tell(&self, message: &Message, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        match send(self.socket.as_fd(), message, fds) {
            // The platform is gone, which the loop finds out by itself.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    fn request(&mut self, question: Question, fds: Vec<OwnedFd>) -> io::Result<()> {
        let Question { number, request } = question;
        let mut fds = fds.into_iter();
        let places = self.shared.places.clone();
        let work = match request {
            Request::Create(spec) => return self.create(number, *spec),
            Request::Shutdown => {
                self.stopping = Some(number);
                self.kill_all();
                return Ok(());
            }
            Request::Check => Work::Check { cgroups: self.cgroups.clone(), network: self.shared.network.clone() },
            Request::Maintain => Work::Maintain(self.shared.network.clone()),
            Request::Signal(id, signal) => return self.signal(number, &id, signal),
            Request::Kill(id) => return self.signal(number, &id, Signal::SIGKILL as i32),
            Request::Listeners(id) => {
                let reply = match self.pid(&id) {
                    Some(pid) => Reply::Listeners(network::listeners(pid)),
                    None => missing(&id),
                };
                return self.answer(number, reply, &[]);
            }
            Request::Usage(id) => {
                let reply = self.running.get(&id).map_or_else(|| missing(&id), |it| Reply::Usage(it.group.usage()));
                return self.answer(number, reply, &[]);
            }
            Request::Weigh(id, weight) => {
                let reply = match self.running.get(&id).map(|running| running.group.weigh(weight)) {
                    Some(Ok(())) => Reply::Done,
                    Some(Err(error)) => Reply::Refused(Refusal::Failed(format!("change a container's weight: {error}"))),
                    None => missing(&id),
                };
                return self.answer(number, reply, &[]);
            }
            Request::PushOut(id) => match self.running.get(&id) {
                Some(running) => Work::PushOut { group: running.group.clone() },
                None => return self.answer(number, missing(&id), &[]),
            },
            Request::Has(layer) => return self.answer(number, Reply::Has(places.layer(layer.as_str()).is_dir()), &[]),
            Request::Layers => return self.answer(number, work::layers(&places), &[]),
            Request::Unpack(layer, prefix) => Work::Unpack { layer, prefix, archive: fds.next() },
            Request::Apply(layer, first, room) => Work::Apply { layer, first, room, archive: fds.next() },
            Request::ReadFile(layer, path) => Work::ReadFile { layer, path },
            Request::Seal(layer, keep) => Work::Seal { layer, keep },
            Request::Pack(layer) => Work::Pack { layer, to: fds.next() },
            Request::Remove(layer) => Work::Remove { layer },
            Request::RemoveCache(cache) => Work::RemoveCache { cache },
            Request::RemoveVolume(volume) => Work::RemoveVolume { volume },
            Request::Release(id) => {
                self.release(&id);
                return self.answer(number, Reply::Done, &[]);
            }
            Request::Volumes => return self.answer(number, work::volumes(&places), &[]),
        };
        match self.start_work(number, work) {
            Ok(()) => Ok(()),
            Err(error) => self.answer(number, Reply::Refused(Refusal::NoRoom(format!("begin work on a layer: {error}"))), &[]),
        }
    }

    fn pid(&self, id: &ContainerId) -> Option<i32> {
        self.running.get(id)?.pid
    }

    fn signal(&self, question: u64, id: &ContainerId, signal: i32) -> io::Result<()> {
        let reply = match (self.running.get(id), Signal::try_from(signal)) {
            (Some(Running { pid: Some(pid), group, .. }), Ok(signal)) => {
                group.thaw();
                let signal = if signal == Signal::SIGTERM { signals::terminate(*pid, group) } else { signal };
                match kill(Pid::from_raw(*pid), signal) {
                    Ok(()) => Reply::Done,
                    Err(_) => missing(id),
                }
            }
            (_, Err(_)) => Reply::Refused(Refusal::Failed(format!("{signal} is no signal"))),
            _ => missing(id),
        };
        self.answer(question, reply, &[])
    }

    /// Work on layers takes its time: a child does it.
    fn start_work(&mut self, question: u64, work: Work) -> io::Result<()> {
        let (report, say) = pipe2(OFlag::O_CLOEXEC)?;
        // SAFETY: this process has one thread.
        #[expect(unsafe_code, reason = "fork")]
        match unsafe { fork() }? {
            ForkResult::Child => {
                drop(report);
                work::run(&self.shared.places, work, say);
            }
            ForkResult::Parent { .. } => {
                self.helpers.push(Helper { question, report: report.into(), bytes: Vec::new(), kind: HelperKind::Worker });
                Ok(())
            }
        }
    }

    /// Reads what a child says; at its end the answer goes out.
    fn report(&mut self, index: usize) -> io::Result<()> {
        let helper = &mut self.helpers[index];
        let mut buffer = [0_u8; 4096];
        let read = helper.report.read(&mut buffer)?;
        if read > 0 {
            helper.bytes.extend_from_slice(&buffer[..read]);
            return Ok(());
        }
        let helper = self.helpers.swap_remove(index);
        match helper.kind {
            HelperKind::Worker => {
                let reply = serde_json::from_slice(&helper.bytes)
                    .unwrap_or_else(|_died| Reply::Refused(Refusal::Failed("the work on a layer was killed".to_owned())));
                self.answer(helper.question, reply, &[])
            }
            HelperKind::Creator { id, fds, freezer, .. } => {
                let report = serde_json::from_slice(&helper.bytes).unwrap_or_else(|_died| {
                    Report::NoRoom("the making of a container was killed, for want of memory or time".to_owned())
                });
                self.created(helper.question, &id, &fds, freezer, report)
            }
        }
    }

    /// Waits for every child that has ended.
    fn reap(&mut self) -> io::Result<()> {
        loop {
            let (pid, code, signal) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid.as_raw(), Some(code), None),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid.as_raw(), None, Some(signal as i32)),
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(()),
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let known = self.running.values().find(|running| running.pid == Some(pid)).map(|running| running.id.clone());
            match known {
                Some(id) => self.ended(&id, code, signal)?,
                // A container that ended before its creator had reported it, or a creator.
                None if self.is_creating() => {
                    self.early.insert(pid, (code, signal));
                }
                None => self.early.clear(),
            }
        }
    }

    pub(super) fn ended(&mut self, id: &ContainerId, code: Option<i32>, signal: Option<i32>) -> io::Result<()> {
        let Some(running) = self.running.remove(id) else { return Ok(()) };
        let (oom_killed, cpu_micros) = (running.group.oom_killed(), running.group.cpu_micros());
        self.leave(&running);
        if !running.group.remove() {
            self.leftovers.push(running.group);
        }
        self.tell(&Message::Exited(id.clone(), Exit { code, signal, oom_killed, cpu_micros }), &[])
    }
}

fn missing(id: &ContainerId) -> Reply {
    Reply::Refused(Refusal::Missing(format!("container {id}")))
}
