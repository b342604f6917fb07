//! The directory in which a SQL Server and the platform exchange backups: both see it, each under a path of its own.
//!
//! `BACKUP DATABASE` writes on the server's machine, and nothing else can: there is no way to have a backup sent over the connection.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use model::database::DatabaseName;
use rand::Rng;

use crate::{DatabaseError, Result};

/// A directory that the server and the platform both see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Its path on the server's machine.
    server: String,
    /// Its path on this one.
    here: PathBuf,
}

impl Exchange {
    /// Reads `SERVER-PATH=PATH`, or one path where it is the same: `/var/opt/mssql/backup=/srv/mssql-backup`.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = || {
            DatabaseError::Refused(
                "mssql-backups: must be two absolute paths of one directory, as the server has it and as it is here: \
                 /var/opt/mssql/backup=/srv/mssql-backup"
                    .to_owned(),
            )
        };
        let (server, here) = text.split_once('=').unwrap_or((text, text));
        let windows = server.get(1..3) == Some(":\\") || server.starts_with("\\\\");
        let good = (server.starts_with('/') || windows) && here.starts_with('/') && !text.chars().any(char::is_control);
        if good { Ok(Self { server: server.to_owned(), here: PathBuf::from(here) }) } else { Err(refused()) }
    }

    /// A file in it that nobody else has, by a name that nobody guesses; removed when this is dropped.
    pub(crate) fn file(&self, name: &DatabaseName) -> Exchanged {
        let file = format!("adaptable-{name}-{:032x}.bak", rand::rng().random::<u128>());
        let separator = if self.server.contains('\\') { '\\' } else { '/' };
        let server = format!("{}{separator}{file}", self.server.trim_end_matches(['/', '\\']));
        Exchanged { server, here: self.here.join(file) }
    }
}

/// A backup on its way.
#[derive(Debug)]
pub(crate) struct Exchanged {
    /// What the server calls it.
    pub(crate) server: String,
    here: PathBuf,
}

impl Exchanged {
    /// Copies what the server has written.
    pub(crate) async fn take(&self, mut to: File) -> Result<()> {
        let from = self.here.clone();
        self.copied(move || {
            io::copy(&mut File::open(&from)?, &mut to)?;
            to.sync_all()
        })
        .await
    }

    /// Puts a backup where the server reads it.
    pub(crate) async fn give(&self, mut from: File) -> Result<()> {
        let to = self.here.clone();
        self.copied(move || {
            io::Seek::rewind(&mut from)?;
            // For the directory's group, which is the server's; the directory keeps out everybody else.
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o660).open(&to)?;
            io::copy(&mut from, &mut file)?;
            file.sync_all()
        })
        .await
    }

    async fn copied(&self, copy: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<()> {
        let done = tokio::task::spawn_blocking(copy).await.map_err(|error| DatabaseError::Failed(error.to_string()))?;
        done.map_err(|error| {
            let directory = self.here.parent().unwrap_or(Path::new("/")).display();
            DatabaseError::Failed(format!(
                "exchange a backup with SQL Server: {error}; the platform's user must be able to read, write and remove files in {directory} \
                 (mssql-backups), and the server too"
            ))
        })
    }
}

impl Drop for Exchanged {
    fn drop(&mut self) {
        match fs::remove_file(&self.here) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(file = %self.here.display(), %error, "remove a backup that was exchanged");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};

    use super::*;

    #[test]
    fn one_directory_has_two_paths() {
        let name = DatabaseName::parse("app_a").expect("a name");
        for (text, begins) in [
            ("/var/opt/mssql/backup=/srv/b", "/var/opt/mssql/backup/adaptable-app_a-"),
            ("/srv/b/", "/srv/b/adaptable-app_a-"),
            ("D:\\backup=/mnt/b", "D:\\backup\\adaptable-app_a-"),
            ("\\\\host\\share\\=/mnt/b", "\\\\host\\share\\adaptable-app_a-"),
        ] {
            let file = Exchange::parse(text).expect(text).file(&name);
            assert!(file.server.starts_with(begins), "{text}: {}", file.server);
        }
        for bad in ["", "backup", "backup=/srv", "/srv=backup", "/a\n=/b", "="] {
            assert!(Exchange::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_backup_goes_both_ways_and_leaves_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let exchange = Exchange::parse(&directory.path().display().to_string()).expect("a directory");
        let name = DatabaseName::parse("app_a").expect("a name");
        let mut dump = tempfile::tempfile().expect("a file");
        dump.write_all(b"a backup").expect("room");
        let given = exchange.file(&name);
        given.give(dump.try_clone().expect("a copy")).await.expect("it is given");
        assert_eq!(fs::read(&given.server).expect("it is there"), b"a backup");
        let mut back = tempfile::tempfile().expect("a file");
        given.take(back.try_clone().expect("a copy")).await.expect("it is taken");
        let mut text = String::new();
        back.rewind().and_then(|()| back.read_to_string(&mut text)).expect("what was taken");
        assert_eq!(text, "a backup");
        assert!(exchange.file(&name).take(back).await.expect_err("there is none").to_string().contains("mssql-backups"));
        drop(given);
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0);
    }
}
