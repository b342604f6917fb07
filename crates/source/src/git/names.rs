//! Commit ids and ref names, checked.

use std::fmt;

/// The longest ref name taken.
const LONGEST: usize = 200;

/// A text that is no commit id or no ref name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not 40 or 64 hexadecimal digits.
    #[error("{0:?} is no commit id")]
    Commit(String),
    /// Against the rules for refs, or neither a branch nor a tag.
    #[error(
        "{0:?} can't be pushed: only branches and tags can, with names of letters, digits and plain punctuation, at most {LONGEST} bytes long"
    )]
    Ref(String),
}

/// The id of a git object: 40 (or 64) hexadecimal digits, not all zero.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CommitId(String);

impl CommitId {
    /// Checks an id.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match Self::parse_or_none(text)? {
            Some(id) => Ok(id),
            None => Err(NameError::Commit(text.to_owned())),
        }
    }

    /// The same, with zeros for nothing, as git writes the old side of a new ref.
    pub(crate) fn parse_or_none(text: &str) -> Result<Option<Self>, NameError> {
        let digits = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !digits {
            return Err(NameError::Commit(text.chars().take(LONGEST).collect()));
        }
        Ok(text.bytes().any(|byte| byte != b'0').then(|| Self(text.to_owned())))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first few digits, which are what people read.
    pub fn short(&self) -> &str {
        &self.0[..10]
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The full name of a branch or a tag: `refs/heads/…` or `refs/tags/…`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GitRef(String);

impl GitRef {
    /// Checks a full name, by git's own rules and somewhat stricter: nothing begins with `-`, and no space is in it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let name = text.strip_prefix("refs/heads/").or_else(|| text.strip_prefix("refs/tags/"));
        let taken = text.len() <= LONGEST && name.is_some_and(|name| !name.is_empty() && name.split('/').all(component));
        if taken { Ok(Self(text.to_owned())) } else { Err(NameError::Ref(text.chars().take(LONGEST).collect())) }
    }

    /// Checks a branch's name without `refs/heads/`.
    pub fn branch_named(name: &str) -> Result<Self, NameError> {
        Self::parse(&format!("refs/heads/{name}"))
    }

    /// The full name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The branch's name, if it is one.
    pub fn branch(&self) -> Option<&str> {
        self.0.strip_prefix("refs/heads/")
    }
}

impl fmt::Display for GitRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn component(name: &str) -> bool {
    let plain = |letter: char| !letter.is_control() && !letter.is_whitespace() && !" ~^:?*[\\'\"$`;&|<>(){}!".contains(letter);
    !name.is_empty()
        && !name.starts_with(['.', '-'])
        && !name.ends_with('.')
        && !name.to_ascii_lowercase().ends_with(".lock")
        && !name.contains("..")
        && name != "@"
        && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refs() {
        for name in [
            "refs/heads/main",
            "refs/heads/feature/x-1",
            "refs/tags/v1.0",
            "refs/heads/größe",
            "refs/heads/a@b",
            "refs/heads/#12",
        ] {
            GitRef::parse(name).unwrap();
        }
        let long = format!("refs/heads/{}", "x".repeat(200));
        for name in [
            "",
            "main",
            "HEAD",
            "refs/heads/",
            "refs/notes/x",
            "refs/heads//x",
            "refs/heads/../x",
            "refs/heads/a..b",
            "refs/heads/.x",
            "refs/heads/x.lock",
            "refs/heads/x.LOCK/y",
            "refs/heads/a b",
            "refs/heads/a\nb",
            "refs/heads/a\x1b",
            "refs/heads/-x",
            "refs/heads/x/-y",
            "refs/heads/@",
            "refs/heads/a^b",
            "refs/heads/a:b",
            "refs/heads/$(id)",
            "refs/heads/a`id`",
            "refs/heads/a;b",
            "refs/heads/x/",
            "refs/heads/x.",
            "refs/replace/x",
            &long,
        ] {
            GitRef::parse(name).expect_err(name);
        }
        assert_eq!(GitRef::parse("refs/heads/a/b").unwrap().branch(), Some("a/b"));
        assert_eq!(GitRef::parse("refs/tags/a").unwrap().branch(), None);
    }

    #[test]
    fn commit_ids() {
        CommitId::parse(&"a1".repeat(20)).unwrap();
        CommitId::parse(&"0f".repeat(32)).unwrap();
        for text in ["", "HEAD", "--all", &"0".repeat(40), &"A1".repeat(20), &"a1".repeat(21), &"a1".repeat(19)] {
            CommitId::parse(text).expect_err(text);
        }
        assert_eq!(CommitId::parse_or_none(&"0".repeat(40)), Ok(None));
    }
}
