//! Uploads: received trees, kept under their digest until no deployment needs them.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::{ErrorBody, ErrorCode, Upload};
use source::{CheckedTree, CollectError, Limits, ReceiveError};

use crate::Control;
use crate::error::{Result, internal};

/// How long an upload is kept after it came or was last deployed.
const KEPT: Duration = Duration::from_hours(1);

/// The directory of uploads.
#[derive(Debug)]
pub(crate) struct Uploads {
    directory: PathBuf,
}

impl Uploads {
    pub(crate) fn open(directory: &Path) -> std::io::Result<Self> {
        fs::create_dir_all(directory)?;
        // What a killed platform was receiving is of no use.
        for entry in fs::read_dir(directory)?.flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "part") {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { directory: directory.to_owned() })
    }

    /// Checks that a digest is one, and that its tree is here.
    pub(crate) fn known(&self, digest: &str) -> Result<String> {
        let hex = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if hex && self.path(digest).is_file() {
            return Ok(digest.to_owned());
        }
        Err(ErrorBody::new(ErrorCode::UploadNotFound, "the upload is not here (any more)").help("upload the source again"))
    }

    /// The tree of a known digest.
    pub(crate) fn tree(&self, digest: &str) -> Result<CheckedTree> {
        let digest = self.known(digest)?;
        CheckedTree::open(&self.path(&digest)).map_err(|error| internal("open an upload", &error))
    }

    /// A place for a tree made from another.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.part"))
    }

    /// Receives a tree. Blocks at the pace of the stream.
    pub(crate) fn receive(&self, stream: impl Read, name: &str) -> Result<Upload> {
        let partial = self.scratch(name);
        let received = source::receive(stream, &Limits::default(), &partial).map_err(|error| {
            let _nothing = fs::remove_file(&partial);
            refused(&error)
        })?;
        let upload = self.adopt(&partial, &received.digest_hex())?;
        Ok(Upload { upload, files: received.files as u64, bytes: received.bytes })
    }

    /// Keeps a canonical tree, which lies at a place from [`Self::scratch`], under its digest.
    pub(crate) fn adopt(&self, scratch: &Path, digest: &str) -> Result<String> {
        fs::rename(scratch, self.path(digest)).map_err(|error| internal("keep an upload", &error))?;
        Ok(digest.to_owned())
    }

    /// Removes what is older than an hour, and not among those that are still `needed`.
    pub(crate) fn sweep(&self, needed: &[String]) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for entry in entries.flatten() {
            let old = entry.metadata().and_then(|it| it.modified()).is_ok_and(|at| at.elapsed().is_ok_and(|age| age > KEPT));
            let name = entry.file_name();
            let kept =
                name.to_str().and_then(|name| name.strip_suffix(".tar")).is_some_and(|it| needed.iter().any(|id| id == it));
            if old && !kept {
                let _gone = fs::remove_file(entry.path());
            }
        }
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.directory.join(format!("{digest}.tar"))
    }
}

fn refused(error: &ReceiveError) -> ErrorBody {
    if error.is_internal() {
        return internal("keep an upload", error);
    }
    let code = match error {
        ReceiveError::Tree(CollectError::TooLarge { .. } | CollectError::TooMany { .. }) => ErrorCode::SourceTooLarge,
        _ => ErrorCode::SourceRefused,
    };
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        message.push_str(": ");
        message.push_str(&inner.to_string());
        cause = inner.source();
    }
    ErrorBody::new(code, message).help("nothing was deployed; remove or ignore it, and deploy again")
}

impl Control {
    /// Receives a source tree: a tar stream, plain or compressed.
    pub async fn upload(&self, stream: impl tokio::io::AsyncRead + Send + Unpin + 'static) -> Result<Upload> {
        let control = self.clone();
        let name = format!("upload-{}", self.inner.serial());
        let bridge = tokio_util::io::SyncIoBridge::new(stream);
        tokio::task::spawn_blocking(move || control.inner.uploads.receive(bridge, &name))
            .await
            .map_err(|error| internal("receive an upload", &error))?
    }
}
