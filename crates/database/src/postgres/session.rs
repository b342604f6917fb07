//! The platform's own connections to a cluster: with TLS that is verified, as its superuser.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::{Client, Config, Error};
use tokio_rustls::TlsConnector;

use super::{Postgres, SUPERUSER, host, make};
use crate::{Awake, Database, DatabaseError, Kind, Result, Usage};

/// How long it may take to be connected.
const CONNECTED: Duration = Duration::from_secs(10);

/// A connection, open as long as this lives.
pub(super) struct Session {
    client: Client,
    task: tokio::task::JoinHandle<()>,
    /// Keeps the server running.
    _awake: Option<Awake>,
}

impl std::ops::Deref for Session {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts the server unless it runs, and connects to a database of the cluster.
pub(super) async fn open(postgres: &Postgres, database: &Database, name: &str) -> Result<Session> {
    let awake = postgres.awake(database).await?;
    let mut session = connect(postgres, database, awake.address, name).await?;
    session._awake = Some(awake);
    Ok(session)
}

/// Connects to a database of a cluster whose server runs.
pub(super) async fn connect(postgres: &Postgres, database: &Database, address: SocketAddr, name: &str) -> Result<Session> {
    let tls = connector(&postgres.certifier.authority_pem())?;
    let server =
        ServerName::try_from(host(database, &postgres.domain)).map_err(|error| DatabaseError::Failed(error.to_string()))?;
    let mut config = Config::new();
    config.user(SUPERUSER).password(make::admin(database)?.reveal()).dbname(name).ssl_mode(SslMode::Require);
    config.application_name("adaptable");
    let connected = async {
        let stream = TcpStream::connect(address).await.map_err(|error| unreachable(&error))?;
        let _latency = stream.set_nodelay(true);
        config.connect_raw(stream, Connect { tls, server }).await.map_err(|error| failed(&error))
    };
    let (client, connection) = timeout(CONNECTED, connected).await.map_err(|_slow| unreachable(&"it does not answer"))??;
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a database has ended");
        }
    });
    Ok(Session { client, task, _awake: None })
}

fn unreachable(why: &dyn std::fmt::Display) -> DatabaseError {
    DatabaseError::Server(format!("connect: {why}"))
}

/// What the server says, in one line: its own words where it has said something.
pub(super) fn failed(error: &Error) -> DatabaseError {
    match error.as_db_error() {
        Some(said) => DatabaseError::Failed(format!("PostgreSQL: {}", said.message())),
        None if error.is_closed() => DatabaseError::Server("the connection has been closed".to_owned()),
        None => {
            let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
            DatabaseError::Server(format!("{error}{cause}"))
        }
    }
}

fn connector(authority: &str) -> Result<TlsConnector> {
    let wrong = |error: &dyn std::fmt::Display| DatabaseError::Failed(format!("trust the platform's authority: {error}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Makes a connection one with TLS, once the server has agreed to it.
struct Connect {
    tls: TlsConnector,
    server: ServerName<'static>,
}

impl TlsConnect<TcpStream> for Connect {
    type Stream = Stream;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Stream>> + Send>>;

    fn connect(self, stream: TcpStream) -> Self::Future {
        Box::pin(async move { Ok(Stream(self.tls.connect(self.server, stream).await?)) })
    }
}

/// A connection with TLS.
struct Stream(tokio_rustls::client::TlsStream<TcpStream>);

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        // The certificate has been verified, which says as much.
        ChannelBinding::none()
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Sees that a database is what it should be.
pub(super) async fn checked(postgres: &Postgres, database: &Database) -> Result<()> {
    let session = open(postgres, database, database.name.as_str()).await?;
    session.simple_query("SELECT 1").await.map_err(|error| failed(&error))?;
    Ok(())
}

/// What a database holds, and who uses it.
pub(super) async fn usage(postgres: &Postgres, database: &Database, address: SocketAddr) -> Result<Usage> {
    let session = connect(postgres, database, address, "template1").await?;
    let name = database.name.as_str();
    let row = session
        .query_one(
            "SELECT pg_database_size($1::name), (SELECT count(*) FROM pg_stat_activity WHERE usename = $1::name)",
            &[&name],
        )
        .await
        .map_err(|error| failed(&error))?;
    let (bytes, connections): (i64, i64) = (row.get(0), row.get(1));
    Ok(Usage { bytes: u64::try_from(bytes).unwrap_or(0), connections: u32::try_from(connections).unwrap_or(u32::MAX) })
}
