//! How much a tree may hold.

/// The bounds of a tree. [`Default`] gives the platform's own: 512 MB in 100,000 files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The sum of the sizes of all files, in bytes.
    pub bytes: u64,
    /// Files and symbolic links; there may be as many directories again.
    pub files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 512 * 1000 * 1000, files: 100_000 }
    }
}

/// A number of bytes as people read it: `512.0 MB`.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}
