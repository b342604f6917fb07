//! The servers that are measured: the edge, nginx and `HAProxy`, as an expert would set them up for this, and the upstream itself.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use tempfile::TempDir;

use super::load::Protocol;
use crate::bare::{Bare, run};
use crate::idle::{cpu, family};
use crate::visit::{first_answer, free_port};

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Ours.
    Edge,
    /// Debian's nginx.
    Nginx,
    /// Debian's `HAProxy`.
    Haproxy,
    /// The upstream without a proxy.
    Direct,
}

/// A server that runs; dropping it ends it.
pub(super) struct Server {
    pub(super) kind: Kind,
    child: Child,
    /// Ours end when this does.
    _stdin: Option<ChildStdin>,
    /// Ports for HTTP/1.1, HTTP/1.1 with TLS, HTTP/2, HTTP/2 with TLS; the last three where it has them.
    ports: [Option<u16>; 4],
}

/// All of them.
pub(super) struct Servers {
    proxies: Vec<Server>,
    upstream: Server,
    _directory: TempDir,
}

impl Kind {
    /// Its name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Direct => "direct",
        }
    }
}

impl Servers {
    /// Starts each of them with this many threads, 0 for one per core, in front of this app, or of a server that does as little as
    /// one can.
    pub(super) fn start(threads: usize, app: Option<&Bare>) -> Result<Self> {
        let threads = if threads == 0 { std::thread::available_parallelism()?.get() } else { threads };
        let directory = tempfile::Builder::new().prefix("adaptable-bench-proxy-").tempdir_in("/var/tmp")?;
        let certificate = certificate(directory.path())?;
        let upstream = match app {
            Some(app) => {
                let port = free_port()?;
                Server { kind: Kind::Direct, child: app.spawn(port)?, _stdin: None, ports: [Some(port), None, None, None] }
            }
            None => ours(Kind::Direct, &["upstream"])?,
        };
        let port = upstream.port()?;
        // The edge takes out an instance that refuses a connection.
        let there = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        first_answer(there, || false).context("wait for what the proxies stand in front of")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string();
        let proxies = vec![
            ours(Kind::Edge, &["edge", &address, &threads.to_string()])?,
            nginx(directory.path(), &certificate, port, threads)?,
            haproxy(directory.path(), &certificate, port, threads)?,
        ];
        let servers = Self { proxies, upstream, _directory: directory };
        for server in servers.all() {
            first_answer(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()?)), || false)
                .with_context(|| format!("wait for {}", server.kind.name()))?;
        }
        Ok(servers)
    }

    /// The edge first, the upstream itself last.
    pub(super) fn all(&self) -> impl Iterator<Item = &Server> {
        self.proxies.iter().chain([&self.upstream])
    }

    /// The upstream itself.
    pub(super) fn upstream(&self) -> &Server {
        &self.upstream
    }
}

impl Server {
    fn port(&self) -> Result<u16> {
        self.ports[0].context("the server has no port")
    }

    /// Where it speaks a protocol, if it does.
    pub(super) fn address(&self, protocol: Protocol) -> Option<SocketAddr> {
        let port = match protocol {
            Protocol::Http1 => self.ports[0],
            Protocol::Http1Tls => self.ports[1],
            Protocol::Http2 => self.ports[2],
            Protocol::Http2Tls => self.ports[3],
        };
        port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// The CPU time of all its processes so far.
    pub(super) fn cpu(&self) -> Result<Duration> {
        cpu(&family(self.child.id())?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The first process of nginx and of gunicorn ends the others on SIGTERM; SIGKILL would leave them behind.
        let _ended = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _reaped = self.child.wait();
    }
}

/// Another process of this program.
fn ours(kind: Kind, arguments: &[&str]) -> Result<Server> {
    let program = std::env::current_exe().context("find this program")?;
    let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    // From here on dropping it ends it.
    let mut server = Server { kind, child, _stdin: stdin, ports: [None; 4] };
    let mut line = String::new();
    BufReader::new(stdout.context("its output")?).read_line(&mut line)?;
    let ports: Vec<u16> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    server.ports = match ports[..] {
        [plain] => [Some(plain), None, None, None],
        [plain, tls] => [Some(plain), Some(tls), Some(plain), Some(tls)],
        _ => bail!("{} did not start: {line:?}", kind.name()),
    };
    Ok(server)
}

/// A key of the kind that the edge makes, P-256, and a certificate for it; both in one file.
fn certificate(directory: &Path) -> Result<String> {
    let (key, certificate, both) = (directory.join("key.pem"), directory.join("cert.pem"), directory.join("both.pem"));
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]);
    command.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout"]).arg(&key);
    run(command.arg("-out").arg(&certificate)).context("make a certificate")?;
    fs::write(&both, fs::read_to_string(&certificate)? + &fs::read_to_string(&key)?)?;
    Ok(both.display().to_string())
}

/// Four ports, and the server that is started with them.
fn foreign(kind: Kind, start: impl FnOnce([u16; 3]) -> Result<Child>) -> Result<Server> {
    let [plain, h2, tls] = [free_port()?, free_port()?, free_port()?];
    let child = start([plain, h2, tls])?;
    Ok(Server { kind, child, _stdin: None, ports: [Some(plain), Some(tls), Some(h2), Some(tls)] })
}

fn spawn(command: &mut Command, log: &Path) -> Result<Child> {
    let log = fs::File::create(log)?;
    let name = command.get_program().display().to_string();
    let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
    child.with_context(|| format!("start {name}; scripts/bench.sh installs it"))
}

fn nginx(directory: &Path, certificate: &str, upstream: u16, threads: usize) -> Result<Server> {
    foreign(Kind::Nginx, |[plain, h2, tls]| {
        let place = directory.join("nginx");
        fs::create_dir_all(&place)?;
        let at = place.display();
        let text = format!(
            "user root; daemon off; pid {at}/pid; error_log {at}/error.log crit;
worker_processes {threads}; worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
  access_log off; server_tokens off; tcp_nodelay on;
  client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;
  fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
  keepalive_timeout 75s; keepalive_requests 100000000;
  upstream app {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{plain} reuseport backlog=4096;
    listen 127.0.0.1:{h2} http2 reuseport backlog=4096;
    listen 127.0.0.1:{tls} ssl http2 reuseport backlog=4096;
    ssl_certificate {certificate}; ssl_certificate_key {certificate}; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:tls:10m;
    location / {{
      proxy_pass http://app; proxy_http_version 1.1;
      proxy_set_header Connection \"\"; proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;
    }}
  }}
}}
"
        );
        let file = place.join("nginx.conf");
        fs::write(&file, text)?;
        spawn(Command::new("/usr/sbin/nginx").arg("-p").arg(&place).arg("-c").arg(&file), &place.join("log"))
    })
}

fn haproxy(directory: &Path, certificate: &str, upstream: u16, threads: usize) -> Result<Server> {
    foreign(Kind::Haproxy, |[plain, h2, tls]| {
        let text = format!(
            "global
  nbthread {threads}
  maxconn 8192
  tune.h2.max-concurrent-streams 128
defaults
  mode http
  timeout connect 10s
  timeout client 75s
  timeout server 300s
  http-reuse always
frontend visitors
  bind 127.0.0.1:{plain} shards by-thread
  bind 127.0.0.1:{h2} proto h2 shards by-thread
  bind 127.0.0.1:{tls} ssl crt {certificate} alpn h2,http/1.1 shards by-thread
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
  http-request set-header X-Forwarded-Proto http unless {{ ssl_fc }}
  default_backend app
backend app
  server one 127.0.0.1:{upstream} pool-max-conn 2048
"
        );
        let file = directory.join("haproxy.cfg");
        fs::write(&file, text)?;
        spawn(Command::new("/usr/sbin/haproxy").arg("-db").arg("-f").arg(&file), &directory.join("haproxy.log"))
    })
}
