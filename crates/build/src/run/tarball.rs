//! A small tar of the files that an installation reads.

use std::fs::File;
use std::io::Seek as _;

use tar::{Builder, EntryType, Header};

use super::BuildError;
use crate::tree::{READ_LIMIT, SourceTree};

/// Like the limit of the key: what keys a layer can be laid.
const FILE_LIMIT: u64 = READ_LIMIT * 64;

/// An anonymous file that holds a tar of these files of a tree, at its beginning.
pub(super) fn of(tree: &dyn SourceTree, files: &[String]) -> Result<File, BuildError> {
    let writing = "writing the installation's inputs";
    let mut builder = Builder::new(tempfile::tempfile().map_err(BuildError::io(writing))?);
    for path in files {
        let bytes = tree.read(path, FILE_LIMIT)?;
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1);
        builder.append_data(&mut header, path, bytes.as_slice()).map_err(BuildError::io(writing))?;
    }
    let mut file = builder.into_inner().map_err(BuildError::io(writing))?;
    file.rewind().map_err(BuildError::io(writing))?;
    Ok(file)
}
