//! The address of a bucket, as operators write it, and the key to it.

use std::fmt;

use url::Url;
use zeroize::Zeroizing;

/// A bucket and a prefix: `s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION&style=path`.
#[derive(Debug, Clone)]
pub struct Bucket {
    inner: rusty_s3::Bucket,
    prefix: String,
}

/// Why a text is not the address of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no address of a bucket: {0}; it looks like s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION")]
pub struct BucketError(&'static str);

impl Bucket {
    /// Reads an address. Without an endpoint it is AWS's of the region (`us-east-1` where none is named). The bucket's name stands in
    /// the path (`style=path`), which every server knows, or in the host's name (`style=host`).
    pub fn parse(text: &str) -> Result<Self, BucketError> {
        let url = Url::parse(text).map_err(|_nonsense| BucketError("it can't be read"))?;
        if url.scheme() != "s3" {
            return Err(BucketError("it does not begin with s3://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BucketError("a key does not belong into it"));
        }
        if url.port().is_some() || url.fragment().is_some() {
            return Err(BucketError("there is no port and no # in it; a port belongs into the endpoint"));
        }
        let name = url.host_str().unwrap_or_default();
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_');
        if !(3..=63).contains(&name.len()) || !name.bytes().all(good) {
            return Err(BucketError("the bucket's name has 3 to 63 of a-z, 0-9, - and ."));
        }
        let prefix = url.path().trim_matches('/');
        // What goes up (`..`) was resolved when the URL was read.
        if !prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'/')) {
            return Err(BucketError("the prefix has letters, digits, -, ., _ and /"));
        }
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let (mut endpoint, mut region, mut style) = (None, "us-east-1".to_owned(), rusty_s3::UrlStyle::Path);
        for (key, value) in url.query_pairs() {
            match (&*key, &*value) {
                ("endpoint", value) => endpoint = Some(value.to_owned()),
                ("region", value)
                    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') =>
                {
                    value.clone_into(&mut region);
                }
                ("region", _) => return Err(BucketError("a region has letters, digits and -")),
                ("style", "path") => style = rusty_s3::UrlStyle::Path,
                ("style", "host") => style = rusty_s3::UrlStyle::VirtualHost,
                ("style", _) => return Err(BucketError("style is path or host")),
                _ => return Err(BucketError("after ? there are endpoint, region and style")),
            }
        }
        let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let endpoint = Url::parse(&endpoint).map_err(|_nonsense| BucketError("the endpoint is no URL"))?;
        if !endpoint.username().is_empty() || endpoint.password().is_some() || endpoint.query().is_some() {
            return Err(BucketError("the endpoint is https://HOST, without more"));
        }
        let inner = rusty_s3::Bucket::new(endpoint, style, name.to_owned(), region)
            .map_err(|_unusable| BucketError("the endpoint begins with https:// (or http://) and a host"))?;
        Ok(Self { inner, prefix })
    }

    pub(super) fn inner(&self) -> &rusty_s3::Bucket {
        &self.inner
    }

    /// Empty, or with a `/` at its end.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.inner.name(), self.prefix.trim_end_matches('/'))?;
        let base = self.inner.base_url();
        match (base.host_str(), base.port()) {
            (Some(host), Some(port)) => write!(f, " at {host}:{port}"),
            (Some(host), None) => write!(f, " at {host}"),
            (None, _) => Ok(()),
        }
    }
}

/// The key to a bucket: its id and its secret.
#[derive(Clone)]
pub struct Keys {
    id: String,
    secret: Zeroizing<String>,
}

impl Keys {
    /// A key of an id and a secret.
    pub fn new(id: impl Into<String>, secret: Zeroizing<String>) -> Self {
        Self { id: id.into(), secret }
    }

    /// Reads a file of two lines: the id and the secret.
    pub fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let (id, secret) = (lines.next()?, lines.next()?);
        lines.next().is_none().then(|| Self::new(id, Zeroizing::new(secret.to_owned())))
    }

    pub(super) fn credentials(&self) -> rusty_s3::Credentials {
        rusty_s3::Credentials::new(self.id.clone(), self.secret.to_string())
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let bucket = Bucket::parse("s3://backups/my/apps/?endpoint=https://minio.example:9000&region=eu-1").expect("an address");
        assert_eq!(bucket.prefix(), "my/apps/");
        assert_eq!(bucket.inner().object_url("my/apps/x").as_str(), "https://minio.example:9000/backups/my/apps/x");
        assert_eq!(bucket.to_string(), "s3://backups/my/apps at minio.example:9000");
        let bucket = Bucket::parse("s3://backups?region=eu-central-1&style=host").expect("an address");
        assert_eq!(bucket.prefix(), "");
        assert_eq!(bucket.inner().object_url("x").as_str(), "https://backups.s3.eu-central-1.amazonaws.com/x");
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in [
            "",
            "backups",
            "https://backups/",
            "s3://",
            "s3://ab",
            "s3://UPPER_/",
            "s3://id:secret@backups/",
            "s3://backups:9000/",
            "s3://backups/a%2fb",
            "s3://backups/x y",
            "s3://backups/?key=secret",
            "s3://backups/?style=none",
            "s3://backups/?region=eu/1",
            "s3://backups/?endpoint=ftp://host",
            "s3://backups/?endpoint=host",
            "s3://backups/?endpoint=https://id:secret@host",
            "s3://backups/#x",
        ] {
            assert!(Bucket::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_are_two_lines_and_not_shown() {
        let keys = Keys::read("AKIA1\n\n  s3cr3t \n").expect("two lines");
        assert_eq!((keys.id.as_str(), keys.secret.as_str()), ("AKIA1", "s3cr3t"));
        assert!(!format!("{keys:?} {:?}", keys.credentials()).contains("s3cr3t"));
        assert!(Keys::read("one").is_none() && Keys::read("a\nb\nc").is_none());
    }
}
