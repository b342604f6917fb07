//! The file of a dump of a MongoDB database: gzip over records of BSON, with a checksum at the end.
//!
//! Uncompressed it is [`MAGIC`], then records of a letter and a BSON document (which begins with its length): `H` once, what it is
//! a dump of; `C`, a collection; `D`, a document of the collection before it; `E` once, what was counted; and at last `Z` with the
//! SHA-256 of all that stands before the `Z`. A dump of our own needs no program beside the platform: Debian has no `mongodump`, and
//! the vendor's archive has no checksum that covers it all.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};

use ::mongodb::bson::{Document, RawDocumentBuf, doc};
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use crate::{DatabaseError, Found, Result};

/// How every dump begins; the number is that of this format.
const MAGIC: &[u8] = b"adaptable mongodb dump 1\n";
/// The longest record: the largest document there may be (16 MiB), and what a server adds for itself.
const LONGEST: usize = 16 * 1024 * 1024 + 64 * 1024;
/// The shortest BSON document: its length and its end.
const SHORTEST: usize = 5;

/// One piece of a dump.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Record {
    /// What it is a dump of.
    Head(Document),
    /// A collection: its name, its type, its options and its indexes.
    Collection(RawDocumentBuf),
    /// A document of the collection before it.
    Document(RawDocumentBuf),
    /// What was counted.
    End(Found),
}

/// Writes a dump.
pub(crate) struct Writer {
    out: GzEncoder<BufWriter<File>>,
    sum: Sha256,
}

impl Writer {
    /// Begins a dump.
    pub(crate) fn new(to: File) -> io::Result<Self> {
        // Speed: a dump is made while the app goes on, on the same machine.
        let mut writer = Self { out: GzEncoder::new(BufWriter::new(to), Compression::fast()), sum: Sha256::new() };
        writer.bytes(MAGIC)?;
        Ok(writer)
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.out.write_all(bytes)
    }

    /// Adds a record.
    pub(crate) fn record(&mut self, record: &Record) -> io::Result<()> {
        let whole = |document: &Document| RawDocumentBuf::try_from(document).map_err(io::Error::other);
        match record {
            Record::Head(head) => {
                self.bytes(b"H")?;
                self.bytes(whole(head)?.as_bytes())
            }
            Record::Collection(collection) => {
                self.bytes(b"C")?;
                self.bytes(collection.as_bytes())
            }
            Record::Document(document) => {
                self.bytes(b"D")?;
                self.bytes(document.as_bytes())
            }
            Record::End(found) => {
                let number = |number: u64| i64::try_from(number).map_err(io::Error::other);
                self.bytes(b"E")?;
                let end = doc! { "collections": number(found.tables)?, "documents": number(found.rows)? };
                self.bytes(whole(&end)?.as_bytes())
            }
        }
    }

    /// Writes the checksum, and makes the whole durable.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        let sum = self.sum.finalize();
        self.out.write_all(b"Z")?;
        self.out.write_all(&sum)?;
        self.out.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

/// Reads a dump, and checks all that can be checked.
pub(crate) struct Reader<R: Read> {
    from: GzDecoder<BufReader<R>>,
    sum: Sha256,
    state: State,
    found: Found,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Begin,
    Head,
    Collection,
    End,
    Done,
}

impl<R: Read> Reader<R> {
    /// Begins to read.
    pub(crate) fn new(from: R) -> Result<Self> {
        let mut reader =
            Self { from: GzDecoder::new(BufReader::new(from)), sum: Sha256::new(), state: State::Begin, found: Found::default() };
        let mut magic = [0; MAGIC.len()];
        reader.exactly(&mut magic)?;
        if magic != MAGIC {
            return Err(damaged("it is no dump of MongoDB by this platform, or one by a later version of it"));
        }
        reader.sum.update(magic);
        Ok(reader)
    }

    fn exactly(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.from.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged("it ends too early"),
            _ => damaged(&error.to_string()),
        })
    }

    /// The next record; `None` at the end, once the checksum has been found right.
    pub(crate) fn next(&mut self) -> Result<Option<Record>> {
        if self.state == State::Done {
            return Ok(None);
        }
        let mut letter = [0];
        self.exactly(&mut letter)?;
        if letter == *b"Z" {
            self.end()?;
            return Ok(None);
        }
        self.sum.update(letter);
        let raw = self.document()?;
        let (record, state) = match (letter[0], self.state) {
            (b'H', State::Begin) => (Record::Head(plain(&raw)?), State::Head),
            (b'C', State::Head | State::Collection) => {
                self.found.tables += 1;
                (Record::Collection(raw), State::Collection)
            }
            (b'D', State::Collection) => {
                self.found.rows += 1;
                (Record::Document(raw), State::Collection)
            }
            (b'E', State::Head | State::Collection) => {
                let end = plain(&raw)?;
                let number = |key: &str| end.get_i64(key).ok().and_then(|number| u64::try_from(number).ok());
                if (number("collections"), number("documents")) != (Some(self.found.tables), Some(self.found.rows)) {
                    return Err(damaged("it does not hold as many documents as it says"));
                }
                (Record::End(self.found), State::End)
            }
            _ => return Err(damaged("its parts are not in order")),
        };
        self.state = state;
        Ok(Some(record))
    }

    fn document(&mut self) -> Result<RawDocumentBuf> {
        let mut length = [0; 4];
        self.exactly(&mut length)?;
        let whole = usize::try_from(i32::from_le_bytes(length)).ok().filter(|whole| (SHORTEST..=LONGEST).contains(whole));
        let whole = whole.ok_or_else(|| damaged("a document in it has a length that can't be"))?;
        let mut bytes = vec![0; whole];
        bytes[..4].copy_from_slice(&length);
        self.exactly(&mut bytes[4..])?;
        self.sum.update(&bytes);
        RawDocumentBuf::from_bytes(bytes).map_err(|error| damaged(&error.to_string()))
    }

    fn end(&mut self) -> Result<()> {
        if self.state != State::End {
            return Err(damaged("it ends too early"));
        }
        let mut sum = [0; 32];
        self.exactly(&mut sum)?;
        if sum[..] != self.sum.clone().finalize()[..] {
            return Err(damaged("its checksum differs"));
        }
        // To the end of the compressed stream, so that gzip's own checksum is looked at; and nothing may stand behind it.
        let mut more = [0];
        match self.from.read(&mut more) {
            Ok(0) => {}
            Ok(_) => return Err(damaged("something stands behind its end")),
            Err(error) => return Err(damaged(&error.to_string())),
        }
        match self.from.get_mut().read(&mut more) {
            Ok(0) => {}
            Ok(_) => return Err(damaged("something stands behind its end")),
            Err(error) => return Err(damaged(&error.to_string())),
        }
        self.state = State::Done;
        Ok(())
    }
}

fn plain(raw: &RawDocumentBuf) -> Result<Document> {
    Document::try_from(raw.as_ref()).map_err(|error| damaged(&error.to_string()))
}

/// What is wrong with a dump.
pub(crate) fn damaged(why: &str) -> DatabaseError {
    DatabaseError::Damaged(why.to_owned())
}

/// Reads a whole dump and gives what it holds: nothing is restored from one that is damaged further behind.
pub(crate) fn check(dump: File) -> Result<Found> {
    let mut reader = Reader::new(dump)?;
    while reader.next()?.is_some() {}
    Ok(reader.found)
}

#[cfg(test)]
mod tests;
