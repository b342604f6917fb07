//! Tar, as far as we speak it: a strict reader for strangers' archives and a writer of one canonical form.
//!
//! Why not a crate: the well-known ones put no bound on a long name, take an archive that was cut off between two entries for a whole one,
//! and are lenient where two readers may differ. What a tree needs of tar is small.

pub(crate) mod read;
pub(crate) mod write;

/// The unit in which tar counts.
pub(crate) const BLOCK: usize = 512;

/// What stops the reading of a tar archive.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The stream itself failed.
    #[error("read the archive")]
    Io(#[source] std::io::Error),
    /// The bytes aren't those of an archive we take.
    #[error("the archive can't be taken at byte {at}: {problem}")]
    Malformed {
        /// Where the entry begins, in the unpacked archive.
        at: u64,
        /// What is wrong there.
        problem: TarProblem,
    },
}

/// What is wrong with an archive.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TarProblem {
    /// The end came too early.
    #[error("it was cut off")]
    CutOff,
    /// Not a tar header.
    #[error("this is no tar header (its checksum is wrong)")]
    Checksum,
    /// A field that holds no number, or one too large.
    #[error("the header's {0} is no number in range")]
    Number(&'static str),
    /// A device, a FIFO, or what tar doesn't have.
    #[error("`{0}` is {1}; only files, directories and links are taken")]
    Special(String, &'static str),
    /// Sparse files, volumes and the like.
    #[error("it uses {0}, which is not taken")]
    Extension(&'static str),
    /// An extended header that can't be read.
    #[error("its extended header is malformed")]
    Pax,
    /// An extended header longer than any name needs.
    #[error("an extended header is longer than any name needs")]
    Bloated,
    /// A directory or a link with contents.
    #[error("an entry that is no file has contents")]
    Contents,
    /// Something after the end.
    #[error("there is more after its end")]
    Trailing,
}
