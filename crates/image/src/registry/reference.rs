//! The name of an image in a registry, as people write it: `docker.io/library/mongo:7`, `host:5000/name@sha256:…`.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;

/// The registry that is meant where none is named.
const DEFAULT_REGISTRY: &str = "docker.io";
/// Where images of that registry are that have a name of one word.
const DEFAULT_NAMESPACE: &str = "library";
/// The tag that is meant where neither tag nor digest is named.
const DEFAULT_TAG: &str = "latest";
/// The longest name (distribution specification: host and repository, 255 characters).
const LONGEST: usize = 255;
/// The longest tag.
const LONGEST_TAG: usize = 128;

/// An image in a registry. Holds nothing that could lead elsewhere when it is put into a URL or a scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Text that names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no image: {why}; write it like docker.io/library/mongo:7 or host:5000/name@sha256:…")]
pub struct ReferenceError {
    text: String,
    why: &'static str,
}

/// Why a name of another length is none.
const LENGTH: &str = "the name is empty, or longer than 255 characters";

impl Reference {
    /// Checks a text from outside, and completes what it leaves out.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let refuse = |why| ReferenceError { text: text.chars().take(100).collect(), why };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest = Digest::parse(digest).map_err(|_invalid| refuse("what follows @ is no sha256 digest"))?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        // A colon after the last slash begins a tag; one before it, a port.
        let name_at = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[name_at..].find(':') {
            Some(colon) => (&rest[..name_at + colon], Some(&rest[name_at + colon + 1..])),
            None => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(refuse("the tag is not made of letters, digits, '_', '.' and '-'"));
        }
        if name.is_empty() || name.len() > LONGEST {
            return Err(refuse(LENGTH));
        }
        let (registry, path) = match name.split_once('/') {
            Some((first, path)) if first.contains(['.', ':']) || first == "localhost" || first.starts_with('[') => (first, path),
            _ => (DEFAULT_REGISTRY, name),
        };
        if !is_host(registry) {
            return Err(refuse("the registry is no host (and port)"));
        }
        if !path.split('/').all(is_word) {
            return Err(refuse("the name is not made of words of a-z and 0-9, joined by '.', '_', '__', '-' or '/'"));
        }
        let registry = registry.to_ascii_lowercase();
        let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY.to_owned() } else { registry };
        let is_short = registry == DEFAULT_REGISTRY && !path.contains('/');
        let repository = if is_short { format!("{DEFAULT_NAMESPACE}/{path}") } else { path.to_owned() };
        // What is left out counts: the whole name must be one again.
        if registry.len() + 1 + repository.len() > LONGEST {
            return Err(refuse(LENGTH));
        }
        let tag = match (tag, digest) {
            (None, None) => Some(DEFAULT_TAG.to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Self { registry, repository, tag, digest })
    }

    /// The registry: a host, and a port where one is named.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The image's name there.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, where there is one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, where there is one: it is what counts then.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// What a manifest is asked for by.
    pub(super) fn version(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    /// Whether it means the same bytes for ever.
    pub fn is_fixed(&self) -> bool {
        self.digest.is_some()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

fn is_tag(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=LONGEST_TAG).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
        && !matches!(bytes[0], b'.' | b'-')
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_word(text: &str) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = bytes.first().is_some_and(plain) && bytes.last().is_some_and(plain);
    ends && bytes
        .chunk_by(|a, b| plain(a) == plain(b))
        .all(|run| plain(&run[0]) || matches!(run, b"." | b"_" | b"__") || run.iter().all(|b| *b == b'-'))
}

/// A host's name or address, and maybe a port.
pub(super) fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else { return false };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            return port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    host.len() <= 253 && host.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port != 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn what_is_left_out_is_completed() {
        let cases = [
            ("mongo", "docker.io/library/mongo:latest"),
            ("mongo:7", "docker.io/library/mongo:7"),
            ("docker.io/library/mongo:7", "docker.io/library/mongo:7"),
            ("index.docker.io/mongo:7.0.1-jammy", "docker.io/library/mongo:7.0.1-jammy"),
            ("bitnami/mongodb", "docker.io/bitnami/mongodb:latest"),
            ("mcr.microsoft.com/mssql/server:2022-latest", "mcr.microsoft.com/mssql/server:2022-latest"),
            ("localhost/x", "localhost/x:latest"),
            ("Registry.Example:5000/a__b/c-d.e:V1", "registry.example:5000/a__b/c-d.e:V1"),
            ("[::1]:5000/x:y", "[::1]:5000/x:y"),
            ("127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"),
        ];
        for (text, whole) in cases {
            let reference = Reference::parse(text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(reference.to_string(), whole);
            assert!(!reference.is_fixed());
        }
        let fixed = Reference::parse(&format!("host:5000/name@{DIGEST}")).unwrap();
        assert_eq!((fixed.tag(), fixed.version().as_str(), fixed.is_fixed()), (None, DIGEST, true));
        let both = Reference::parse(&format!("mongo:7@{DIGEST}")).unwrap();
        assert_eq!((both.tag(), both.version().as_str()), (Some("7"), DIGEST));
        assert_eq!(both.to_string(), format!("docker.io/library/mongo:7@{DIGEST}"));
    }

    #[test]
    fn what_could_mean_something_else_is_refused() {
        let long = "a".repeat(300);
        let bad = [
            "",
            ":",
            "@",
            "a:",
            "a@",
            "Mongo",
            "a b",
            "a/../b",
            "../a",
            "a//b",
            "/a",
            "a/",
            "a:b:c",
            "a:t/../x",
            "a?x",
            "a#x",
            "a%2e",
            "-a",
            "a-",
            "a._b",
            "a___b",
            "a:-t",
            "a:.t",
            "a.b:0/x",
            "a.b:65536/x",
            "a.b:+5/x",
            "user@a.b/x",
            "u:p@a.b/x",
            "a.b:x/y",
            "http://a.b/x",
            "a.b:80",
            "[::1/x",
            "[x]:1/y",
            ".a/x",
            "a..b/x",
            "a.b/x:t\n",
            "a.b/x\r\nX: y",
            "ä/x",
            &long,
            "a@sha256:00",
            "a@sha512:00",
            "$(id)",
            "`id`",
            "a;b",
            "--help",
        ];
        for text in bad {
            if text == "a.b:80" {
                // One word with a tag: read as an image of the default registry.
                assert_eq!(Reference::parse(text).unwrap().to_string(), "docker.io/library/a.b:80");
                continue;
            }
            let error = Reference::parse(text).expect_err(text).to_string();
            assert!(!error.contains('\n'), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_reference_is_read_as_it_is_written(text in "[a-z0-9.:/@_-]{0,60}") {
            if let Ok(reference) = Reference::parse(&text) {
                prop_assert_eq!(Reference::parse(&reference.to_string()), Ok(reference));
            }
        }
    }
}
