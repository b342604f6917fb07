//! Dumps on their way to the storage: in one piece where they are small, in parts where they are not.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use model::AppName;
use model::backup::{Backup, BackupId};
use rusty_s3::actions::CreateMultipartUpload;
use serde::{Deserialize, Serialize};

use super::S3;
use super::http::element;
use crate::{Measure, Result, Vault, VaultError};

/// Bytes of a part, which is in memory while it is sent; what is smaller is sent in one piece.
const PART: u64 = 16 * 1024 * 1024;
/// The most parts of an upload (the protocol's limit).
const PARTS_MAX: u64 = 10_000;

/// What is about to be written, so that a platform that was killed can take it back.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) app: AppName,
    pub(super) backup: BackupId,
    /// The upload in parts that has begun.
    pub(super) upload: Option<String>,
}

/// A note on disk.
pub(super) struct Noted(PathBuf);

impl Noted {
    /// It is over: nothing is to be taken back.
    pub(super) fn done(self) {
        fs::remove_file(&self.0).ok();
    }
}

impl S3 {
    pub(super) fn note(&self, note: &Note) -> Result<Noted> {
        let path = self.notes.join(format!("{}.json", note.backup));
        let text = serde_json::to_vec(note).expect("plain data");
        fs::write(&path, text).map_err(|error| VaultError::io(format!("write {}", path.display()), error))?;
        Ok(Noted(path))
    }

    pub(super) async fn upload(&self, backup: &Backup, dump: &File) -> Result<()> {
        let dump = Arc::new(dump.try_clone().map_err(|error| VaultError::io("read the dump", error))?);
        let note = self.note(&Note { app: backup.app.clone(), backup: backup.id.clone(), upload: None })?;
        let sent = match self.send_dump(backup, &dump).await {
            Ok(()) => self.describe(backup).await,
            Err(error) => Err(error),
        };
        if sent.is_ok() {
            note.done();
        } else if let Err(error) = self.take_back(note).await {
            tracing::warn!(backup = %backup.id, %error, "what an upload has left in the storage is taken back later");
        }
        sent
    }

    async fn send_dump(&self, backup: &Backup, dump: &Arc<File>) -> Result<()> {
        let key = self.dump(&backup.app, &backup.id);
        if backup.bytes <= PART {
            let body = read(dump, 0, backup.bytes).await?;
            self.put_object(&key, body).await?;
        } else {
            self.send_parts(backup, dump, &key).await?;
        }
        match self.length(&key).await? {
            Some(found) if found != backup.bytes => {
                crate::hashing::compare(backup, &Measure { bytes: found, sha256: backup.sha256.clone() })
            }
            _ => Ok(()),
        }
    }

    async fn send_parts(&self, backup: &Backup, dump: &Arc<File>, key: &str) -> Result<()> {
        let (bucket, credentials) = (self.bucket.inner(), Some(&self.credentials));
        let begin = || Self::signed(&bucket.create_multipart_upload(credentials, key));
        let answer = self.client.call(Method::POST, begin, Bytes::new()).await?;
        let begun = CreateMultipartUpload::parse_response(&String::from_utf8_lossy(&answer.body));
        let begun = begun.map_err(|_nonsense| self.client.unreachable("its answer to an upload in parts can't be read"))?;
        let upload = begun.upload_id();
        self.note(&Note { app: backup.app.clone(), backup: backup.id.clone(), upload: Some(upload.to_owned()) })?;
        self.send_all(backup, dump, key, upload).await
    }

    async fn send_all(&self, backup: &Backup, dump: &Arc<File>, key: &str, upload: &str) -> Result<()> {
        let (bucket, credentials) = (self.bucket.inner(), Some(&self.credentials));
        let size = PART.max(backup.bytes.div_ceil(PARTS_MAX));
        let mut tags = Vec::new();
        let mut at = 0;
        while at < backup.bytes {
            let body = read(dump, at, size.min(backup.bytes - at)).await?;
            at += body.len() as u64;
            let number = u16::try_from(tags.len() + 1).unwrap_or(u16::MAX);
            let sign = || Self::signed(&bucket.upload_part(credentials, key, number, upload));
            let answer = self.client.call(Method::PUT, sign, body).await?;
            let tag = answer.header("etag").ok_or_else(|| self.client.unreachable("a part has no ETag"))?;
            tags.push(tag.to_owned());
        }
        let end = || bucket.complete_multipart_upload(credentials, key, upload, tags.iter().map(String::as_str));
        let body = Bytes::from(end().body());
        let ended = self.client.call(Method::POST, || Self::signed(&end()), body).await;
        match ended {
            // It may fail after it has begun to answer with 200.
            Ok(answer) => {
                let text = String::from_utf8_lossy(&answer.body);
                let failed = element(&text, "Error").is_some() || text.contains("<Error");
                if failed { Err(self.client.refusal(StatusCode::INTERNAL_SERVER_ERROR, &text)) } else { Ok(()) }
            }
            // An attempt whose answer was lost may have ended it; then the object is there, and its length is looked at.
            Err(VaultError::Missing(_)) if self.length(key).await.is_ok() => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn abort(&self, key: &str, upload: &str) -> Result<()> {
        let sign = || Self::signed(&self.bucket.inner().abort_multipart_upload(Some(&self.credentials), key, upload));
        match self.client.call(Method::DELETE, sign, Bytes::new()).await {
            Ok(_) | Err(VaultError::Missing(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes back what was left half by a platform that was killed, or while the storage did not answer.
    pub(super) async fn sweep_notes(&self) -> Result<()> {
        let failed = |error: io::Error| VaultError::io(format!("read {}", self.notes.display()), error);
        for entry in fs::read_dir(&self.notes).map_err(failed)? {
            self.take_back(Noted(entry.map_err(failed)?.path())).await?;
        }
        Ok(())
    }

    /// Removes parts of an upload and a dump without its document. The note stays where that fails.
    async fn take_back(&self, noted: Noted) -> Result<()> {
        let Some(note) = fs::read(&noted.0).ok().and_then(|text| serde_json::from_slice::<Note>(&text).ok()) else {
            // It was cut while it was written, so nothing was sent yet.
            noted.done();
            return Ok(());
        };
        let key = self.dump(&note.app, &note.backup);
        if let Some(upload) = &note.upload {
            self.abort(&key, upload).await?;
        }
        match self.read(&note.app, &note.backup).await {
            Ok(_) => {}
            Err(VaultError::Missing(_) | VaultError::Damaged(_)) => self.delete_object(&key).await?,
            Err(error) => return Err(error),
        }
        noted.done();
        Ok(())
    }
}

/// A piece of the dump.
async fn read(dump: &Arc<File>, at: u64, length: u64) -> Result<Bytes> {
    let dump = Arc::clone(dump);
    let piece = tokio::task::spawn_blocking(move || {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let mut piece = vec![0; length];
        dump.read_exact_at(&mut piece, at)?;
        Ok(Bytes::from(piece))
    });
    piece.await.map_err(io::Error::other).and_then(|read| read).map_err(|error| VaultError::io("read the dump", error))
}
