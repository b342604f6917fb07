//! Opening a connection: to the Unix socket, or by TCP and TLS to a host.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::{ClientError, RequestBody, Trust};

/// How long a connection may take to come about.
const PATIENCE: Duration = Duration::from_secs(10);

/// A platform that is reached by HTTPS.
pub(super) struct Remote {
    host: String,
    port: u16,
    name: ServerName<'static>,
    tls: TlsConnector,
}

impl Remote {
    pub(super) fn new(url: &str, trust: &Trust) -> Result<Self, ClientError> {
        let refuse = |why| ClientError::Url { url: url.chars().take(100).collect(), why };
        let uri: http::Uri = url.trim().parse().map_err(|_invalid| refuse("it can't be read"))?;
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") => return Err(refuse("a token may only travel over https")),
            _ => return Err(refuse("it must begin with https://")),
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(refuse("it must end after the host and the port"));
        }
        let authority = uri.authority().ok_or_else(|| refuse("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(refuse("a token goes to --token, not into the address"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|_invalid| refuse("it names no possible host"))?;
        let config = trust.config().map_err(|_unusable| refuse("no certificates to trust were found on this machine"))?;
        Ok(Self { host, port: authority.port_u16().unwrap_or(443), name, tls: TlsConnector::from(Arc::new(config)) })
    }

    pub(super) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 443 { host } else { format!("{host}:{}", self.port) }
    }

    pub(super) fn url(&self) -> String {
        format!("https://{}", self.authority())
    }

    pub(super) async fn dial(&self) -> Result<SendRequest<RequestBody>, ClientError> {
        let place = self.url();
        let open = async {
            let tcp = self.connect().await.map_err(|source| ClientError::NoPlatform { place: place.clone(), source })?;
            // Small requests must not wait for the acknowledgement of the one before.
            tcp.set_nodelay(true).ok();
            let tls = self.tls.connect(self.name.clone(), tcp).await;
            tls.map_err(|source| match source.kind() {
                ErrorKind::InvalidData | ErrorKind::Other => ClientError::Tls { place: place.clone(), source },
                _ => ClientError::NoPlatform { place: place.clone(), source },
            })
        };
        let tls = tokio::time::timeout(PATIENCE, open).await.map_err(|_elapsed| no_answer(&place))??;
        handshake(tls, &place).await
    }

    /// Connects to the host; what lies below `localhost` is this machine, whether the resolver knows that or not.
    async fn connect(&self) -> std::io::Result<TcpStream> {
        if self.host == "localhost" || self.host.ends_with(".localhost") {
            let here =
                [SocketAddr::from(([127, 0, 0, 1], self.port)), SocketAddr::from(([0u16, 0, 0, 0, 0, 0, 0, 1], self.port))];
            return TcpStream::connect(&here[..]).await;
        }
        TcpStream::connect((self.host.as_str(), self.port)).await
    }
}

/// Opens the platform's socket.
pub(super) async fn socket(path: &Path) -> Result<SendRequest<RequestBody>, ClientError> {
    let place = path.display().to_string();
    let opened = tokio::time::timeout(PATIENCE, UnixStream::connect(path)).await.map_err(|_elapsed| no_answer(&place))?;
    let stream = opened.map_err(|source| match source.kind() {
        ErrorKind::PermissionDenied => ClientError::NotAllowed { place: place.clone() },
        _ => ClientError::NoPlatform { place: place.clone(), source },
    })?;
    handshake(stream, &place).await
}

fn no_answer(place: &str) -> ClientError {
    ClientError::NoPlatform { place: place.to_owned(), source: ErrorKind::TimedOut.into() }
}

async fn handshake<S>(stream: S, place: &str) -> Result<SendRequest<RequestBody>, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|source| ClientError::Broken { place: place.to_owned(), source: Box::new(source) })?;
    // It ends with the answer's body, and what goes wrong on it is told by the answer.
    tokio::spawn(async move { connection.await.ok() });
    Ok(sender)
}
