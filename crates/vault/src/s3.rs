//! Dumps in S3-compatible storage: `PREFIX/APP/ID.dump` and, beside it, `PREFIX/APP/ID.json`.
//!
//! Requests are signed in their addresses (signature version 4). What a dump holds is compared with its SHA-256 when it is read.

mod address;
mod http;
mod upload;

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::http::Method;
use async_trait::async_trait;
use bytes::Bytes;
use model::AppName;
use model::backup::{Backup, BackupId};
use rusty_s3::actions::{ListObjectsV2, S3Action};
use tokio::io::AsyncWriteExt;
use url::Url;

use self::http::{Answer, Client};
use crate::hashing::{Hasher, compare};
use crate::{Result, Vault, VaultError, document};

pub use address::{Bucket, BucketError, Keys};

/// How long a signature holds, which is made anew for each attempt.
const SIGNED_FOR: Duration = Duration::from_mins(15);

/// A bucket of S3-compatible storage.
#[derive(Debug)]
pub struct S3 {
    bucket: Bucket,
    credentials: rusty_s3::Credentials,
    client: Client,
    /// Where it notes what it is about to write, and keeps what it reads.
    notes: PathBuf,
}

impl S3 {
    /// A vault in a bucket. Nothing is sent yet. `notes` is a directory of its own, made where it is missing.
    pub fn new(bucket: Bucket, keys: &Keys, notes: &Path) -> Result<Self> {
        std::fs::create_dir_all(notes).map_err(|error| VaultError::io(format!("make {}", notes.display()), error))?;
        let client = Client::new(bucket.to_string())?;
        Ok(Self { credentials: keys.credentials(), client, notes: notes.to_owned(), bucket })
    }

    fn dump(&self, app: &AppName, id: &BackupId) -> String {
        format!("{}{app}/{id}.dump", self.bucket.prefix())
    }

    fn document(&self, app: &AppName, id: &BackupId) -> String {
        format!("{}{app}/{id}.json", self.bucket.prefix())
    }

    fn signed<'a>(action: &impl S3Action<'a>) -> Url {
        action.sign(SIGNED_FOR)
    }

    async fn put_object(&self, key: &str, body: Bytes) -> Result<()> {
        let sign = || Self::signed(&self.bucket.inner().put_object(Some(&self.credentials), key));
        self.client.call(Method::PUT, sign, body).await.map(drop)
    }

    async fn delete_object(&self, key: &str) -> Result<()> {
        let sign = || Self::signed(&self.bucket.inner().delete_object(Some(&self.credentials), key));
        match self.client.call(Method::DELETE, sign, Bytes::new()).await {
            Ok(_) | Err(VaultError::Missing(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn get_small(&self, key: &str) -> Result<Bytes> {
        let sign = || Self::signed(&self.bucket.inner().get_object(Some(&self.credentials), key));
        self.client.call(Method::GET, sign, Bytes::new()).await.map(|answer| answer.body)
    }

    /// The size of an object in bytes.
    async fn length(&self, key: &str) -> Result<Option<u64>> {
        let sign = || Self::signed(&self.bucket.inner().head_object(Some(&self.credentials), key));
        let answer: Answer = self.client.call(Method::HEAD, sign, Bytes::new()).await?;
        Ok(answer.header("content-length").and_then(|text| text.parse().ok()))
    }

    /// Reads a dump into a file without a name.
    async fn download(&self, backup: &Backup) -> Result<File> {
        let key = self.dump(&backup.app, &backup.id);
        let io = |error| VaultError::io(format!("write below {}", self.notes.display()), error);
        let file = tempfile::tempfile_in(&self.notes).map_err(io)?;
        let mut writer = tokio::fs::File::from_std(file.try_clone().map_err(io)?);
        let url = Self::signed(&self.bucket.inner().get_object(Some(&self.credentials), &key));
        let mut stream = self.client.stream(&url).await?;
        let mut hasher = Hasher::default();
        while let Some(chunk) = stream.next().await? {
            writer.write_all(&chunk).await.map_err(io)?;
            hasher.add(&chunk);
        }
        writer.flush().await.map_err(io)?;
        compare(backup, &hasher.end())?;
        (&file).seek(SeekFrom::Start(0)).map_err(io)?;
        Ok(file)
    }
}

#[async_trait]
impl Vault for S3 {
    fn word(&self) -> &'static str {
        "s3"
    }

    fn place(&self) -> String {
        self.bucket.to_string()
    }

    async fn check(&self) -> Result<()> {
        // A list rather than HEAD, whose answer would not say what is wrong.
        let sign = || {
            let mut action = ListObjectsV2::new(self.bucket.inner(), Some(&self.credentials));
            action.with_max_keys(1);
            Self::signed(&action)
        };
        self.client.call(Method::GET, sign, Bytes::new()).await.map(drop)
    }

    async fn put(&self, backup: &Backup, dump: &File) -> Result<()> {
        self.upload(backup, dump).await
    }

    async fn describe(&self, backup: &Backup) -> Result<()> {
        self.put_object(&self.document(&backup.app, &backup.id), document::text(backup).into()).await
    }

    async fn get(&self, backup: &Backup) -> Result<File> {
        let mut attempt = 0;
        loop {
            match self.download(backup).await {
                // Cut in the middle: what came so far is of no use, since its hash is of the whole.
                Err(VaultError::Unreachable { .. }) if attempt + 1 < http::ATTEMPTS => {
                    http::pause(attempt).await;
                    attempt += 1;
                }
                ended => return ended,
            }
        }
    }

    async fn list(&self) -> Result<Vec<(AppName, BackupId)>> {
        let mut found = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let sign = || {
                let mut action = ListObjectsV2::new(self.bucket.inner(), Some(&self.credentials));
                if !self.bucket.prefix().is_empty() {
                    action.with_prefix(self.bucket.prefix());
                }
                if let Some(next) = &next {
                    action.with_continuation_token(next.as_str());
                }
                Self::signed(&action)
            };
            let answer = self.client.call(Method::GET, sign, Bytes::new()).await?;
            let text = String::from_utf8_lossy(&answer.body);
            let page = ListObjectsV2::parse_response(&text)
                .map_err(|_nonsense| self.client.unreachable("its list of objects can't be read"))?;
            found.extend(page.contents.iter().filter_map(|object| self.backup_of(&object.key)));
            match page.next_continuation_token {
                Some(token) if next.as_ref() != Some(&token) => next = Some(token),
                _ => return Ok(found),
            }
        }
    }

    async fn read(&self, app: &AppName, id: &BackupId) -> Result<Backup> {
        document::read(&self.get_small(&self.document(app, id)).await?, app, id)
    }

    async fn remove(&self, app: &AppName, id: &BackupId) -> Result<()> {
        // The document first: a dump without one is no backup.
        let note = self.note(&upload::Note { app: app.clone(), backup: id.clone(), upload: None })?;
        self.delete_object(&self.document(app, id)).await?;
        self.delete_object(&self.dump(app, id)).await?;
        note.done();
        Ok(())
    }

    async fn sweep(&self) -> Result<()> {
        self.sweep_notes().await
    }
}

impl S3 {
    /// The backup whose document that object is.
    fn backup_of(&self, key: &str) -> Option<(AppName, BackupId)> {
        let (app, file) = key.strip_prefix(self.bucket.prefix())?.split_once('/')?;
        Some((AppName::parse(app).ok()?, BackupId::parse(file.strip_suffix(".json")?).ok()?))
    }
}
