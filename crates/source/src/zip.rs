//! Reads strangers' zip archives (APPNOTE.TXT, 6.3: stored and deflated files, ZIP64), strictly and in bounded memory.
//!
//! What an archive holds is said at its end, so it waits on disk until it is whole. Only that directory counts: what stands between files
//! is nothing.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use flate2::CrcReader;
use flate2::read::DeflateDecoder;

use crate::collect::{CollectError, Collector, Received};
use crate::limits::Limits;
use crate::path::{TreePath, show};
use crate::receive::ReceiveError;

/// What an archive may be larger than all its files: headers, and names twice.
const MOST_BESIDE: u64 = 64 * 1024 * 1024;
/// The largest directory.
const MOST_DIRECTORY: u64 = 64 * 1024 * 1024;
/// The longest target of a symbolic link.
const MOST_TARGET: u64 = 4096;
/// The end of the directory, without its comment, and the longest comment.
const END: usize = 22;
const MOST_COMMENT: usize = 65_535;

/// A zip archive that can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum ZipError {
    /// Its form is wrong.
    #[error("this is no zip archive that can be read: {0}")]
    Malformed(&'static str),
    /// A file that takes a password.
    #[error("`{0}` is encrypted")]
    Encrypted(String),
    /// A file that is packed in a way that is hardly ever used.
    #[error("`{0}` is packed by method {1} of zip; only stored and deflated files are taken")]
    Method(String, u16),
    /// A file that is neither file, nor directory, nor link.
    #[error("`{0}` is no file, directory or link")]
    Special(String),
    /// A file whose contents are not what the archive says of them.
    #[error("`{0}` is damaged")]
    Damaged(String),
    /// The archive could not be read.
    #[error("read the archive")]
    Io(#[source] io::Error),
}

/// One entry of the directory.
struct Entry {
    path: Vec<u8>,
    encrypted: bool,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    at: u64,
    /// The mode that it had on a Unix; 0 where it comes from elsewhere.
    mode: u32,
}

/// Where the directory lies.
struct Directory {
    entries: u64,
    size: u64,
    at: u64,
}

/// Takes a whole archive, checks every entry, and writes the canonical tar to `dest`.
pub(crate) fn receive(stream: impl Read, limits: &Limits, dest: &Path) -> Result<Received, ReceiveError> {
    let (mut file, length) = spool(stream, limits, dest)?;
    let directory = find(&mut file, length)?;
    let entries = entries(&mut file, &directory, limits)?;
    let mut collector = Collector::new(*limits, dest);
    for entry in &entries {
        // What macOS adds for itself.
        if entry.path.starts_with(b"__MACOSX/") || entry.path == b"./" {
            continue;
        }
        take(&mut file, entry, directory.at, &mut collector)?;
    }
    Ok(collector.finish()?)
}

/// Keeps the stream in a file that has no name.
fn spool(mut stream: impl Read, limits: &Limits, dest: &Path) -> Result<(File, u64), ReceiveError> {
    let own = |error| CollectError::Write(dest.to_owned(), error);
    let mut file = tempfile::tempfile_in(dest.parent().unwrap_or(Path::new("."))).map_err(own)?;
    let (mut length, mut buffer) = (0_u64, vec![0; 64 * 1024]);
    loop {
        let read = match stream.read(&mut buffer) {
            Ok(0) => return Ok((file, length)),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ZipError::Io(error).into()),
        };
        length += read as u64;
        if length > limits.bytes.saturating_add(MOST_BESIDE) {
            return Err(CollectError::TooLarge { limit: limits.bytes }.into());
        }
        file.write_all(&buffer[..read]).map_err(own)?;
    }
}

/// Finds the directory by what the archive ends with.
fn find(file: &mut File, length: u64) -> Result<Directory, ZipError> {
    let tail_at = length.saturating_sub((END + MOST_COMMENT) as u64);
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(tail_at)).and_then(|_| file.read_to_end(&mut tail)).map_err(ZipError::Io)?;
    let ends =
        |at: &usize| tail[*at..].starts_with(b"PK\x05\x06") && usize::from(u16_at(&tail, at + 20)) == tail.len() - at - END;
    let last = tail.len().checked_sub(END).ok_or(ZipError::Malformed("it ends early"))?;
    let end = (0..=last).rev().find(ends).ok_or(ZipError::Malformed("it ends early, or something follows its end"))?;
    let (at, end_at) = (&tail[end..], tail_at + end as u64);
    let mut found = Directory { entries: u16_at(at, 10).into(), size: u32_at(at, 12).into(), at: u32_at(at, 16).into() };
    let mut parts = (u64::from(u16_at(at, 4)), u64::from(u16_at(at, 6)), u64::from(u16_at(at, 8)));
    let mut before = end_at;
    if found.entries == 0xFFFF || found.size == 0xFFFF_FFFF || found.at == 0xFFFF_FFFF {
        let locator = end_at.checked_sub(20).map(|at| block::<20>(file, at)).transpose()?;
        // Without one, these are numbers as they stand: an archive may have exactly 65,535 entries.
        if let Some(locator) = locator.filter(|it| it.starts_with(b"PK\x06\x07")) {
            before = u64_at(&locator, 8);
            let large = if before < end_at { block::<56>(file, before)? } else { [0; 56] };
            if !large.starts_with(b"PK\x06\x06") {
                return Err(ZipError::Malformed("its end leads nowhere"));
            }
            parts = (u32_at(&large, 16).into(), u32_at(&large, 20).into(), u64_at(&large, 24));
            found = Directory { entries: u64_at(&large, 32), size: u64_at(&large, 40), at: u64_at(&large, 48) };
        }
    }
    if parts != (0, 0, found.entries) {
        return Err(ZipError::Malformed("it is one part of several"));
    }
    if found.at.checked_add(found.size).is_none_or(|end| end > before) || found.size > MOST_DIRECTORY {
        return Err(ZipError::Malformed("its directory is not where its end says"));
    }
    Ok(found)
}

/// Reads the directory.
fn entries(file: &mut File, directory: &Directory, limits: &Limits) -> Result<Vec<Entry>, ReceiveError> {
    // Files, and as many directories again.
    if directory.entries > 2 * limits.files as u64 {
        return Err(CollectError::TooMany { limit: limits.files }.into());
    }
    file.seek(SeekFrom::Start(directory.at)).map_err(ZipError::Io)?;
    let mut from = BufReader::with_capacity(64 * 1024, file.take(directory.size));
    let mut found = Vec::new();
    for _ in 0..directory.entries {
        found.push(entry(&mut from)?);
    }
    Ok(found)
}

fn entry(from: &mut impl Read) -> Result<Entry, ZipError> {
    let mut head = [0; 46];
    from.read_exact(&mut head).map_err(early)?;
    if !head.starts_with(b"PK\x01\x02") {
        return Err(ZipError::Malformed("its directory has something else in it"));
    }
    let mut path = bytes(from, u16_at(&head, 28))?;
    let extra = bytes(from, u16_at(&head, 30))?;
    bytes(from, u16_at(&head, 32))?;
    let mut large = extension(&extra).unwrap_or_default();
    // Each of these stands there only where it has no room here, in this order.
    let mut number = |here: u32| {
        if here != u32::MAX {
            return Ok(u64::from(here));
        }
        let (number, rest) = large.split_first_chunk::<8>().ok_or(ZipError::Malformed("a size is missing"))?;
        large = rest;
        Ok(u64::from_le_bytes(*number))
    };
    let (size, packed, at) = (number(u32_at(&head, 24))?, number(u32_at(&head, 20))?, number(u32_at(&head, 42))?);
    let mode = match head[5] {
        // Unix and macOS.
        3 | 19 => u32_at(&head, 38) >> 16,
        // DOS and Windows, where some programs write the other slash.
        0 | 10 | 11 | 14 => {
            path.iter_mut().filter(|byte| **byte == b'\\').for_each(|byte| *byte = b'/');
            0
        }
        _ => 0,
    };
    Ok(Entry { path, encrypted: head[8] & 1 != 0, method: u16_at(&head, 10), crc: u32_at(&head, 16), packed, size, at, mode })
}

/// The numbers of ZIP64 among an entry's extra fields.
fn extension(mut extra: &[u8]) -> Option<&[u8]> {
    loop {
        let (head, rest) = extra.split_first_chunk::<4>()?;
        let (field, rest) = rest.split_at_checked(u16_at(head, 2).into())?;
        if u16_at(head, 0) == 1 {
            return Some(field);
        }
        extra = rest;
    }
}

/// Gives one entry to the tree.
fn take(file: &mut File, entry: &Entry, end: u64, collector: &mut Collector) -> Result<(), ReceiveError> {
    let shown = || show(&entry.path);
    let path = TreePath::parse(&entry.path).map_err(CollectError::from)?;
    let kind = entry.mode & 0o170_000;
    if entry.path.ends_with(b"/") || kind == 0o040_000 {
        return Ok(collector.directory(path)?);
    }
    if entry.encrypted {
        return Err(ZipError::Encrypted(shown()).into());
    }
    if entry.at > end {
        return Err(ZipError::Malformed("a file is not where its directory says").into());
    }
    let head = block::<30>(file, entry.at)?;
    let data = entry.at + 30 + u64::from(u16_at(&head, 26)) + u64::from(u16_at(&head, 28));
    if !head.starts_with(b"PK\x03\x04") || data.checked_add(entry.packed).is_none_or(|last| last > end) {
        return Err(ZipError::Malformed("a file is not where its directory says").into());
    }
    file.seek(SeekFrom::Start(data)).map_err(ZipError::Io)?;
    let packed = file.take(entry.packed);
    let plain: Box<dyn Read + '_> = match entry.method {
        0 => Box::new(BufReader::new(packed)),
        8 => Box::new(DeflateDecoder::new(packed)),
        other => return Err(ZipError::Method(shown(), other).into()),
    };
    let mut contents = CrcReader::new(plain);
    match kind {
        0o120_000 => {
            let mut target = Vec::new();
            contents.by_ref().take(MOST_TARGET).read_to_end(&mut target).map_err(|_broken| ZipError::Damaged(shown()))?;
            collector.symlink(path, target)?;
        }
        0 | 0o100_000 => {
            let taken = collector.file(path, entry.mode & 0o100 != 0, entry.size, &mut contents);
            taken.map_err(|error| match error {
                CollectError::Read(..) => ReceiveError::Zip(ZipError::Damaged(shown())),
                error => error.into(),
            })?;
        }
        _ => return Err(ZipError::Special(shown()).into()),
    }
    // Neither longer than it says, nor other than it was.
    let is_whole = matches!(contents.read(&mut [0]), Ok(0)) && contents.crc().sum() == entry.crc;
    if is_whole { Ok(()) } else { Err(ZipError::Damaged(shown()).into()) }
}

fn block<const SIZE: usize>(file: &mut File, at: u64) -> Result<[u8; SIZE], ZipError> {
    let mut block = [0; SIZE];
    file.seek(SeekFrom::Start(at)).map_err(ZipError::Io)?;
    file.read_exact(&mut block).map_err(early)?;
    Ok(block)
}

fn bytes(from: &mut impl Read, count: u16) -> Result<Vec<u8>, ZipError> {
    let mut bytes = vec![0; count.into()];
    from.read_exact(&mut bytes).map_err(early)?;
    Ok(bytes)
}

fn early(error: io::Error) -> ZipError {
    if error.kind() == io::ErrorKind::UnexpectedEof { ZipError::Malformed("it ends early") } else { ZipError::Io(error) }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
