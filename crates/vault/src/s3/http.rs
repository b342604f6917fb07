//! Requests to the storage: one connection each, tried again where that may help, and its refusals in one line.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::{Result, VaultError};

/// How often a request is made at most.
pub(super) const ATTEMPTS: u32 = 4;
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the storage may be silent: while it reads a part, before it answers, between two pieces of an answer.
const SILENCE: Duration = Duration::from_mins(2);
/// The longest answer that is read into memory, in bytes: a page of a list.
const ANSWER_MAX: usize = 4 * 1024 * 1024;
/// The most of the storage's own words that is shown.
const WORDS_MAX: usize = 200;

/// What sends requests.
pub(super) struct Client {
    place: String,
    tls: TlsConnector,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("place", &self.place).finish_non_exhaustive()
    }
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// An answer that is read piece by piece.
pub(super) struct Stream {
    place: String,
    body: Incoming,
}

impl Stream {
    /// The next piece, or the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let failed = |why: String| VaultError::Unreachable { place: self.place.clone(), why };
            match timeout(SILENCE, self.body.frame()).await {
                Err(_silent) => return Err(failed("it stopped in the middle of an answer".to_owned())),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(failed(format!("its answer was cut: {error}"))),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

/// Waits before another attempt: 0.3 s, 1.2 s, 4.8 s.
pub(super) async fn pause(attempt: u32) {
    tokio::time::sleep(Duration::from_millis(300 << (2 * attempt))).await;
}

impl Client {
    pub(super) fn new(place: String) -> Result<Self> {
        let unusable = |why: String| VaultError::Unreachable { place: place.clone(), why };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), place })
    }

    pub(super) fn unreachable(&self, why: impl Into<String>) -> VaultError {
        VaultError::Unreachable { place: self.place.clone(), why: why.into() }
    }

    /// Makes a request, again where that may help. Each attempt has a signature of its own.
    pub(super) async fn call(&self, method: Method, sign: impl Fn() -> Url, body: Bytes) -> Result<Answer> {
        let mut attempt = 0;
        loop {
            match self.whole(method.clone(), &sign(), body.clone()).await {
                Err(VaultError::Unreachable { .. }) if attempt + 1 < ATTEMPTS => {
                    pause(attempt).await;
                    attempt += 1;
                }
                ended => return ended,
            }
        }
    }

    /// Begins to read an object.
    pub(super) async fn stream(&self, url: &Url) -> Result<Stream> {
        let response = self.send(Method::GET, url, Bytes::new()).await?;
        Ok(Stream { place: self.place.clone(), body: response.into_body() })
    }

    async fn whole(&self, method: Method, url: &Url, body: Bytes) -> Result<Answer> {
        let (parts, body) = self.send(method, url, body).await?.into_parts();
        let body = self.read(body).await?;
        Ok(Answer { headers: parts.headers, body })
    }

    async fn read(&self, body: Incoming) -> Result<Bytes> {
        let whole = timeout(SILENCE, Limited::new(body, ANSWER_MAX).collect()).await;
        let whole = whole.map_err(|_silent| self.unreachable("it stopped in the middle of an answer"))?;
        Ok(whole.map_err(|error| self.unreachable(format!("its answer was cut: {error}")))?.to_bytes())
    }

    async fn send(&self, method: Method, url: &Url, body: Bytes) -> Result<Response<Incoming>> {
        let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let host = url.host_str().unwrap_or_default();
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, authority)
            .header(header::CONTENT_LENGTH, body.len())
            .body(Full::new(body))
            .map_err(|error| self.unreachable(error.to_string()))?;
        let port = url.port_or_known_default().unwrap_or(443);
        let plain = host.trim_start_matches('[').trim_end_matches(']');
        let connected = async {
            let tcp = TcpStream::connect((plain, port)).await.map_err(|error| self.unreachable(error.to_string()))?;
            tcp.set_nodelay(true).ok();
            if url.scheme() == "http" {
                return self.shake(tcp).await;
            }
            let name = ServerName::try_from(plain.to_owned()).map_err(|error| self.unreachable(error.to_string()))?;
            let tls = self.tls.connect(name, tcp).await.map_err(|error| self.unreachable(format!("TLS: {error}")))?;
            self.shake(tls).await
        };
        let connected = timeout(CONNECT, connected).await.map_err(|_silent| self.unreachable("it does not answer"))?;
        let answered = timeout(SILENCE, connected?.send_request(request)).await;
        let response = answered
            .map_err(|_silent| self.unreachable("it does not answer"))?
            .map_err(|error| self.unreachable(error.to_string()))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let text = self.read(body).await.unwrap_or_default();
        Err(self.refusal(parts.status, &String::from_utf8_lossy(&text)))
    }

    async fn shake<S>(&self, stream: S) -> Result<http1::SendRequest<Full<Bytes>>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| self.unreachable(error.to_string()))?;
        // It ends with the answer's body, and what goes wrong on it is told by the answer.
        tokio::spawn(async move { connection.await.ok() });
        Ok(sender)
    }

    /// What an answer that is none means.
    pub(super) fn refusal(&self, status: StatusCode, text: &str) -> VaultError {
        let code = element(text, "Code").unwrap_or_default();
        let said = match element(text, "Message") {
            Some(message) if code.is_empty() => message,
            Some(message) => format!("{code}: {message}"),
            None if code.is_empty() => status.to_string(),
            None => code.clone(),
        };
        match code.as_str() {
            "NoSuchKey" | "NoSuchUpload" => return VaultError::Missing(format!("such object ({said})")),
            "QuotaExceeded" | "StorageFull" | "XMinioStorageFull" | "InsufficientStorage" | "EntityTooLarge" => {
                return VaultError::Full(format!("{} ({said})", self.place));
            }
            "RequestTimeout" | "SlowDown" => return self.unreachable(said),
            _ => {}
        }
        match status {
            StatusCode::INSUFFICIENT_STORAGE => VaultError::Full(format!("{} ({said})", self.place)),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => self.unreachable(said),
            // The answer to HEAD has no body, so that nothing tells an object from its bucket.
            StatusCode::NOT_FOUND if code.is_empty() => VaultError::Missing("such object".to_owned()),
            status if status.is_server_error() => self.unreachable(said),
            _ => VaultError::Refused { place: self.place.clone(), why: said },
        }
    }
}

/// The text of the first element of that name, shortened and without control characters.
pub(super) fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    Some(inner.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, code: &str) -> VaultError {
        let client = Client::new("s3://backups at host".to_owned()).expect("a client");
        let text = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>words\n</Message></Error>");
        client.refusal(StatusCode::from_u16(status).expect("a status"), if code.is_empty() { "" } else { &text })
    }

    #[test]
    fn refusals_say_what_it_is() {
        let said = refusal(403, "SignatureDoesNotMatch").to_string();
        assert_eq!(said, "s3://backups at host refuses: SignatureDoesNotMatch: words");
        assert!(matches!(refusal(404, "NoSuchBucket"), VaultError::Refused { .. }));
        assert!(matches!(refusal(404, "NoSuchKey"), VaultError::Missing(_)));
        assert!(matches!(refusal(404, ""), VaultError::Missing(_)));
        assert!(matches!(refusal(507, "XMinioStorageFull"), VaultError::Full(_)));
        assert!(matches!(refusal(507, ""), VaultError::Full(_)));
        for (status, code) in [(503, "SlowDown"), (500, ""), (429, ""), (400, "RequestTimeout")] {
            assert!(matches!(refusal(status, code), VaultError::Unreachable { .. }), "{status} {code}");
        }
    }
}
