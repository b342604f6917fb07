//! What the fake's containers do, step by step.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::layers::Files;
use crate::{ContainerSpec, Exit};

/// What every container says to have used in all.
pub(super) const CPU_MICROS: u64 = 10_000;

/// One thing that a container does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Prints a line to standard output, and one to standard error; an empty one is not printed.
    Print(String, String),
    /// Waits.
    Pause(Duration),
    /// Ends with this code.
    Exit(i32),
    /// Listens on its address for ever, and echoes.
    Echo(u16),
    /// Listens on its address for ever, and answers every HTTP request with this text.
    Http(u16, String),
    /// Listens where nobody outside reaches it, for ever.
    Loopback(u16),
    /// Does nothing, for ever.
    Sleep,
    /// From now on prints `stopping` at SIGTERM and ends with code 0.
    HeedTerm,
    /// From now on ignores SIGTERM.
    IgnoreTerm,
    /// Writes a file.
    Write(String, String),
    /// Makes a directory.
    Directory(String),
    /// Prints a file, without a line's end.
    Cat(String),
}

/// All that a container does; it ends with code 0 after the last step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program(pub Vec<Step>);

impl Program {
    /// Reads the words of `probe`; `None` for any other program, and for words that the fake does not know.
    pub fn of_probe(spec: &ContainerSpec) -> Option<Self> {
        let (program, words) = spec.args.split_first()?;
        if program != "/probe" {
            return None;
        }
        words.split(|word| word == ",").map(step).collect::<Option<_>>().map(Self)
    }
}

fn step(words: &[String]) -> Option<Step> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Some(match words.as_slice() {
        ["print", out, err] => Step::Print((*out).to_owned(), (*err).to_owned()),
        ["pause", millis] => Step::Pause(Duration::from_millis(millis.parse().ok()?)),
        ["exit", code] => Step::Exit(code.parse().ok()?),
        ["listen", port] => Step::Echo(port.parse().ok()?),
        ["listen-on", "127.0.0.1", port] => Step::Loopback(port.parse().ok()?),
        ["sleep"] => Step::Sleep,
        ["on-term"] => Step::HeedTerm,
        ["ignore-term"] => Step::IgnoreTerm,
        ["mkdir", path] => Step::Directory((*path).to_owned()),
        ["write", path, text] => Step::Write((*path).to_owned(), (*text).to_owned()),
        ["cat", path] => Step::Cat((*path).to_owned()),
        _ => return None,
    })
}

/// A signal for a container.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    pub(super) signal: i32,
}

/// A container that runs.
pub(super) struct Run {
    pub(super) address: Ipv4Addr,
    pub(super) files: Files,
    pub(super) listeners: Arc<Mutex<Vec<SocketAddr>>>,
    pub(super) out: DuplexStream,
    pub(super) err: DuplexStream,
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    /// Whether it heeds SIGTERM by itself, or ignores it; `None` until it has said so.
    pub(super) heeds: Option<bool>,
}

impl Run {
    /// Runs a program to its end: how it ended, and the files that it wrote.
    pub(super) async fn run(mut self, program: Program) -> (Exit, Files) {
        let mut written = Files::new();
        for step in program.0 {
            if let Some(exit) = self.step(step, &mut written).await {
                return (exit, written);
            }
        }
        (code(0), written)
    }

    async fn step(&mut self, step: Step, written: &mut Files) -> Option<Exit> {
        match step {
            Step::Print(out, err) => {
                for (stream, text) in [(&mut self.out, out), (&mut self.err, err)] {
                    if !text.is_empty() {
                        let _nobody_reads = stream.write_all(format!("{text}\n").as_bytes()).await;
                    }
                }
            }
            Step::Pause(duration) => {
                tokio::select! {
                    () = tokio::time::sleep(duration) => {}
                    exit = self.ordered() => return Some(exit),
                }
            }
            Step::Exit(number) => return Some(code(number)),
            Step::Sleep => return Some(self.ordered().await),
            Step::Loopback(port) => {
                self.listens(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
                return Some(self.ordered().await);
            }
            Step::Echo(port) => return Some(self.serve(port, None).await),
            Step::Http(port, text) => return Some(self.serve(port, Some(text)).await),
            Step::HeedTerm => self.heeds = Some(true),
            Step::IgnoreTerm => self.heeds = Some(false),
            Step::Directory(_path) => self.say("mkdir: ok\n").await,
            Step::Write(path, text) => {
                written.insert(path.clone(), text.clone().into_bytes());
                self.files.insert(path, text.into_bytes());
                self.say("write: ok\n").await;
            }
            Step::Cat(path) => match self.files.get(&path) {
                Some(contents) => {
                    let text = String::from_utf8_lossy(contents).into_owned();
                    self.say(&text).await;
                }
                None => self.say("cat: ENOENT\n").await,
            },
        }
        None
    }

    async fn say(&mut self, text: &str) {
        let _nobody_reads = self.out.write_all(text.as_bytes()).await;
    }

    fn listens(&self, address: SocketAddr) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(address);
    }

    async fn serve(&mut self, port: u16, answer: Option<String>) -> Exit {
        let listener = match TcpListener::bind((self.address, port)).await {
            Ok(listener) => listener,
            Err(error) => {
                let _nobody_reads = self.err.write_all(format!("listen: {error}\n").as_bytes()).await;
                return code(1);
            }
        };
        self.listens(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
        let mut connections = tokio::task::JoinSet::new();
        let accept = async {
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(converse(stream, answer.clone()));
            }
        };
        tokio::select! {
            exit = self.ordered() => exit,
            () = accept => code(1),
        }
        // Dropping the set ends every connection.
    }

    /// Waits for the signal that ends it.
    async fn ordered(&mut self) -> Exit {
        loop {
            match self.orders.recv().await.map(|order| order.signal) {
                Some(nix::libc::SIGTERM) => match self.heeds {
                    Some(true) => {
                        self.say("stopping\n").await;
                        return code(0);
                    }
                    Some(false) => {}
                    None => return killed(nix::libc::SIGTERM),
                },
                Some(signal @ (nix::libc::SIGKILL | nix::libc::SIGINT)) => return killed(signal),
                Some(_harmless) => {}
                None => return killed(nix::libc::SIGKILL),
            }
        }
    }
}

async fn converse(mut stream: TcpStream, answer: Option<String>) {
    let mut buffer = [0; 4096];
    loop {
        let Ok(read @ 1..) = stream.read(&mut buffer).await else { return };
        let sent = match &answer {
            None => stream.write_all(&buffer[..read]).await,
            // Requests of tests come whole, and without a body.
            Some(text) if buffer[..read].ends_with(b"\r\n\r\n") => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{text}", text.len());
                stream.write_all(head.as_bytes()).await
            }
            Some(_) => Ok(()),
        };
        if sent.is_err() {
            return;
        }
    }
}

fn code(code: i32) -> Exit {
    Exit { code: Some(code), signal: None, oom_killed: false, cpu_micros: CPU_MICROS }
}

fn killed(signal: i32) -> Exit {
    Exit { code: None, signal: Some(signal), oom_killed: false, cpu_micros: CPU_MICROS }
}
