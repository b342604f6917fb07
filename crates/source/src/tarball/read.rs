//! Reads strangers' tar archives (ustar, pax, GNU's long names), strictly and in bounded memory.

use std::io::{self, Read};

use super::{BLOCK, TarError, TarProblem};
use crate::path::show;

/// The most bytes of one extended header: two names of the longest kind and some attributes.
const MOST_EXTENDED: u64 = 64 * 1024;
/// The most bytes of all extended headers together.
const MOST_EXTENDED_IN_ALL: u64 = 256 * 1024 * 1024;
/// The most zero bytes after the end; tar programs fill up their last record.
const MOST_PADDING: usize = 4 * 1024 * 1024;

/// One entry's header; of a file, the contents follow.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: HeaderKind,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderKind {
    Directory,
    File { size: u64, executable: bool },
    HardLink { target: Vec<u8> },
    Symlink { target: Vec<u8> },
}

/// What extended headers said about the entry to come.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

/// An archive being read. A file's contents are read through [`Reader::contents`]; what is left of them is skipped.
pub(crate) struct Reader<R> {
    from: R,
    skip: fn(&mut R, u64) -> io::Result<u64>,
    at: u64,
    left: u64,
    padding: u64,
    extended_in_all: u64,
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(from: R) -> Self {
        Self::skipping(from, |from, bytes| io::copy(&mut from.take(bytes), &mut io::sink()))
    }

    /// The same, with a way of its own over contents that nobody reads; it gives how many bytes it passed.
    pub(crate) fn skipping(from: R, skip: fn(&mut R, u64) -> io::Result<u64>) -> Self {
        Self { from, skip, at: 0, left: 0, padding: 0, extended_in_all: 0 }
    }

    /// The next entry; `None` at the archive's proper end, after which the stream has been read to its end.
    pub(crate) fn next(&mut self) -> Result<Option<Header>, TarError> {
        self.skip(self.left + self.padding)?;
        (self.left, self.padding) = (0, 0);
        let mut extended = Extended::default();
        loop {
            let at = self.at;
            let malformed = |problem| TarError::Malformed { at, problem };
            let Some(block) = self.block()? else { return Ok(None) };
            check_sum(&block).map_err(malformed)?;
            let size = number(&block[124..136], "size").map_err(malformed)?;
            match block[156] {
                b'x' => {
                    let header = self.extended(size)?;
                    pax(&header, &mut extended).map_err(malformed)?;
                }
                b'g' => {
                    let mut global = Extended::default();
                    let header = self.extended(size)?;
                    pax(&header, &mut global).map_err(malformed)?;
                    // `git archive` writes a comment there. A path for all entries makes no sense.
                    if global.path.is_some() || global.target.is_some() || global.size.is_some() {
                        return Err(malformed(TarProblem::Extension("a global header that names files")));
                    }
                }
                b'L' => extended.path = Some(until_nul(&self.extended(size)?).to_vec()),
                b'K' => extended.target = Some(until_nul(&self.extended(size)?).to_vec()),
                _ => return self.entry(&block, size, extended, at).map(Some),
            }
        }
    }

    /// How many bytes were read: after [`Self::next`] gave a file, where its contents begin.
    pub(crate) fn position(&self) -> u64 {
        self.at
    }

    /// The contents of the file that [`Self::next`] just gave.
    pub(crate) fn contents(&mut self) -> impl Read + '_ {
        Contents(self)
    }

    fn entry(&mut self, block: &[u8; BLOCK], size: u64, extended: Extended, at: u64) -> Result<Header, TarError> {
        let malformed = |problem| TarError::Malformed { at, problem };
        let size = extended.size.unwrap_or(size);
        let path = extended.path.unwrap_or_else(|| name(block));
        let target = extended.target.unwrap_or_else(|| until_nul(&block[157..257]).to_vec());
        let special = |what| Err(malformed(TarProblem::Special(show(&path), what)));
        let kind = match block[156] {
            // Before ustar, a directory was a file whose name ends with a slash.
            0 | b'0' if path.ends_with(b"/") => HeaderKind::Directory,
            0 | b'0' | b'7' => {
                let mode = number(&block[100..108], "mode").map_err(malformed)?;
                HeaderKind::File { size, executable: mode & 0o100 != 0 }
            }
            b'1' => HeaderKind::HardLink { target },
            b'2' => HeaderKind::Symlink { target },
            b'3' | b'4' => return special("a device"),
            b'5' => HeaderKind::Directory,
            b'6' => return special("a FIFO"),
            b'S' => return Err(malformed(TarProblem::Extension("GNU's sparse files"))),
            b'D' | b'M' | b'V' | b'N' => return Err(malformed(TarProblem::Extension("GNU's entries for incremental backups"))),
            _ => return special("of an unknown kind"),
        };
        match kind {
            HeaderKind::File { size, .. } => {
                self.left = size;
                self.padding = size.next_multiple_of(BLOCK as u64) - size;
            }
            _ if size != 0 => return Err(malformed(TarProblem::Contents)),
            _ => {}
        }
        Ok(Header { path, kind })
    }

    /// One block; `None` if it was the end, and all was well after it.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        if block.iter().any(|&byte| byte != 0) {
            return Ok(Some(block));
        }
        let (mut padding, mut buffer) = (0, vec![0; 64 * 1024]);
        loop {
            let read = retry(|| self.from.read(&mut buffer)).map_err(TarError::Io)?;
            padding += read;
            if read == 0 {
                return Ok(None);
            }
            if padding > MOST_PADDING || buffer[..read].iter().any(|&byte| byte != 0) {
                return Err(TarError::Malformed { at: self.at, problem: TarProblem::Trailing });
            }
        }
    }

    fn extended(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        self.extended_in_all = self.extended_in_all.saturating_add(size);
        if size > MOST_EXTENDED || self.extended_in_all > MOST_EXTENDED_IN_ALL {
            return Err(TarError::Malformed { at: self.at, problem: TarProblem::Bloated });
        }
        let size = usize::try_from(size).expect("it was just compared");
        let mut header = vec![0; size.next_multiple_of(BLOCK)];
        self.fill(&mut header)?;
        header.truncate(size);
        Ok(header)
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), TarError> {
        let at = self.at;
        self.from.read_exact(buffer).map_err(|error| cut_off(error, at))?;
        self.at += buffer.len() as u64;
        Ok(())
    }

    fn skip(&mut self, bytes: u64) -> Result<(), TarError> {
        let skipped = (self.skip)(&mut self.from, bytes).map_err(TarError::Io)?;
        self.at += skipped;
        if skipped < bytes {
            return Err(TarError::Malformed { at: self.at, problem: TarProblem::CutOff });
        }
        Ok(())
    }
}

struct Contents<'a, R>(&'a mut Reader<R>);

impl<R: Read> Read for Contents<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.0.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.0.from.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.0.left -= read as u64;
        self.0.at += read as u64;
        Ok(read)
    }
}

/// An error of a read that found the end of the stream is one of the archive's form.
pub(crate) fn cut_off(error: io::Error, at: u64) -> TarError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => TarError::Malformed { at, problem: TarProblem::CutOff },
        _ => TarError::Io(error),
    }
}

fn retry<T>(mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn check_sum(block: &[u8; BLOCK]) -> Result<(), TarProblem> {
    let sum: u64 =
        block.iter().enumerate().map(|(at, &byte)| if (148..156).contains(&at) { b' ' } else { byte }).map(u64::from).sum();
    match number(&block[148..156], "checksum") {
        Ok(said) if said == sum => Ok(()),
        _ => Err(TarProblem::Checksum),
    }
}

/// A number in octal, or in GNU's base 256.
fn number(field: &[u8], what: &'static str) -> Result<u64, TarProblem> {
    if field[0] & 0x80 != 0 {
        // 0xff… is a negative number.
        let mut number = u64::from(field[0] & 0x7f);
        for &byte in &field[1..] {
            number = number.checked_mul(256).ok_or(TarProblem::Number(what))? | u64::from(byte);
        }
        return if i64::try_from(number).is_ok() { Ok(number) } else { Err(TarProblem::Number(what)) };
    }
    let text = std::str::from_utf8(until_nul(field)).map_err(|_not_text| TarProblem::Number(what))?.trim_matches(' ');
    if text.is_empty() {
        return Ok(0);
    }
    if !text.bytes().all(|byte| (b'0'..=b'7').contains(&byte)) {
        return Err(TarProblem::Number(what));
    }
    u64::from_str_radix(text, 8).map_err(|_too_large| TarProblem::Number(what))
}

fn name(block: &[u8; BLOCK]) -> Vec<u8> {
    let name = until_nul(&block[..100]);
    let prefix = until_nul(&block[345..500]);
    // Only ustar has a prefix; GNU keeps times and sparse maps there.
    if &block[257..263] == b"ustar\0" && !prefix.is_empty() { [prefix, b"/", name].concat() } else { name.to_vec() }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Reads pax records: `length key=value\n`, the length counting all of it.
fn pax(mut header: &[u8], extended: &mut Extended) -> Result<(), TarProblem> {
    while !header.is_empty() {
        let space = header.iter().take(8).position(|&byte| byte == b' ').ok_or(TarProblem::Pax)?;
        let length = decimal(&header[..space]).and_then(|length| usize::try_from(length).ok()).ok_or(TarProblem::Pax)?;
        let record = header.get(space + 1..length).ok_or(TarProblem::Pax)?;
        let record = record.strip_suffix(b"\n").ok_or(TarProblem::Pax)?;
        let equals = record.iter().position(|&byte| byte == b'=').ok_or(TarProblem::Pax)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        match key {
            b"path" => extended.path = Some(value.to_vec()),
            b"linkpath" => extended.target = Some(value.to_vec()),
            b"size" => extended.size = Some(decimal(value).ok_or(TarProblem::Pax)?),
            _ if key.starts_with(b"GNU.sparse.") => return Err(TarProblem::Extension("GNU's sparse files")),
            // Owners, times, extended attributes: nothing a tree keeps.
            _ => {}
        }
        header = &header[length..];
    }
    Ok(())
}

fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.len() <= 18 && text.iter().all(u8::is_ascii_digit);
    digits.then(|| text.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}
