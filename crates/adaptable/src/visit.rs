//! A visit to an app, as a browser would make it: over HTTPS through the edge, with a connection of its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::client::Trust;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long an answer may take: an app has four minutes to start.
const PATIENCE: Duration = Duration::from_secs(250);
/// How much of an answer is read.
const LARGEST: usize = 16 * 1024 * 1024;

/// What a visitor saw.
#[derive(Debug)]
pub(crate) struct Visit {
    /// The HTTP status.
    pub status: u16,
    /// The first line of the answer that is not empty.
    pub line: String,
    /// From the first packet to the last byte of the answer.
    pub seconds: f64,
}

/// Visits `url`, at the edge that listens on `edge`.
pub(crate) async fn visit(url: &str, edge: SocketAddr, trust: &Trust) -> Result<Visit, String> {
    match tokio::time::timeout(PATIENCE, get(url, reachable(edge), trust)).await {
        Ok(Ok(visit)) => Ok(visit),
        Ok(Err(error)) => Err(crate::explain::chain(error.as_ref())),
        Err(_elapsed) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// Where something that listens on an address can be reached from this machine.
fn reachable(edge: SocketAddr) -> SocketAddr {
    let ip = match edge.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, edge.port())
}

async fn get(url: &str, edge: SocketAddr, trust: &Trust) -> Result<Visit, Box<dyn std::error::Error + Send + Sync>> {
    let uri: hyper::Uri = url.parse()?;
    let authority = uri.authority().ok_or("the URL names no host")?;
    let name = ServerName::try_from(authority.host().to_owned())?;
    let tls = TlsConnector::from(Arc::new(trust.config()?));
    let began = Instant::now();
    let tcp = TcpStream::connect(edge).await?;
    tcp.set_nodelay(true)?;
    let stream = tls.connect(name, tcp).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/")
        .header(header::HOST, authority.as_str())
        .header(header::USER_AGENT, concat!("adaptable/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "*/*")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), LARGEST).collect().await?.to_bytes();
    let seconds = began.elapsed().as_secs_f64();
    connection.abort();
    let text = String::from_utf8_lossy(&body);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    Ok(Visit { status, line: line.chars().take(200).collect(), seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_reached_by_loopback() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        assert_eq!(reachable(at("0.0.0.0:8443")), at("127.0.0.1:8443"));
        assert_eq!(reachable(at("[::]:1")), at("[::1]:1"));
        assert_eq!(reachable(at("192.0.2.1:2")), at("192.0.2.1:2"));
    }
}
