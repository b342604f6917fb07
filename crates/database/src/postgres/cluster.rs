//! One app's cluster: its container, its files, when it is ready.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use engine::{ContainerId, ContainerSpec, Limits, Mount, VolumeName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::config::{DIRECTORY, pg_hba_conf, postgresql_conf};
use super::install::Programs;
use super::{PORT, SUPERUSER, host};
use crate::certificate::Certifier;
use crate::job::tools;
use crate::servers::Server;
use crate::{Database, DatabaseError, Result};

/// The user inside as whom PostgreSQL runs: it refuses to be root.
pub(super) const USER: u16 = 999;
/// Where the volume is shown.
pub(super) const VOLUME_AT: &str = "/data";
/// The cluster's directory in the volume.
pub(super) const DATA: &str = "/data/main";
/// Memory of a server, in bytes. It has 32 MB of shared buffers, and what it reads and writes is cached in the rest.
const MEMORY: u64 = 512 << 20;
/// What a connection takes: 1.7 MB were measured, and it may sort something.
const CONNECTION: u64 = 4 << 20;
/// Connections that there is room for in any case.
const CONNECTIONS: u32 = 100;
/// Processes: a thousand connections, and those that the server has for itself.
const PIDS: u32 = 1100;
/// Fast shutdown: sessions are ended, transactions rolled back, a checkpoint is made. (SIGTERM would wait for the sessions.)
const SIGINT: i32 = 2;
/// What the server answers while it starts or recovers: `cannot_connect_now`.
const STARTING: &[u8] = b"C57P03\0";

/// An app's cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    id: ContainerId,
    pub(super) volume: VolumeName,
    slot: u16,
    database: String,
    names: Vec<String>,
    /// Connections that the app may have.
    connections: u32,
    pub(super) programs: Programs,
    certifier: Arc<dyn Certifier>,
}

/// The name of a cluster's container.
pub(super) fn container_id(database: &Database) -> ContainerId {
    ContainerId::parse(&format!("db-{}", database.app)).expect("an app's name is a container's id")
}

/// The name of a cluster's volume.
pub(super) fn volume(database: &Database) -> VolumeName {
    VolumeName::parse(&format!("postgres-{}", database.app)).expect("an app's name is a volume's")
}

/// A container that shows the machine's programs, of a range of user ids.
pub(super) fn container(id: ContainerId, slot: u16, args: Vec<String>) -> ContainerSpec {
    let limits = Limits { memory_bytes: MEMORY, cpu_millis: 2000, cpu_weight: 100, pids: PIDS };
    ContainerSpec { hostname: "postgres".to_owned(), ..tools(id, slot, USER, limits, args) }
}

/// A configuration file.
pub(super) fn file(name: &str, contents: String, secret: bool) -> Mount {
    Mount::File { at: format!("{DIRECTORY}/{name}"), contents: contents.into_bytes(), owner: secret.then_some(USER) }
}

impl Cluster {
    pub(super) fn new(database: &Database, programs: Programs, certifier: Arc<dyn Certifier>, domain: &str, most: u32) -> Self {
        Self {
            id: container_id(database),
            volume: volume(database),
            slot: database.slot,
            database: database.name.to_string(),
            names: vec![host(database, domain)],
            connections: most,
            programs,
            certifier,
        }
    }

    /// The volume, as the server has it.
    pub(super) fn mount(&self) -> Mount {
        Mount::Volume { name: self.volume.clone(), at: VOLUME_AT.to_owned(), owner: USER, read_only: false }
    }

    /// The range of user ids.
    pub(super) fn slot(&self) -> u16 {
        self.slot
    }
}

#[async_trait]
impl Server for Cluster {
    fn id(&self) -> &ContainerId {
        &self.id
    }

    async fn container(&self) -> Result<ContainerSpec> {
        let certificate = self.certifier.certify(&self.names)?;
        let words = [&self.programs.path("postgres"), "-D", DATA, "-c", &format!("config_file={DIRECTORY}/postgresql.conf")];
        let mut spec = container(self.id.clone(), self.slot, words.map(str::to_owned).to_vec());
        spec.mounts = vec![
            self.mount(),
            file("postgresql.conf", postgresql_conf(), false),
            file("pg_hba.conf", pg_hba_conf(&self.database), false),
            file("server.crt", certificate.chain_pem, false),
            file("server.key", certificate.key_pem, true),
        ];
        spec.limits.memory_bytes += CONNECTION * u64::from(self.connections.saturating_sub(CONNECTIONS));
        spec.keeps_address = true;
        Ok(spec)
    }

    fn port(&self) -> u16 {
        PORT
    }

    async fn ready(&self, address: SocketAddr) -> bool {
        asks_for_credentials(address).await.unwrap_or(false)
    }

    fn stop_signal(&self) -> i32 {
        SIGINT
    }

    fn grace(&self) -> Duration {
        // A checkpoint of 32 MB of buffers, on a slow disk.
        Duration::from_mins(1)
    }
}

/// Knocks without TLS and without a password, as `pg_isready` does: the server says that it starts, or that this is not allowed.
async fn asks_for_credentials(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    // Frontend/backend protocol 3.0: StartupMessage.
    let parameters = format!("user\0{SUPERUSER}\0database\0template1\0\0");
    let length = u32::try_from(parameters.len() + 8).map_err(std::io::Error::other)?;
    let mut message = length.to_be_bytes().to_vec();
    message.extend(196_608_u32.to_be_bytes());
    message.extend(parameters.as_bytes());
    stream.write_all(&message).await?;
    let mut answer = Vec::new();
    stream.take(1000).read_to_end(&mut answer).await?;
    Ok(!answer.is_empty() && !answer.windows(STARTING.len()).any(|window| window == STARTING))
}

/// Why a cluster's file could not be made.
pub(super) fn failed(what: &str, job: &crate::job::Done) -> DatabaseError {
    DatabaseError::Failed(format!("{what}: {}", job.problem()))
}
