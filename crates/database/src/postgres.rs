//! PostgreSQL: a cluster of its own for each app, served by the machine's own programs in a container of the app's.
//!
//! So what an app must not see of another's (catalogues, roles, statistics, memory, connections) is simply elsewhere, and its server
//! sleeps when it does. A cluster is copied from a template that is made once for each major version, since `initdb` takes a second.

mod cluster;
mod config;
mod dump;
mod install;
mod limits;
mod make;
mod moment;
mod restore;
mod session;
mod sql;

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use model::database::DatabaseSettings;
use model::{AppName, DatabaseType};

use crate::certificate::{self, AUTHORITY_AT, Certifier};
use crate::secret::url_encoded;
use crate::servers::Servers;
use crate::{Access, Awake, Database, Enforcement, Found, Kept, Kind, Result, Secret, Usage};

pub(crate) use cluster::Cluster;
use install::Installed;

/// The port on which servers listen in their containers.
pub const PORT: u16 = 5432;
/// The user as whom the platform looks after a cluster.
pub(crate) const SUPERUSER: &str = "adaptable";

/// Databases of PostgreSQL.
#[derive(Debug)]
pub struct Postgres {
    servers: Servers,
    certifier: Arc<dyn Certifier>,
    installed: Installed,
    /// The domain of the platform, below which its databases have names for who comes from outside.
    domain: String,
    template: make::Template,
    /// Connections that apps may have, as their settings said last: a server's memory depends on it.
    connections: Mutex<HashMap<AppName, u32>>,
}

/// The host name of an app's server, in containers and outside: below the platform's domain, for which its authority may speak.
pub fn host(database: &Database, domain: &str) -> String {
    format!("{}.postgres.{domain}", database.app)
}

impl Postgres {
    /// Databases whose servers are programs below `programs`, `/usr/lib/postgresql` on Debian: `N/bin/postgres`, and have
    /// certificates for their hosts and for `APP.domain`.
    pub fn new(servers: Servers, certifier: Arc<dyn Certifier>, programs: PathBuf, domain: String) -> Self {
        Self {
            servers,
            certifier,
            installed: Installed::new(programs),
            domain,
            template: make::Template::default(),
            connections: Mutex::default(),
        }
    }

    /// Makes what is common to all databases of the newest version, so that the first of them does not wait for it. Fine where it
    /// is there.
    pub async fn prepare_template(&self) -> Result<()> {
        let major = self.installed.newest()?;
        self.template.prepare(self, major).await
    }

    fn cluster(&self, database: &Database) -> Result<Cluster> {
        let major = database.kept.major.map_or_else(|| self.installed.newest(), |major| self.installed.has(major))?;
        let programs = self.installed.programs(major);
        let most = self.lock().get(&database.app).copied().unwrap_or(0);
        Ok(Cluster::new(database, programs, Arc::clone(&self.certifier), &self.domain, most))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AppName, u32>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its next start gives the server the memory for as many connections as these settings allow.
    fn know(&self, database: &Database, settings: &DatabaseSettings) {
        self.lock().insert(database.app.clone(), settings.max_connections);
    }
}

#[async_trait]
impl Kind for Postgres {
    fn kind(&self) -> DatabaseType {
        DatabaseType::Postgres
    }

    async fn available(&self) -> Result<()> {
        self.installed.newest().map(drop)
    }

    async fn create(&self, database: &Database, settings: &DatabaseSettings) -> Result<()> {
        self.know(database, settings);
        make::create(self, database, settings).await
    }

    async fn prepare(&self) -> Result<Kept> {
        Ok(Kept { admin: Some(Secret::generate()), major: Some(self.installed.newest()?) })
    }

    fn credentials(&self, database: &Database) -> Access {
        let (host, name, password) = (host(database, &self.domain), database.name.as_str(), database.password.reveal());
        let url = format!("postgres://{}:{}@{}:{PORT}/{}", url_encoded(name), url_encoded(password), host, url_encoded(name));
        let plain = [
            ("PGHOST", host.as_str()),
            ("PGPORT", &PORT.to_string()),
            ("PGDATABASE", name),
            ("PGUSER", name),
            ("PGPASSWORD", password),
            ("PGSSLMODE", "verify-full"),
            ("PGSSLROOTCERT", AUTHORITY_AT),
            // Clients in JavaScript know no PGSSLROOTCERT; they trust whom Node.js trusts.
            ("NODE_EXTRA_CA_CERTS", AUTHORITY_AT),
            ("DATABASE_URL", &url),
        ]
        .map(|(name, value)| (name.to_owned(), Secret::new(value)));
        Access { variables: plain.into(), host, port: PORT, files: vec![certificate::authority(&*self.certifier)] }
    }

    async fn awake(&self, database: &Database) -> Result<Awake> {
        let cluster = self.cluster(database)?;
        let lease = self.servers.awake(Arc::new(cluster)).await?;
        let address = lease.address();
        Ok(Awake { links: lease.links(&host(database, &self.domain)), address, guard: Box::new(lease) })
    }

    async fn apply(&self, database: &Database, settings: &DatabaseSettings) -> Result<()> {
        self.know(database, settings);
        limits::apply(self, database, settings).await
    }

    async fn enforce(&self, database: &Database, settings: &DatabaseSettings) -> Result<Enforcement> {
        self.know(database, settings);
        limits::enforce(self, database, settings).await
    }

    async fn rotate(&self, database: &Database, password: &Secret) -> Result<()> {
        let session = session::open(self, database, "template1").await?;
        let (name, verifier) = (sql::identifier(database.name.as_str()), sql::literal(&sql::verifier(password)));
        session.run(&[format!("ALTER ROLE {name} PASSWORD {verifier}")]).await
    }

    async fn backup(&self, database: &Database, to: File) -> Result<()> {
        dump::backup(self, database, to).await
    }

    async fn verify(&self, database: &Database, dump: File) -> Result<Found> {
        restore::verify(self, database, dump).await
    }

    async fn restore(&self, database: &Database, dump: File) -> Result<()> {
        restore::restore(self, database, dump).await
    }

    async fn base(&self, database: &Database) -> Result<()> {
        moment::base(self, database).await
    }

    async fn covered(&self, database: &Database) -> Result<Option<SystemTime>> {
        moment::covered(self, database).await
    }

    async fn at(&self, database: &Database, moment: SystemTime, to: File) -> Result<()> {
        moment::at(self, database, moment, to).await
    }

    async fn drop(&self, database: &Database) -> Result<()> {
        self.lock().remove(&database.app);
        make::drop(self, database).await
    }

    async fn shutdown(&self) {
        self.servers.shutdown().await;
    }

    async fn usage(&self, database: &Database) -> Result<Usage> {
        session::usage(self, database).await
    }
}
