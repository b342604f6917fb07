//! The launcher's loop: requests in, children made, ends noticed, answers out.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe2};

use crate::cgroup::{Cgroups, Group};
use crate::channel::{Message, Question, Refusal, Reply, Request, receive, send};
use crate::create::{self, Job, Report};
use crate::launcher::signals;
use crate::launcher::work::{self, Work};
use crate::network::{self, Network, Pool};
use crate::rootfs::Places;
use crate::seccomp::Filter;
use crate::spec::{ContainerId, ContainerSpec, Exit, Mount, Profile};

/// What all containers have in common.
pub(super) struct Shared {
    pub(super) places: Places,
    pub(super) cgroups: Cgroups,
    pub(super) network: Network,
    pub(super) resolv_conf: Vec<u8>,
    pub(super) ca_bundle: Option<Vec<u8>>,
    pub(super) app_filter: Filter,
    pub(super) build_filter: Filter,
}

/// A container from the request on until nothing of it is left.
struct Running {
    id: ContainerId,
    number: u32,
    group: Group,
    /// Its first process, once it is known.
    pid: Option<i32>,
}

/// A child that works on a request.
struct Helper {
    question: u64,
    report: File,
    bytes: Vec<u8>,
    kind: HelperKind,
}

enum HelperKind {
    /// It makes a container; the descriptors go to the platform with the answer.
    Creator { id: ContainerId, fds: Vec<OwnedFd>, freezer: bool },
    /// It works on a layer.
    Worker,
}

pub(super) struct Server {
    shared: Shared,
    socket: OwnedFd,
    signals: SignalFd,
    pool: Pool,
    running: HashMap<ContainerId, Running>,
    helpers: Vec<Helper>,
    /// Ends whose process is not known to us yet: the creator has not reported.
    early: HashMap<i32, (Option<i32>, Option<i32>)>,
    /// Groups that were still busy when they were to be removed.
    leftovers: Vec<Group>,
    stopping: Option<u64>,
}

impl Server {
    pub(super) fn new(shared: Shared, socket: OwnedFd) -> io::Result<Self> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self {
            shared,
            socket,
            signals,
            pool: Pool::default(),
            running: HashMap::new(),
            helpers: Vec::new(),
            early: HashMap::new(),
            leftovers: Vec::new(),
            stopping: None,
        })
    }

    /// Serves until the platform is gone or asks for the end.
    pub(super) fn serve(mut self) -> io::Result<()> {
        loop {
            let mut fds = vec![PollFd::new(self.socket.as_fd(), PollFlags::POLLIN), PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            fds.extend(self.helpers.iter().map(|helper| PollFd::new(helper.report.as_fd(), PollFlags::POLLIN)));
            let timeout = if self.leftovers.is_empty() { PollTimeout::NONE } else { PollTimeout::from(20_u8) };
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
            self.leftovers.retain(|group| !group.remove());
            if asked {
                match receive::<Question>(self.socket.as_fd())? {
                    Some((question, fds)) => self.request(question, fds)?,
                    // The platform is gone: so are we, and with us all containers.
                    None => break,
                }
            }
            if self.stopping.is_some() && self.running.is_empty() && self.leftovers.is_empty() {
                break;
            }
        }
        self.put_back()
    }

    fn put_back(&mut self) -> io::Result<()> {
        self.kill_all();
        while waitpid(None, None).is_ok() {}
        for running in self.running.values() {
            // The last processes of a group may be gone only a moment after they were waited for.
            for _ in 0..100 {
                if running.group.remove() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
        self.shared.cgroups.remove_all();
        self.shared.network.remove();
        match self.stopping.take() {
            Some(question) => self.answer(question, Reply::Done, &[]),
            None => Ok(()),
        }
    }

    fn kill_all(&self) {
        for running in self.running.values() {
            running.group.thaw();
            if let Some(pid) = running.pid {
                let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }

    fn answer(&self, question: u64, reply: Reply, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
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
            Request::Maintain => {
                self.shared.network.maintain();
                return self.answer(number, Reply::Done, &[]);
            }
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
            Request::Has(layer) => return self.answer(number, Reply::Has(places.layer(layer.as_str()).is_dir()), &[]),
            Request::Layers => return self.answer(number, work::layers(&places), &[]),
            Request::Unpack(layer, prefix) => Work::Unpack { layer, prefix, archive: fds.next() },
            Request::Seal(layer, keep) => Work::Seal { layer, keep },
            Request::Pack(layer) => Work::Pack { layer, to: fds.next() },
            Request::Remove(layer) => Work::Remove { layer },
        };
        self.start_work(number, work)
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

    fn create(&mut self, question: u64, mut spec: ContainerSpec) -> io::Result<()> {
        if self.stopping.is_some() || self.running.contains_key(&spec.id) {
            let why = format!("a container {} is there already", spec.id);
            return self.answer(question, Reply::Refused(Refusal::Failed(why)), &[]);
        }
        let Some(number) = self.pool.take() else {
            return self.answer(question, Reply::Refused(Refusal::NoRoom("no address is free".to_owned())), &[]);
        };
        self.complete(&mut spec);
        let id = spec.id.clone();
        match self.fork_creator(question, spec, number) {
            Ok(()) => Ok(()),
            Err(error) => {
                if let Some(running) = self.running.remove(&id) {
                    self.leftovers.push(running.group);
                }
                self.pool.give_back(number);
                self.answer(question, Reply::Refused(Refusal::Failed(format!("begin a container: {error}"))), &[])
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
        match unsafe { fork() }? {
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
            ForkResult::Parent { .. } => {}
        }
        let has_freezer = freezer.is_some();
        let fds = [Some(stdout), Some(stderr), freezer.map(OwnedFd::from), stdin].into_iter().flatten().collect();
        let kind = HelperKind::Creator { id: spec.id.clone(), fds, freezer: has_freezer };
        self.helpers.push(Helper { question, report: report.into(), bytes: Vec::new(), kind });
        self.running.insert(spec.id, running);
        Ok(())
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
            HelperKind::Creator { id, fds, freezer } => {
                let report = serde_json::from_slice(&helper.bytes)
                    .unwrap_or_else(|_died| Report::Failed("its creator was killed, most likely for want of memory".to_owned()));
                self.created(helper.question, id, &fds, freezer, report)
            }
        }
    }

    fn created(&mut self, question: u64, id: ContainerId, fds: &[OwnedFd], freezer: bool, report: Report) -> io::Result<()> {
        match report {
            Report::Started(pid) => {
                let Some(running) = self.running.get_mut(&id) else { return Ok(()) };
                running.pid = Some(pid);
                let address = self.shared.network.address(running.number);
                let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
                self.answer(question, Reply::Created { address, freezer }, &fds)?;
                match self.early.remove(&pid) {
                    Some((code, signal)) => self.ended(&id, code, signal)?,
                    None if self.stopping.is_some() => self.kill_all(),
                    None => {}
                }
                Ok(())
            }
            Report::Failed(why) => {
                if let Some(running) = self.running.remove(&id) {
                    self.pool.give_back(running.number);
                    self.leftovers.push(running.group);
                }
                self.answer(question, Reply::Refused(Refusal::Failed(why)), &[])
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
                None if self.helpers.iter().any(|helper| matches!(helper.kind, HelperKind::Creator { .. })) => {
                    self.early.insert(pid, (code, signal));
                }
                None => self.early.clear(),
            }
        }
    }

    fn ended(&mut self, id: &ContainerId, code: Option<i32>, signal: Option<i32>) -> io::Result<()> {
        let Some(running) = self.running.remove(id) else { return Ok(()) };
        let oom_killed = running.group.oom_killed();
        self.pool.give_back(running.number);
        if !running.group.remove() {
            self.leftovers.push(running.group);
        }
        self.tell(&Message::Exited(id.clone(), Exit { code, signal, oom_killed }), &[])
    }
}

fn missing(id: &ContainerId) -> Reply {
    Reply::Refused(Refusal::Missing(format!("container {id}")))
}
