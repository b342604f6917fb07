//! Connections to GitHub, kept for the next call: the machine's proxy, TLS with the machine's authorities and more, and patience that ends.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::error::{GitHubError, Result, chain};

/// How long a connection may take to come about, TLS and a proxy included.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a whole call may take.
const CALL: Duration = Duration::from_secs(30);
/// How long a connection waits for the next call.
const IDLE: Duration = Duration::from_secs(20);
/// The longest answer that is read, in bytes. A page of a hundred repositories has half a megabyte.
const ANSWER_MAX: usize = 8 * 1024 * 1024;
/// The longest head of a proxy's answer, in bytes.
const PROXY_HEAD_MAX: usize = 8 * 1024;

type Words = Box<dyn std::error::Error + Send + Sync>;

/// What sends requests.
#[derive(Clone)]
pub(crate) struct Transport {
    client: Client<Connector, Full<Bytes>>,
}

impl Transport {
    /// Trusts the machine's authorities, and those in `authorities` (PEM), which an Enterprise Server may have.
    pub(crate) fn new(authorities: &[u8]) -> Result<Self> {
        Self::through(Matcher::from_env(), authorities)
    }

    /// With that proxy, or none.
    fn through(proxy: Matcher, authorities: &[u8]) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let own: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(authorities).collect();
        let own = own.map_err(|_unreadable| GitHubError::Keys("the certificates to trust can't be read: they are PEM"))?;
        for certificate in own {
            roots.add(certificate).map_err(|_unusable| GitHubError::Keys("a certificate to trust is none"))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has the protocol versions of TLS that it is built with")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = Connector { tls: TlsConnector::from(Arc::new(config)), proxy: Arc::new(proxy) };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(4)
            .build(connector);
        Ok(Self { client })
    }

    /// Makes a request, and reads the whole answer.
    pub(crate) async fn send(&self, url: &Url, request: Request<Full<Bytes>>) -> Result<Response<Bytes>> {
        let host = host_of(url);
        let call = async {
            let answer = self.client.request(request).await.map_err(|error| why(&error))?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(|error| chain(&*error))?;
            Ok(Response::from_parts(parts, body.to_bytes()))
        };
        let answered = tokio::time::timeout(CALL, call).await.unwrap_or_else(|_late| Err("it does not answer".to_owned()));
        answered.map_err(|why| GitHubError::Unavailable { host, why })
    }
}

/// Why there was no answer. The client's own words name its parts; what they are about comes after them.
fn why(error: &hyper_util::client::legacy::Error) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| chain(error), chain)
}

/// The host and port of an address, for words.
pub(crate) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[derive(Clone)]
struct Connector {
    tls: TlsConnector,
    proxy: Arc<Matcher>,
}

impl tower::Service<Uri> for Connector {
    type Response = Stream;
    type Error = Words;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Stream, Words>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Words>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let opened = tokio::time::timeout(CONNECT, connector.open(&uri)).await;
            opened.unwrap_or_else(|_late| Err("no connection comes about".into()))
        })
    }
}

impl Connector {
    async fn open(&self, uri: &Uri) -> std::result::Result<Stream, Words> {
        let authority = uri.authority().ok_or("the address names no host")?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let is_tls = uri.scheme_str() == Some("https");
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        // Plain HTTP is for this machine alone (`Endpoints`), where no proxy leads to.
        let through = if is_tls { self.proxy.intercept(uri) } else { None };
        let tcp = match through {
            None => TcpStream::connect((host, port)).await?,
            Some(proxy) => tunnel(&proxy, authority.host(), port).await?,
        };
        tcp.set_nodelay(true)?;
        if !is_tls {
            return Ok(Stream(TokioIo::new(Box::new(tcp))));
        }
        let name = ServerName::try_from(host.to_owned())?;
        Ok(Stream(TokioIo::new(Box::new(self.tls.connect(name, tcp).await?))))
    }
}

/// Asks a proxy of HTTP for a connection (RFC 9110, section 9.3.6).
async fn tunnel(
    proxy: &hyper_util::client::proxy::matcher::Intercept,
    host: &str,
    port: u16,
) -> std::result::Result<TcpStream, Words> {
    let at = proxy.uri();
    let name = at.host().unwrap_or_default().trim_matches(['[', ']']);
    if at.scheme_str() != Some("http") {
        return Err(format!("the proxy {name} is none of HTTP").into());
    }
    let mut tcp =
        TcpStream::connect((name, at.port_u16().unwrap_or(80))).await.map_err(|error| format!("the proxy {name}: {error}"))?;
    let mut head = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").into_bytes();
    if let Some(value) = proxy.basic_auth() {
        head.extend_from_slice(b"Proxy-Authorization: ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    tcp.write_all(&head).await?;
    // Byte by byte: what comes after the head is the tunnel's.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() > PROXY_HEAD_MAX {
            return Err(format!("the proxy {name} answers without end").into());
        }
        answer.push(tcp.read_u8().await?);
    }
    let status = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
    if status.split(' ').nth(1).is_some_and(|code| code.starts_with('2')) {
        Ok(tcp)
    } else {
        Err(format!("the proxy {name} answers: {status}").into())
    }
}

trait Both: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

/// A connection, plain or not.
struct Stream(TokioIo<Box<dyn Both>>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
