//! A SQL Server that the platform runs itself: in a sandbox, with a volume for its files and another one in which backups are handed over.
//!
//! The server writes backups to files and reads them from files, and nothing else. Only the server may use its own volume as long as it
//! runs; so both of them, the server and a job of the platform's that sends a backup out or takes one in, have a second one.

use std::fs::File;
use std::io::Seek;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use engine::{ContainerId, ContainerSpec, Limits, Link, Mount, Upper, VolumeName};
use model::database::DatabaseName;
use rand::Rng;
use tiberius::Config;
use tokio::time::timeout;

use super::Edition;
use super::client::{Session, settings};
use super::url::{MssqlUrl, PORT};
use crate::certificate;
use crate::ground::{Ground, MSSQL_SLOT};
use crate::place::HostPort;
use crate::servers::{Lease, Server};
use crate::supply::{Supplied, Supply};
use crate::{DatabaseError, Result, Secret};

/// The user inside as whom it runs, as in the vendor's image.
const USER: u16 = 10_001;
/// Its administrator.
const ADMIN: &str = "sa";
/// Its container's memory. The server does not start with less than 2,000 MB.
const MEMORY: u64 = 2304 << 20;
/// Memory that the server takes for itself at most, in MB; the rest is for threads and what it loads.
const MEMORY_SERVER: u64 = 1792;
/// What a machine must have.
const MEMORY_MACHINE: u64 = 2000 << 20;
/// Its threads.
const PIDS: u32 = 2000;
/// Where its files are. It knows no other place for its configuration.
const HOME: &str = "/var/opt/mssql";
/// Where its certificate is shown.
const DIRECTORY: &str = "/etc/adaptable/mssql";
/// Where backups are handed over.
const EXCHANGE: &str = "/exchange";
/// How long a login may take that asks whether it is well.
const LOGIN: Duration = Duration::from_secs(4);

/// The server of all apps.
#[derive(Debug)]
pub(super) struct Own {
    ground: Ground,
    supply: Supply,
    edition: Edition,
    host: String,
    id: ContainerId,
}

impl Own {
    /// A server whose program comes from there. Its licence has been accepted.
    pub(super) fn new(ground: Ground, supply: Supply, edition: Edition) -> Self {
        let host = format!("server.mssql.{}", ground.domain);
        let id = ContainerId::parse("db-mssql").unwrap_or_else(|_| unreachable!("it is a name"));
        Self { ground, supply, edition, host, id }
    }

    /// Whether it can run here.
    pub(super) fn available(&self) -> Result<()> {
        self.supply.available(
            "install SQL Server (mssql-server), or name an existing one in the settings, mssql = \"sqlserver://ADMIN:PASSWORD@HOST/\", or \
             its image, mssql = \"image:mcr.microsoft.com/mssql/server:2022-latest\"",
        )?;
        let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        enough(&text)
    }

    /// Starts it unless it runs, and keeps it running.
    pub(super) async fn awake(&self) -> Result<Lease> {
        self.available()?;
        let supplied = self.supply.get(USER).await?;
        self.ground.servers.awake(self.server(supplied)).await
    }

    fn server(&self, supplied: Supplied) -> Arc<Sqlservr> {
        Arc::new(Sqlservr {
            ground: self.ground.clone(),
            supplied,
            edition: self.edition.clone(),
            host: self.host.clone(),
            id: self.id.clone(),
        })
    }

    /// A session of the administrator's, which keeps the server running.
    pub(super) async fn admin(&self, database: &str) -> Result<Session> {
        let lease = self.awake().await?;
        let config = connection(&self.ground, &self.host, lease.address(), database);
        Ok(Session::open(config).await?.with(lease))
    }

    /// The server's address for an app.
    pub(super) fn there(&self) -> MssqlUrl {
        url(&self.host, Secret::new(""))
    }

    /// What a container needs to reach it.
    pub(super) fn links(&self, lease: &Lease) -> Vec<Link> {
        lease.links(&self.host)
    }

    /// The authority's certificate, for containers.
    pub(super) fn authority(&self) -> Mount {
        certificate::authority(&*self.ground.certifier)
    }

    /// A name for a backup on its way that no other has.
    pub(super) fn file(&self, name: &DatabaseName) -> Handed<'_> {
        Handed { own: self, name: format!("{name}-{:032x}.bak", rand::rng().random::<u128>()) }
    }

    async fn run(&self, args: &[&str], input: Option<File>, output: Option<File>) -> Result<()> {
        let done = crate::job::run(self.ground.servers.engine(), job(args)?, input, output).await?;
        if done.is_ok() { Ok(()) } else { Err(DatabaseError::Failed(format!("hand over a backup: {}", done.problem()))) }
    }
}

/// A backup on its way between the server and the platform. Who has one removes it at last.
#[derive(Debug)]
pub(super) struct Handed<'a> {
    own: &'a Own,
    name: String,
}

impl Handed<'_> {
    /// What the server calls it, and a job.
    pub(super) fn path(&self) -> String {
        format!("{EXCHANGE}/{}", self.name)
    }

    /// Copies what the server has written.
    pub(super) async fn take(&self, to: File) -> Result<()> {
        self.own.run(&["/usr/bin/cat", "--", &self.path()], None, Some(to)).await
    }

    /// Puts a backup where the server reads it.
    pub(super) async fn give(&self, mut from: File) -> Result<()> {
        from.rewind().map_err(|error| DatabaseError::Failed(format!("read the backup: {error}")))?;
        let of = format!("of={}", self.path());
        self.own.run(&["/usr/bin/dd", &of, "bs=1M", "iflag=fullblock", "conv=fsync", "status=none"], Some(from), None).await
    }

    /// Removes it, and what a platform that was killed has left a day ago.
    pub(super) async fn remove(&self) {
        let old = ["-o", "-mmin", "+1440", ")", "-delete"];
        let words = [&["/usr/bin/find", EXCHANGE, "-mindepth", "1", "(", "-name", self.name.as_str()][..], &old].concat();
        if let Err(error) = self.own.run(&words, None, None).await {
            tracing::warn!(%error, "remove a backup that was handed over");
        }
    }
}

/// A job with the directory in which backups are handed over, as the server's own user.
fn job(args: &[&str]) -> Result<ContainerSpec> {
    let id = format!("db-mssql-job-{:016x}", rand::rng().random::<u64>());
    let id = ContainerId::parse(&id).map_err(|error| DatabaseError::Failed(error.to_string()))?;
    let limits = Limits { memory_bytes: 128 << 20, cpu_millis: 2000, cpu_weight: 100, pids: 16 };
    Ok(ContainerSpec {
        upper: Upper::Memory { bytes: 1 << 20 },
        hostname: "backup".to_owned(),
        mounts: vec![exchange()?],
        ..crate::job::tools(id, MSSQL_SLOT, USER, limits, args.iter().map(|word| (*word).to_owned()).collect())
    })
}

fn exchange() -> Result<Mount> {
    let name = VolumeName::parse("mssql-exchange").map_err(|error| DatabaseError::Failed(error.to_string()))?;
    Ok(Mount::Exchange { name, at: EXCHANGE.to_owned(), owner: USER })
}

/// Whether a machine has the memory that the server insists on, by its `/proc/meminfo`.
fn enough(meminfo: &str) -> Result<()> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok());
    match total.map(|kilobytes| kilobytes * 1024) {
        Some(bytes) if bytes < MEMORY_MACHINE => Err(DatabaseError::Unavailable {
            what: format!(
                "SQL Server needs {} MB of memory at least, and this machine has {} MB",
                MEMORY_MACHINE >> 20,
                bytes >> 20
            ),
            help: "name an existing server in the settings, mssql = \"sqlserver://ADMIN:PASSWORD@HOST/\"".to_owned(),
        }),
        _ => Ok(()),
    }
}

fn url(host: &str, password: Secret) -> MssqlUrl {
    let host = HostPort { host: host.to_owned(), port: PORT };
    MssqlUrl { host, user: ADMIN.to_owned(), password, encrypt: true, trust: false, ca: None }
}

/// The administrator's password: the server wants three of four kinds of characters in it.
fn password(ground: &Ground) -> Secret {
    Secret::new(format!("A-{}", ground.password("mssql administrator").reveal()))
}

/// The platform's own connection: to the address that the server has, as the one whose name its certificate bears.
fn connection(ground: &Ground, host: &str, address: SocketAddr, database: &str) -> Config {
    let password = password(ground);
    let ca = ground.certifier.authority_pem().into_bytes();
    let mut config = settings(&url(host, password.clone()), Some(&ca), ADMIN, &password, database);
    config.host(address.ip());
    config.port(address.port());
    config.hostname_in_certificate(host);
    config
}

/// A start of the server.
#[derive(Debug)]
struct Sqlservr {
    ground: Ground,
    supplied: Supplied,
    edition: Edition,
    host: String,
    id: ContainerId,
}

#[async_trait]
impl Server for Sqlservr {
    fn id(&self) -> &ContainerId {
        &self.id
    }

    async fn container(&self) -> Result<ContainerSpec> {
        let certificate = self.ground.certifier.certify_rsa(std::slice::from_ref(&self.host))?;
        let file = |at: String, contents: String, secret: bool| Mount::File {
            at,
            contents: contents.into_bytes(),
            owner: secret.then_some(USER),
        };
        let volume = VolumeName::parse("mssql").map_err(|error| DatabaseError::Failed(error.to_string()))?;
        let limits = Limits { memory_bytes: MEMORY, cpu_millis: 2000, cpu_weight: 100, pids: PIDS };
        let mut spec = self.supplied.server(self.id.clone(), MSSQL_SLOT, USER, limits);
        let own = [
            ("ACCEPT_EULA", "Y".to_owned()),
            ("MSSQL_PID", self.edition.as_str().to_owned()),
            ("MSSQL_SA_PASSWORD", password(&self.ground).reveal().to_owned()),
            ("HOME", HOME.to_owned()),
        ];
        for (name, value) in own {
            spec.env.retain(|(other, _)| other != name);
            spec.env.push((name.to_owned(), value));
        }
        // It remembers under which name it was made.
        "mssql".clone_into(&mut spec.hostname);
        spec.mounts = vec![
            Mount::Volume { name: volume, at: HOME.to_owned(), owner: USER, read_only: false },
            exchange()?,
            file(format!("{HOME}/mssql.conf"), configuration(), false),
            file(format!("{DIRECTORY}/server.pem"), certificate.chain_pem, false),
            file(format!("{DIRECTORY}/server.key"), certificate.key_pem, true),
        ];
        Ok(spec)
    }

    fn port(&self) -> u16 {
        PORT
    }

    /// It answers long before its databases are there.
    async fn ready(&self, address: SocketAddr) -> bool {
        let asked = async {
            let config = connection(&self.ground, &self.host, address, "master");
            Session::open(config).await?.number(super::statements::RECOVERING).await
        };
        matches!(timeout(LOGIN, asked).await, Ok(Ok(0)))
    }

    fn grace(&self) -> Duration {
        Duration::from_mins(1)
    }

    /// A new version changes all databases of the system when it starts for the first time.
    fn patience(&self) -> Duration {
        Duration::from_mins(5)
    }
}

/// The configuration file (Microsoft's "Configure SQL Server on Linux with the mssql-conf tool").
fn configuration() -> String {
    format!(
        "[EULA]
accepteula = Y

[memory]
memorylimitmb = {MEMORY_SERVER}

[network]
forceencryption = 1
tcpport = {PORT}
tlscert = {DIRECTORY}/server.pem
tlskey = {DIRECTORY}/server.key
tlsprotocols = 1.2
"
    )
}
