//! One request over one connection: proxy, TLS, and patience that ends.
//!
//! A pull asks a dozen times, so a connection of its own for each request costs little, and none is left in a strange state.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::error::{PullError, chain};
use super::settings::{Settings, SettingsError, is_this_machine};

/// How long a connection may take to come about, TLS and a proxy included.
const CONNECT: Duration = Duration::from_secs(15);

/// How requests travel.
pub(super) struct Transport {
    tls: TlsConnector,
    proxy: Matcher,
    patience: Duration,
}

/// What went wrong, before it is known which host it is blamed on.
type Words = Box<dyn std::error::Error + Send + Sync>;

impl Transport {
    /// Reads the machine's authorities and those of the settings.
    pub(super) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if !settings.authorities.is_empty() {
            let own: Vec<_> = CertificateDer::pem_slice_iter(&settings.authorities)
                .collect::<Result<_, _>>()
                .map_err(|_unreadable| SettingsError::Authorities)?;
            if own.is_empty() || own.into_iter().any(|certificate| roots.add(certificate).is_err()) {
                return Err(SettingsError::Authorities);
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has the protocol versions of TLS that it is built with")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), proxy: settings.proxy.matcher(), patience: settings.patience })
    }

    /// Asks for what lies at an address; the answer, whatever its status, once its head is there.
    pub(super) async fn get(&self, uri: &Uri, headers: HeaderMap) -> Result<Response<Incoming>, PullError> {
        let host = uri.authority().map_or_else(String::new, ToString::to_string);
        let unreachable = |why: String| PullError::Unreachable { host: host.clone(), why };
        let open = tokio::time::timeout(CONNECT, self.open(uri));
        let opened = open.await.map_err(|_elapsed| unreachable("it does not answer".to_owned()))?;
        let (mut sender, absolute) = opened.map_err(|error| unreachable(chain(&*error)))?;
        let target = if absolute { uri.to_string() } else { uri.path_and_query().map_or("/", |it| it.as_str()).to_owned() };
        let mut request = Request::builder().method(Method::GET).uri(target).body(Empty::new()).map_err(|_invalid| {
            PullError::Protocol { host: host.clone(), why: "it names an address that can't be asked for".to_owned() }
        })?;
        *request.headers_mut() = headers;
        if let Ok(value) = HeaderValue::from_str(&host) {
            request.headers_mut().insert(header::HOST, value);
        }
        request
            .headers_mut()
            .insert(header::USER_AGENT, HeaderValue::from_static(concat!("adaptable/", env!("CARGO_PKG_VERSION"))));
        if absolute && let Some(authorization) = self.proxy.intercept(uri).as_ref().and_then(|it| it.basic_auth()) {
            request.headers_mut().insert(header::PROXY_AUTHORIZATION, authorization.clone());
        }
        let answered = tokio::time::timeout(self.patience, sender.send_request(request)).await;
        let answer = answered.map_err(|_elapsed| unreachable("it does not answer".to_owned()))?;
        answer.map_err(|error| unreachable(chain(&error)))
    }

    /// A connection to the host of an address; whether it ends at a proxy, which wants to be told the whole address.
    async fn open(&self, uri: &Uri) -> Result<(SendRequest<Empty<Bytes>>, bool), Words> {
        let authority = uri.authority().ok_or("the address names no host")?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let is_tls = uri.scheme_str() == Some("https");
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let through = if is_this_machine(authority.as_str()) { None } else { self.proxy.intercept(uri) };
        let Some(through) = through else {
            let tcp = TcpStream::connect((host, port)).await?;
            return Ok((self.secured(tcp, host, is_tls).await?, false));
        };
        let proxy = through.uri();
        if proxy.scheme_str() != Some("http") {
            return Err(format!("the proxy {} is none of HTTP", proxy.host().unwrap_or_default()).into());
        }
        let at = (proxy.host().unwrap_or_default().trim_matches(['[', ']']), proxy.port_u16().unwrap_or(80));
        let tcp = TcpStream::connect(at).await.map_err(|error| format!("the proxy {}:{}: {error}", at.0, at.1))?;
        if !is_tls {
            return Ok((handshake(tcp).await?, true));
        }
        let target = format!("{}:{port}", authority.host());
        let mut request =
            Request::builder().method(Method::CONNECT).uri(&target).header(header::HOST, &target).body(Empty::new())?;
        if let Some(authorization) = through.basic_auth() {
            request.headers_mut().insert(header::PROXY_AUTHORIZATION, authorization.clone());
        }
        let answer = handshake(tcp).await?.send_request(request).await?;
        if !answer.status().is_success() {
            return Err(format!("the proxy {}:{} answers {}", at.0, at.1, answer.status()).into());
        }
        let tunnel = TokioIo::new(hyper::upgrade::on(answer).await?);
        Ok((self.secured(tunnel, host, true).await?, false))
    }

    async fn secured<S>(&self, stream: S, host: &str, is_tls: bool) -> Result<SendRequest<Empty<Bytes>>, Words>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if is_tls {
            let name = ServerName::try_from(host.to_owned())?;
            handshake(self.tls.connect(name, stream).await?).await
        } else {
            handshake(stream).await
        }
    }
}

async fn handshake<S>(stream: S) -> Result<SendRequest<Empty<Bytes>>, Words>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the answer's body, and what goes wrong on it is told by the answer.
    tokio::spawn(async move { connection.with_upgrades().await.ok() });
    Ok(sender)
}
