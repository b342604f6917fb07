//! Tar archives made byte by byte, as no well-behaved program would.

use std::path::Path;

use source::{Limits, ReceiveError, Received};

/// An archive under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

impl Tar {
    /// An entry of any kind, its checksum right.
    pub(crate) fn entry(self, kind: u8, name: impl AsRef<[u8]>, link: &str, contents: &[u8]) -> Self {
        self.header(kind, name, link, contents.len() as u64).contents(contents)
    }

    pub(crate) fn file(self, name: impl AsRef<[u8]>, contents: impl AsRef<[u8]>) -> Self {
        self.entry(b'0', name, "", contents.as_ref())
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(b'2', name, target, b"")
    }

    pub(crate) fn header(self, kind: u8, name: impl AsRef<[u8]>, link: &str, size: u64) -> Self {
        self.with(kind, name, link, size, |_| {})
    }

    /// A header with a change made before it is summed.
    pub(crate) fn with(
        mut self,
        kind: u8,
        name: impl AsRef<[u8]>,
        link: &str,
        size: u64,
        change: impl FnOnce(&mut [u8]),
    ) -> Self {
        let mut block = [0_u8; 512];
        let name = name.as_ref();
        block[..name.len()].copy_from_slice(name);
        block[100..107].copy_from_slice(b"0000644");
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        block[136..147].copy_from_slice(b"00000000000");
        block[156] = kind;
        block[157..157 + link.len()].copy_from_slice(link.as_bytes());
        block[257..265].copy_from_slice(b"ustar\x0000");
        change(&mut block);
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        self.0.extend_from_slice(&block);
        self
    }

    pub(crate) fn contents(mut self, contents: &[u8]) -> Self {
        self.0.extend_from_slice(contents);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn pax(self, key: &str, value: impl AsRef<[u8]>) -> Self {
        let record = pax_record(key, value.as_ref());
        self.entry(b'x', "pax", "", &record)
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

pub(crate) fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

pub(crate) fn receive_in(directory: &Path, tar: &[u8], limits: &Limits) -> Result<Received, ReceiveError> {
    source::receive(tar, limits, &directory.join("tree.tar"))
}

/// Takes an archive with small limits; what it says when it is refused.
pub(crate) fn refused(tar: &[u8]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let limits = Limits { bytes: 1 << 20, files: 100 };
    let error = receive_in(directory.path(), tar, &limits).expect_err("it should be refused");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "a refused tree leaves nothing behind");
    chain(&error)
}

pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
