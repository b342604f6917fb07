//! Files read from end to end: their size and SHA-256.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use model::backup::Backup;
use sha2::{Digest, Sha256};

use crate::{Measure, Result, VaultError};

/// Bytes read at a time.
const CHUNK: usize = 256 * 1024;

/// Reads a file from its beginning to its end.
pub(crate) fn measure(file: &mut File) -> io::Result<Measure> {
    file.seek(SeekFrom::Start(0))?;
    copy(file, &mut io::sink())
}

/// Copies, and says what it was.
pub(crate) fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<Measure> {
    let mut hasher = Hasher::default();
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => return Ok(hasher.end()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        to.write_all(&chunk[..read])?;
        hasher.add(&chunk[..read]);
    }
}

/// Adds up what passes.
#[derive(Default)]
pub(crate) struct Hasher {
    bytes: u64,
    sha256: Sha256,
}

impl Hasher {
    pub(crate) fn add(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len() as u64;
        self.sha256.update(chunk);
    }

    pub(crate) fn end(self) -> Measure {
        let mut sha256 = String::with_capacity(64);
        for byte in self.sha256.finalize() {
            let _written = write!(sha256, "{byte:02x}");
        }
        Measure { bytes: self.bytes, sha256 }
    }
}

/// Says what differs from what was written.
pub(crate) fn compare(backup: &Backup, found: &Measure) -> Result<()> {
    if found.bytes != backup.bytes {
        return Err(VaultError::Damaged(format!("the dump has {} bytes, and {} were written", found.bytes, backup.bytes)));
    }
    if found.sha256 != backup.sha256 {
        return Err(VaultError::Damaged("the dump is not what was written: its SHA-256 differs".to_owned()));
    }
    Ok(())
}
