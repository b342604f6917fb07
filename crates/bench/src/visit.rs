//! Waiting for a server's first answer over plain HTTP, and requests over one connection that stays.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use testkit::exchange;

/// How long a server may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two attempts: far below what is measured, and little work.
const PAUSE: Duration = Duration::from_micros(500);

/// A port of loopback that nobody listens on.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Waits for the first answer 200; `ended` says whether it is in vain.
pub(crate) fn first_answer(address: SocketAddr, mut ended: impl FnMut() -> bool) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Ok(stream) = TcpStream::connect(address) {
            stream.set_read_timeout(Some(PATIENCE))?;
            if exchange(stream, "GET", "localhost", "/", &[], b"").is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
        }
        if ended() {
            bail!("the server ended before it answered");
        }
        std::thread::sleep(PAUSE);
    }
    bail!("the server did not answer within {} s", PATIENCE.as_secs())
}

/// A connection that carries one request after the other.
pub(crate) struct Kept<S> {
    stream: BufReader<S>,
    request: String,
}

impl<S: Read + Write> Kept<S> {
    /// Takes a connection over.
    pub(crate) fn new(stream: S, host: &str) -> Self {
        Self::of(stream, host, "/")
    }

    /// The same for another page.
    pub(crate) fn of(stream: S, host: &str, path: &str) -> Self {
        Self { stream: BufReader::new(stream), request: format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n") }
    }

    /// One request; the answer is how long it took in seconds.
    pub(crate) fn get(&mut self) -> Result<f64> {
        let began = Instant::now();
        self.stream.get_mut().write_all(self.request.as_bytes())?;
        self.stream.get_mut().flush()?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        ensure!(line.starts_with("HTTP/1.1 200"), "a warm request was answered with {line:?}");
        let mut length = None;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse::<usize>().ok();
            }
        }
        let mut body = vec![0; length.context("the answer has no length")?];
        self.stream.read_exact(&mut body)?;
        Ok(began.elapsed().as_secs_f64())
    }
}
