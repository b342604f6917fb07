//! The platform's own connections to a cluster: with TLS that is verified, as its superuser.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Error};
use tokio_rustls::TlsConnector;

use super::{Postgres, SUPERUSER, host, make};
use crate::certificate::connector;
use crate::{Awake, Database, DatabaseError, Kind, Result, Usage};

/// How long it may take to be connected.
const CONNECTED: Duration = Duration::from_secs(10);

/// A connection, open as long as this lives.
pub(super) struct Session {
    client: Client,
    task: tokio::task::JoinHandle<()>,
    awake: Awake,
}

impl Session {
    /// What keeps the server running, and says how it is reached.
    pub(super) fn awake(&self) -> &Awake {
        &self.awake
    }

    /// Runs statements whose answers nobody needs, each in a transaction of its own.
    pub(super) async fn run(&self, statements: &[String]) -> Result<()> {
        for statement in statements {
            self.client.batch_execute(statement).await.map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    /// The one number that a query gives.
    pub(super) async fn number(&self, query: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<u64> {
        let row = self.client.query_one(query, parameters).await.map_err(|error| failed(&error))?;
        let number: i64 = row.try_get(0).map_err(|error| failed(&error))?;
        Ok(u64::try_from(number).unwrap_or(0))
    }

    /// The texts that a query gives.
    pub(super) async fn texts(&self, query: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<String>> {
        let rows = self.client.query(query, parameters).await.map_err(|error| failed(&error))?;
        rows.iter().map(|row| row.try_get(0).map_err(|error| failed(&error))).collect()
    }
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
    let tls = connector(&postgres.certifier.authority_pem())?;
    let server =
        ServerName::try_from(host(database, &postgres.domain)).map_err(|error| DatabaseError::Failed(error.to_string()))?;
    let mut config = Config::new();
    config.user(SUPERUSER).password(make::admin(database)?.reveal()).dbname(name).ssl_mode(SslMode::Require);
    // What is over its limit is read-only for the app, not for who looks after it.
    config.application_name("adaptable").options("-c default_transaction_read_only=off -c search_path=pg_catalog");
    let connected = async {
        let stream = TcpStream::connect(awake.address).await.map_err(|error| unreachable(&error))?;
        let _latency = stream.set_nodelay(true);
        config.connect_raw(stream, Connect { tls, server }).await.map_err(|error| failed(&error))
    };
    let (client, connection) = timeout(CONNECTED, connected).await.map_err(|_slow| unreachable(&"it does not answer"))??;
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a database has ended");
        }
    });
    Ok(Session { client, task, awake })
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

/// What a database holds, and who uses it.
pub(super) async fn usage(postgres: &Postgres, database: &Database) -> Result<Usage> {
    let session = open(postgres, database, "template1").await?;
    let name = database.name.as_str();
    let bytes = size(&session, database).await?;
    let connections = session.number("SELECT count(*) FROM pg_stat_activity WHERE usename = $1::text::name", &[&name]).await?;
    Ok(Usage { bytes, connections: u32::try_from(connections).unwrap_or(u32::MAX) })
}

/// What a database holds, in bytes.
pub(super) async fn size(session: &Session, database: &Database) -> Result<u64> {
    session.number("SELECT pg_database_size($1::text::name)", &[&database.name.as_str()]).await
}
