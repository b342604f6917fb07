//! Where GitHub is: its pages and its API, the public one or an Enterprise Server.

use std::fmt;

use url::{Host, Url};

use crate::ids::RepositoryName;

/// The two addresses of a GitHub. An Enterprise Server has its API at `https://HOST/api/v3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    web: Url,
    api: Url,
}

/// Why an address can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("GitHub's {which} can't be {text:?}: {why}")]
pub struct EndpointError {
    which: &'static str,
    text: String,
    why: &'static str,
}

impl Default for Endpoints {
    fn default() -> Self {
        Self::new("https://github.com", "https://api.github.com").expect("two addresses that can be used")
    }
}

impl Endpoints {
    /// Reads the two addresses. Both are `https`, or `http` where they lead to this machine.
    pub fn new(web: &str, api: &str) -> Result<Self, EndpointError> {
        Ok(Self { web: checked("web address", web)?, api: checked("API address", api)? })
    }

    /// Where the pages are, with a `/` at its end.
    pub fn web(&self) -> &Url {
        &self.web
    }

    /// Where the API is, with a `/` at its end.
    pub fn api(&self) -> &Url {
        &self.api
    }

    /// The origin of the pages, as `form-action` of a Content-Security-Policy names it.
    pub fn web_origin(&self) -> String {
        self.web.origin().ascii_serialization()
    }

    /// What git fetches a repository from; there is no secret in it.
    pub fn clone_url(&self, repository: &RepositoryName) -> Url {
        self.page(&[repository.owner(), &format!("{}.git", repository.name())])
    }

    /// A repository's page.
    pub fn repository_page(&self, repository: &RepositoryName) -> Url {
        self.page(&[repository.owner(), repository.name()])
    }

    /// A page of GitHub's.
    pub(crate) fn page(&self, segments: &[&str]) -> Url {
        below(&self.web, segments)
    }

    /// A resource of the API.
    pub(crate) fn resource(&self, segments: &[&str]) -> Url {
        below(&self.api, segments)
    }
}

impl fmt::Display for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.web.host_str().unwrap_or_default())?;
        self.web.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

fn below(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        // Each is encoded; a slash within one does not begin another.
        path.pop_if_empty().extend(segments);
    }
    url
}

fn checked(which: &'static str, text: &str) -> Result<Url, EndpointError> {
    let bad = |why| EndpointError { which, text: text.chars().take(200).collect(), why };
    let mut url = Url::parse(text).map_err(|_nonsense| bad("it is no URL, as https://github.example is one"))?;
    let is_here = match url.host() {
        None => return Err(bad("it names no host")),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
    };
    match url.scheme() {
        "https" => {}
        "http" if is_here => {}
        "http" => return Err(bad("http is taken for this machine only, use https")),
        _ => return Err(bad("it begins with https://")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("a name or password does not belong into it"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("there is no ? and no # in it"));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        let enterprise = Endpoints::new("https://ghe.example", "https://ghe.example/api/v3").expect("an Enterprise");
        assert_eq!(enterprise.resource(&["repos", "a", "b"]).as_str(), "https://ghe.example/api/v3/repos/a/b");
        assert_eq!(enterprise.resource(&["a/../b"]).as_str(), "https://ghe.example/api/v3/a%2F..%2Fb");
        let name = RepositoryName::parse("a/b").expect("a name");
        assert_eq!(enterprise.clone_url(&name).as_str(), "https://ghe.example/a/b.git");
        assert_eq!(Endpoints::default().to_string(), "github.com");
        assert_eq!(Endpoints::default().web_origin(), "https://github.com");
        for good in ["http://127.0.0.1:8080", "http://[::1]:1", "http://github.localhost:1/x"] {
            assert!(Endpoints::new(good, good).is_ok(), "{good}");
        }
        for bad in
            ["", "github.com", "http://github.com", "http://10.0.0.1", "ftp://a", "https://a:b@c", "https://a?b", "file:///a"]
        {
            assert!(Endpoints::new(bad, "https://api.github.com").is_err(), "{bad}");
        }
    }
}
