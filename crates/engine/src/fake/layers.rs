//! The fake's layers: files in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Component, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use crate::{Applied, LayerRoom, PackedLayer};

/// What lies where; absolute paths.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// The files in an archive.
pub(super) fn unpack(prefix: &str, archive: File) -> io::Result<Files> {
    let mut files = Files::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let path = PathBuf::from(prefix).join(entry.path()?);
            let mut contents = Vec::new();
            entry.read_to_end(&mut contents)?;
            files.insert(path.to_string_lossy().into_owned(), contents);
        }
    }
    Ok(files)
}

/// A layer of a foreign image, applied to what lies below; of what there is to hide, files alone.
pub(super) fn apply(files: &mut Files, room: LayerRoom, archive: File) -> io::Result<Applied> {
    let mut applied = Applied::default();
    let mut own = Files::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if path.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(io::Error::other(format!("{}: an absolute path, or one with `..`", path.display())));
        }
        let path = PathBuf::from("/").join(path);
        applied.entries += 1;
        let hidden = path.file_name().and_then(|name| name.to_str()?.strip_prefix(".wh."));
        if let Some(hidden) = hidden {
            let gone = path.with_file_name(hidden);
            files.retain(|path, _| !PathBuf::from(path).starts_with(&gone));
        } else if entry.header().entry_type().is_file() {
            let mut contents = Vec::new();
            entry.read_to_end(&mut contents)?;
            applied.bytes += contents.len() as u64;
            own.insert(path.to_string_lossy().into_owned(), contents);
        }
        if applied.bytes > room.bytes || applied.entries > room.entries {
            return Err(io::Error::other("the image is larger than it may be"));
        }
    }
    files.extend(own);
    Ok(applied)
}

/// A true blob, small as it may be.
pub(super) fn pack(files: &Files, mut to: File) -> io::Result<PackedLayer> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, contents) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path.trim_start_matches('/'), contents.as_slice())?;
    }
    let plain = archive.into_inner()?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&plain)?;
    let blob = encoder.finish()?;
    to.write_all(&blob)?;
    Ok(PackedLayer { diff_id: hex(&plain), digest: hex(&blob), size: blob.len() as u64 })
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}
