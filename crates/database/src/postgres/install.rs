//! The versions of PostgreSQL that are installed on this machine.

use std::path::{Path, PathBuf};

use crate::{DatabaseError, Result};

/// The oldest major version that will do: the schema `public` belongs to whoever owns the database, and passwords are SCRAM.
const OLDEST: u32 = 14;

/// A directory with a directory of programs for each major version, as Debian's packages have it.
#[derive(Debug, Clone)]
pub(crate) struct Installed {
    directory: PathBuf,
}

/// The programs of one major version.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    /// The major version.
    pub(crate) major: u32,
    directory: PathBuf,
}

impl Programs {
    /// The path of a program.
    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}

impl Installed {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Every major version that will do, the oldest first.
    fn majors(&self) -> Vec<u32> {
        let names = std::fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let mut majors: Vec<u32> = names
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|major| *major >= OLDEST && is_whole(&self.programs(*major).directory))
            .collect();
        majors.sort_unstable();
        majors
    }

    /// The newest one.
    pub(crate) fn newest(&self) -> Result<u32> {
        self.majors().last().copied().ok_or_else(|| DatabaseError::Unavailable {
            what: format!("PostgreSQL {OLDEST} or later is not installed on this machine"),
            help: "install it: apt install postgresql".to_owned(),
        })
    }

    /// The version that a database was made with, which alone can read its files.
    pub(crate) fn has(&self, major: u32) -> Result<u32> {
        let majors = self.majors();
        if majors.contains(&major) {
            return Ok(major);
        }
        let there: Vec<String> = majors.iter().map(ToString::to_string).collect();
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        Err(DatabaseError::Unavailable {
            what: format!(
                "the database was made by PostgreSQL {major}, which is not installed on this machine; installed: {there}"
            ),
            help: format!("install it: apt install postgresql-{major}"),
        })
    }

    /// Its programs.
    pub(crate) fn programs(&self, major: u32) -> Programs {
        Programs { major, directory: self.directory.join(major.to_string()).join("bin") }
    }
}

fn is_whole(programs: &Path) -> bool {
    ["postgres", "initdb", "pg_dump", "pg_restore"].iter().all(|name| programs.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(majors: &[&str]) -> (tempfile::TempDir, Installed) {
        let directory = tempfile::tempdir().expect("a directory");
        for major in majors {
            let programs = directory.path().join(major).join("bin");
            std::fs::create_dir_all(&programs).expect("made");
            for name in ["postgres", "initdb", "pg_dump", "pg_restore"] {
                std::fs::write(programs.join(name), "").expect("written");
            }
        }
        let installed = Installed::new(directory.path().to_owned());
        (directory, installed)
    }

    #[test]
    fn the_newest_is_taken_and_a_missing_one_is_named() {
        let (directory, installed) = with(&["9.6", "13", "15", "17", "x"]);
        std::fs::create_dir_all(directory.path().join("18/bin")).expect("made");
        assert_eq!(installed.newest().expect("installed"), 17, "18 has no programs");
        assert_eq!(installed.has(15).expect("installed"), 15);
        let error = installed.has(16).expect_err("missing");
        assert!(error.to_string().contains("PostgreSQL 16") && error.to_string().contains("15, 17"), "{error}");
        assert_eq!(error.help(), "install it: apt install postgresql-16");
        let (_directory, none) = with(&["13"]);
        let error = none.newest().expect_err("none will do");
        assert!(error.help().contains("apt install postgresql"), "{error}");
    }
}
