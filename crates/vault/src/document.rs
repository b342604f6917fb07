//! The document beside each dump.

use model::AppName;
use model::backup::{Backup, BackupId};

use crate::{Result, VaultError};

/// The longest document that is read, in bytes.
pub(crate) const DOCUMENT_MAX: usize = 64 * 1024;

/// A backup's document: JSON for people, with a line's end.
pub(crate) fn text(backup: &Backup) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(backup).expect("plain data");
    text.push(b'\n');
    text
}

/// Reads the document that lies at a backup's place. What it says of others was put there by a mistake, and is not believed.
pub(crate) fn read(text: &[u8], app: &AppName, id: &BackupId) -> Result<Backup> {
    let damaged = |why: String| VaultError::Damaged(format!("the document of {app}'s backup {id} {why}"));
    if text.len() > DOCUMENT_MAX {
        return Err(damaged("is too long".to_owned()));
    }
    let backup: Backup = serde_json::from_slice(text).map_err(|error| damaged(format!("can't be read: {error}")))?;
    if (&backup.app, &backup.id) != (app, id) {
        return Err(damaged("is that of another one".to_owned()));
    }
    Ok(backup)
}
