//! The databases beside apps: made by a deployment, told to instances, awake with them, gone with their app.

mod care;
mod door;

use std::sync::{Arc, Mutex, PoisonError};

use api::{DatabaseInfo, ErrorBody, ErrorCode, OutsideAccess, SettingsChanged};
use database::{Awake, Database, DatabaseError, Kind, Secret};
use model::database::{DatabaseName, DatabaseSettings};
use model::{AppName, DatabaseType, Settings, Step, StepState};
use store::{DatabaseRow, DatabaseState, DeploymentKind};
use tokio::net::TcpStream;

use crate::deploy::Request;
use crate::error::{Result, from_store, internal};
use crate::instance::StartFailure;
use crate::progress::Progress;
use crate::registry::Entry;
use crate::{Control, clock};

/// An app's database, and the kind that looks after it.
#[derive(Debug)]
pub(crate) struct Beside {
    pub(crate) kind: Arc<dyn Kind>,
    pub(crate) database: Database,
    seen: Mutex<Seen>,
}

/// What the last look at a database found.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// Bytes that it holds, once it was looked at.
    pub(crate) bytes: Option<u64>,
    /// Whether that is more than it may.
    pub(crate) over: bool,
}

impl Beside {
    pub(crate) fn new(kind: Arc<dyn Kind>, database: Database) -> Arc<Self> {
        Arc::new(Self { kind, database, seen: Mutex::default() })
    }

    /// What the last look found.
    pub(crate) fn seen(&self) -> Seen {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what a look found; whether it is on another side of its limit than before.
    fn note(&self, bytes: u64, over: bool) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *seen, Seen { bytes: Some(bytes), over });
        before.over != over
    }

    /// Starts the database's server unless it runs, for an instance that is about to start.
    pub(crate) async fn awake(&self) -> std::result::Result<Awake, StartFailure> {
        self.kind.awake(&self.database).await.map_err(|error| StartFailure::Database(error.to_string()))
    }
}

/// A connection to an app's database, for who is allowed to have one.
#[derive(Debug)]
pub struct DatabaseStream {
    /// The connection; TLS and everything else are the client's affair.
    pub stream: TcpStream,
    /// Keeps the server running.
    pub awake: Awake,
}

/// What a database's failure is for a client.
pub(crate) fn failed(error: &DatabaseError) -> ErrorBody {
    let code = match error {
        DatabaseError::Unavailable { .. } | DatabaseError::Refused(_) => ErrorCode::InvalidSettings,
        DatabaseError::Server(_) | DatabaseError::Damaged(_) | DatabaseError::Failed(_) => ErrorCode::DatabaseFailed,
    };
    ErrorBody::new(code, error.to_string()).help(error.help())
}

pub(crate) fn none(name: &AppName) -> ErrorBody {
    ErrorBody::new(ErrorCode::NotFound, format!("{name} has no database"))
        .help(format!("deploy it with one: adaptable deploy PATH --app {name} --database postgres"))
}

impl Control {
    /// Who looks after databases of a kind.
    pub(crate) fn kind(&self, kind: DatabaseType) -> Result<Arc<dyn Kind>> {
        let found = self.inner.databases.iter().find(|it| it.kind() == kind).cloned();
        found.ok_or_else(|| {
            ErrorBody::new(ErrorCode::InvalidSettings, format!("this platform has no databases of the kind {}", kind.as_str()))
                .help("use another kind, or give the app the URL of a database of yours with --env DATABASE_URL=…")
        })
    }

    /// Refuses a kind that can't be had, and another one than the app has already.
    pub(crate) async fn check_kind(&self, entry: Option<&Entry>, old: &Settings, new: &Settings) -> Result<()> {
        if !new.database.allow.is_empty() && self.inner.config.database_port.is_none() && old.database != new.database {
            return Err(ErrorBody::new(ErrorCode::InvalidSettings, "database.allow: this platform has no port for databases")
                .help("start it with one: --postgres 0.0.0.0:5432"));
        }
        let (before, after) = (old.database_type, new.database_type);
        if before == after {
            return Ok(());
        }
        if let Some(entry) = entry
            && let Some(row) = self.database_row(entry).await?
            && row.kind != after
            && row.state != DatabaseState::Making
        {
            let refused = match after {
                DatabaseType::None => format!("{} has a {} database, and keeps it", entry.name, row.kind.as_str()),
                _ => format!("{} has a {} database; its kind can't be changed", entry.name, row.kind.as_str()),
            };
            return Err(ErrorBody::new(ErrorCode::InvalidSettings, refused).help(format!(
                "leave databaseType as it is ({}), or delete the app and its data with `adaptable delete`",
                row.kind.as_str()
            )));
        }
        match after {
            DatabaseType::None => Ok(()),
            kind => self.kind(kind)?.available().await.map_err(|error| failed(&error)),
        }
    }

    pub(crate) async fn database_row(&self, entry: &Entry) -> Result<Option<DatabaseRow<Database>>> {
        let id = entry.id;
        self.read(move |tx| tx.database(id)).await
    }

    /// At the platform's start: what the store knows of an app's database is told to its instances.
    pub(crate) fn adopt_database(&self, entry: &Arc<Entry>) -> Result<()> {
        let id = entry.id;
        let row = self.inner.store.read_now(|tx| tx.database::<Database>(id)).map_err(from_store)?;
        let Some(row) = row.filter(|row| row.state != DatabaseState::Making) else { return Ok(()) };
        let Ok(kind) = self.kind(row.kind) else {
            tracing::warn!(app = %entry.name, kind = row.kind.as_str(), "its database can't be had on this platform");
            return Ok(());
        };
        let unfinished = row.state == DatabaseState::Rotating;
        entry.specs.set_database(Some(Beside::new(kind, row.kept)));
        if unfinished {
            let (control, entry) = (self.clone(), Arc::clone(entry));
            self.inner.tasks.spawn(async move {
                if let Err(error) = control.finish_rotation(&entry).await {
                    tracing::warn!(app = %entry.name, "finish the change of its database's password: {}", error.message);
                }
            });
        }
        Ok(())
    }

    /// Makes the database that the settings ask for, where it is not there yet, and brings its limits to theirs.
    pub(crate) async fn ensure_database(&self, entry: &Arc<Entry>, settings: &Settings, progress: &Progress) -> Result<()> {
        let row = self.current_row(entry, settings.database_type).await?;
        let wanted = row.as_ref().map_or(settings.database_type, |row| row.kind);
        if wanted == DatabaseType::None {
            return Ok(());
        }
        progress.start(Step::Database).await.map_err(from_store)?;
        let kind = self.kind(wanted)?;
        let (database, state) = match row {
            Some(row) => (row.kept, row.state),
            None => (self.record_database(entry, &kind).await?, DatabaseState::Making),
        };
        let limits = &settings.database;
        let made = match state {
            DatabaseState::Making => {
                kind.create(&database, limits).await.map_err(|error| failed(&error))?;
                true
            }
            DatabaseState::Rotating => {
                kind.rotate(&database, &database.password).await.map_err(|error| failed(&error))?;
                true
            }
            DatabaseState::Ready => false,
        };
        kind.apply(&database, limits).await.map_err(|error| failed(&error))?;
        if made {
            let (id, kept) = (entry.id, database.clone());
            self.write(move |tx| tx.update_database(id, DatabaseState::Ready, &kept)).await?;
            progress.say(format!("made the {} database {}", wanted.as_str(), database.name));
        }
        entry.specs.set_database(Some(Beside::new(kind, database)));
        progress.end(if made { StepState::Done } else { StepState::Cached }).await.map_err(from_store)
    }

    /// An app's database, or what was begun of the kind that is asked for; what was begun of another one is given up.
    async fn current_row(&self, entry: &Entry, wanted: DatabaseType) -> Result<Option<DatabaseRow<Database>>> {
        let Some(row) = self.database_row(entry).await? else { return Ok(None) };
        if row.state != DatabaseState::Making || row.kind == wanted {
            return Ok(Some(row));
        }
        if let Ok(kind) = self.kind(row.kind)
            && let Err(error) = Kind::drop(&*kind, &row.kept).await
        {
            tracing::warn!(app = %entry.name, %error, "remove what was begun of a database");
        }
        let id = entry.id;
        self.write(move |tx| tx.delete_database(id)).await?;
        Ok(None)
    }

    /// Writes down what is about to be made, so that a platform that is killed meanwhile finds it.
    async fn record_database(&self, entry: &Entry, kind: &Arc<dyn Kind>) -> Result<Database> {
        kind.available().await.map_err(|error| failed(&error))?;
        let kept = kind.prepare().await.map_err(|error| failed(&error))?;
        let name = DatabaseName::of(&entry.name);
        let database = Database { app: entry.name.clone(), name, slot: entry.specs.slot, password: Secret::generate(), kept };
        let (id, record, what, now) = (entry.id, database.clone(), kind.kind(), clock::now());
        self.write(move |tx| tx.create_database(id, what, &record, now)).await?;
        Ok(database)
    }

    /// Drops an app's database for good. Nothing of the app must run any more.
    pub(crate) async fn drop_database(&self, entry: &Entry) -> Result<()> {
        let Some(row) = self.database_row(entry).await? else { return Ok(()) };
        let kind = self.kind(row.kind)?;
        // From here on nothing of it counts: a deletion that breaks off is begun again, or the database is made anew.
        let (id, kept) = (entry.id, row.kept.clone());
        self.write(move |tx| tx.update_database(id, DatabaseState::Making, &kept)).await?;
        entry.specs.set_database(None);
        Kind::drop(&*kind, &row.kept).await.map_err(|error| failed(&error))
    }

    /// An app's database: how it is reached, what it holds.
    pub async fn database(&self, name: &AppName, reveal: bool) -> Result<DatabaseInfo> {
        self.database_info(name, reveal, true).await?.ok_or_else(|| none(name))
    }

    /// The same without asking its server, which may sleep: how much it holds is what the last look found, and its connections are not
    /// counted. None where the app has no database.
    pub async fn database_glance(&self, name: &AppName, reveal: bool) -> Result<Option<DatabaseInfo>> {
        self.database_info(name, reveal, false).await
    }

    async fn database_info(&self, name: &AppName, reveal: bool, ask: bool) -> Result<Option<DatabaseInfo>> {
        let entry = self.entry(name)?;
        let settings = self.settings(name).await?;
        let Some(row) = self.database_row(&entry).await? else { return Ok(None) };
        let kind = self.kind(row.kind)?;
        let access = kind.credentials(&row.kept);
        let usage = match row.state {
            DatabaseState::Making => database::Usage::default(),
            _ if !ask => {
                let seen = entry.specs.database().map(|beside| beside.seen()).unwrap_or_default();
                database::Usage { bytes: seen.bytes.unwrap_or(0), connections: 0 }
            }
            _ => kind.usage(&row.kept).await.map_err(|error| failed(&error))?,
        };
        let since = match row.state {
            DatabaseState::Ready if settings.database.point_in_time => {
                kind.covered(&row.kept).await.map_err(|error| failed(&error))?
            }
            _ => None,
        };
        let variables = access.variables.iter().map(|(name, value)| {
            let secret =
                value.reveal().contains(row.kept.password.reveal()) || name == "DATABASE_URL" || name.ends_with("PASSWORD");
            (name.clone(), (reveal || !secret).then(|| value.reveal().to_owned()))
        });
        Ok(Some(DatabaseInfo {
            app: name.clone(),
            kind: row.kind,
            host: access.host.clone(),
            port: access.port,
            database: row.kept.name.to_string(),
            user: row.kept.name.to_string(),
            variables: variables.collect(),
            bytes: usage.bytes,
            outside: match (self.inner.config.database_port, settings.database.allow.as_slice()) {
                (Some(_), []) | (None, _) => None,
                (Some(port), allow) => Some(OutsideAccess { host: access.host.clone(), port, allow: allow.to_vec() }),
            },
            limit_bytes: settings.database.storage * 1024 * 1024,
            connections: usage.connections,
            max_connections: settings.database.max_connections,
            recoverable_since: since.and_then(|since| since.try_into().ok()),
            created_at: clock::timestamp(row.created_at),
        }))
    }

    /// A connection to an app's database, whose server is started where it does not run.
    pub async fn database_stream(&self, name: &AppName) -> Result<DatabaseStream> {
        let entry = self.entry(name)?;
        let beside = entry.specs.database().ok_or_else(|| none(name))?;
        let awake = beside.kind.awake(&beside.database).await.map_err(|error| failed(&error))?;
        let stream = TcpStream::connect(awake.address).await.map_err(|error| internal("reach the database", &error))?;
        // Small answers must not wait for the acknowledgement of the one before.
        stream.set_nodelay(true).map_err(|error| internal("reach the database", &error))?;
        Ok(DatabaseStream { stream, awake })
    }

    /// Gives the database's user another password, and the app new instances that have it.
    pub async fn rotate_database(&self, name: &AppName) -> Result<SettingsChanged> {
        let entry = self.entry(name)?;
        let change = entry.settings.lock().await;
        let row = self.database_row(&entry).await?.ok_or_else(|| none(name))?;
        if row.state == DatabaseState::Making {
            return Err(ErrorBody::new(ErrorCode::Conflict, format!("the database of {name} is still being made")));
        }
        let next = Database { password: Secret::generate(), ..row.kept };
        // On disk before the server has it: neither of the two may be the only one that knows.
        let (id, kept) = (entry.id, next);
        self.write(move |tx| tx.update_database(id, DatabaseState::Rotating, &kept)).await?;
        self.finish_rotation(&entry).await?;
        drop(change);
        let (settings, id) = (self.settings(name).await?, entry.name.clone());
        let live = self.read(move |tx| Ok(tx.app(&id)?.and_then(|app| app.live))).await?;
        let deployment = match live {
            Some(_) => Some(self.enqueue(&entry, DeploymentKind::Settings, Request::Settings, None).await?),
            None => None,
        };
        Ok(SettingsChanged { app: name.clone(), settings, deployment, needs_deploy: false })
    }

    async fn finish_rotation(&self, entry: &Arc<Entry>) -> Result<()> {
        let Some(row) = self.database_row(entry).await? else { return Ok(()) };
        let kind = self.kind(row.kind)?;
        kind.rotate(&row.kept, &row.kept.password).await.map_err(|error| failed(&error))?;
        let (id, kept) = (entry.id, row.kept.clone());
        self.write(move |tx| tx.update_database(id, DatabaseState::Ready, &kept)).await?;
        entry.specs.set_database(Some(Beside::new(kind, row.kept)));
        Ok(())
    }

    /// Stops the servers of all databases, once no instance runs.
    pub(crate) async fn stop_databases(&self) {
        let stops = self.inner.databases.iter().map(|kind| kind.shutdown());
        futures_util::future::join_all(stops).await;
    }
}

/// What of the settings the database is made of: a change of it needs no build.
pub(crate) fn part(settings: &Settings) -> (DatabaseType, &DatabaseSettings) {
    (settings.database_type, &settings.database)
}
