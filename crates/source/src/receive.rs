//! Takes a tree from a stranger's archive: a tar stream, plain or compressed, or a zip.

use std::io::{BufReader, Read};
use std::path::Path;

use crate::collect::{CollectError, Collector, Received};
use crate::limits::Limits;
use crate::path::TreePath;
use crate::tarball::read::{HeaderKind, Reader};
use crate::tarball::{TarError, TarProblem};
use crate::zip::{self, ZipError};

/// The largest window zstd may ask for, as a power of two: 8 MB, more than our own client's.
const ZSTD_WINDOW: u32 = 23;

/// An upload that can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The archive's form is wrong.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// The same of a zip.
    #[error(transparent)]
    Zip(#[from] ZipError),
    /// What it holds is.
    #[error(transparent)]
    Tree(#[from] CollectError),
}

impl ReceiveError {
    /// Whether it is the platform that failed, and not the upload that is wrong.
    pub fn is_internal(&self) -> bool {
        matches!(self, Self::Tree(CollectError::Write(..)))
    }
}

/// Reads a tar stream (plain, zstd or gzip) or a zip to its end, checks every entry, and writes the canonical tar to `dest`.
///
/// Blocks: the network's pace is the stream's. `dest` appears whole and durable, or not at all.
pub fn receive(stream: impl Read, limits: &Limits, dest: &Path) -> Result<Received, ReceiveError> {
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    let mut magic = [0; 4];
    let read = read_some(&mut stream, &mut magic).map_err(TarError::Io)?;
    let stream = std::io::Cursor::new(magic).take(read as u64).chain(stream);
    match magic {
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let mut stream = zstd::stream::read::Decoder::new(stream).map_err(TarError::Io)?;
            stream.window_log_max(ZSTD_WINDOW).map_err(TarError::Io)?;
            receive_plain(BufReader::new(stream), limits, dest)
        }
        [0x1f, 0x8b, ..] => receive_plain(flate2::read::MultiGzDecoder::new(stream), limits, dest),
        // A file, or the end of an archive without any.
        [b'P', b'K', 3, 4] | [b'P', b'K', 5, 6] => zip::receive(stream, limits, dest),
        _ => receive_plain(stream, limits, dest),
    }
}

fn receive_plain(stream: impl Read, limits: &Limits, dest: &Path) -> Result<Received, ReceiveError> {
    let mut reader = Reader::new(stream);
    let mut collector = Collector::new(*limits, dest);
    while let Some(header) = reader.next()? {
        if let HeaderKind::Directory = header.kind
            && matches!(&header.path[..], b"." | b"./")
        {
            continue;
        }
        let path = TreePath::parse(&header.path).map_err(CollectError::from)?;
        match header.kind {
            HeaderKind::Directory => collector.directory(path)?,
            HeaderKind::File { size, executable } => {
                collector.file(path, executable, size, &mut reader.contents()).map_err(whose)?;
            }
            HeaderKind::HardLink { target } => {
                let target = TreePath::parse(target).map_err(CollectError::from)?;
                collector.hard_link(path, target)?;
            }
            HeaderKind::Symlink { target } => collector.symlink(path, target)?,
        }
    }
    Ok(collector.finish()?)
}

/// A file whose contents end early is an archive that was cut off.
fn whose(error: CollectError) -> ReceiveError {
    match error {
        CollectError::Read(_, error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            ReceiveError::Tar(TarError::Malformed { at: 0, problem: TarProblem::CutOff })
        }
        CollectError::Read(_, error) => ReceiveError::Tar(TarError::Io(error)),
        error => error.into(),
    }
}

fn read_some(stream: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match stream.read(&mut buffer[read..]) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
