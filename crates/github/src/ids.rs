//! The numbers and names by which GitHub knows things, checked where they come in.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An installation of the App on an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstallationId(pub u64);

/// A repository. Its number stays when it is renamed or goes to another owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RepositoryId(pub u64);

impl fmt::Display for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is none of these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// It is no name of a repository.
    #[error("this is no name of a repository on GitHub: it looks like owner/name")]
    Repository,
    /// It is no id of a commit.
    #[error("this is no id of a commit: it has 40 hexadecimal digits")]
    Commit,
}

/// A repository's full name, `owner/name`: each of letters, digits, `-`, `_` and `.`, so that it can stand in a path and in a URL as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryName {
    full: String,
    slash: usize,
}

impl RepositoryName {
    /// Reads `owner/name`.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let (owner, name) = text.split_once('/').ok_or(BadName::Repository)?;
        // A user of an Enterprise with managed users has a `_` in the name.
        let good = |part: &str| {
            (1..=100).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
                && part != "."
                && part != ".."
        };
        if !good(owner) || !good(name) || owner.starts_with('-') {
            return Err(BadName::Repository);
        }
        Ok(Self { full: text.to_owned(), slash: owner.len() })
    }

    /// The account that it belongs to.
    pub fn owner(&self) -> &str {
        &self.full[..self.slash]
    }

    /// Its name within the account.
    pub fn name(&self) -> &str {
        &self.full[self.slash + 1..]
    }

    /// Both, with a slash between them.
    pub fn as_str(&self) -> &str {
        &self.full
    }
}

impl TryFrom<String> for RepositoryName {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        Self::parse(&text)
    }
}

impl From<RepositoryName> for String {
    fn from(name: RepositoryName) -> Self {
        name.full
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

/// A commit's id: 40 hexadecimal digits (64 in a repository of SHA-256), in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitSha(String);

impl CommitSha {
    /// Reads an id.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let good = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        good.then(|| Self(text.to_ascii_lowercase())).ok_or(BadName::Commit)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first seven digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..7]
    }

    /// Whether it is the id of no commit: what a push says of a branch that is not there yet, or not any more.
    pub fn is_none(&self) -> bool {
        self.0.bytes().all(|byte| byte == b'0')
    }
}

impl TryFrom<String> for CommitSha {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        Self::parse(&text)
    }
}

impl From<CommitSha> for String {
    fn from(id: CommitSha) -> Self {
        id.0
    }
}

impl fmt::Display for CommitSha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let name = RepositoryName::parse("octo-org/hello.world_2").expect("a name");
        assert_eq!((name.owner(), name.name(), name.as_str()), ("octo-org", "hello.world_2", "octo-org/hello.world_2"));
        for bad in ["", "a", "/a", "a/", "a/b/c", "a/..", "../a", "a/.", "a/b c", "a/b?x", "a/b%2f", "-a/b", "a/ü", "a/b\n"] {
            assert_eq!(RepositoryName::parse(bad), Err(BadName::Repository), "{bad:?}");
        }
    }

    #[test]
    fn commits_are_read() {
        let id = CommitSha::parse("ABCDEF0123456789abcdef0123456789abcdef01").expect("an id");
        assert_eq!((id.short(), id.is_none()), ("abcdef0", false));
        assert!(CommitSha::parse(&"0".repeat(40)).expect("an id").is_none());
        for bad in ["", "abc", &"g".repeat(40), &"a".repeat(41), "--upload-pack=x"] {
            assert_eq!(CommitSha::parse(bad), Err(BadName::Commit), "{bad:?}");
        }
    }
}
