//! Writes tar in one canonical form: GNU's format, owner 0, mode 0644 or 0755.

use std::io::{self, Read, Write};

use super::BLOCK;
use crate::path::TreePath;

/// The time every directory and link bears, and each file on its way to the platform: 2001-09-09. Not 0, because zip (a wheel's format) knows no time before 1980.
pub(crate) const EPOCH: u64 = 1_000_000_000;

/// The longest name a header holds.
const NAME: usize = 100;

/// What an entry is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Member<'a> {
    Directory,
    File { size: u64, executable: bool, modified: u64 },
    Symlink { target: &'a [u8] },
}

/// An archive being written. Without [`Writer::finish`] it has no end, and no reader of ours takes it.
pub(crate) struct Writer<W> {
    to: W,
    at: u64,
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(to: W) -> Self {
        Self { to, at: 0 }
    }

    /// Adds an entry; gives the offset of a file's contents. `contents` must hold as much as was said; less is an error of the kind `UnexpectedEof`.
    pub(crate) fn add(&mut self, path: &TreePath, member: Member<'_>, contents: &mut dyn Read) -> io::Result<u64> {
        let mut name = path.as_bytes().to_vec();
        if let Member::Directory = member {
            name.push(b'/');
        }
        if name.len() > NAME {
            self.long(b'L', &name)?;
        }
        if let Member::Symlink { target } = member
            && target.len() > NAME
        {
            self.long(b'K', target)?;
        }
        self.write(&header(&name, member))?;
        let start = self.at;
        if let Member::File { size, .. } = member {
            let copied = io::copy(&mut contents.take(size), &mut self.to)?;
            self.at += copied;
            if copied < size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.pad()?;
        }
        Ok(start)
    }

    /// Writes the archive's end.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.write(&[0; 2 * BLOCK])?;
        Ok(self.to)
    }

    fn long(&mut self, kind: u8, name: &[u8]) -> io::Result<()> {
        let mut block = header(b"././@LongLink", Member::File { size: name.len() as u64 + 1, executable: false, modified: 0 });
        block[156] = kind;
        sign(&mut block);
        self.write(&block)?;
        self.write(name)?;
        self.write(&[0])?;
        self.pad()
    }

    fn pad(&mut self) -> io::Result<()> {
        let over = self.at.next_multiple_of(BLOCK as u64) - self.at;
        self.write(&[0; BLOCK][..usize::try_from(over).expect("less than a block")])
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

fn header(name: &[u8], member: Member<'_>) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let (mode, size, modified, kind) = match member {
        Member::Directory => (0o755, 0, EPOCH, b'5'),
        Member::File { size, executable: true, modified } => (0o755, size, modified, b'0'),
        Member::File { size, executable: false, modified } => (0o644, size, modified, b'0'),
        Member::Symlink { .. } => (0o777, 0, EPOCH, b'2'),
    };
    put(&mut block[..NAME], name);
    octal(&mut block[100..108], mode);
    octal(&mut block[108..116], 0);
    octal(&mut block[116..124], 0);
    octal(&mut block[124..136], size);
    octal(&mut block[136..148], modified);
    block[156] = kind;
    if let Member::Symlink { target } = member {
        put(&mut block[157..257], target);
    }
    block[257..265].copy_from_slice(b"ustar  \0");
    sign(&mut block);
    block
}

/// As much of a name as fits; a longer one went before in an entry of its own.
fn put(field: &mut [u8], name: &[u8]) {
    let fits = name.len().min(field.len());
    field[..fits].copy_from_slice(&name[..fits]);
}

fn octal(field: &mut [u8], number: u64) {
    let digits = field.len() - 1;
    let text = format!("{number:0digits$o}");
    assert!(text.len() == digits, "a tree's limits are far below what a header holds");
    field[..digits].copy_from_slice(text.as_bytes());
}

fn sign(block: &mut [u8; BLOCK]) {
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
    octal(&mut block[148..155], sum);
}
