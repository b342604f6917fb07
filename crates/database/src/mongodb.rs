//! MongoDB: one server for all apps; a user and a database for each.

mod client;
mod copy;
mod dump;
mod url;
mod users;

use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use engine::Mount;
use model::DatabaseType;
use model::database::{DatabaseName, DatabaseSettings};
use rand::Rng;

use crate::place::{Place, Usual, resolve};
use crate::{Access, Awake, Database, DatabaseError, Found, Kept, Kind, Result, Secret, Usage};
use client::Session;
pub use url::MongoUrl;

/// Where the MongoDB server is, as the operator said.
pub type MongoServer = Place<MongoUrl>;

/// What it is called, and where it usually is.
const USUAL: Usual = Usual {
    key: "mongodb",
    schemes: "mongodb://",
    programs: &["/usr/bin/mongod", "/usr/local/bin/mongod", "/opt/mongodb/bin/mongod"],
    image: "docker.io/library/mongo:8",
};
/// Where a container has the authority that signed an existing server's certificate.
const CA_INSIDE: &str = "/etc/adaptable/mongodb-ca.pem";
/// How often it is looked at whether a database that is in use holds more than it may.
const LOOK: Duration = Duration::from_mins(1);
/// Bytes in a MB of the settings.
const MEGABYTE: u64 = 1024 * 1024;

impl MongoServer {
    /// Reads the setting `mongodb`: `mongodb://ADMIN:PASSWORD@HOST[:PORT]/`, `program`, `program:/PATH`, `image` or `image:NAME`.
    ///
    /// # Errors
    /// What is wrong with it, in one line that holds no password.
    pub fn parse(text: &str) -> Result<Self> {
        Self::read(text, &USUAL, MongoUrl::parse)
    }
}

/// What the operator has set.
#[derive(Debug, Clone, Default)]
pub struct MongoSettings {
    /// Where the server is; looked for where there is none: a program on this machine.
    pub server: Option<MongoServer>,
    /// That the server may be one that does not keep users apart, since all apps may see each other's data.
    pub unseparated: bool,
}

/// Databases on a MongoDB server.
#[derive(Debug)]
pub struct Mongo {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: MongoSettings,
    /// The certificate of the authority of an existing server, as the operator's file had it at the start.
    ca: Option<Vec<u8>>,
    /// How much each may hold, in bytes, as it was last said.
    limits: Mutex<HashMap<DatabaseName, u64>>,
    watches: Mutex<HashMap<DatabaseName, Weak<Watch>>>,
}

impl Mongo {
    /// Databases on the server that the settings say.
    ///
    /// # Errors
    /// [`DatabaseError::Refused`] where the authority's certificate that the address names can't be read.
    pub fn new(settings: MongoSettings) -> Result<Self> {
        let ca = match &settings.server {
            Some(Place::Existing(MongoUrl { ca: Some(path), .. })) => Some(std::fs::read(path).map_err(|error| {
                DatabaseError::Refused(format!("mongodb: the authority's certificate {} can't be read: {error}", path.display()))
            })?),
            _ => None,
        };
        let inner = Inner { settings, ca, limits: Mutex::default(), watches: Mutex::default() };
        Ok(Self { inner: Arc::new(inner) })
    }
}

impl Inner {
    fn url(&self) -> Result<&MongoUrl> {
        match &self.settings.server {
            Some(Place::Existing(url)) => Ok(url),
            _ => Err(unavailable()),
        }
    }

    async fn admin(&self) -> Result<Session> {
        Session::open(&self.url()?.admin()).await
    }

    fn limit(&self, name: &DatabaseName) -> Option<u64> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    /// Remembers how much a database may hold, and sees to it. A server that knows no roles can't be told.
    async fn apply(&self, admin: &Session, name: &DatabaseName, settings: &DatabaseSettings) -> Result<()> {
        let most = settings.storage.saturating_mul(MEGABYTE);
        self.limits.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), most);
        self.look(admin, name).await
    }

    async fn look(&self, admin: &Session, name: &DatabaseName) -> Result<()> {
        let Some(most) = self.limit(name) else { return Ok(()) };
        match users::limit(admin, name, most).await {
            Err(_) if self.settings.unseparated && admin.is_ferret().await? => Ok(()),
            other => other.map(drop),
        }
    }

    /// Looks at a database's size from time to time, as long as somebody uses it.
    fn watch(self: &Arc<Self>, name: &DatabaseName) -> Arc<Watch> {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|_, watch| watch.strong_count() > 0);
        if let Some(watch) = watches.get(name).and_then(Weak::upgrade) {
            return watch;
        }
        let (inner, of) = (Arc::clone(self), name.clone());
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                let looked = async { inner.look(&inner.admin().await?, &of).await };
                if let Err(error) = looked.await {
                    tracing::warn!(database = %of, %error, "look at what it holds");
                }
            }
        });
        let watch = Arc::new(Watch(task));
        watches.insert(name.clone(), Arc::downgrade(&watch));
        watch
    }
}

/// Ends with the last who uses the database.
#[derive(Debug)]
struct Watch(tokio::task::JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn unavailable() -> DatabaseError {
    DatabaseError::Unavailable {
        what: "there is no MongoDB server".to_owned(),
        help: "name an existing one in the settings, mongodb = \"mongodb://ADMIN:PASSWORD@HOST/\"".to_owned(),
    }
}

#[async_trait]
impl Kind for Mongo {
    fn kind(&self) -> DatabaseType {
        DatabaseType::Mongodb
    }

    async fn available(&self) -> Result<()> {
        let url = self.inner.url()?;
        resolve(&url.hosts).await?;
        let admin = self.inner.admin().await?;
        admin.run("admin", ::mongodb::bson::doc! { "usersInfo": 1 }).await.map(drop).map_err(|error| client::failed(&error))
    }

    async fn prepare(&self) -> Result<Kept> {
        Ok(Kept::default())
    }

    /// Makes the user; the database is there with the first document. The settings' connections mean nothing here: MongoDB has no
    /// limit for a user.
    async fn create(&self, database: &Database, settings: &DatabaseSettings) -> Result<()> {
        let admin = self.inner.admin().await?;
        let roles = !(self.inner.settings.unseparated && admin.is_ferret().await?);
        // What a server that can't keep users apart is not even asked for is refused here, before there is a user.
        if !self.inner.settings.unseparated && admin.is_ferret().await? {
            return users::separated(&admin).await;
        }
        users::ensure(&admin, &database.name, &database.password, roles).await?;
        if !self.inner.settings.unseparated {
            let user =
                Session::open(&self.inner.url()?.of(&database.name, &database.password, self.ca_here()?.as_deref())).await?;
            if let Err(error) = users::separated(&user).await {
                users::remove(&admin, &database.name).await?;
                return Err(error);
            }
        }
        self.inner.apply(&admin, &database.name, settings).await
    }

    fn credentials(&self, database: &Database) -> Access {
        let files =
            self.inner.ca.iter().map(|ca| Mount::File { at: CA_INSIDE.to_owned(), contents: ca.clone(), owner: None }).collect();
        let mut access = Access { variables: Vec::new(), host: String::new(), port: url::PORT, files };
        if let Ok(url) = self.inner.url() {
            let ca = self.inner.ca.as_ref().map(|_| CA_INSIDE);
            access.variables.push(("DATABASE_URL".to_owned(), url.of(&database.name, &database.password, ca)));
            if let Some(first) = url.hosts.first() {
                access.host.clone_from(&first.host);
                access.port = first.port;
            }
        }
        access
    }

    async fn awake(&self, database: &Database) -> Result<Awake> {
        let (links, address) = resolve(&self.inner.url()?.hosts).await?;
        Ok(Awake { links, address, guard: Box::new(self.inner.watch(&database.name)) })
    }

    async fn apply(&self, database: &Database, settings: &DatabaseSettings) -> Result<()> {
        self.inner.apply(&self.inner.admin().await?, &database.name, settings).await
    }

    async fn rotate(&self, database: &Database, password: &Secret) -> Result<()> {
        users::rotate(&self.inner.admin().await?, &database.name, password).await
    }

    async fn backup(&self, database: &Database, to: File) -> Result<()> {
        copy::export(&self.inner.admin().await?, database.name.as_str(), to).await
    }

    async fn verify(&self, database: &Database, dump: File) -> Result<Found> {
        let (held, dump) = checked(dump).await?;
        let admin = self.inner.admin().await?;
        clear_scratch(&admin, &database.name).await?;
        let scratch = format!("{}{:08x}", scratch_prefix(&database.name), rand::rng().random::<u32>());
        let found = copy::import(&admin, &scratch, dump).await;
        let dropped = admin.run(&scratch, ::mongodb::bson::doc! { "dropDatabase": 1 }).await;
        let found = found?;
        dropped.map_err(|error| client::failed(&error))?;
        if found != held {
            return Err(DatabaseError::Damaged(format!(
                "it holds {} documents in {} collections, and {} in {} were there once it was restored",
                held.rows, held.tables, found.rows, found.tables
            )));
        }
        Ok(found)
    }

    /// Each collection in one step, one after the other: `copy::replace` says what that means.
    async fn restore(&self, database: &Database, dump: File) -> Result<()> {
        let (_, dump) = checked(dump).await?;
        let admin = self.inner.admin().await?;
        let done = copy::replace(&admin, database.name.as_str(), dump).await;
        if done.is_err() {
            copy::clear_staged(&admin, database.name.as_str()).await?;
        }
        done
    }

    async fn drop(&self, database: &Database) -> Result<()> {
        let admin = self.inner.admin().await?;
        self.inner.limits.lock().unwrap_or_else(PoisonError::into_inner).remove(&database.name);
        clear_scratch(&admin, &database.name).await?;
        users::remove(&admin, &database.name).await
    }

    async fn usage(&self, database: &Database) -> Result<Usage> {
        users::usage(&self.inner.admin().await?, &database.name).await
    }
}

impl Mongo {
    /// The authority's file for the platform's own connections.
    fn ca_here(&self) -> Result<Option<String>> {
        Ok(self.inner.url()?.ca.as_ref().map(|path| path.to_string_lossy().into_owned()))
    }
}

/// Reads a whole dump before anything is done with it, and goes back to its beginning.
async fn checked(mut dump: File) -> Result<(Found, File)> {
    let copy = dump.try_clone().and_then(|copy| dump.seek(SeekFrom::Start(0)).map(|_begin| copy));
    let copy = copy.map_err(|error| DatabaseError::Failed(format!("read the dump: {error}")))?;
    let held = tokio::task::spawn_blocking(move || dump::check(copy))
        .await
        .map_err(|error| DatabaseError::Failed(error.to_string()))??;
    Ok((held, dump))
}

fn scratch_prefix(name: &DatabaseName) -> String {
    format!("scratch_{name}_")
}

/// Drops the scratch databases that verifications have left which did not come to their end.
async fn clear_scratch(admin: &Session, name: &DatabaseName) -> Result<()> {
    let listed = admin.run("admin", ::mongodb::bson::doc! { "listDatabases": 1, "nameOnly": true }).await;
    let listed = listed.map_err(|error| client::failed(&error))?;
    let names = listed.get_array("databases").map_or(&[][..], |all| &all[..]);
    for left in names.iter().filter_map(|one| one.as_document()?.get_str("name").ok()) {
        // Another app's name may begin with the same; what follows ours is eight digits and nothing else.
        let ours = left
            .strip_prefix(&scratch_prefix(name))
            .is_some_and(|rest| rest.len() == 8 && rest.bytes().all(|b| b.is_ascii_hexdigit()));
        if ours {
            admin.run(left, ::mongodb::bson::doc! { "dropDatabase": 1 }).await.map_err(|error| client::failed(&error))?;
        }
    }
    Ok(())
}
