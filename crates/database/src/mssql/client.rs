//! Connections to a SQL Server: one for each piece of work, and errors in one line.

use std::time::Duration;

use tiberius::{AuthMethod, Client, Config, EncryptionLevel, Row};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

use super::url::MssqlUrl;
use crate::servers::Lease;
use crate::{DatabaseError, Result, Secret};

/// How long a server may take to accept a connection, and then a user.
const PATIENCE: Duration = Duration::from_secs(15);

/// A connection to one database of a server.
pub(crate) struct Session {
    client: Client<Compat<TcpStream>>,
    /// Keeps a server of the platform's own running meanwhile.
    _lease: Option<Lease>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

/// The settings of a connection.
pub(crate) fn settings(url: &MssqlUrl, ca: Option<&[u8]>, user: &str, password: &Secret, database: &str) -> Config {
    let mut config = Config::new();
    config.host(&url.host.host);
    config.port(url.host.port);
    config.database(database);
    config.application_name("adaptable");
    config.authentication(AuthMethod::sql_server(user, password.reveal()));
    config.encryption(if url.encrypt { EncryptionLevel::Required } else { EncryptionLevel::Off });
    match ca {
        Some(ca) => config.trust_cert_ca_bundle(ca.to_vec()),
        None if url.trust => config.trust_cert(),
        None => {}
    }
    config.handshake_timeout(Some(PATIENCE));
    // A dump takes as long as it takes.
    config.command_timeout(None);
    config
}

impl Session {
    /// Connects.
    pub(crate) async fn open(config: Config) -> Result<Self> {
        let unreached = |why: String| DatabaseError::Server(format!("SQL Server: {why}"));
        let connected = timeout(PATIENCE, TcpStream::connect(config.get_addr())).await;
        let stream = connected
            .map_err(|_late| unreached(format!("no answer within {} s", PATIENCE.as_secs())))?
            .map_err(|error| unreached(error.to_string()))?;
        stream.set_nodelay(true).map_err(|error| unreached(error.to_string()))?;
        // A handshake's future is large.
        let client = Box::pin(Client::connect(config, stream.compat_write())).await.map_err(|error| failed(&error))?;
        Ok(Self { client, _lease: None })
    }

    /// Keeps a server running as long as this is there.
    pub(crate) fn with(self, lease: Lease) -> Self {
        Self { client: self.client, _lease: Some(lease) }
    }

    /// Does a batch of statements, and gives the rows of the last result.
    pub(crate) async fn run(&mut self, statements: &str) -> Result<Vec<Row>> {
        let stream = self.client.simple_query(statements).await.map_err(|error| failed(&error))?;
        let results = stream.into_results().await.map_err(|error| failed(&error))?;
        Ok(results.into_iter().next_back().unwrap_or_default())
    }

    /// Does each batch, in order.
    pub(crate) async fn all(&mut self, batches: &[String]) -> Result<()> {
        for batch in batches {
            self.run(batch).await?;
        }
        Ok(())
    }

    /// The first number that a batch gives.
    pub(crate) async fn number(&mut self, statements: &str) -> Result<u64> {
        let rows = self.run(statements).await?;
        let number = rows.first().map(|row| row.try_get::<i64, _>(0)).transpose().map_err(|error| failed(&error))?.flatten();
        Ok(number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0))
    }
}

/// The text in a column, empty where there is none.
pub(crate) fn text(row: &Row, column: &str) -> String {
    row.try_get::<&str, _>(column).ok().flatten().unwrap_or_default().to_owned()
}

/// An error of the driver's as one of ours. The server's own words hold names, and neither statements nor passwords.
pub(crate) fn failed(error: &tiberius::error::Error) -> DatabaseError {
    use tiberius::error::Error;
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect::<String>();
    match error {
        // Login failed (the server's list of errors).
        Error::Server(told) if told.code() == 18456 => {
            DatabaseError::Failed("SQL Server: the server does not accept the user name and the password".to_owned())
        }
        Error::Server(told) => DatabaseError::Failed(format!("SQL Server: {} (error {})", one_line(told.message()), told.code())),
        Error::Io { message, .. } => DatabaseError::Server(format!("SQL Server: {}", one_line(message))),
        Error::Tls(message) => DatabaseError::Server(format!(
            "SQL Server: TLS: {}; where the server has made its certificate itself, add ?trustServerCertificate=true to the address, \
             or better ?caFile=/PATH",
            one_line(message)
        )),
        other => DatabaseError::Failed(format!("SQL Server: {}", one_line(&other.to_string()))),
    }
}
