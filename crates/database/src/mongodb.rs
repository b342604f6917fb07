//! MongoDB: one server for all apps; a user and a database for each.

mod client;
mod copy;
mod dump;
mod own;
mod url;
mod users;
mod way;

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

use crate::ground::Ground;
use crate::place::{Place, Usual, resolve};
use crate::supply::Supply;
use crate::{Access, Awake, Database, DatabaseError, Found, Kept, Kind, Result, Secret, Usage};
use client::Session;
use own::Own;
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
/// The program in an image, wherever its `PATH` has it.
const IN_IMAGE: &str = "mongod";
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
    home: Home,
    /// That users need not be kept apart.
    unseparated: bool,
    /// The certificate of the authority of an existing server, as the operator's file had it at the start.
    ca: Option<Vec<u8>>,
    watches: Mutex<HashMap<DatabaseName, Weak<Watch>>>,
}

/// Where the server is.
#[derive(Debug)]
enum Home {
    /// It is an existing one.
    Existing(MongoUrl),
    /// The platform runs it.
    Own(Own),
    /// There is none, and why.
    Nowhere(DatabaseError),
}

impl Mongo {
    /// Databases on the server that the settings say; without `ground`, none can be run here.
    ///
    /// # Errors
    /// [`DatabaseError::Refused`] where the authority's certificate that the address names can't be read.
    pub fn new(settings: MongoSettings, ground: Option<Ground>) -> Result<Self> {
        let mut ca = None;
        let server = settings.server.or_else(|| USUAL.program().map(Place::Program));
        let home = match (server, ground) {
            (Some(Place::Existing(url)), _) => {
                if let Some(path) = &url.ca {
                    let read = std::fs::read(path);
                    ca = Some(read.map_err(|error| {
                        DatabaseError::Refused(format!(
                            "mongodb: the authority's certificate {} can't be read: {error}",
                            path.display()
                        ))
                    })?);
                }
                Home::Existing(url)
            }
            (Some(Place::Program(program)), Some(ground)) => Home::Own(Own::new(ground, Supply::Machine(program))),
            (Some(Place::Image(image)), Some(ground)) => {
                let supply = Supply::image(ground.images.as_ref(), &image, IN_IMAGE, USUAL.key)?;
                Home::Own(Own::new(ground, supply))
            }
            _ => Home::Nowhere(DatabaseError::Unavailable {
                what: "there is no MongoDB server".to_owned(),
                help:
                    "name an existing one in the settings, mongodb = \"mongodb://ADMIN:PASSWORD@HOST/\", or install one (mongod), or name an image, mongodb = \"image:docker.io/library/mongo:8\""
                        .to_owned(),
            }),
        };
        let inner = Inner { home, unseparated: settings.unseparated, ca, watches: Mutex::default() };
        Ok(Self { inner: Arc::new(inner) })
    }
}

impl Inner {
    /// A session of the administrator's; a server of the platform's own runs as long as it lives.
    async fn admin(&self) -> Result<Session> {
        match &self.home {
            Home::Existing(url) => Session::open(&url.admin()).await,
            Home::Own(own) => {
                let lease = own.awake().await?;
                Ok(Session::open_by(&own.here(lease.address()).admin(), own.way(lease.address())?).await?.with(Some(lease)))
            }
            Home::Nowhere(error) => Err(error.clone()),
        }
    }

    /// A session of a database's user.
    async fn user(&self, database: &Database) -> Result<Session> {
        let (name, password) = (&database.name, &database.password);
        match &self.home {
            Home::Existing(url) => {
                let ca = url.ca.as_ref().map(|path| path.to_string_lossy());
                Session::open(&url.of(name, password, ca.as_deref())).await
            }
            Home::Own(own) => {
                let lease = own.awake().await?;
                let url = own.here(lease.address()).of(name, password, None);
                Ok(Session::open_by(&url, own.way(lease.address())?).await?.with(Some(lease)))
            }
            Home::Nowhere(error) => Err(error.clone()),
        }
    }

    /// Remembers how much a database may hold, and sees to it. A server that knows no roles can't be told.
    async fn apply(&self, admin: &Session, name: &DatabaseName, settings: &DatabaseSettings) -> Result<()> {
        users::note(admin, name, settings.storage.saturating_mul(MEGABYTE)).await?;
        self.look(admin, name).await
    }

    async fn look(&self, admin: &Session, name: &DatabaseName) -> Result<()> {
        let Some(most) = users::noted(admin, name).await? else { return Ok(()) };
        match users::limit(admin, name, most).await {
            Err(_) if self.unseparated && admin.is_ferret().await? => Ok(()),
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

#[async_trait]
impl Kind for Mongo {
    fn kind(&self) -> DatabaseType {
        DatabaseType::Mongodb
    }

    async fn available(&self) -> Result<()> {
        match &self.inner.home {
            Home::Existing(url) => {
                resolve(&url.hosts).await?;
                let admin = self.inner.admin().await?;
                let users = ::mongodb::bson::doc! { "usersInfo": 1 };
                admin.run("admin", users).await.map_err(|error| client::failed(&error))?;
                // Others are found out by the first user that there is.
                if !self.inner.unseparated && admin.is_ferret().await? { Err(users::unseparated()) } else { Ok(()) }
            }
            Home::Own(own) => own.available(),
            Home::Nowhere(error) => Err(error.clone()),
        }
    }

    async fn prepare(&self) -> Result<Kept> {
        Ok(Kept::default())
    }

    /// Makes the user; the database is there with the first document. The settings' connections mean nothing here: MongoDB has no
    /// limit for a user.
    async fn create(&self, database: &Database, settings: &DatabaseSettings) -> Result<()> {
        let admin = self.inner.admin().await?;
        let ferret = admin.is_ferret().await?;
        if ferret && !self.inner.unseparated {
            return Err(users::unseparated());
        }
        users::ensure(&admin, &database.name, &database.password, !ferret).await?;
        if !self.inner.unseparated {
            let tried = async { users::separated(&self.inner.user(database).await?).await };
            if let Err(error) = tried.await {
                users::remove(&admin, &database.name).await?;
                return Err(error);
            }
        }
        self.inner.apply(&admin, &database.name, settings).await
    }

    fn credentials(&self, database: &Database) -> Access {
        let (name, password) = (&database.name, &database.password);
        let (url, at, files) = match &self.inner.home {
            Home::Existing(url) => {
                let file = |ca: &Vec<u8>| Mount::File { at: CA_INSIDE.to_owned(), contents: ca.clone(), owner: None };
                let ca = self.inner.ca.as_ref();
                (Some(url.of(name, password, ca.map(|_| CA_INSIDE))), url.hosts.first().cloned(), ca.map(file))
            }
            Home::Own(own) => (Some(own.there(name, password)), Some(own.at()), Some(own.authority())),
            Home::Nowhere(_) => (None, None, None),
        };
        Access {
            variables: url.map(|url| ("DATABASE_URL".to_owned(), url)).into_iter().collect(),
            host: at.as_ref().map(|at| at.host.clone()).unwrap_or_default(),
            port: at.map_or(url::PORT, |at| at.port),
            files: files.into_iter().collect(),
        }
    }

    async fn awake(&self, database: &Database) -> Result<Awake> {
        let (links, address, lease) = match &self.inner.home {
            Home::Existing(url) => {
                let (links, address) = resolve(&url.hosts).await?;
                (links, address, None)
            }
            Home::Own(own) => {
                let lease = own.awake().await?;
                (own.links(&lease), lease.address(), Some(lease))
            }
            Home::Nowhere(error) => return Err(error.clone()),
        };
        Ok(Awake { links, address, guard: Box::new((self.inner.watch(&database.name), lease)) })
    }

    async fn apply(&self, database: &Database, settings: &DatabaseSettings) -> Result<()> {
        self.inner.apply(&self.inner.admin().await?, &database.name, settings).await
    }

    async fn rotate(&self, database: &Database, password: &Secret) -> Result<()> {
        users::rotate(&self.inner.admin().await?, &database.name, password).await
    }

    async fn backup(&self, database: &Database, to: File) -> Result<()> {
        let admin = self.inner.admin().await?;
        if matches!(self.inner.home, Home::Own(_)) {
            // Five minutes is for how long it remembers a moment otherwise, and a large dump takes longer. Older servers can't be told.
            let command = ::mongodb::bson::doc! { "setParameter": 1, "minSnapshotHistoryWindowInSeconds": 3600 };
            let _older = admin.run("admin", command).await;
        }
        copy::export(&admin, database.name.as_str(), to).await
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
        users::forget(&admin, &database.name).await?;
        clear_scratch(&admin, &database.name).await?;
        users::remove(&admin, &database.name).await
    }

    async fn usage(&self, database: &Database) -> Result<Usage> {
        users::usage(&self.inner.admin().await?, &database.name).await
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
