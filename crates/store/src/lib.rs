//! The platform's own state, in SQLite; the home of all SQL.
//!
//! Every call that returns has its change on disk (WAL, `synchronous=full`). Times are milliseconds since 1970, UTC.
//! Knows nothing of HTTP, containers or files of builds.

mod apps;
mod audit;
mod backups;
mod databases;
mod deliveries;
mod deployments;
mod drafts;
mod github;
mod links;
mod once;
mod reports;
mod revisions;
pub mod seal;
mod secrets;
mod sessions;
mod tokens;
mod users;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use figures::Histogram;
use rusqlite::Connection;

pub use apps::{App, AppId, Split};
pub use audit::{AuditRow, NewAudit};
pub use backups::BackupRow;
pub use databases::{DatabaseRow, DatabaseState};
pub use deliveries::{Delivery, DeliveryState};
pub use deployments::{Deployment, DeploymentEnd, DeploymentKind, NewDeployment, StepRow};
pub use drafts::{DraftFacts, DraftRow};
pub use github::{GitHubApp, InstallationRow, SourceRow, Trouble};
pub use links::{Invite, LinkFor, NewInvite};
pub use once::{Once, OnceId};
pub use reports::{NewReport, Report};
pub use revisions::Revision;
pub use seal::{SealError, Sealer};
pub use secrets::{hash as secret_hash, random_text};
pub use sessions::{NewSession, Session, SignedInBy, csrf_token};
pub use tokens::{KnownToken, NewToken, Token, TokenScope};
pub use users::{Credentials, GitHubAccount, Member, NewUser, User};

/// Migrations in order; a data directory remembers how many it has seen (`user_version`).
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_start.sql"),
    include_str!("../migrations/0002_split.sql"),
    include_str!("../migrations/0003_database.sql"),
    include_str!("../migrations/0004_backup.sql"),
    include_str!("../migrations/0005_identity.sql"),
    include_str!("../migrations/0007_draft.sql"),
    include_str!("../migrations/0006_github.sql"),
    include_str!("../migrations/0008_idempotency.sql"),
    include_str!("../migrations/0009_starter.sql"),
    include_str!("../migrations/0010_personal_token.sql"),
    include_str!("../migrations/0011_missed_push.sql"),
];

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite said no: a full disk, a damaged file.
    #[error("use the platform's database: {0}")]
    Database(#[from] rusqlite::Error),
    /// A sealed column could not be opened or made.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// What a column holds is not what we write.
    #[error("read {what} from the platform's database: {why}")]
    Content {
        /// The column.
        what: &'static str,
        /// What was found.
        why: String,
    },
    /// The file was written by a newer version of the platform.
    #[error(
        "the data directory was written by a newer version (schema {found}, this one knows {known}); start that version, or restore a backup"
    )]
    Newer {
        /// The schema in the file.
        found: u32,
        /// The newest schema known here.
        known: u32,
    },
    /// A name is taken.
    #[error("there is an app {0} already")]
    NameTaken(String),
    /// A user's name is taken.
    #[error("there is a user {0} already")]
    UserNameTaken(String),
    /// Every range of user ids is in use.
    #[error("the platform has room for no further app")]
    Full,
    /// The state machine of a deployment forbids this change.
    #[error("a deployment that is {from} can't become {to}")]
    Transition {
        /// The state it is in.
        from: &'static str,
        /// The state asked for.
        to: &'static str,
    },
}

/// The open store; clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Mutex<Connection>,
    sealer: Sealer,
    latency: Latency,
}

/// How long the store took, the wait for those before included.
#[derive(Debug)]
pub struct Latency {
    /// Work that changes nothing.
    pub reads: Histogram<11>,
    /// Transactions, until they are on disk.
    pub writes: Histogram<11>,
}

/// From 50 µs to 5 s.
const BOUNDS: [Duration; 11] = [
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Opens the database file (made where it is missing) and brings it to the newest schema.
    pub fn open(path: &Path, sealer: Sealer) -> Result<Self, StoreError> {
        let mut connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "foreign_keys", "on")?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.set_prepared_statement_cache_capacity(64);
        migrate(&mut connection)?;
        let latency = Latency { reads: Histogram::new(&BOUNDS), writes: Histogram::new(&BOUNDS) };
        Ok(Self { inner: Arc::new(Inner { connection: Mutex::new(connection), sealer, latency }) })
    }

    /// How long its work took so far.
    pub fn latency(&self) -> &Latency {
        &self.inner.latency
    }

    /// Runs `work` on a thread that may block, in one transaction: all of it is on disk afterwards, or none.
    pub async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let store = self.clone();
        blocking(move || store.write_now(work)).await
    }

    /// The same on the calling thread, for start-up.
    pub fn write_now<T>(&self, work: impl FnOnce(&Tx<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let _timed = Timed { began: Instant::now(), histogram: &self.inner.latency.writes };
        // A panic under the lock left no half transaction behind: SQLite rolls it back, so the connection is good.
        let mut connection = self.inner.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let value = work(&Tx { db: &transaction, sealer: &self.inner.sealer })?;
        transaction.commit()?;
        Ok(value)
    }

    /// Runs `work` without a write transaction.
    pub async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let store = self.clone();
        blocking(move || store.read_now(work)).await
    }

    /// The same on the calling thread, for start-up.
    pub fn read_now<T>(&self, work: impl FnOnce(&Tx<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let _timed = Timed { began: Instant::now(), histogram: &self.inner.latency.reads };
        let connection = self.inner.connection.lock().unwrap_or_else(PoisonError::into_inner);
        work(&Tx { db: &connection, sealer: &self.inner.sealer })
    }
}

/// Counts the time until it is dropped, also where the work failed.
struct Timed<'a> {
    began: Instant,
    histogram: &'a Histogram<11>,
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        self.histogram.observe(self.began.elapsed());
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, StoreError> + Send + 'static) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(StoreError::Content { what: "a result", why: error.to_string() }),
        },
    }
}

/// One piece of work with the store: the methods are in the files of what they are about.
pub struct Tx<'a> {
    db: &'a Connection,
    sealer: &'a Sealer,
}

impl std::fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tx")
    }
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = u32::try_from(MIGRATIONS.len()).expect("a handful of migrations");
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (number, sql) in (1..=known).zip(MIGRATIONS).filter(|(number, _)| *number > found) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}

/// A column's text as one of our words.
fn word<T>(what: &'static str, text: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, StoreError> {
    parse(text).ok_or_else(|| StoreError::Content { what, why: format!("{text:?}") })
}

#[cfg(test)]
mod tests;
