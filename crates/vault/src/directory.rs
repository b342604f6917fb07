//! Dumps in a directory: `APP/ID.dump` and, beside it, `APP/ID.json`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use model::AppName;
use model::backup::{Backup, BackupId};

use crate::hashing::{compare, copy, measure};
use crate::{Measure, Result, Vault, VaultError, document};

/// What is being written has this name at the end; a platform that was killed leaves it, and nobody takes it for a backup.
const PART: &str = ".part";

/// A directory for dumps, which only the platform's user may look into.
#[derive(Debug, Clone)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// Opens a directory; it is made where it is missing.
    pub fn open(root: &Path) -> Result<Self> {
        make(root)?;
        Ok(Self { root: root.to_owned() })
    }

    fn dump(&self, app: &AppName, id: &BackupId) -> PathBuf {
        self.root.join(app.as_str()).join(format!("{id}.dump"))
    }

    fn document(&self, app: &AppName, id: &BackupId) -> PathBuf {
        self.root.join(app.as_str()).join(format!("{id}.json"))
    }

    fn put_now(&self, backup: &Backup, mut dump: &File) -> Result<()> {
        make(&self.root.join(backup.app.as_str()))?;
        let path = self.dump(&backup.app, &backup.id);
        let written = write(&path, |file| {
            dump.seek(SeekFrom::Start(0))?;
            copy(&mut dump, file)
        })?;
        if let Err(error) = compare(backup, &written).and_then(|()| self.describe_now(backup)) {
            // Without its document it is no backup, and would lie there for ever.
            fs::remove_file(&path).ok();
            return Err(error);
        }
        // Its app's directory may be new.
        sync(&self.root)
    }

    fn describe_now(&self, backup: &Backup) -> Result<()> {
        let document = self.document(&backup.app, &backup.id);
        let text = document::text(backup);
        write(&document, |file| file.write_all(&text).map(|()| Measure { bytes: 0, sha256: String::new() }))?;
        Ok(())
    }

    fn get_now(&self, backup: &Backup) -> Result<File> {
        let path = self.dump(&backup.app, &backup.id);
        let what = || format!("read {}", path.display());
        let mut file = File::open(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => VaultError::Missing(path.display().to_string()),
            _ => VaultError::io(what(), error),
        })?;
        // A bad block of the disk is damage, not a fault of the platform.
        let found = measure(&mut file).map_err(|error| VaultError::Damaged(format!("the dump can't be read: {error}")))?;
        compare(backup, &found)?;
        file.seek(SeekFrom::Start(0)).map_err(|error| VaultError::io(what(), error))?;
        Ok(file)
    }

    fn list_now(&self) -> Result<Vec<(AppName, BackupId)>> {
        let mut found = Vec::new();
        self.each(|app, path| {
            if let Some(id) = id_of(path, "json") {
                found.push((app.clone(), id));
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn read_now(&self, app: &AppName, id: &BackupId) -> Result<Backup> {
        let path = self.document(app, id);
        let text = fs::read(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => VaultError::Missing(path.display().to_string()),
            _ => VaultError::io(format!("read {}", path.display()), error),
        })?;
        document::read(&text, app, id)
    }

    fn remove_now(&self, app: &AppName, id: &BackupId) -> Result<()> {
        let directory = self.root.join(app.as_str());
        // The document first: a dump without one is no backup, and swept.
        for path in [self.document(app, id), self.dump(app, id)] {
            remove(&path)?;
        }
        match fs::remove_dir(&directory) {
            Ok(()) => sync(&self.root),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(_others_lie_there) => sync(&directory),
        }
    }

    fn sweep_now(&self) -> Result<()> {
        self.each(|app, path| {
            let half = path.to_string_lossy().ends_with(PART);
            // A dump gets its name before its document does: without one, nobody was told of it. Files with other names are not ours.
            let alone = id_of(path, "dump").is_some_and(|id| !self.document(app, &id).exists());
            if half || alone { remove(path) } else { Ok(()) }
        })
    }

    /// Looks at every file in the apps' directories.
    fn each(&self, mut look: impl FnMut(&AppName, &Path) -> Result<()>) -> Result<()> {
        let failed = |path: &Path, error: io::Error| VaultError::io(format!("read {}", path.display()), error);
        for entry in fs::read_dir(&self.root).map_err(|error| failed(&self.root, error))? {
            let path = entry.map_err(|error| failed(&self.root, error))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| AppName::parse(name).ok());
            let Some(app) = name.filter(|_| path.is_dir()) else { continue };
            for file in fs::read_dir(&path).map_err(|error| failed(&path, error))? {
                look(&app, &file.map_err(|error| failed(&path, error))?.path())?;
            }
        }
        Ok(())
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> Result<T> + Send + 'static) -> Result<T> {
        let own = self.clone();
        match tokio::task::spawn_blocking(move || work(&own)).await {
            Ok(result) => result,
            Err(error) => Err(VaultError::io("use the directory of backups", io::Error::other(error))),
        }
    }
}

#[async_trait]
impl Vault for Directory {
    fn word(&self) -> &'static str {
        "directory"
    }

    fn place(&self) -> String {
        self.root.display().to_string()
    }

    async fn check(&self) -> Result<()> {
        self.blocking(|own| make(&own.root)).await
    }

    async fn put(&self, backup: &Backup, dump: &File) -> Result<()> {
        let dump = dump.try_clone().map_err(|error| VaultError::io("read the dump", error))?;
        let backup = backup.clone();
        self.blocking(move |own| own.put_now(&backup, &dump)).await
    }

    async fn describe(&self, backup: &Backup) -> Result<()> {
        let backup = backup.clone();
        self.blocking(move |own| own.describe_now(&backup)).await
    }

    async fn get(&self, backup: &Backup) -> Result<File> {
        let backup = backup.clone();
        self.blocking(move |own| own.get_now(&backup)).await
    }

    async fn list(&self) -> Result<Vec<(AppName, BackupId)>> {
        self.blocking(Self::list_now).await
    }

    async fn read(&self, app: &AppName, id: &BackupId) -> Result<Backup> {
        let (app, id) = (app.clone(), id.clone());
        self.blocking(move |own| own.read_now(&app, &id)).await
    }

    async fn remove(&self, app: &AppName, id: &BackupId) -> Result<()> {
        let (app, id) = (app.clone(), id.clone());
        self.blocking(move |own| own.remove_now(&app, &id)).await
    }

    async fn sweep(&self) -> Result<()> {
        self.blocking(Self::sweep_now).await
    }
}

/// The backup whose file this is, where it has that extension.
fn id_of(path: &Path, extension: &str) -> Option<BackupId> {
    path.extension().filter(|found| *found == extension)?;
    BackupId::parse(path.file_stem()?.to_str()?).ok()
}

fn make(directory: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| VaultError::io(format!("make {}", directory.display()), error))
}

/// Writes a file under another name and gives it its own when everything is on disk.
fn write(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<Measure>) -> Result<Measure> {
    let part = PathBuf::from(format!("{}{PART}", path.display()));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)
        .and_then(|mut file| {
            let written = fill(&mut file)?;
            file.sync_all()?;
            Ok(written)
        })
        .and_then(|written| fs::rename(&part, path).map(|()| written));
    match written {
        Ok(written) => path.parent().map_or(Ok(()), sync).map(|()| written),
        Err(error) => {
            fs::remove_file(&part).ok();
            Err(VaultError::io(format!("write {}", path.display()), error))
        }
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(VaultError::io(format!("remove {}", path.display()), error)),
        _ => Ok(()),
    }
}

fn sync(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| VaultError::io(format!("write {}", directory.display()), error))
}
