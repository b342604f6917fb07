//! The servers of MongoDB and SQL Server out of images. What is in these images is no such server, but a script that says what it finds
//! and ends: it shows that images are pulled, that containers are as they should be, and that a failure is told. It shows nothing of what
//! the real servers make of that.

use std::sync::Arc;
use std::time::Duration;

use database::mongodb::{Mongo, MongoServer, MongoSettings};
use database::mssql::{Mssql, MssqlServer, MssqlSettings};
use database::service::Images;
use database::{Certificate, Certifier, Database, DatabaseError, Ground, Kept, Kind, Secret};
use image::registry::{Client, Settings};
use model::AppName;
use model::database::{DatabaseName, DatabaseSettings};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_RSA_SHA256, RsaKeySize};

use crate::made;
use crate::registry::Registry;
use crate::{World, settings};

/// Says in its last line what it finds, and ends.
const MONGOD: &str = r#"#!/bin/sh
cd /data && echo kept > file && data=writable
read -r key < /etc/adaptable/mongodb/key
read -r ca < /etc/adaptable/mongodb/ca.pem
read -r pem < /etc/adaptable/mongodb/server.pem
while read -r line; do case "$line" in "replSetName:"*|"authorization:"*|"mode:"*) conf="$conf$line;" ;; esac; done < /etc/adaptable/mongodb/mongod.conf
echo "found: $0 $*, /data $data, key of ${#key}, $ca, $pem, $conf $FROM_IMAGE"
exit 7
"#;
const SQLSERVR: &str = r#"#!/bin/sh
cd /var/opt/mssql && echo kept > file && data=writable
cd /exchange && echo kept > file && exchange=writable
read -r ca < /etc/adaptable/mssql/server.pem
read -r pem < /etc/adaptable/mssql/server.key
while read -r line; do case "$line" in tls*|accepteula*|forceencryption*) conf="$conf$line;" ;; esac; done < /var/opt/mssql/mssql.conf
echo "found: $0 $#, data $data, exchange $exchange, eula $ACCEPT_EULA, edition $MSSQL_PID, password of ${#MSSQL_SA_PASSWORD}, $ca, $pem, $conf"
exit 7
"#;

#[derive(Debug)]
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("signed").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, names: &[String], key: &KeyPair) -> Certificate {
        let params = CertificateParams::new(names.to_vec()).expect("names");
        let chain_pem = params.signed_by(key, &self.issuer).expect("signed").pem();
        Certificate { chain_pem, key_pem: key.serialize_pem() }
    }
}

impl Certifier for Authority {
    fn certify(&self, names: &[String]) -> Result<Certificate, DatabaseError> {
        Ok(self.sign(names, &KeyPair::generate().expect("a key")))
    }

    fn certify_rsa(&self, names: &[String]) -> Result<Certificate, DatabaseError> {
        Ok(self.sign(names, &KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key")))
    }

    fn authority_pem(&self) -> String {
        self.pem.clone()
    }
}

fn ground(world: &World, settings: Settings) -> (Ground, Arc<Images>) {
    let client = Client::new(Arc::clone(&world.layout), settings);
    let images = Arc::new(Images::new(client, Arc::clone(&world.engine)));
    let ground = Ground {
        servers: world.servers.clone(),
        certifier: Arc::new(Authority::new()),
        domain: "localhost".to_owned(),
        secret: Secret::new("a secret of a test"),
        images: Some(Arc::clone(&images)),
    };
    (ground, images)
}

fn database() -> Database {
    let app = AppName::parse("shop").expect("a name");
    Database { name: DatabaseName::of(&app), app, slot: 1, password: Secret::generate(), kept: Kept::default() }
}

async fn fails(kind: &dyn Kind) -> String {
    let error = kind.create(&database(), &DatabaseSettings::default()).await.expect_err("it is no server");
    // The next one begins anew.
    tokio::time::sleep(Duration::from_millis(10)).await;
    error.to_string()
}

fn mongodb(image: &str, ground: Ground) -> Mongo {
    let server = Some(MongoServer::parse(&format!("image:{image}")).expect("an image"));
    Mongo::new(MongoSettings { server, ..MongoSettings::default() }, Some(ground)).expect("settings")
}

fn mssql(image: &str, accept_eula: bool, ground: Ground) -> Mssql {
    let server = Some(MssqlServer::parse(&format!("image:{image}")).expect("an image"));
    Mssql::new(MssqlSettings { server, accept_eula, ..MssqlSettings::default() }, Some(ground)).expect("settings")
}

/// `mongod` of an image, by the image's own path, and not its start script.
pub(crate) async fn mongodb_is_started_from_its_image(world: &World) {
    let registry = Registry::start("reader", "secret");
    registry.push(&made::script("usr/bin/mongod", MONGOD), "library/mongo:7");
    let name = format!("{}/library/mongo:7", registry.host());
    let (ground, images) = ground(world, settings(&registry.host(), Some(("reader", "secret"))));
    assert_eq!(images.kept().expect("asked"), []);
    let kind = mongodb(&name, ground.clone());
    kind.available().await.expect("whether it can be had is found out later");
    let error = fails(&kind).await;
    let found = "its last line: found: /usr/bin/mongod --config /etc/adaptable/mongodb/mongod.conf, /data writable, key of 64, \
                 -----BEGIN CERTIFICATE-----, -----BEGIN PRIVATE KEY-----, mode: requireTLS;authorization: enabled;replSetName: adaptable; yes";
    assert!(error.contains("code 7") && error.ends_with(found), "{error}");
    assert_eq!(images.kept().expect("asked").len(), 1, "garbage collection leaves it alone");

    // The registry is gone, and what is here goes on.
    drop(registry);
    assert!(fails(&kind).await.ends_with(found));
    let other = mongodb("127.0.0.1:9/library/mongo:8", ground);
    let error = other.create(&database(), &DatabaseSettings::default()).await.expect_err("nobody has it");
    assert!(error.to_string().contains("127.0.0.1:9 can't be reached") && !error.help().is_empty(), "{error}");
}

/// Nothing is even pulled before the licence is accepted.
pub(crate) async fn sql_server_is_started_from_its_image(world: &World) {
    let registry = Registry::start("reader", "secret");
    registry.push(&made::script("opt/mssql/bin/sqlservr", SQLSERVR), "mssql/server:2022-latest");
    let name = format!("{}/mssql/server:2022-latest", registry.host());
    let (ground, images) = ground(world, settings(&registry.host(), Some(("reader", "secret"))));
    let refused = mssql(&name, false, ground.clone()).create(&database(), &DatabaseSettings::default()).await;
    let refused = refused.expect_err("the licence is not accepted");
    assert!(refused.to_string().contains("licence") && refused.help().contains("mssql-accept-eula"), "{refused}");
    assert_eq!(images.kept().expect("asked"), []);

    let kind = mssql(&name, true, ground);
    if let Err(little) = kind.available().await {
        println!("left out: {little}");
        return;
    }
    let error = fails(&kind).await;
    let found = "its last line: found: /opt/mssql/bin/sqlservr 0, data writable, exchange writable, eula Y, edition Express, password of 66, \
                 -----BEGIN CERTIFICATE-----, -----BEGIN PRIVATE KEY-----, accepteula = Y;forceencryption = 1;";
    assert!(error.contains("code 7") && error.contains(found), "{error}");
    let access = kind.credentials(&database());
    assert_eq!((access.host.as_str(), access.port, access.files.len()), ("server.mssql.localhost", 1433, 1));
}
