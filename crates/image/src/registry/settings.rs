//! How registries are reached: mirrors, users, proxies, authorities, limits.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

use super::reference::is_host;

/// A user of a registry. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The password, or a token in its place.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// How the internet is reached. This machine itself is reached without a proxy, always.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Proxy {
    /// As `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say, like curl.
    #[default]
    Environment,
    /// Directly.
    None,
    /// Through this one.
    Through {
        /// The proxy's address, as in `http://user:password@proxy.example:3128`.
        url: String,
        /// What is reached without it, as in `NO_PROXY`.
        except: String,
    },
}

impl fmt::Debug for Proxy {
    /// Its address may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "Environment",
            Self::None => "None",
            Self::Through { .. } => "Through",
        })
    }
}

impl Proxy {
    pub(super) fn matcher(&self) -> Matcher {
        match self {
            Self::Environment => Matcher::from_env(),
            Self::None => Matcher::builder().build(),
            Self::Through { url, except } => Matcher::builder().all(url.clone()).no(except.clone()).build(),
        }
    }
}

/// What an image may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all layers as they are sent.
    pub compressed: u64,
    /// Bytes of all layers' archives.
    pub unpacked: u64,
    /// Layers.
    pub layers: usize,
    /// Files, directories and links in all layers.
    pub entries: u64,
    /// Bytes of a manifest, an index or a configuration (the distribution specification asks registries for 4 MB).
    pub document: u64,
}

impl Default for Limits {
    /// Enough for any database server; SQL Server's image, the largest of them, is 0.6 GB sent and 1.7 GB unpacked.
    fn default() -> Self {
        Self { compressed: 4 << 30, unpacked: 16 << 30, layers: 127, entries: 1_000_000, document: 4 << 20 }
    }
}

/// How registries are reached. The default knows no mirror and no user, and takes the machine's proxy and authorities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where a registry's images are asked for in its place: registry as in a reference, and a base address as in
    /// `https://mirror.example` or `https://cache.example/docker-hub` (the path is put in front of the repository's name).
    pub mirrors: BTreeMap<String, String>,
    /// Users, by the registry (or the mirror) as in a reference.
    pub credentials: BTreeMap<String, Credentials>,
    /// Hosts (with their port) that may be reached without TLS. This machine itself always may.
    pub insecure: BTreeSet<String>,
    /// Certificates of authorities that are trusted beside the machine's, in PEM.
    pub authorities: Vec<u8>,
    /// The proxy.
    pub proxy: Proxy,
    /// What an image may be.
    pub limits: Limits,
    /// How long nothing may come before it is asked again.
    pub patience: Duration,
    /// The pause before a first repetition; it doubles with each.
    pub pause: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mirrors: BTreeMap::new(),
            credentials: BTreeMap::new(),
            insecure: BTreeSet::new(),
            authorities: Vec::new(),
            proxy: Proxy::default(),
            limits: Limits::default(),
            patience: Duration::from_secs(30),
            pause: Duration::from_millis(500),
        }
    }
}

/// A setting that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A mirror's address.
    #[error("the mirror {address:?} of {registry} can't be used: {why}; write it like https://mirror.example/prefix")]
    Mirror {
        /// Whose mirror.
        registry: String,
        /// The address, without what might be a password.
        address: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The authorities.
    #[error("the certificates for registries are not in PEM (they begin with -----BEGIN CERTIFICATE-----)")]
    Authorities,
    /// The proxy.
    #[error("the proxy {0:?} can't be used: write it like http://proxy.example:3128")]
    Proxy(String),
}

/// Where a registry's API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    /// `https`, `http`, or none where it is to be found out.
    pub(super) scheme: Option<&'static str>,
    /// Host, and port where it is not the usual one.
    pub(super) authority: String,
    /// What stands before the repository's name.
    pub(super) prefix: String,
}

/// The API of the registry that is called docker.io is not at the host of that name.
const DOCKER_API: &str = "registry-1.docker.io";

impl Settings {
    /// Whether they can be used, before anything is asked for.
    ///
    /// # Errors
    /// What can't be.
    pub fn check(&self) -> Result<(), SettingsError> {
        for registry in self.mirrors.keys() {
            self.base(registry)?;
        }
        super::transport::Transport::new(self).map(drop)
    }

    /// Whether a host (with its port) may be reached without TLS.
    pub(super) fn may_be_plain(&self, authority: &str) -> bool {
        is_this_machine(authority) || self.insecure.contains(authority)
    }

    /// Where a registry's images are asked for.
    pub(super) fn base(&self, registry: &str) -> Result<Base, SettingsError> {
        let Some(mirror) = self.mirrors.get(registry) else {
            let authority = if registry == "docker.io" { DOCKER_API } else { registry };
            return Ok(Base { scheme: None, authority: authority.to_owned(), prefix: String::new() });
        };
        let refuse = |why| SettingsError::Mirror {
            registry: registry.to_owned(),
            address: mirror.rsplit('@').next().unwrap_or_default().chars().take(100).collect(),
            why,
        };
        let uri: Uri = mirror.parse().map_err(|_invalid| refuse("it is no address"))?;
        let authority = uri.authority().map(|it| it.as_str().to_ascii_lowercase()).ok_or_else(|| refuse("it names no host"))?;
        if !is_host(&authority) {
            return Err(refuse("it names no host; a user goes to the users' settings"));
        }
        let scheme = match uri.scheme_str() {
            Some("https") => "https",
            Some("http") if self.may_be_plain(&authority) => "http",
            Some("http") => return Err(refuse("it is reached without TLS; mark the host as insecure if that is meant")),
            _ => return Err(refuse("it does not begin with https://")),
        };
        if uri.query().is_some() {
            return Err(refuse("it has a query"));
        }
        let prefix = uri.path().trim_matches('/').to_owned();
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-' | b'/');
        if !prefix.bytes().all(plain) || prefix.split('/').any(|part| part == "..") {
            return Err(refuse("its path is no prefix of a repository"));
        }
        let prefix = if prefix.is_empty() { prefix } else { format!("{prefix}/") };
        Ok(Base { scheme: Some(scheme), authority, prefix })
    }
}

/// Whether a host (with or without a port) is this machine itself.
pub(super) fn is_this_machine(authority: &str) -> bool {
    let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _port)) => address,
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_where_the_settings_say() {
        let mirror = |address: &str| Settings {
            mirrors: BTreeMap::from([("docker.io".to_owned(), address.to_owned())]),
            insecure: BTreeSet::from(["plain.example:80".to_owned()]),
            ..Settings::default()
        };
        let base = |address: &str| mirror(address).base("docker.io").map(|it| (it.scheme, it.authority, it.prefix));
        let found = |scheme, authority: &str, prefix: &str| Ok((scheme, authority.to_owned(), prefix.to_owned()));
        assert_eq!(base("https://Cache.example/docker-hub/"), found(Some("https"), "cache.example", "docker-hub/"));
        assert_eq!(base("http://127.0.0.1:5000"), found(Some("http"), "127.0.0.1:5000", ""));
        assert_eq!(base("http://plain.example:80"), found(Some("http"), "plain.example:80", ""));
        for bad in [
            "",
            "cache.example",
            "http://cache.example",
            "ftp://a.b",
            "https://u:secret@a.b",
            "https://a.b/?x",
            "https://a.b/../x",
        ] {
            let error = base(bad).expect_err(bad).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        let plain = Settings::default();
        assert_eq!(plain.base("docker.io").expect("a base").authority, DOCKER_API);
        assert_eq!(plain.base("a.b:5000").expect("a base").authority, "a.b:5000");
    }

    #[test]
    fn this_machine_is_known_by_its_addresses() {
        for own in ["localhost", "localhost:5000", "127.0.0.1:1", "127.9.9.9", "[::1]:5000", "[::1]"] {
            assert!(is_this_machine(own), "{own}");
        }
        for other in ["localhost.example", "127.0.0.1.example:1", "10.0.0.1", "[::2]:1", "example"] {
            assert!(!is_this_machine(other), "{other}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let credentials = Credentials { user: "reader".to_owned(), password: "secret".to_owned() };
        assert!(!format!("{credentials:?}").contains("secret"));
    }
}
