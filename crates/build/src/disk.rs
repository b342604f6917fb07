//! The disk has to have room before a build begins, so that it is the build that fails and not what serves.

use std::io;
use std::path::Path;

use nix::sys::statvfs::statvfs;

use crate::run::BuildError;

/// The bytes that a user without privileges may still write to the disk of `path`.
pub fn free(path: &Path) -> io::Result<u64> {
    let stat = statvfs(path)?;
    Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
}

/// The size of the disk of `path` in bytes, as far as a user without privileges can fill it.
pub fn total(path: &Path) -> io::Result<u64> {
    let stat = statvfs(path)?;
    // What is kept for root is nobody's here: neither used nor free.
    let kept = stat.blocks_free().saturating_sub(stat.blocks_available());
    Ok(stat.blocks().saturating_sub(kept).saturating_mul(stat.fragment_size()))
}

/// Refuses when the disk of `path` has fewer than `least` bytes left for us.
pub(crate) fn check(path: &Path, least: u64) -> Result<(), BuildError> {
    let free = free(path).map_err(BuildError::io("asking for free disk space"))?;
    if free < least { Err(BuildError::DiskFull { path: path.to_owned(), free, least }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_below_the_least() {
        assert!(check(Path::new("/"), 1).is_ok());
        assert!(total(Path::new("/")).unwrap() >= free(Path::new("/")).unwrap());
        let refused = check(Path::new("/"), u64::MAX).unwrap_err().to_string();
        assert!(refused.contains("MiB are free on the disk of /"), "{refused}");
    }
}
