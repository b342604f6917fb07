//! The name of a file in a tree: relative, and never out of the tree.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The longest path taken, in bytes. Linux takes 4096, and `/app/` and a layer's own directory come before it.
const LONGEST: usize = 3072;
/// The longest name of one file, as Linux has it.
const LONGEST_NAME: usize = 255;
/// The most directories one within another.
const DEEPEST: usize = 128;

/// A checked path in a tree: one or more names, none of them `.` or `..`, without control characters.
///
/// Names are bytes and need not be UTF-8, as with Linux and git. The order is that of the bytes, which puts a directory before all it holds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(Box<[u8]>);

impl TreePath {
    /// Checks a path. Empty and `.` components are dropped, so `./a//b/` is `a/b`.
    pub fn parse(path: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let path = path.as_ref();
        let refuse = |problem| Err(PathError { path: show(path), problem });
        if path.len() > LONGEST {
            return refuse(PathProblem::TooLong);
        }
        if path.first() == Some(&b'/') {
            return refuse(PathProblem::Absolute);
        }
        let mut checked = Vec::with_capacity(path.len());
        let mut depth = 0;
        for name in path.split(|&byte| byte == b'/') {
            match name {
                b"" | b"." => continue,
                b".." => return refuse(PathProblem::Parent),
                _ if name.len() > LONGEST_NAME => return refuse(PathProblem::NameTooLong),
                _ if name.iter().any(u8::is_ascii_control) => return refuse(PathProblem::Control),
                _ => {}
            }
            if !checked.is_empty() {
                checked.push(b'/');
            }
            checked.extend_from_slice(name);
            depth += 1;
        }
        match depth {
            0 => refuse(PathProblem::Empty),
            1..=DEEPEST => Ok(Self(checked.into())),
            _ => refuse(PathProblem::TooDeep),
        }
    }

    /// The path's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path as text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The path as the file system takes it; relative.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The directory it is in; `None` at the top of the tree.
    pub fn parent(&self) -> Option<Self> {
        let slash = self.0.iter().rposition(|&byte| byte == b'/')?;
        Some(Self(self.0[..slash].into()))
    }

    /// The path seen from `directory`; `None` if it isn't inside of it.
    pub(crate) fn below(&self, directory: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(&*directory.0)?.strip_prefix(b"/")?;
        Some(Self(rest.into()))
    }

    /// The same names again, known to be good because they come from a checked path.
    pub(crate) fn from_names(names: &[&[u8]]) -> Self {
        Self(names.join(&b'/').into())
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

/// A path that a tree can't hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path `{path}` {problem}")]
pub struct PathError {
    path: String,
    problem: PathProblem,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum PathProblem {
    #[error("is empty")]
    Empty,
    #[error("is absolute; only paths inside the tree are taken")]
    Absolute,
    #[error("has `..` in it; only paths inside the tree are taken")]
    Parent,
    #[error("has a control character in it")]
    Control,
    #[error("has a name longer than {LONGEST_NAME} bytes in it")]
    NameTooLong,
    #[error("is longer than {LONGEST} bytes")]
    TooLong,
    #[error("is more than {DEEPEST} directories deep")]
    TooDeep,
}

/// Unchecked bytes for an error message: escaped, and not endless.
pub(crate) fn show(bytes: &[u8]) -> String {
    const SHOWN: usize = 200;
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.len() <= SHOWN && !text.chars().any(char::is_control) => text.to_owned(),
        _ if bytes.len() <= SHOWN => bytes.escape_ascii().to_string(),
        _ => format!("{}…", bytes[..SHOWN].escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_taken() {
        for (text, path) in
            [("a", "a"), ("./a", "a"), ("a//b/./c/", "a/b/c"), ("..a/b..", "..a/b.."), ("ä ö", "ä ö"), ("-x", "-x")]
        {
            assert_eq!(TreePath::parse(text).unwrap().to_string(), path);
        }
        assert_eq!(TreePath::parse(b"a\xff").unwrap().as_str(), None);
    }

    #[test]
    fn what_is_refused() {
        let long = "a".repeat(256);
        let longer = "a/".repeat(2000);
        let deep = "a/".repeat(129);
        for text in [
            "",
            ".",
            "./",
            "/",
            "/etc/passwd",
            "..",
            "a/../b",
            "a/..",
            "../a",
            "a\0b",
            "a\nb",
            "a\x1b[2Jb",
            "\x7f",
            &long,
            &longer,
            &deep,
        ] {
            assert!(TreePath::parse(text).is_err(), "{text:?}");
        }
        let error = TreePath::parse("a/../\x1b]0;x").unwrap_err().to_string();
        assert_eq!(error, "the path `a/../\\x1b]0;x` has `..` in it; only paths inside the tree are taken");
    }

    proptest! {
        #[test]
        fn a_checked_path_stays_inside(bytes in proptest::collection::vec(prop_oneof![Just(b'/'), Just(b'.'), any::<u8>()], 0..64)) {
            if let Ok(path) = TreePath::parse(&bytes) {
                prop_assert!(path.as_path().is_relative());
                prop_assert!(path.as_path().components().all(|part| matches!(part, std::path::Component::Normal(_))));
                prop_assert_eq!(TreePath::parse(path.as_bytes()).unwrap(), path);
            }
        }
    }
}
