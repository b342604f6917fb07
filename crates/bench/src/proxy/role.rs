//! What the bench is as another process: the upstream of all proxies, or the edge.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Subcommand;
use edge::{
    Activate, AppHandle, AppSettings, AppStatus, Authority, Drained, Edge, EdgeBody, EdgeConfig, HostName, Plain, PlatformBody,
    PlatformFuture, PlatformService, Routes, Target, Upstream,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A process beside the bench. Each prints its ports, and ends when its standard input does.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Role {
    /// The server behind the proxies.
    #[command(hide = true)]
    Upstream,
    /// The edge in front of it.
    #[command(hide = true)]
    Edge {
        /// Where the upstream listens.
        upstream: SocketAddr,
        /// Threads; 0 means one per core.
        threads: usize,
    },
}

/// The bytes of an answer's body.
const BODY: usize = 1024;

impl Role {
    /// Plays it to the end.
    pub(crate) fn play(self) -> Result<()> {
        match self {
            Self::Upstream => upstream(),
            Self::Edge { upstream, threads } => edge(upstream, threads),
        }
    }
}

/// Says where to find it, and waits until nobody needs it any more.
fn until_the_end(ports: &[u16]) -> Result<()> {
    let words: Vec<String> = ports.iter().map(u16::to_string).collect();
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", words.join(" "))?;
    stdout.flush()?;
    let mut rest = Vec::new();
    std::io::stdin().lock().read_to_end(&mut rest)?;
    Ok(())
}

/// One thread that answers every request with the same bytes: as little work as a server can have, so that the proxies' is seen.
fn upstream() -> Result<()> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::spawn(answer_all(stream));
            }
        })
    });
    until_the_end(&[port])
}

async fn answer_all(mut stream: TcpStream) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nServer: upstream\r\nDate: Tue, 01 Jan 2030 00:00:00 GMT\r\nContent-Type: application/json\r\n\
         Content-Length: {BODY}\r\n\r\n"
    );
    let answer = [head.into_bytes(), vec![b'x'; BODY]].concat();
    let mut buffer = Vec::with_capacity(16 * 1024);
    while stream.read_buf(&mut buffer).await? > 0 {
        // Nobody sends a body here, so a request ends with its head.
        while let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            buffer.drain(..end + 4);
            stream.write_all(&answer).await?;
        }
    }
    Ok(())
}

fn edge(upstream: SocketAddr, threads: usize) -> Result<()> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let platform = HostName::parse("platform.localhost")?;
    let mut config = EdgeConfig::new(any, any, vec![platform.clone()]);
    config.plain = Plain::Serve;
    config.threads = threads;
    let bound = Edge::bind(config)?;
    let settings = AppSettings { max_concurrent_requests_per_instance: 100_000, ..AppSettings::default() };
    let app = AppHandle::new("bench", settings, AppStatus::Active);
    app.add_upstream(Upstream::new("bench-1", upstream));
    let routes = Routes::new().with(platform.clone(), Target::Platform);
    bound.handle().set_routes(routes.with(HostName::parse("localhost")?, Target::App(app)));
    let authority = Authority::generate(&[platform, HostName::parse("localhost")?])?;
    let edge = bound.run(authority, Arc::new(Nobody), Arc::new(Nobody)).context("start the edge")?;
    until_the_end(&[edge.http_addr().port(), edge.https_addr().port()])
}

/// There is one instance, and no platform.
struct Nobody;

impl Activate for Nobody {
    fn wake(&self, _app: &Arc<AppHandle>) {}

    fn refused(&self, _app: &Arc<AppHandle>, _drained: Drained) {}

    fn resumed(&self, _app: &Arc<AppHandle>) {}
}

impl PlatformService for Nobody {
    fn call(&self, request: http::Request<EdgeBody>) -> PlatformFuture {
        Box::pin(async move { http::Response::new(PlatformBody::new(request.into_body())) })
    }
}
