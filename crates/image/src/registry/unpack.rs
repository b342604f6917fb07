//! A layer's archive out of its blob: decompressed, counted, and checked against the configuration.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use crate::digest::{Digest, HashWriter};

/// The largest window of zstd that is taken, as a power of two: 128 MB, what its own program takes unasked.
const WINDOW: u32 = 27;

/// Why an archive did not come out of its blob.
#[derive(Debug)]
pub(super) enum Failed {
    /// It is not what the configuration says; this is what it is.
    Mismatch(Digest),
    /// It is larger than it may be.
    TooLarge,
    /// Reading or decompressing failed.
    Read(io::Error),
    /// Nobody takes it any more.
    Write(io::Error),
}

/// Writes the archive in a blob somewhere, at most so many bytes of it; how many there were.
///
/// What it is compressed with is seen by its first bytes: media types are often wrong, and the digest tells what is right.
pub(super) fn archive(blob: &Path, expected: &Digest, limit: u64, to: impl Write) -> Result<u64, Failed> {
    let mut reader = decompressed(blob).map_err(Failed::Read)?;
    let mut hashed = HashWriter::new(to);
    let mut buffer = vec![0; 256 * 1024];
    let mut size = 0_u64;
    loop {
        let read = reader.read(&mut buffer).map_err(Failed::Read)?;
        if read == 0 {
            break;
        }
        size += read as u64;
        if size > limit {
            return Err(Failed::TooLarge);
        }
        hashed.write_all(&buffer[..read]).map_err(Failed::Write)?;
    }
    hashed.flush().map_err(Failed::Write)?;
    let (_, found, _) = hashed.finish();
    if found == *expected { Ok(size) } else { Err(Failed::Mismatch(found)) }
}

fn decompressed(blob: &Path) -> io::Result<Box<dyn Read>> {
    let mut file = File::open(blob)?;
    let mut magic = Vec::new();
    (&mut file).take(4).read_to_end(&mut magic)?;
    io::Seek::rewind(&mut file)?;
    let file = BufReader::with_capacity(256 * 1024, file);
    Ok(match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(file)?;
            decoder.window_log_max(WINDOW)?;
            Box::new(decoder)
        }
        _ => Box::new(file),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        file
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("written");
        encoder.finish().expect("finished")
    }

    #[test]
    fn every_compression_gives_the_same_archive() {
        let plain = b"an archive ".repeat(1000);
        let digest = Digest::of(&plain);
        let zstd = zstd::encode_all(&plain[..], 1).expect("compressed");
        let members = [gzip(&plain[..500]), gzip(&plain[500..])].concat();
        for bytes in [plain.clone(), gzip(&plain), members, zstd] {
            let mut out = Vec::new();
            let size = archive(blob(&bytes).path(), &digest, 1 << 20, &mut out).expect("an archive");
            assert_eq!((size, &out), (plain.len() as u64, &plain));
        }
        assert_eq!(archive(blob(b"").path(), &Digest::of(b""), 0, Vec::new()).expect("nothing"), 0);
    }

    #[test]
    fn another_archive_a_bomb_and_noise_are_told() {
        let plain = vec![0_u8; 64 << 20];
        let bomb = gzip(&plain);
        assert!(bomb.len() < 1 << 20);
        let outcome = archive(blob(&bomb).path(), &Digest::of(&plain), 1 << 20, io::sink());
        assert!(matches!(outcome, Err(Failed::TooLarge)), "{outcome:?}");
        let outcome = archive(blob(&gzip(b"x")).path(), &Digest::of(b"y"), 1 << 20, io::sink());
        assert!(matches!(outcome, Err(Failed::Mismatch(found)) if found == Digest::of(b"x")), "{outcome:?}");
        let cut = &gzip(b"something")[..12];
        assert!(matches!(archive(blob(cut).path(), &Digest::of(b""), 1 << 20, io::sink()), Err(Failed::Read(_))));
    }
}
