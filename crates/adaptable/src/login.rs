//! What `login` remembers, in a file that only the user may read.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Env;
use crate::explain::Failure;

/// A platform elsewhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Login {
    /// Its address.
    pub url: String,
    /// The token for it.
    pub token: String,
    /// The certificate of its own authority, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Where it is kept: `$XDG_CONFIG_HOME/adaptable/login.toml`, else below `~/.config`.
pub(crate) fn file(env: Env<'_>) -> Option<PathBuf> {
    let set = |name: &str| env(name).filter(|value| value.starts_with('/')).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
    Some(config.join("adaptable").join("login.toml"))
}

/// Reads it; none where nothing is remembered.
pub(crate) fn load(file: &Path) -> Result<Option<Login>, Failure> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::file("read", file, error)),
    };
    // The text of the parser's error would quote the token.
    let login = toml::from_str(&text).map_err(|_quotes_secrets| {
        Failure::local(
            format!("{} is not what 'adaptable login' wrote", file.display()),
            "log in again, or remove the file: adaptable logout",
        )
    })?;
    Ok(Some(login))
}

/// Writes it, whole or not at all.
pub(crate) fn save(file: &Path, login: &Login) -> Result<(), Failure> {
    let fail = |error: std::io::Error| Failure::file("write", file, error);
    let text = toml::to_string(login).map_err(|error| Failure::file("write", file, error))?;
    if let Some(folder) = file.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fail)?;
    }
    let new = file.with_extension("new");
    // A leftover of an earlier attempt may have another mode.
    std::fs::remove_file(&new)
        .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
        .map_err(fail)?;
    let mut handle = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(fail)?;
    handle.write_all(text.as_bytes()).and_then(|()| handle.sync_all()).map_err(fail)?;
    std::fs::rename(&new, file).map_err(fail)
}

/// Forgets it; says whether there was something.
pub(crate) fn forget(file: &Path) -> Result<bool, Failure> {
    match std::fs::remove_file(file) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Failure::file("remove", file, error)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_remembered_is_only_the_users() {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("adaptable/login.toml");
        assert_eq!(load(&file).expect("nothing yet"), None);
        let login = Login { url: "https://x.example".to_owned(), token: "secret".to_owned(), ca: Some("a\nb\n".to_owned()) };
        for _ in 0..2 {
            save(&file, &login).expect("write");
        }
        assert_eq!(load(&file).expect("what was written"), Some(login.clone()));
        assert_eq!(std::fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
        assert!(!format!("{login:?}").contains("secret"));
        assert!(forget(&file).expect("remove") && !forget(&file).expect("nothing left"));
    }

    #[test]
    fn a_broken_file_does_not_show_its_secret() {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("login.toml");
        std::fs::write(&file, "token = 'secret'\nurl =").expect("write");
        let failure = load(&file).expect_err("it is broken");
        assert!(!format!("{failure:?}").contains("secret"));
    }
}
