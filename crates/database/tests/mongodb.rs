//! Databases on real servers that speak MongoDB's protocol: FerretDB, and MongoDB itself where `ADAPTABLE_TEST_MONGODB_URL` names one
//! (`mongodb://ADMIN:PASSWORD@HOST/`, a replica set or not). Needs root, for FerretDB's network.

#![expect(clippy::print_stdout, reason = "whoever reads the tests' output must see that some were left out")]

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use database::mongodb::{Mongo, MongoServer, MongoSettings};
use database::{Database, DatabaseError, Found, Kept, Kind, Secret};
use futures_util::TryStreamExt;
use model::AppName;
use model::database::{DatabaseName, DatabaseSettings};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime, Document, Regex, doc};
use mongodb::{Client, IndexModel};
use testkit::Ferret;

/// A server to test with.
struct Server {
    url: String,
    /// FerretDB has no roles: what needs them is not tested with it.
    ferret: Option<Ferret>,
}

/// Every server that there is; the test's name is part of its databases' names, since tests run side by side.
fn servers() -> Vec<Server> {
    let mut servers = Vec::new();
    if let Some(ferret) = Ferret::start() {
        servers.push(Server { url: ferret.url(), ferret: Some(ferret) });
    }
    servers.extend(mongod());
    servers
}

fn mongod() -> Option<Server> {
    let url = std::env::var("ADAPTABLE_TEST_MONGODB_URL").ok();
    if url.is_none() {
        println!("left out: MongoDB itself; ADAPTABLE_TEST_MONGODB_URL does not name one");
    }
    url.map(|url| Server { url, ferret: None })
}

impl Server {
    fn kind(&self) -> Mongo {
        self.with(self.ferret.is_some())
    }

    fn with(&self, unseparated: bool) -> Mongo {
        let server = Some(MongoServer::parse(&self.url).expect("an address"));
        Mongo::new(MongoSettings { server, unseparated }, None).expect("a server")
    }
}

fn database(app: &str) -> Database {
    let app = AppName::parse(app).expect("a name");
    Database { name: DatabaseName::of(&app), app, slot: 1, password: Secret::generate(), kept: Kept::default() }
}

fn settings(storage: u64) -> DatabaseSettings {
    DatabaseSettings { storage, ..DatabaseSettings::default() }
}

/// The app's own way in: nothing but the variable.
async fn app(kind: &Mongo, of: &Database) -> mongodb::Database {
    let access = kind.credentials(of);
    let (name, url) = &access.variables[0];
    assert_eq!(name, "DATABASE_URL");
    let client = Client::with_uri_str(url.reveal()).await.expect("a client");
    client.default_database().expect("the address names the database")
}

/// Whether a user can do something.
async fn answers(database: &mongodb::Database) -> bool {
    database.run_command(doc! { "listCollections": 1 }).await.is_ok()
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(bytes).expect("room");
    file
}

fn bytes(mut file: &File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).expect("the beginning");
    file.read_to_end(&mut bytes).expect("what was written");
    bytes
}

async fn dump(kind: &Mongo, of: &Database) -> File {
    let file = tempfile::tempfile().expect("a file");
    kind.backup(of, file.try_clone().expect("a copy")).await.expect("a dump");
    file
}

/// Everything in a collection, in order.
async fn all(database: &mongodb::Database, name: &str) -> Vec<Document> {
    let cursor = database.collection::<Document>(name).find(doc! {}).sort(doc! { "_id": 1 }).await.expect("a cursor");
    cursor.try_collect().await.expect("documents")
}

#[tokio::test]
async fn an_app_finds_its_database_and_nothing_stays_when_it_is_dropped() {
    for server in servers() {
        let (kind, of) = (server.kind(), database("life"));
        kind.available().await.expect("a server");
        kind.create(&of, &settings(100)).await.expect("a database");
        kind.create(&of, &settings(100)).await.expect("again is fine");
        let awake = kind.awake(&of).await.expect("a server");
        assert_eq!(awake.links.len(), 1, "it may be reached: {:?}", awake.links);
        assert_eq!(awake.links[0].port, awake.address.port());

        let own = app(&kind, &of).await;
        own.collection("entries").insert_one(doc! { "text": "grüße" }).await.expect("an entry");
        assert_eq!(all(&own, "entries").await.len(), 1);
        assert!(kind.usage(&of).await.expect("figures").bytes > 0);

        kind.drop(&of).await.expect("gone");
        kind.drop(&of).await.expect("again is fine");
        assert!(!answers(&app(&kind, &of).await).await, "its user is gone");
        kind.create(&of, &settings(100)).await.expect("a database");
        assert!(all(&app(&kind, &of).await, "entries").await.is_empty(), "nothing of before is there");
        kind.drop(&of).await.expect("gone");
    }
}

#[tokio::test]
async fn a_password_is_another_one_after_it_was_rotated() {
    for server in servers() {
        let (kind, of) = (server.kind(), database("rotated"));
        kind.create(&of, &settings(100)).await.expect("a database");
        let open = app(&kind, &of).await;
        assert!(answers(&open).await);
        let other = Database { password: Secret::generate(), ..of.clone() };
        kind.rotate(&other, &other.password).await.expect("another password");
        assert!(answers(&app(&kind, &other).await).await, "the new one");
        assert!(!answers(&app(&kind, &of).await).await, "the old one");
        assert!(answers(&open).await, "a connection that was open stays");
        kind.drop(&of).await.expect("gone");
    }
}

/// What there is of BSON, in one collection, and names and indexes that are not plain in others.
async fn fill(own: &mongodb::Database, dots: bool) {
    let values = doc! {
        "_id": 1, "text": "grüße \u{1F600}", "empty": "", "double": 1.5, "long": i64::MAX, "bool": true, "null": null,
        "array": [1, "two", { "three": 3 }], "at": DateTime::from_millis(1_700_000_000_123), "oid": ObjectId::new(),
        "binary": Binary { subtype: BinarySubtype::Generic, bytes: vec![0, 255, 10] },
        "regex": Regex { pattern: mongodb::bson::cstr!("^a.*$").to_owned(), options: mongodb::bson::cstr!("i").to_owned() },
        "dotted": { "deep": { "deeper": [{}, 1] } },
    };
    own.collection("values").insert_one(values).await.expect("a document");
    let many = own.collection("many");
    let index = IndexModel::builder().keys(doc! { "n": 1, "text": -1 }).build();
    many.create_index(index).await.expect("an index");
    let unique = mongodb::options::IndexOptions::builder().unique(true).name("only_once".to_owned()).build();
    many.create_index(IndexModel::builder().keys(doc! { "n": 1 }).options(unique).build()).await.expect("an index");
    for hundred in 0..25 {
        let documents = (0..100).map(|n| doc! { "_id": hundred * 100 + n, "n": hundred * 100 + n, "text": "x".repeat(500) });
        many.insert_many(documents).await.expect("documents");
    }
    own.create_collection("nothing_yet").await.expect("a collection");
    // FerretDB can't rename to a name with a dot.
    let name = if dots { "with.a-dot and space" } else { "with a-space" };
    own.collection(name).insert_one(doc! { "_id": "only" }).await.expect("a document");
}

async fn everything(own: &mongodb::Database) -> Vec<(String, Vec<Document>, Vec<Document>)> {
    let mut names = own.list_collection_names().await.expect("names");
    names.sort();
    let mut out = Vec::new();
    for name in names {
        let indexes: Vec<_> =
            own.collection::<Document>(&name).list_indexes().await.expect("indexes").try_collect().await.expect("indexes");
        let mut indexes: Vec<Document> = indexes
            .into_iter()
            .map(|index: IndexModel| doc! { "keys": index.keys, "unique": index.options.and_then(|options| options.unique) })
            .collect();
        indexes.sort_by_key(ToString::to_string);
        out.push((name.clone(), all(own, &name).await, indexes));
    }
    out
}

#[tokio::test]
async fn a_dump_is_verified_and_takes_the_place_of_what_is_there() {
    for server in servers() {
        let (kind, of) = (server.kind(), database("dumped"));
        kind.create(&of, &settings(1000)).await.expect("a database");
        let own = app(&kind, &of).await;
        fill(&own, server.ferret.is_none()).await;
        let before = everything(&own).await;
        assert_eq!(before.len(), 4);

        let dump = dump(&kind, &of).await;
        let found = kind.verify(&of, dump.try_clone().expect("a copy")).await.expect("it is whole");
        assert_eq!(found, Found { tables: 4, rows: 2502 });
        assert_eq!(everything(&own).await, before, "a verification changes nothing");
        let admin = Client::with_uri_str(&server.url).await.expect("a client");
        let names = admin.list_database_names().await.expect("names");
        assert!(!names.iter().any(|name| name.starts_with("scratch_app_dumped")), "{names:?}");

        own.collection::<Document>("many").delete_many(doc! { "n": { "$lt": 2000 } }).await.expect("fewer");
        own.collection::<Document>("values").drop().await.expect("gone");
        own.collection("later").insert_one(doc! { "a": 1 }).await.expect("another");
        own.collection("adaptable_restore_7").insert_one(doc! { "left": true }).await.expect("what a killed restore has left");
        kind.restore(&of, dump.try_clone().expect("a copy")).await.expect("as it was");
        assert_eq!(everything(&own).await, before);
        kind.restore(&of, dump).await.expect("again is fine");
        assert_eq!(everything(&own).await, before);
        kind.drop(&of).await.expect("gone");
    }
}

#[tokio::test]
async fn a_damaged_dump_is_noticed_and_changes_nothing() {
    for server in servers() {
        let (kind, of) = (server.kind(), database("damaged"));
        kind.create(&of, &settings(1000)).await.expect("a database");
        let own = app(&kind, &of).await;
        fill(&own, server.ferret.is_none()).await;
        let whole = bytes(&dump(&kind, &of).await);
        let before = everything(&own).await;
        let mut changed = whole.clone();
        changed[whole.len() / 2] ^= 1;
        let damaged: [(&str, &[u8]); 4] =
            [("empty", b""), ("something else", b"PGDMP"), ("cut off", &whole[..whole.len() - 20]), ("changed", &changed)];
        for (how, bytes) in damaged {
            let error = kind.verify(&of, file(bytes)).await.expect_err(how);
            assert!(matches!(error, DatabaseError::Damaged(_)), "{how}: {error}");
            let error = kind.restore(&of, file(bytes)).await.expect_err(how);
            assert!(matches!(error, DatabaseError::Damaged(_)), "{how}: {error}");
        }
        assert_eq!(everything(&own).await, before);
        kind.drop(&of).await.expect("gone");
    }
}

#[tokio::test]
async fn a_server_that_does_not_keep_users_apart_is_refused_unless_the_operator_says_so() {
    let Some(ferret) = Ferret::start() else { return };
    let server = Server { url: ferret.url(), ferret: Some(ferret) };
    let of = database("apart");
    let error = server.with(false).create(&of, &settings(100)).await.expect_err("it does not");
    assert!(matches!(error, DatabaseError::Unavailable { .. }) && error.help().contains("mongodb-unseparated"), "{error}");
    server.with(false).available().await.expect_err("nor is it there for apps");
    assert!(!answers(&app(&server.kind(), &of).await).await, "no user is left");
}

/// With MongoDB itself: FerretDB 1.x has no roles.
#[tokio::test]
async fn no_user_sees_another_apps_database() {
    let Some(server) = mongod() else { return };
    let (kind, one, other) = (server.kind(), database("apart-one"), database("apart-other"));
    for of in [&one, &other] {
        kind.create(of, &settings(100)).await.expect("a database");
        app(&kind, of).await.collection("secrets").insert_one(doc! { "secret": of.name.as_str() }).await.expect("a secret");
    }
    let mine = app(&kind, &one).await;
    let theirs = mine.client().database(other.name.as_str());
    assert_eq!(all(&mine, "secrets").await.len(), 1);
    let owner = doc! { "role": "dbOwner", "db": other.name.as_str() };
    for (on, command) in [
        (other.name.as_str(), doc! { "find": "secrets" }),
        (other.name.as_str(), doc! { "listCollections": 1 }),
        (other.name.as_str(), doc! { "insert": "secrets", "documents": [{ "a": 1 }] }),
        (other.name.as_str(), doc! { "dropDatabase": 1 }),
        (other.name.as_str(), doc! { "usersInfo": 1 }),
        (other.name.as_str(), doc! { "updateUser": other.name.as_str(), "pwd": "x" }),
        ("admin", doc! { "usersInfo": { "forAllDBs": true } }),
        (one.name.as_str(), doc! { "grantRolesToUser": one.name.as_str(), "roles": [owner] }),
        (
            one.name.as_str(),
            doc! { "aggregate": "secrets", "pipeline": [{ "$out": { "db": other.name.as_str(), "coll": "x" } }], "cursor": {} },
        ),
    ] {
        let tried = mine.client().database(on).run_command(command.clone()).await;
        assert!(tried.is_err(), "{on}: {command}");
    }
    assert!(theirs.collection::<Document>("secrets").find_one(doc! {}).await.is_err());
    let seen = mine.client().list_database_names().await.expect("its own");
    assert!(!seen.contains(&other.name.to_string()), "{seen:?}");
    for of in [&one, &other] {
        kind.drop(of).await.expect("gone");
    }
}

/// With MongoDB itself: the right to write is a role.
#[tokio::test]
async fn who_holds_too_much_may_only_look_and_remove() {
    let Some(server) = mongod() else { return };
    let (kind, of) = (server.kind(), database("limited"));
    kind.create(&of, &settings(1000)).await.expect("a database");
    let own = app(&kind, &of).await;
    let entries = own.collection::<Document>("entries");
    for _ in 0..40 {
        let noise: Vec<u8> = (0..1_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        entries.insert_one(doc! { "noise": Binary { subtype: BinarySubtype::Generic, bytes: noise } }).await.expect("an entry");
    }
    kind.apply(&of, &settings(0)).await.expect("a limit");
    entries.insert_one(doc! {}).await.expect_err("it holds too much");
    own.run_command(doc! { "grantRolesToUser": of.name.as_str(), "roles": ["dbOwner"] })
        .await
        .expect_err("nor can it help itself");
    entries.find_one(doc! {}).await.expect("it may look");
    entries.delete_many(doc! {}).await.expect("it may remove");
    kind.apply(&of, &settings(1000)).await.expect("a limit");
    entries.insert_one(doc! {}).await.expect("it may write again");
    kind.drop(&of).await.expect("gone");
}
