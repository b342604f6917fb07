//! A network for one browser in which no device comes or goes.
//!
//! Chromium ends all its connections when a device of its machine does (`ERR_NETWORK_CHANGED`), and each container has one. A visitor from
//! elsewhere never sees that. So the browser has a namespace of its own, with a way out to this machine's loopback: a SOCKS proxy.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sched::{CloneFlags, setns};

/// The namespace; gone with it are all that run in it.
#[derive(Debug)]
pub(crate) struct Quiet {
    holder: Child,
    proxy: SocketAddr,
}

impl Quiet {
    /// Makes the namespace and starts its way out.
    pub(crate) fn start() -> Self {
        // It holds the namespace for as long as its input is open. A browser with nothing but loopback would take itself for offline; the
        // address is one for documentation (RFC 5737). Of IPv6 they have none: that would come about a second later, and be a change, too.
        let script = "ip link set lo up && ip link add here type veth peer name there && ip address add 192.0.2.1/24 dev here &&
            ip link set here addrgenmode none && ip link set there addrgenmode none && ip link set here up && ip link set there up &&
            until ip link show here | grep -q 'state UP'; do sleep 0.05; done && echo up && exec cat";
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare, of util-linux");
        let mut said = String::new();
        BufReader::new(holder.stdout.take().expect("its output")).read_line(&mut said).expect("its output");
        assert_eq!(said, "up\n", "a network namespace, which takes root");
        let mut quiet = Self { holder, proxy: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let listener = quiet.inside(|| TcpListener::bind("127.0.0.1:0")).expect("a free port");
        quiet.proxy = listener.local_addr().expect("its address");
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || pass(stream));
            }
        });
        quiet
    }

    /// A program in it: what is to be run follows as arguments.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg("--");
        command
    }

    /// Where its proxy listens, as Chromium's option says it.
    pub(crate) fn proxy(&self) -> String {
        format!("socks5://{}", self.proxy)
    }

    /// Connects to what listens in it.
    pub(crate) fn connect(&self, port: u16) -> io::Result<TcpStream> {
        self.inside(|| TcpStream::connect(("127.0.0.1", port)))
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.holder.id()))
    }

    /// A socket belongs to the namespace in which it was made, wherever it is used: so a thread goes there to make it.
    fn inside<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let there = File::open(self.path())?;
        std::thread::scope(|scope| {
            let made = scope.spawn(|| {
                setns(there, CloneFlags::CLONE_NEWNET)?;
                work()
            });
            made.join().expect("a thread that only makes a socket")
        })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _waited = self.holder.wait();
    }
}

/// One connection through the proxy (RFC 1928, sections 3 to 6): whatever the name, it leads to this machine's loopback.
fn pass(mut near: TcpStream) -> Option<()> {
    let mut methods = vec![0; usize::from(head::<2>(&mut near)?[1])];
    near.read_exact(&mut methods).ok()?;
    near.write_all(&[5, 0]).ok()?;
    let [_version, command, _reserved, kind] = head::<4>(&mut near)?;
    let length = match kind {
        1 => 4,
        3 => usize::from(head::<1>(&mut near)?[0]),
        4 => 16,
        _ => return None,
    };
    near.read_exact(&mut vec![0; length]).ok()?;
    let port = u16::from_be_bytes(head::<2>(&mut near)?);
    let far = (command == 1).then(|| TcpStream::connect(("127.0.0.1", port))).and_then(Result::ok);
    let refused = u8::from(far.is_none()) * 5;
    near.write_all(&[5, refused, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
    let far = far?;
    let (back_from, back_to) = (far.try_clone().ok()?, near.try_clone().ok()?);
    std::thread::spawn(move || copy(back_from, back_to));
    copy(near, far);
    Some(())
}

fn head<const N: usize>(stream: &mut TcpStream) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).ok().map(|()| bytes)
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ended = io::copy(&mut from, &mut to);
    let _gone = to.shutdown(Shutdown::Write);
}
