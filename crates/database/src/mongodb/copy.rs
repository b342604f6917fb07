//! Writes a MongoDB database into a dump, and a dump into a database.

use std::fs::File;
use std::io::{Seek, SeekFrom};

use ::mongodb::ClientSession;
use ::mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use ::mongodb::options::SessionOptions;
use futures_util::TryStreamExt;
use tokio::sync::mpsc;

use super::client::{Session, code, failed, fine_if};
use super::dump::{Reader, Record, Writer, damaged};
use crate::{DatabaseError, Found, Result};

/// Records that wait for the disk, or for the server.
const QUEUE: usize = 256;
/// Bytes of documents that are inserted at once (a message is at most 48 MB), and their number.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
const BATCH_COUNT: usize = 1000;
/// How the names of collections begin that a restore has not put in their place yet.
const STAGED: &str = "adaptable_restore_";

/// Writes a database into a file. Where the server is a replica set all collections are read as of one moment.
pub(crate) async fn export(admin: &Session, database: &str, to: File) -> Result<()> {
    let hello = admin.run(database, doc! { "hello": 1 }).await.map_err(|error| failed(&error))?;
    let one_moment = hello.contains_key("setName") && !admin.is_ferret().await?;
    let (records, mut queue) = mpsc::channel::<Record>(QUEUE);
    let written = tokio::task::spawn_blocking(move || {
        let mut writer = Writer::new(to)?;
        let mut whole = false;
        while let Some(record) = queue.blocking_recv() {
            whole = matches!(record, Record::End(_));
            writer.record(&record)?;
        }
        // Without its end it is no dump, and whoever reads it says so.
        if whole { writer.finish() } else { Ok(()) }
    });
    let sent = send(admin, database, one_moment, &records).await;
    drop(records);
    // An error of the disk is why nobody took the records any more.
    let written = written.await.map_err(|error| DatabaseError::Failed(error.to_string()))?;
    written.map_err(|error| DatabaseError::Failed(format!("write the dump: {error}")))?;
    sent
}

async fn send(admin: &Session, database: &str, one_moment: bool, records: &mpsc::Sender<Record>) -> Result<()> {
    records.send(Record::Head(doc! { "database": database, "oneMoment": one_moment })).await.map_err(full)?;
    let mut session = if one_moment {
        let options = SessionOptions::builder().snapshot(true).build();
        Some(admin.client().start_session().with_options(options).await.map_err(|error| failed(&error))?)
    } else {
        None
    };
    let mut found = Found::default();
    for collection in collections(admin, database).await? {
        let indexes = if collection.kind == "view" { Vec::new() } else { indexes(admin, database, &collection.name).await? };
        let described =
            doc! { "name": &collection.name, "type": &collection.kind, "options": collection.options, "indexes": indexes };
        let described =
            RawDocumentBuf::try_from(&described).map_err(|error| DatabaseError::Failed(format!("MongoDB: {error}")))?;
        records.send(Record::Collection(described)).await.map_err(full)?;
        found.tables += 1;
        if collection.kind != "view" {
            found.rows += documents(admin, database, &collection.name, session.as_mut(), records).await?;
        }
    }
    records.send(Record::End(found)).await.map_err(full)
}

/// Whoever writes the file has given up, and says why.
fn full<T>(_gone: mpsc::error::SendError<T>) -> DatabaseError {
    DatabaseError::Failed("the dump can't be written".to_owned())
}

/// A collection, a view, or a time series.
#[derive(Debug)]
struct Collection {
    name: String,
    /// `collection`, `view` or `timeseries`.
    kind: String,
    options: Document,
    indexes: Vec<Document>,
}

impl Collection {
    /// Reads what `listCollections` answers, and what stands in a dump.
    fn read(mut from: Document) -> Option<Self> {
        let name = from.get_str("name").ok()?.to_owned();
        let kind = from.get_str("type").unwrap_or("collection").to_owned();
        let options = match from.remove("options") {
            Some(Bson::Document(options)) => options,
            _ => Document::new(),
        };
        let indexes = match from.remove("indexes") {
            Some(Bson::Array(indexes)) => indexes
                .into_iter()
                .map(|index| match index {
                    Bson::Document(index) => Some(index),
                    _ => None,
                })
                .collect::<Option<_>>()?,
            _ => Vec::new(),
        };
        Some(Self { name, kind, options, indexes })
    }

    /// Whether it can be renamed: only then it is put in its place in one step.
    fn is_plain(&self) -> bool {
        self.kind == "collection"
    }
}

/// The collections and views of a database, without the server's own, and without those that a restore has left.
async fn collections(admin: &Session, database: &str) -> Result<Vec<Collection>> {
    let all = listed(admin, database).await?;
    Ok(all.into_iter().filter(|one| !one.name.starts_with("system.") && !one.name.starts_with(STAGED)).collect())
}

async fn listed(admin: &Session, database: &str) -> Result<Vec<Collection>> {
    let cursor = admin.client().database(database).run_cursor_command(doc! { "listCollections": 1 }).await;
    let all: Vec<Document> = cursor.map_err(|error| failed(&error))?.try_collect().await.map_err(|error| failed(&error))?;
    Ok(all.into_iter().filter_map(Collection::read).collect())
}

async fn indexes(admin: &Session, database: &str, collection: &str) -> Result<Vec<Document>> {
    let cursor = admin.client().database(database).run_cursor_command(doc! { "listIndexes": collection }).await;
    let all: Vec<Document> = match cursor {
        Ok(cursor) => cursor.try_collect().await.map_err(|error| failed(&error))?,
        // It has been dropped meanwhile.
        Err(error) if code(&error) == Some(code::NAMESPACE_NOT_FOUND) => Vec::new(),
        Err(error) => return Err(failed(&error)),
    };
    // The one of _id, and that of a clustered collection, come with the collection.
    let ours = all
        .into_iter()
        .filter(|index| !index.get_str("name").is_ok_and(|name| name == "_id_") && !index.contains_key("clustered"));
    Ok(ours
        .map(|mut index| {
            // What names the database, and the format, which the server that restores it chooses.
            index.remove("ns");
            index.remove("v");
            index
        })
        .collect())
}

async fn documents(
    admin: &Session,
    database: &str,
    name: &str,
    session: Option<&mut ClientSession>,
    records: &mpsc::Sender<Record>,
) -> Result<u64> {
    let collection = admin.client().database(database).collection::<RawDocumentBuf>(name);
    let mut count = 0;
    if let Some(session) = session {
        let mut cursor = collection.find(doc! {}).session(&mut *session).await.map_err(|error| failed(&error))?;
        while let Some(document) = cursor.next(&mut *session).await {
            records.send(Record::Document(document.map_err(|error| failed(&error))?)).await.map_err(full)?;
            count += 1;
        }
    } else {
        let mut cursor = collection.find(doc! {}).await.map_err(|error| failed(&error))?;
        while let Some(document) = cursor.try_next().await.map_err(|error| failed(&error))? {
            records.send(Record::Document(document)).await.map_err(full)?;
            count += 1;
        }
    }
    Ok(count)
}

/// Reads a dump into an empty database: what was found.
pub(crate) async fn import(admin: &Session, database: &str, dump: File) -> Result<Found> {
    let mut import = Import { admin, database, rename: false, only: None, seen: Vec::new(), found: Found::default() };
    import.read(dump).await?;
    let Import { seen, mut found, .. } = import;
    for view in seen.iter().filter(|one| one.kind == "view") {
        create(admin, database, &view.name, view).await?;
    }
    // A document that was written twice would be one document.
    found.rows = 0;
    for collection in seen.iter().filter(|one| one.kind != "view") {
        found.rows += counted(admin, database, &collection.name).await?;
    }
    Ok(found)
}

async fn counted(admin: &Session, database: &str, name: &str) -> Result<u64> {
    let collection = admin.client().database(database).collection::<RawDocumentBuf>(name);
    collection.count_documents(doc! {}).await.map_err(|error| failed(&error))
}

/// Puts a dump in the place of what a database holds.
///
/// The dump has been found whole before, and is read into collections beside those that are there; then each is put in its place
/// by one renaming, which MongoDB does in one step. What is not in one step: one collection follows the other within milliseconds;
/// views are made anew after that, and time series, which MongoDB can't rename, are read at last, in their place.
pub(crate) async fn replace(admin: &Session, database: &str, dump: File) -> Result<()> {
    let again = dump.try_clone().map_err(|error| DatabaseError::Failed(format!("read the dump: {error}")))?;
    clear_staged(admin, database).await?;
    let mut import =
        Import { admin, database, rename: true, only: Some("collection"), seen: Vec::new(), found: Found::default() };
    import.read(dump).await?;
    let seen = import.seen;
    let there = collections(admin, database).await?;
    for other in there.iter().filter(|one| !one.is_plain()) {
        drop_collection(admin, database, &other.name).await?;
    }
    for (index, collection) in seen.iter().enumerate().filter(|(_, one)| one.is_plain()) {
        rename(admin, database, &staged(index), &collection.name).await?;
    }
    for other in there.iter().filter(|one| one.is_plain() && !seen.iter().any(|new| new.is_plain() && new.name == one.name)) {
        drop_collection(admin, database, &other.name).await?;
    }
    for view in seen.iter().filter(|one| one.kind == "view") {
        create(admin, database, &view.name, view).await?;
    }
    if seen.iter().any(|one| one.kind == "timeseries") {
        let only = Some("timeseries");
        Import { admin, database, rename: false, only, seen: Vec::new(), found: Found::default() }.read(again).await?;
    }
    Ok(())
}

/// Removes what a restore has left that did not come to its end.
pub(crate) async fn clear_staged(admin: &Session, database: &str) -> Result<()> {
    for left in listed(admin, database).await?.iter().filter(|one| one.name.starts_with(STAGED)) {
        drop_collection(admin, database, &left.name).await?;
    }
    Ok(())
}

fn staged(index: usize) -> String {
    format!("{STAGED}{index}")
}

async fn drop_collection(admin: &Session, database: &str, name: &str) -> Result<()> {
    fine_if(admin.run(database, doc! { "drop": name }).await, &[code::NAMESPACE_NOT_FOUND]).map(drop)
}

async fn rename(admin: &Session, database: &str, from: &str, to: &str) -> Result<()> {
    let (from, to) = (format!("{database}.{from}"), format!("{database}.{to}"));
    let command = |replace: bool| {
        let mut command = doc! { "renameCollection": &from, "to": &to };
        if replace {
            command.insert("dropTarget", true);
        }
        admin.run("admin", command)
    };
    if fine_if(command(true).await, &[code::NOT_IMPLEMENTED])?.is_none() {
        // FerretDB has no dropTarget.
        let name = &to[database.len() + 1..];
        drop_collection(admin, database, name).await?;
        command(false).await.map_err(|error| failed(&error))?;
    }
    Ok(())
}

async fn create(admin: &Session, database: &str, name: &str, collection: &Collection) -> Result<()> {
    let mut command = doc! { "create": name };
    // No option can name another collection to make: the first key is the command.
    command
        .extend(collection.options.iter().filter(|(key, _)| *key != "create").map(|(key, value)| (key.clone(), value.clone())));
    admin.run(database, command).await.map(drop).map_err(|error| failed(&error))
}

/// Reads the collections of a dump into a database.
struct Import<'a> {
    admin: &'a Session,
    database: &'a str,
    /// Whether plain collections get names by which nobody looks for them.
    rename: bool,
    /// The one type that is read now; all but views where there is none.
    only: Option<&'static str>,
    seen: Vec<Collection>,
    found: Found,
}

impl Import<'_> {
    async fn read(&mut self, mut dump: File) -> Result<()> {
        let (records, mut queue) = mpsc::channel::<Result<Record>>(QUEUE);
        let reading = tokio::task::spawn_blocking(move || {
            let all = || -> Result<()> {
                dump.seek(SeekFrom::Start(0)).map_err(|error| DatabaseError::Failed(format!("read the dump: {error}")))?;
                let mut reader = Reader::new(dump)?;
                while let Some(record) = reader.next()? {
                    if records.blocking_send(Ok(record)).is_err() {
                        break;
                    }
                }
                Ok(())
            };
            if let Err(error) = all() {
                let _nobody_reads = records.blocking_send(Err(error));
            }
        });
        let mut batch = Batch::default();
        while let Some(record) = queue.recv().await {
            match record? {
                Record::Head(_) => {}
                Record::Collection(raw) => {
                    self.finish(&mut batch).await?;
                    let document = Document::try_from(raw.as_ref()).map_err(|error| damaged(&error.to_string()))?;
                    self.begin(Collection::read(document).ok_or_else(|| damaged("a collection in it has no name"))?).await?;
                }
                Record::Document(document) => {
                    if self.takes() && batch.is_full_with(&document) {
                        self.insert(&mut batch).await?;
                    }
                    if self.takes() {
                        batch.push(document);
                    }
                }
                Record::End(_) => self.finish(&mut batch).await?,
            }
        }
        reading.await.map_err(|error| DatabaseError::Failed(error.to_string()))
    }

    /// Whether the collection that is read now is wanted.
    fn takes(&self) -> bool {
        self.seen.last().is_some_and(|one| one.kind != "view" && self.only.is_none_or(|only| only == one.kind))
    }

    /// The name under which it is written now.
    fn target(&self) -> String {
        match self.seen.last() {
            Some(one) if self.rename && one.is_plain() => staged(self.seen.len() - 1),
            Some(one) => one.name.clone(),
            None => String::new(),
        }
    }

    async fn begin(&mut self, collection: Collection) -> Result<()> {
        self.found.tables += 1;
        self.seen.push(collection);
        if self.takes() {
            let name = self.target();
            drop_collection(self.admin, self.database, &name).await?;
            create(self.admin, self.database, &name, &self.seen[self.seen.len() - 1]).await?;
        }
        Ok(())
    }

    async fn insert(&self, batch: &mut Batch) -> Result<()> {
        let documents = std::mem::take(batch).documents;
        if documents.is_empty() {
            return Ok(());
        }
        let collection = self.admin.client().database(self.database).collection::<RawDocumentBuf>(&self.target());
        let mut insert = collection.insert_many(&documents);
        // What was written before a rule was made is there all the same.
        if self.seen.last().is_some_and(|one| one.options.contains_key("validator")) {
            insert = insert.bypass_document_validation(true);
        }
        insert.await.map(drop).map_err(|error| failed(&error))
    }

    /// Writes the rest of a collection, and its indexes.
    async fn finish(&self, batch: &mut Batch) -> Result<()> {
        if !self.takes() {
            return Ok(());
        }
        self.insert(batch).await?;
        let indexes = self.seen.last().map_or(&[][..], |one| &one.indexes);
        if !indexes.is_empty() {
            let command = doc! { "createIndexes": self.target(), "indexes": indexes.to_vec() };
            self.admin.run(self.database, command).await.map_err(|error| failed(&error))?;
        }
        Ok(())
    }
}

/// Documents that are inserted at once.
#[derive(Default)]
struct Batch {
    documents: Vec<RawDocumentBuf>,
    bytes: usize,
}

impl Batch {
    fn is_full_with(&self, next: &RawDocumentBuf) -> bool {
        self.documents.len() == BATCH_COUNT || (!self.documents.is_empty() && self.bytes + next.as_bytes().len() > BATCH_BYTES)
    }

    fn push(&mut self, document: RawDocumentBuf) {
        self.bytes += document.as_bytes().len();
        self.documents.push(document);
    }
}
