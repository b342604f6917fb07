//! SQL Server: one server for all apps; a login, a user and a database for each.

mod client;
mod edition;
mod exchange;
mod own;
mod statements;
mod text;
mod url;

use std::fs::File;

use async_trait::async_trait;
use engine::Mount;
use model::DatabaseType;
use model::database::{DatabaseName, DatabaseSettings};
use rand::Rng;
use tokio::sync::Mutex;

use crate::ground::Ground;
use crate::place::{Place, Usual, resolve};
use crate::supply::Supply;
use crate::{Access, Awake, Database, DatabaseError, Found, Kept, Kind, Result, Secret, Usage};
use client::{Session, failed, settings as connection, text as column};
pub use edition::Edition;
pub use exchange::Exchange;
use exchange::Exchanged;
use own::{Handed, Own};
pub use url::MssqlUrl;

/// Where the SQL Server is, as the operator said.
pub type MssqlServer = Place<MssqlUrl>;

/// What it is called, and where it usually is.
const USUAL: Usual = Usual {
    key: "mssql",
    schemes: "sqlserver://",
    programs: &["/opt/mssql/bin/sqlservr"],
    image: "mcr.microsoft.com/mssql/server:2022-latest",
};
/// Where a container has the authority that signed an existing server's certificate.
const CA_INSIDE: &str = "/etc/adaptable/mssql-ca.pem";

impl MssqlServer {
    /// Reads the setting `mssql`: `sqlserver://ADMIN:PASSWORD@HOST[:PORT]/`, `program`, `program:/PATH`, `image` or `image:NAME`.
    ///
    /// # Errors
    /// What is wrong with it, in one line that holds no password.
    pub fn parse(text: &str) -> Result<Self> {
        Self::read(text, &USUAL, MssqlUrl::parse)
    }
}

/// What the operator has set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MssqlSettings {
    /// Where the server is; looked for where there is none: a program on this machine.
    pub server: Option<MssqlServer>,
    /// That the operator accepts Microsoft's licence for a server that the platform runs.
    pub accept_eula: bool,
    /// Which edition that server is, or its product key.
    pub edition: Edition,
    /// Where backups are exchanged with an existing server.
    pub backups: Option<Exchange>,
}

/// Databases on a SQL Server.
#[derive(Debug)]
pub struct Mssql {
    home: Home,
    /// Where backups are exchanged with an existing server.
    backups: Option<Exchange>,
    /// One backup at a time is on its way to or from a server of the platform's own.
    handing: Mutex<()>,
}

/// Where the server is.
#[derive(Debug)]
enum Home {
    /// It is an existing one; with the certificate of its authority, as the operator's file had it at the start.
    Existing(MssqlUrl, Option<Vec<u8>>),
    /// The platform runs it.
    Own(Own),
    /// There is none, and why.
    Nowhere(DatabaseError),
}

/// A file by which the server and the platform exchange a backup.
enum Passage<'a> {
    Exchanged(Exchanged),
    Handed { file: Handed<'a>, _turn: tokio::sync::MutexGuard<'a, ()> },
}

impl Passage<'_> {
    /// What the server calls it.
    fn server(&self) -> String {
        match self {
            Self::Exchanged(file) => file.server.clone(),
            Self::Handed { file, .. } => file.path(),
        }
    }

    async fn take(&self, to: File) -> Result<()> {
        match self {
            Self::Exchanged(file) => file.take(to).await,
            Self::Handed { file, .. } => file.take(to).await,
        }
    }

    async fn give(&self, from: File) -> Result<()> {
        match self {
            Self::Exchanged(file) => file.give(from).await,
            Self::Handed { file, .. } => file.give(from).await,
        }
    }

    async fn remove(self) {
        if let Self::Handed { file, .. } = &self {
            file.remove().await;
        }
    }
}

impl Mssql {
    /// Databases on the server that the settings say; without `ground`, none can be run here.
    ///
    /// # Errors
    /// [`DatabaseError::Refused`] where the authority's certificate that the address names can't be read, or the image's name is none.
    pub fn new(settings: MssqlSettings, ground: Option<Ground>) -> Result<Self> {
        let server = settings.server.or_else(|| USUAL.program().map(Place::Program));
        let home = match (server, ground) {
            (Some(Place::Existing(url)), _) => {
                let read = url.ca.as_ref().map(|path| {
                    std::fs::read(path).map_err(|error| {
                        let path = path.display();
                        DatabaseError::Refused(format!("mssql: the authority's certificate {path} can't be read: {error}"))
                    })
                });
                let ca = read.transpose()?;
                Home::Existing(url, ca)
            }
            (Some(Place::Program(_) | Place::Image(_)), _) if !settings.accept_eula => Home::Nowhere(DatabaseError::Unavailable {
                what: "Microsoft's licence of SQL Server is not accepted".to_owned(),
                help: "read it at https://go.microsoft.com/fwlink/?LinkId=746388 and set mssql-accept-eula = true".to_owned(),
            }),
            (Some(Place::Program(program)), Some(ground)) => {
                Home::Own(Own::new(ground, Supply::Machine(program), settings.edition))
            }
            (Some(Place::Image(image)), Some(ground)) => {
                let supply = Supply::image(ground.images.as_ref(), &image, USUAL.programs[0], USUAL.key)?;
                Home::Own(Own::new(ground, supply, settings.edition))
            }
            _ => Home::Nowhere(DatabaseError::Unavailable {
                what: "there is no SQL Server".to_owned(),
                help: "name an existing one in the settings, mssql = \"sqlserver://ADMIN:PASSWORD@HOST/\", or let the platform run one, \
                       mssql = \"image:mcr.microsoft.com/mssql/server:2022-latest\""
                    .to_owned(),
            }),
        };
        Ok(Self { home, backups: settings.backups, handing: Mutex::default() })
    }

    /// A connection of the administrator's; a server of the platform's own runs as long as it lives.
    async fn admin(&self, database: &str) -> Result<Session> {
        match &self.home {
            Home::Existing(url, ca) => Session::open(connection(url, ca.as_deref(), &url.user, &url.password, database)).await,
            Home::Own(own) => own.admin(database).await,
            Home::Nowhere(error) => Err(error.clone()),
        }
    }

    /// A way for a backup between the server and here.
    async fn passage(&self, name: &DatabaseName) -> Result<Passage<'_>> {
        if let Home::Own(own) = &self.home {
            return Ok(Passage::Handed { file: own.file(name), _turn: self.handing.lock().await });
        }
        let exchange = self.backups.as_ref().ok_or_else(|| DatabaseError::Unavailable {
            what: "SQL Server writes backups on its own machine, and the platform does not see them there".to_owned(),
            help: "share a directory between the two, and set mssql-backups = \"/PATH/ON/THE/SERVER=/PATH/HERE\"".to_owned(),
        })?;
        Ok(Passage::Exchanged(exchange.file(name)))
    }

    /// Limits what a database may hold: the first data file, and the log likewise. What is there already stays.
    async fn limit(&self, name: &DatabaseName, megabytes: u64) -> Result<()> {
        let mut own = self.admin(name.as_str()).await?;
        for row in own.run(statements::FILES).await? {
            let held =
                row.try_get::<i64, _>("megabytes").map_err(|error| failed(&error))?.and_then(|size| u64::try_from(size).ok());
            let most = megabytes.max(held.unwrap_or(0));
            own.run(&statements::limit(name, &column(&row, "name"), most)).await?;
        }
        Ok(())
    }

    /// Restores a dump under a name that no other database has.
    async fn restored(&self, name: &DatabaseName, dump: File, database: &str) -> Result<()> {
        let file = self.passage(name).await?;
        let done = self.restored_from(&file, dump, database).await;
        file.remove().await;
        done
    }

    async fn restored_from(&self, file: &Passage<'_>, dump: File, database: &str) -> Result<()> {
        let mut master = self.admin("master").await?;
        file.give(dump).await?;
        let path = file.server();
        let damaged = |error: DatabaseError| match error {
            DatabaseError::Failed(why) => DatabaseError::Damaged(why),
            other => other,
        };
        master.run(&statements::verify(&path)).await.map_err(damaged)?;
        let files = master.run(&statements::list(&path)).await.map_err(damaged)?;
        let files: Vec<_> = files.iter().map(|row| (column(row, "LogicalName"), column(row, "Type"))).collect();
        let directories = master.run(statements::DIRECTORIES).await?;
        let directory = |which: &str| directories.first().map(|row| column(row, which)).unwrap_or_default();
        let moves = statements::moves(database, &files, &directory("data"), &directory("log"));
        master.run(&statements::restore(database, &path, &moves)).await.map_err(damaged)?;
        master.run(&statements::check(database)).await.map_err(damaged).map(drop)
    }

    /// Removes what verifications and restores have left that did not come to their end.
    async fn tidy(&self, name: &DatabaseName) -> Result<()> {
        let mut master = self.admin("master").await?;
        master.all(&statements::mend(name, &aside(name))).await?;
        for prefix in [format!("scratch_{name}_"), format!("restore_{name}_"), aside(name)] {
            for row in master.run(&statements::begin_with(&prefix)).await? {
                let left = column(&row, "name");
                // Another app's name may begin with the same.
                let rest = left.strip_prefix(&prefix).unwrap_or("x");
                if (rest.is_empty() && left == aside(name))
                    || (rest.len() == 8 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
                {
                    master.all(&statements::drop_database(&left)).await?;
                }
            }
        }
        Ok(())
    }
}

/// A name for a restored database.
fn fresh(what: &str, name: &DatabaseName) -> String {
    format!("{what}_{name}_{:08x}", rand::rng().random::<u32>())
}

/// What a database is called while another takes its place. No app's database begins like that.
fn aside(name: &DatabaseName) -> String {
    format!("aside_{name}")
}

#[async_trait]
impl Kind for Mssql {
    fn kind(&self) -> DatabaseType {
        DatabaseType::Mssql
    }

    async fn available(&self) -> Result<()> {
        match &self.home {
            Home::Existing(url, _) => drop(resolve(std::slice::from_ref(&url.host)).await?),
            Home::Own(own) => return own.available(),
            Home::Nowhere(error) => return Err(error.clone()),
        }
        let may = self.admin("master").await?.number("SELECT CAST(IS_SRVROLEMEMBER(N'sysadmin') AS bigint)").await?;
        if may == 1 {
            return Ok(());
        }
        Err(DatabaseError::Unavailable {
            what: "the SQL Server's user in the setting mssql is no administrator".to_owned(),
            help: "give one with the role sysadmin".to_owned(),
        })
    }

    async fn prepare(&self) -> Result<Kept> {
        Ok(Kept::default())
    }

    /// The settings' connections mean nothing here: SQL Server has no limit for a login.
    async fn create(&self, database: &Database, settings: &DatabaseSettings) -> Result<()> {
        self.admin("master").await?.all(&statements::create(&database.name, &database.password)).await?;
        self.admin(database.name.as_str()).await?.all(&statements::user(&database.name)).await?;
        self.limit(&database.name, settings.storage).await
    }

    fn credentials(&self, database: &Database) -> Access {
        let (url, files) = match &self.home {
            Home::Existing(url, ca) => {
                let file = |ca: &Vec<u8>| Mount::File { at: CA_INSIDE.to_owned(), contents: ca.clone(), owner: None };
                (Some(url.clone()), ca.as_ref().map(file))
            }
            Home::Own(own) => (Some(own.there()), Some(own.authority())),
            Home::Nowhere(_) => (None, None),
        };
        Access {
            variables: url.as_ref().map(|url| url.variables(&database.name, &database.password)).unwrap_or_default(),
            host: url.as_ref().map(|url| url.host.host.clone()).unwrap_or_default(),
            port: url.map_or(url::PORT, |url| url.host.port),
            files: files.into_iter().collect(),
        }
    }

    async fn awake(&self, _database: &Database) -> Result<Awake> {
        match &self.home {
            Home::Existing(url, _) => {
                let (links, address) = resolve(std::slice::from_ref(&url.host)).await?;
                Ok(Awake { links, address, guard: Box::new(()) })
            }
            Home::Own(own) => {
                let lease = own.awake().await?;
                Ok(Awake { links: own.links(&lease), address: lease.address(), guard: Box::new(lease) })
            }
            Home::Nowhere(error) => Err(error.clone()),
        }
    }

    async fn apply(&self, database: &Database, settings: &DatabaseSettings) -> Result<()> {
        self.limit(&database.name, settings.storage).await
    }

    async fn rotate(&self, database: &Database, password: &Secret) -> Result<()> {
        self.admin("master").await?.run(&statements::rotate(&database.name, password)).await.map(drop)
    }

    async fn backup(&self, database: &Database, to: File) -> Result<()> {
        let file = self.passage(&database.name).await?;
        let done = async {
            let mut master = self.admin("master").await?;
            let compressed = master.number(statements::COMPRESSES).await? == 1;
            master.run(&statements::backup(&database.name, &file.server(), compressed)).await?;
            file.take(to).await
        };
        let done: Result<()> = done.await;
        file.remove().await;
        done
    }

    async fn verify(&self, database: &Database, dump: File) -> Result<Found> {
        self.tidy(&database.name).await?;
        let scratch = fresh("scratch", &database.name);
        let found = async {
            self.restored(&database.name, dump, &scratch).await?;
            let rows = self.admin(&scratch).await?.run(statements::COUNTS).await?;
            let number = |which: &str| {
                let number =
                    rows.first().map(|row| row.try_get::<i64, _>(which)).transpose().map_err(|error| failed(&error))?.flatten();
                Ok::<_, DatabaseError>(number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0))
            };
            Ok(Found { tables: number("tables")?, rows: number("rows")? })
        };
        let found: Result<Found> = found.await;
        let dropped = self.admin("master").await?.all(&statements::drop_database(&scratch)).await;
        let found = found?;
        dropped.map(|()| found)
    }

    /// Restores beside the database, then renames both: the app is disconnected for that moment. A platform that is killed between
    /// the two renamings leaves the old database aside; the next restore or verification brings it back.
    async fn restore(&self, database: &Database, dump: File) -> Result<()> {
        let name = &database.name;
        self.tidy(name).await?;
        let restored = fresh("restore", name);
        let done = async {
            self.restored(name, dump, &restored).await?;
            // The user is known by a number that may be another one now.
            self.admin(&restored).await?.all(&statements::user(name)).await?;
            self.admin("master").await?.all(&statements::swap(name, &restored, &aside(name))).await
        };
        let done: Result<()> = done.await;
        // Brings the old one back where it has failed, and drops what is left where it has not.
        self.tidy(name).await?;
        done
    }

    async fn drop(&self, database: &Database) -> Result<()> {
        self.tidy(&database.name).await?;
        self.admin("master").await?.all(&statements::remove(&database.name)).await
    }

    async fn usage(&self, database: &Database) -> Result<Usage> {
        let mut own = self.admin(database.name.as_str()).await?;
        let bytes = own.number(statements::BYTES).await?;
        let connections = own.number(&statements::connections(&database.name)).await?;
        Ok(Usage { bytes, connections: u32::try_from(connections).unwrap_or(u32::MAX) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mssql(server: Option<&str>, accept_eula: bool) -> Mssql {
        let server = server.map(|text| MssqlServer::parse(text).expect("a place"));
        Mssql::new(MssqlSettings { server, accept_eula, ..MssqlSettings::default() }, None).expect("settings")
    }

    #[tokio::test]
    async fn the_licence_is_accepted_by_the_operator_alone() {
        for server in ["program", "image"] {
            let error = mssql(Some(server), false).available().await.expect_err("not accepted");
            assert!(error.to_string().contains("licence") && error.help().contains("mssql-accept-eula"), "{error}");
        }
        if USUAL.program().is_none() {
            let error = mssql(None, true).available().await.expect_err("there is none");
            assert!(error.help().contains("sqlserver://"), "{}", error.help());
        }
    }

    #[tokio::test]
    async fn backups_of_a_server_elsewhere_need_a_directory_that_both_see() {
        let name = DatabaseName::parse("app_a").expect("a name");
        let kind = mssql(Some("sqlserver://sa:pw@192.0.2.1/"), false);
        let error = kind.passage(&name).await.err().expect("none is set").help();
        assert!(error.contains("mssql-backups"), "{error}");
    }

    #[test]
    fn a_connection_shows_no_password() {
        let url = MssqlUrl::parse("sqlserver://sa:topsecret@192.0.2.1/?trustServerCertificate=true").expect("an address");
        let config = connection(&url, None, &url.user, &url.password, "master");
        assert_eq!(config.get_addr(), "192.0.2.1:1433");
        assert!(!format!("{config:?} {url:?}").contains("topsecret"));
    }
}
