//! The clients: wrk for HTTP/1.1, h2load for HTTP/2, and the reading of what they print.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use serde::Serialize;

use super::servers::{Kind, Server, Servers};
use crate::bare::run;
use crate::figures::Samples;

/// How visitors speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Protocol {
    /// HTTP/1.1 in the clear.
    Http1,
    /// HTTP/1.1 with TLS.
    Http1Tls,
    /// HTTP/2 in the clear, by prior knowledge.
    Http2,
    /// HTTP/2 with TLS.
    Http2Tls,
}

/// One way to load a server.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Load {
    /// How its visitors speak.
    pub(crate) protocol: Protocol,
    /// Connections.
    pub(crate) connections: usize,
    /// Requests in flight on each connection.
    pub(crate) streams: usize,
    /// Whether it is put on the guide's app, and not on a server that does as little as one can.
    pub(crate) is_app: bool,
}

/// What one run of a client tells.
#[derive(Debug)]
pub(crate) struct Run {
    pub(super) rate: f64,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) cpu: f64,
    pub(super) cpu_all: f64,
    pub(super) failed: u64,
}

/// What a client prints.
#[derive(Debug, PartialEq)]
struct Printed {
    requests: u64,
    failed: u64,
    rate: f64,
    p50: f64,
    p99: f64,
}

/// Every load, in the order of the table.
pub(crate) fn all() -> Vec<Load> {
    let mut all = Vec::new();
    for protocol in [Protocol::Http1, Protocol::Http1Tls, Protocol::Http2, Protocol::Http2Tls] {
        let streams: &[usize] = if protocol.is_http2() { &[1, 10] } else { &[1] };
        for &streams in streams {
            all.extend([1, 64, 512].map(|connections| Load { protocol, connections, streams, is_app: false }));
        }
    }
    all.push(Load { protocol: Protocol::Http1, connections: 64, streams: 1, is_app: true });
    all
}

impl Protocol {
    pub(super) fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Http2Tls)
    }

    pub(super) fn is_tls(self) -> bool {
        matches!(self, Self::Http1Tls | Self::Http2Tls)
    }
}

impl Load {
    /// What it is called in the table.
    pub(crate) fn name(&self) -> String {
        let version = if self.protocol.is_http2() { "HTTP/2" } else { "HTTP/1.1" };
        let tls = if self.protocol.is_tls() { "TLS" } else { "plain" };
        let streams = if self.streams > 1 { format!(" × {}", self.streams) } else { String::new() };
        let app = if self.is_app { ", Flask" } else { "" };
        format!("{version} {tls} {}{streams}{app}", self.connections)
    }

    /// More time for loads that begin with many handshakes, which take the client a third of a second: what is asked meanwhile waits
    /// for them in the client itself, and should be less than the one in a hundred that p99 leaves out. wrk counts that wait.
    pub(super) fn opening(&self) -> Duration {
        match self.protocol {
            Protocol::Http1Tls if self.connections > 100 => Duration::from_secs(14),
            Protocol::Http2Tls if self.connections > 100 => Duration::from_secs(4),
            _ => Duration::ZERO,
        }
    }

    /// Puts it on a server.
    pub(super) fn run(&self, server: &Server, servers: &Servers, time: Duration) -> Result<Run> {
        let address = server.address(self.protocol).context("the server does not speak this")?;
        let scheme = if self.protocol.is_tls() { "https" } else { "http" };
        let url = format!("{scheme}://localhost:{}/", address.port());
        let before = (server.cpu()?, servers.upstream().cpu()?, clients()?);
        let printed = if self.protocol.is_http2() { self.h2load(&url, time)? } else { self.wrk(&url, time)? };
        let after = (server.cpu()?, servers.upstream().cpu()?, clients()?);
        ensure!(printed.requests > 0, "no request was answered by {} under {}", server.kind.name(), self.name());
        #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
        let per_request =
            |before: Duration, after: Duration| after.saturating_sub(before).as_secs_f64() / printed.requests as f64;
        let proxy = if server.kind == Kind::Direct { 0.0 } else { per_request(before.0, after.0) };
        let cpu_all = proxy + per_request(before.1, after.1) + per_request(before.2, after.2);
        let Printed { rate, p50, p99, failed, .. } = printed;
        Ok(Run { rate, p50, p99, cpu: proxy, cpu_all, failed })
    }

    fn wrk(&self, url: &str, time: Duration) -> Result<Printed> {
        let mut command = Command::new("wrk");
        command.args(["--threads", "1", "--latency", "--timeout", "10s"]);
        command.args(["--connections", &self.connections.to_string(), "--duration", &format!("{}s", time.as_secs()), url]);
        let text = run(&mut command)?;
        wrk_printed(&text).with_context(|| format!("read what wrk printed: {text}"))
    }

    fn h2load(&self, url: &str, time: Duration) -> Result<Printed> {
        let log = tempfile::NamedTempFile::new()?;
        let mut command = Command::new("h2load");
        command.args(["--threads", "1", "--clients", &self.connections.to_string()]);
        command.args(["--max-concurrent-streams", &self.streams.to_string(), "--duration", &time.as_secs().to_string()]);
        command.arg("--log-file").arg(log.path()).arg(url);
        let text = run(&mut command)?;
        let (requests, failed, rate) = h2load_printed(&text).with_context(|| format!("read what h2load printed: {text}"))?;
        let (p50, p99) = logged(log.path())?;
        Ok(Printed { requests, failed, rate, p50, p99 })
    }
}

/// The CPU time of all clients that have ended.
fn clients() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let time = |value: nix::sys::time::TimeVal| {
        let seconds = u64::try_from(value.tv_sec()).unwrap_or_default();
        Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(value.tv_usec()).unwrap_or_default())
    };
    Ok(time(usage.user_time()) + time(usage.system_time()))
}

fn wrk_printed(text: &str) -> Option<Printed> {
    let after = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
    let latency = |share: &str| seconds(after(share)?);
    let requests = text.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok())?;
    let broken = after("Socket errors:").unwrap_or_default().split(',').filter_map(|part| part.split_whitespace().nth(1));
    let bad = after("Non-2xx or 3xx responses:").and_then(|count| count.parse::<u64>().ok()).unwrap_or_default();
    let failed = broken.filter_map(|count| count.parse::<u64>().ok()).sum::<u64>() + bad;
    let rate = after("Requests/sec:")?.parse().ok()?;
    Some(Printed { requests, failed, rate, p50: latency("50%")?, p99: latency("99%")? })
}

/// Requests, those of them that failed, and requests per second.
fn h2load_printed(text: &str) -> Option<(u64, u64, f64)> {
    let finished = text.lines().find_map(|line| line.strip_prefix("finished in "))?;
    let rate = finished.split(',').nth(1)?.trim().strip_suffix(" req/s")?.parse().ok()?;
    let counts = text.lines().find_map(|line| line.strip_prefix("requests: "))?;
    let count = |what: &str| counts.split(", ").find_map(|part| part.strip_suffix(what)?.trim().parse::<u64>().ok());
    let status = text.lines().find_map(|line| line.strip_prefix("status codes: "))?;
    let good = status.split(", ").find_map(|part| part.strip_suffix(" 2xx")?.trim().parse::<u64>().ok())?;
    let done = count(" done")?;
    Some((done, done.saturating_sub(good) + count(" errored")? + count(" timeout")?, rate))
}

/// The middle and the 99th of 100 latencies in h2load's log: start, status and microseconds of each request.
fn logged(path: &Path) -> Result<(f64, f64)> {
    let text = std::fs::read_to_string(path)?;
    let micros = text.lines().filter_map(|line| line.split('\t').nth(2)?.parse::<f64>().ok());
    let summary = Samples::of(micros.map(|micros| micros / 1e6)).summary().context("h2load logged no request")?;
    Ok((summary.median, summary.p99))
}

/// A time as wrk writes it: `635.00us`, `1.20ms`, `1.00s`.
fn seconds(text: &str) -> Option<f64> {
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let number: f64 = text[..split].parse().ok()?;
    let unit = match &text[split..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Some(number * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_prints_is_read() {
        let text = "Running 2s test @ http://localhost:1/\n  1 threads and 64 connections\n  Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency     1.00ms\n  Latency Distribution\n     50%  635.00us\n     75%    1.10ms\n     90%    1.50ms\n     99%    2.25ms\n  22464 requests in 2.00s, 17.75MB read\n  Socket errors: connect 0, read 1, write 0, timeout 2\n  Non-2xx or 3xx responses: 4\nRequests/sec:  11232.53\nTransfer/sec:      1.00MB\n";
        let printed = wrk_printed(text).expect("it can be read");
        assert_eq!((printed.requests, printed.failed), (22464, 7));
        assert!((printed.rate - 11232.53).abs() < 1e-9);
        assert!((printed.p50 - 0.000_635).abs() < 1e-9 && (printed.p99 - 0.002_25).abs() < 1e-9);
        assert_eq!(wrk_printed("unable to connect"), None);
    }

    #[test]
    fn what_h2load_prints_is_read() {
        let text = "finished in 2.00s, 12345.50 req/s, 1.20MB/s\nrequests: 24691 total, 24755 started, 24691 done, 24680 succeeded, 11 failed, 1 errored, 2 timeout\nstatus codes: 24680 2xx, 0 3xx, 0 4xx, 11 5xx\n";
        let (requests, failed, rate) = h2load_printed(text).expect("it can be read");
        assert_eq!((requests, failed), (24691, 14));
        assert!((rate - 12345.5).abs() < 1e-9);
    }
}
