//! Databases beside apps: PostgreSQL, MongoDB, SQL Server behind one trait.
//!
//! A kind makes databases, tells how an app reaches its own, keeps a server running as long as somebody is awake who uses it, and
//! writes and reads dumps. It knows no store and no app's settings document: whoever calls keeps the [`Database`] that it is given.

mod certificate;
pub mod door;
mod error;
mod ground;
mod job;
pub mod mongodb;
pub mod mssql;
mod place;
pub mod postgres;
mod secret;
pub mod servers;
pub mod service;
mod supply;

use std::fmt;
use std::fs::File;
use std::time::SystemTime;

use async_trait::async_trait;
use engine::{Link, Mount};
use model::database::{DatabaseName, DatabaseSettings};
use model::{AppName, DatabaseType};
use serde::{Deserialize, Serialize};

pub use certificate::{Certificate, Certifier};
pub use error::DatabaseError;
pub use ground::Ground;
pub use place::Place;
pub use secret::Secret;

/// What a kind of database answers.
pub type Result<T> = std::result::Result<T, DatabaseError>;

/// One app's database, as its owner keeps it (sealed: it holds a password).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its app.
    pub app: AppName,
    /// Its own name, and that of the user whose it is.
    pub name: DatabaseName,
    /// The range of user ids of its app; a server of its own runs in it, too.
    pub slot: u16,
    /// The password of its user.
    pub password: Secret,
    /// What its kind wants to remember of it: the password of a superuser, a version.
    pub kept: Kept,
}

/// What a kind remembers of a database beside the name and the password.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// The password with which the platform itself looks after the database, where it has one of its own.
    pub admin: Option<Secret>,
    /// The major version of the server whose files it has.
    pub major: Option<u32>,
}

/// How an app reaches its database.
#[derive(Debug, Clone)]
pub struct Access {
    /// The variables that it finds, `DATABASE_URL` among them.
    pub variables: Vec<(String, Secret)>,
    /// The host's name, as it stands in the variables.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Files that its containers need beside the variables: an authority's certificate.
    pub files: Vec<Mount>,
}

/// Keeps a database's server running, and says where it is; the server may stop some seconds after the last of them has been dropped.
pub struct Awake {
    /// The connections that a container needs to be allowed to reach it.
    pub links: Vec<Link>,
    /// Where the platform itself reaches it.
    pub address: std::net::SocketAddr,
    /// Given back when this is dropped.
    pub guard: Box<dyn std::any::Any + Send + Sync>,
}

impl fmt::Debug for Awake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Awake").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What a database holds, and who uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes on disk.
    pub bytes: u64,
    /// Connections of the app's user that are open.
    pub connections: u32,
}

/// How a database stands to its limit of storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Enforcement {
    /// Bytes on disk.
    pub bytes: u64,
    /// Whether that is more than the settings allow.
    pub over: bool,
}

/// What a restored dump was found to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Found {
    /// Tables or collections.
    pub tables: u64,
    /// Rows or documents in them.
    pub rows: u64,
}

/// What one kind of database can do. Every call may be repeated after a failure, and after a platform that was killed in the middle.
#[async_trait]
pub trait Kind: Send + Sync + fmt::Debug {
    /// Which kind.
    fn kind(&self) -> DatabaseType;

    /// Whether databases of this kind can be made here; the error says what lacks and what to do.
    async fn available(&self) -> Result<()>;

    /// Makes a database with its user and its limits. What it wants remembered is kept before it is made, so that nothing is lost.
    async fn create(&self, database: &Database, settings: &DatabaseSettings) -> Result<()>;

    /// What is to be remembered of a database that is about to be made.
    async fn prepare(&self) -> Result<Kept>;

    /// How the app reaches it.
    fn credentials(&self, database: &Database) -> Access;

    /// Starts its server unless it runs, and keeps it running.
    async fn awake(&self, database: &Database) -> Result<Awake>;

    /// Makes limits and extensions those of the settings.
    async fn apply(&self, database: &Database, settings: &DatabaseSettings) -> Result<()>;

    /// Looks whether it holds more than the settings allow. As long as it does, writes are refused where the kind can do that; what is
    /// there can be read and removed. To be called now and then while it is awake.
    async fn enforce(&self, database: &Database, settings: &DatabaseSettings) -> Result<Enforcement> {
        let bytes = self.usage(database).await?.bytes;
        Ok(Enforcement { bytes, over: bytes > settings.storage << 20 })
    }

    /// Gives the user another password; connections that are open stay.
    async fn rotate(&self, database: &Database, password: &Secret) -> Result<()>;

    /// Writes a dump of everything; consistent, while the app goes on.
    async fn backup(&self, database: &Database, to: File) -> Result<()>;

    /// Reads a dump into a scratch database, which is dropped afterwards: what was found there, or what is wrong with it.
    async fn verify(&self, database: &Database, dump: File) -> Result<Found>;

    /// Puts a dump in the place of what the database holds, in one step: either all of it or nothing.
    async fn restore(&self, database: &Database, dump: File) -> Result<()>;

    /// Makes a copy from which moments from now on can be recovered, and removes those that need not be kept, where the settings ask for
    /// recovery to a moment; otherwise nothing.
    async fn base(&self, _database: &Database) -> Result<()> {
        Ok(())
    }

    /// The first moment that can be recovered; `None` where none can.
    async fn covered(&self, _database: &Database) -> Result<Option<SystemTime>> {
        Ok(None)
    }

    /// Writes a dump of what the database held at a moment; one that is not covered is refused. Nobody must use it meanwhile: its server
    /// is stopped.
    async fn at(&self, _database: &Database, _moment: SystemTime, _to: File) -> Result<()> {
        Err(DatabaseError::Refused("only a PostgreSQL database can be restored to a moment".to_owned()))
    }

    /// Removes the database and its user. Fine where they are gone.
    async fn drop(&self, database: &Database) -> Result<()>;

    /// Stops its servers in order; they are not started again.
    async fn shutdown(&self) {}

    /// What it holds, and who uses it. Starts its server where it does not run.
    async fn usage(&self, database: &Database) -> Result<Usage>;
}
