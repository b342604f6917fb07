//! A layer's directory as a blob of an OCI image (image-spec, layer.md): the same bytes for the same files.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use crate::spec::PackedLayer;

/// How hard the blob is compressed: packing must not delay a deployment by more than it saves.
const LEVEL: u32 = 1;
/// Set by overlayfs on a directory that hides what lies below it.
const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];

/// Counts and hashes what passes through.
struct Hashed<W> {
    inner: W,
    digest: Sha256,
    bytes: u64,
}

impl<W> Hashed<W> {
    fn new(inner: W) -> Self {
        Self { inner, digest: Sha256::new(), bytes: 0 }
    }

    fn hex(self) -> (W, String, u64) {
        use std::fmt::Write as _;
        let hex = self.digest.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes all");
            text
        });
        (self.inner, hex, self.bytes)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digest.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

type Archive<'a> = tar::Builder<Hashed<GzEncoder<Hashed<BufWriter<File>>>>>;

/// Packs what lies below `root` into `to`.
pub(crate) fn pack(root: &Path, to: File) -> io::Result<PackedLayer> {
    let blob = Hashed::new(BufWriter::with_capacity(256 * 1024, to));
    let mut archive = tar::Builder::new(Hashed::new(GzEncoder::new(blob, Compression::new(LEVEL))));
    archive.follow_symlinks(false);
    let mut links = HashMap::new();
    directory(&mut archive, root, Path::new(""), &mut links)?;
    let (compressed, diff_id, _) = archive.into_inner()?.hex();
    let (file, digest, size) = compressed.finish()?.hex();
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(PackedLayer { diff_id, digest, size })
}

fn directory(archive: &mut Archive<'_>, root: &Path, at: &Path, links: &mut HashMap<(u64, u64), PathBuf>) -> io::Result<()> {
    let mut names =
        fs::read_dir(root.join(at))?.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort();
    for name in names {
        let path = at.join(&name);
        let full = root.join(&path);
        let metadata = fs::symlink_metadata(&full)?;
        let kind = metadata.file_type();
        if kind.is_char_device() && metadata.rdev() == 0 {
            let mut marker = std::ffi::OsString::from(".wh.");
            marker.push(&name);
            let marker = at.join(marker);
            empty(archive, &marker)?;
        } else if kind.is_dir() {
            entry(archive, &metadata, tar::EntryType::Directory, &path, 0, io::empty())?;
            if is_opaque(&full) {
                empty(archive, &path.join(".wh..wh..opq"))?;
            }
            directory(archive, root, &path, links)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&full)?;
            let mut header = header(&metadata, tar::EntryType::Symlink, 0);
            archive.append_link(&mut header, &path, &target)?;
        } else if kind.is_file() {
            file(archive, &metadata, &full, &path, links)?;
        }
        // Sockets, pipes and devices have no place in an image.
    }
    Ok(())
}

fn file(
    archive: &mut Archive<'_>,
    metadata: &Metadata,
    full: &Path,
    path: &Path,
    links: &mut HashMap<(u64, u64), PathBuf>,
) -> io::Result<()> {
    if metadata.nlink() > 1 {
        let inode = (metadata.dev(), metadata.ino());
        if let Some(first) = links.get(&inode) {
            let mut header = header(metadata, tar::EntryType::Link, 0);
            return archive.append_link(&mut header, path, first);
        }
        links.insert(inode, path.to_owned());
    }
    let contents = File::open(full)?;
    entry(archive, metadata, tar::EntryType::Regular, path, metadata.len(), contents.take(metadata.len()))
}

fn header(metadata: &Metadata, kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(metadata.mode() & 0o7777);
    header.set_uid(u64::from(metadata.uid()));
    header.set_gid(u64::from(metadata.gid()));
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    header.set_size(size);
    header
}

fn entry(
    archive: &mut Archive<'_>,
    metadata: &Metadata,
    kind: tar::EntryType,
    path: &Path,
    size: u64,
    contents: impl Read,
) -> io::Result<()> {
    let mut header = header(metadata, kind, size);
    archive.append_data(&mut header, path, contents)
}

/// An empty file that stands for something missing below.
fn empty(archive: &mut Archive<'_>, path: &Path) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(0);
    archive.append_data(&mut header, path, io::empty())
}

fn is_opaque(path: &Path) -> bool {
    OPAQUE.iter().any(|name| {
        let mut value = [0_u8; 4];
        matches!(attribute(path, name, &mut value), Some(1)) && value[0] == b'y'
    })
}

/// The length of an extended attribute's value, which is put into `value`.
fn attribute(path: &Path, name: &str, value: &mut [u8]) -> Option<usize> {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
    let name = std::ffi::CString::new(name).ok()?;
    #[expect(unsafe_code, reason = "a system call without a wrapper")]
    // SAFETY: both names are C strings, and the buffer's true length is given; all outlive the call.
    let length = unsafe { nix::libc::lgetxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    usize::try_from(length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_make_the_same_blob_and_hard_links_are_kept() {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(root.path().join("a/b")).expect("made");
        fs::write(root.path().join("a/b/file"), "x".repeat(10_000)).expect("written");
        fs::hard_link(root.path().join("a/b/file"), root.path().join("a/twin")).expect("linked");
        std::os::unix::fs::symlink("b/file", root.path().join("a/link")).expect("linked");
        let blob = tempfile::NamedTempFile::new().expect("a file");
        let first = pack(root.path(), blob.reopen().expect("open")).expect("packed");
        let second = pack(root.path(), tempfile::tempfile().expect("a file")).expect("packed");
        assert_eq!(first, second);
        assert_eq!(fs::metadata(blob.path()).expect("written").len(), first.size);
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(blob.reopen().expect("open")));
        let kinds: Vec<_> = archive
            .entries()
            .expect("an archive")
            .map(|entry| entry.expect("an entry"))
            .map(|entry| (entry.path().expect("a path").into_owned(), entry.header().entry_type()))
            .collect();
        let paths: Vec<_> = kinds.iter().map(|(path, _)| path.to_str().expect("text")).collect();
        assert_eq!(paths, ["a", "a/b", "a/b/file", "a/link", "a/twin"]);
        assert_eq!(kinds[4].1, tar::EntryType::Link);
    }
}
