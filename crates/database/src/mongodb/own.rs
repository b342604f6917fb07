//! A MongoDB server that the platform runs itself: a replica set of one (Prisma and change streams need one), in a sandbox, with a
//! volume.
//!
//! It begins without users, and lets nobody make one from outside; so it is started once without authorization, while nobody but the
//! platform may reach it, to become a replica set and to get its administrator. A tag of its only member, which `hello` tells everybody,
//! says that this is done.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::mongodb::bson::{Document, doc};
use async_trait::async_trait;
use engine::{ContainerId, ContainerSpec, Limits, Link, Mount, VolumeName};
use model::database::DatabaseName;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::client::{Session, code, failed, fine_if};
use super::url::{MongoUrl, PORT};
use super::way::Way;
use crate::certificate;
use crate::ground::{Ground, MONGODB_SLOT};
use crate::place::HostPort;
use crate::servers::{Lease, Server};
use crate::supply::{Supplied, Supply};
use crate::{DatabaseError, Result, Secret};

/// The user inside as whom it runs, as in the vendor's image.
const USER: u16 = 999;
/// Its memory: a cache of a quarter of a gigabyte, which is the least there is, and connections of up to a megabyte each.
const MEMORY: u64 = 1 << 30;
/// A thread for each connection, and its own.
const PIDS: u32 = 2000;
/// The name of the replica set.
const SET: &str = "adaptable";
/// The administrator.
const ADMIN: &str = "adaptable";
/// Where its files are shown.
const DIRECTORY: &str = "/etc/adaptable/mongodb";
/// How long it may take to become the primary of its set.
const ELECTION: Duration = Duration::from_secs(30);
/// It is a replica set already.
const ALREADY_INITIALIZED: i32 = 23;

/// The server of all apps.
#[derive(Debug)]
pub(crate) struct Own {
    ground: Ground,
    supply: Supply,
    host: String,
    id: ContainerId,
    /// Nobody gets a lease while the server is open to all who reach it.
    gate: Mutex<()>,
}

impl Own {
    /// A server whose program comes from there.
    pub(crate) fn new(ground: Ground, supply: Supply) -> Self {
        let host = format!("server.mongodb.{}", ground.domain);
        let id = ContainerId::parse("db-mongodb").unwrap_or_else(|_| unreachable!("it is a name"));
        Self { ground, supply, host, id, gate: Mutex::new(()) }
    }

    /// Whether its program is there.
    pub(crate) fn available(&self) -> Result<()> {
        self.supply.available(
            "install MongoDB's server, or name an existing one in the settings, mongodb = \"mongodb://ADMIN:PASSWORD@HOST/\", or an \
             image, mongodb = \"image:docker.io/library/mongo:8\"",
        )
    }

    /// Starts it unless it runs, makes what it lacks, and keeps it running.
    pub(crate) async fn awake(&self) -> Result<Lease> {
        self.available()?;
        let _gate = self.gate.lock().await;
        // Before the server's own patience begins: an image may be on its way for minutes.
        let supplied = self.supply.get(USER).await?;
        let lease = self.ground.servers.awake(self.server(&supplied, false)).await?;
        if is_made(&greeting(self.way(lease.address())?).await?) {
            return Ok(lease);
        }
        drop(lease);
        self.ground.servers.stop(&self.id).await;
        let open = self.ground.servers.awake(self.server(&supplied, true)).await?;
        let made = self.make(open.address()).await;
        drop(open);
        self.ground.servers.stop(&self.id).await;
        made?;
        self.ground.servers.awake(self.server(&supplied, false)).await
    }

    /// Makes it a replica set with an administrator.
    async fn make(&self, address: SocketAddr) -> Result<()> {
        let session = Session::open_by(&direct(), self.way(address)?).await?;
        let member = doc! { "_id": 0, "host": format!("{}:{PORT}", self.host) };
        let initiate = doc! { "replSetInitiate": { "_id": SET, "members": [member] } };
        fine_if(session.run("admin", initiate).await, &[ALREADY_INITIALIZED])?;
        let begun = Instant::now();
        while !greeting(self.way(address)?).await?.get_bool("isWritablePrimary").unwrap_or(false) {
            if begun.elapsed() > ELECTION {
                return Err(DatabaseError::Server("MongoDB: it does not become the primary of its own replica set".to_owned()));
            }
            sleep(Duration::from_millis(50)).await;
        }
        let password = self.ground.password("mongodb administrator");
        let user =
            |first: &str| doc! { first: ADMIN, "pwd": password.reveal(), "roles": ["root"], "mechanisms": ["SCRAM-SHA-256"] };
        if fine_if(session.run("admin", user("createUser")).await, &[code::USER_EXISTS])?.is_none() {
            session.run("admin", user("updateUser")).await.map_err(|error| failed(&error))?;
        }
        let config = session.run("admin", doc! { "replSetGetConfig": 1 }).await.map_err(|error| failed(&error))?;
        let config =
            tagged(&config).ok_or_else(|| DatabaseError::Failed("MongoDB: its replica set has no configuration".to_owned()))?;
        session.run("admin", doc! { "replSetReconfig": config }).await.map(drop).map_err(|error| failed(&error))
    }

    fn server(&self, supplied: &Supplied, open: bool) -> Arc<Mongod> {
        Arc::new(Mongod {
            ground: self.ground.clone(),
            supplied: supplied.clone(),
            host: self.host.clone(),
            id: self.id.clone(),
            open,
        })
    }

    /// The server's address for the platform itself.
    pub(crate) fn here(&self, address: SocketAddr) -> MongoUrl {
        let host = HostPort { host: address.ip().to_string(), port: address.port() };
        MongoUrl::own(host, ADMIN, self.ground.password("mongodb administrator"), &DIRECT)
    }

    /// The server's address for an app.
    pub(crate) fn there(&self, name: &DatabaseName, password: &Secret) -> Secret {
        let options = [("replicaSet", SET), ("tls", "true")];
        MongoUrl::own(self.at(), ADMIN, Secret::new(""), &options).of(name, password, Some(certificate::AUTHORITY_AT))
    }

    /// How the platform itself reaches it.
    pub(crate) fn way(&self, address: SocketAddr) -> Result<Way> {
        Way::open(address, &self.host, &self.ground.certifier.authority_pem())
    }

    /// The host's name and the port, for containers.
    pub(crate) fn at(&self) -> HostPort {
        HostPort { host: self.host.clone(), port: PORT }
    }

    /// What a container needs to reach it.
    pub(crate) fn links(&self, lease: &Lease) -> Vec<Link> {
        lease.links(&self.host)
    }

    /// The authority's certificate, for containers.
    pub(crate) fn authority(&self) -> Mount {
        certificate::authority(&*self.ground.certifier)
    }
}

/// Options of the platform's own connections: to this server, whatever it says of its set. TLS is the way's affair.
const DIRECT: [(&str, &str); 1] = [("directConnection", "true")];

/// An address without a user. Whose it is says the way.
fn direct() -> Secret {
    Secret::new("mongodb://server/?directConnection=true")
}

/// What the server tells everybody.
async fn greeting(way: Way) -> Result<Document> {
    let session = Session::open_by(&direct(), way).await?;
    session.run("admin", doc! { "hello": 1 }).await.map_err(|error| failed(&error))
}

/// Whether a server is a replica set with an administrator.
fn is_made(greeting: &Document) -> bool {
    greeting.get_document("tags").is_ok_and(|tags| tags.get_str("adaptable").is_ok_and(|tag| tag == "made"))
}

/// The configuration of a replica set, with the tag that says that it has an administrator.
fn tagged(answer: &Document) -> Option<Document> {
    let mut config = answer.get_document("config").ok()?.clone();
    let version = config.get_i32("version").ok()?;
    config.insert("version", version + 1);
    let member = config.get_array_mut("members").ok()?.first_mut()?.as_document_mut()?;
    member.insert("tags", doc! { "adaptable": "made" });
    Some(config)
}

/// A start of the server.
#[derive(Debug)]
struct Mongod {
    ground: Ground,
    supplied: Supplied,
    host: String,
    id: ContainerId,
    /// Whether whoever reaches it may do everything.
    open: bool,
}

#[async_trait]
impl Server for Mongod {
    fn id(&self) -> &ContainerId {
        &self.id
    }

    async fn container(&self) -> Result<ContainerSpec> {
        let certificate = self.ground.certifier.certify(std::slice::from_ref(&self.host))?;
        let file = |name: &str, contents: String, secret: bool| Mount::File {
            at: format!("{DIRECTORY}/{name}"),
            contents: contents.into_bytes(),
            owner: secret.then_some(USER),
        };
        let volume = VolumeName::parse("mongodb").map_err(|error| DatabaseError::Failed(error.to_string()))?;
        let limits = Limits { memory_bytes: MEMORY, cpu_millis: 2000, cpu_weight: 100, pids: PIDS };
        let mut spec = self.supplied.server(self.id.clone(), MONGODB_SLOT, USER, limits);
        spec.args.extend(["--config".to_owned(), format!("{DIRECTORY}/mongod.conf")]);
        // It finds itself by the name that its set knows it by.
        spec.hostname.clone_from(&self.host);
        spec.mounts = vec![
            Mount::Volume { name: volume, at: "/data".to_owned(), owner: USER, read_only: false },
            file("mongod.conf", configuration(self.open), false),
            file("server.pem", format!("{}\n{}", certificate.key_pem, certificate.chain_pem), true),
            file("ca.pem", self.ground.certifier.authority_pem(), false),
            file("key", self.ground.password("mongodb members").reveal().to_owned(), true),
        ];
        Ok(spec)
    }

    fn port(&self) -> u16 {
        PORT
    }

    async fn ready(&self, address: SocketAddr) -> bool {
        let asked = async { greeting(Way::open(address, &self.host, &self.ground.certifier.authority_pem())?).await };
        match asked.await {
            // Either it has been elected, or it is not a set yet.
            Ok(greeting) => {
                self.open || greeting.get_bool("isWritablePrimary").unwrap_or(false) || greeting.contains_key("isreplicaset")
            }
            Err(_not_yet) => false,
        }
    }
}

/// The configuration file (MongoDB's "Configuration File Options").
fn configuration(open: bool) -> String {
    let security =
        if open { String::new() } else { format!("security:\n  authorization: enabled\n  keyFile: {DIRECTORY}/key\n") };
    format!(
        "net:
  port: {PORT}
  bindIp: 0.0.0.0
  unixDomainSocket:
    enabled: false
  tls:
    mode: requireTLS
    certificateKeyFile: {DIRECTORY}/server.pem
    CAFile: {DIRECTORY}/ca.pem
    allowConnectionsWithoutCertificates: true
{security}replication:
  replSetName: {SET}
  oplogSizeMB: 990
storage:
  dbPath: /data
  wiredTiger:
    engineConfig:
      cacheSizeGB: 0.25
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_is_made_counts_as_one() {
        assert!(!is_made(&doc! { "isreplicaset": true }));
        assert!(!is_made(&doc! { "setName": SET, "isWritablePrimary": true }));
        assert!(is_made(&doc! { "setName": SET, "tags": { "adaptable": "made" } }));
        let answer = doc! { "config": { "_id": SET, "version": 1, "members": [{ "_id": 0, "host": "a:27017" }] } };
        let config = tagged(&answer).expect("a configuration");
        assert_eq!(config.get_i32("version").expect("a number"), 2);
        assert!(config.to_string().contains("made"), "{config}");
    }

    #[test]
    fn it_is_open_to_nobody_but_once() {
        assert!(configuration(false).contains("authorization: enabled") && configuration(false).contains("requireTLS"));
        assert!(!configuration(true).contains("keyFile") && configuration(true).contains("requireTLS"));
    }
}
