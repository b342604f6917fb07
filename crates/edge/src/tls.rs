//! Certificates by server name: made on demand for hosts in the table of routes, kept in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

use crate::authority::{Authority, AuthorityError, Leaf};
use crate::listen::EdgeError;
use crate::{HostName, Routes, Target};

/// Leaves that are kept of names which are nobody's.
const STRANGERS: usize = 32;

/// The leaves of hosts that are served.
pub(crate) type Leaves = ArcSwap<HashMap<HostName, Leaf>>;

/// Certificates for the hosts that the edge serves.
pub(crate) struct Certificates {
    authority: Authority,
    routes: Arc<ArcSwap<Routes>>,
    platform: Vec<HostName>,
    leaves: Arc<Leaves>,
    /// Leaves of names below the platform's that are nobody's, the newest last: who asks for an app that is not there is to read
    /// the page that says so, not a warning.
    strangers: Mutex<Vec<(HostName, Leaf)>>,
    /// The leaf for all others.
    default: ArcSwap<Leaf>,
    /// Held while a leaf is made, so that a crowd at one new host costs one signature.
    issuing: Mutex<()>,
}

impl Certificates {
    pub(crate) fn new(
        authority: Authority,
        routes: Arc<ArcSwap<Routes>>,
        platform: Vec<HostName>,
        leaves: Arc<Leaves>,
    ) -> Result<Self, AuthorityError> {
        let default = ArcSwap::from_pointee(authority.issue(&platform, OffsetDateTime::now_utc())?);
        Ok(Self { authority, routes, platform, leaves, strangers: Mutex::default(), default, issuing: Mutex::new(()) })
    }

    fn find(&self, name: Option<&str>, now: OffsetDateTime) -> Arc<CertifiedKey> {
        let host = name.and_then(|name| HostName::parse(name).ok());
        let own = host.and_then(|host| self.leaf(&host, now).or_else(|| self.strangers_leaf(&host, now)));
        own.unwrap_or_else(|| self.default_leaf(now))
    }

    /// The leaf of a name that could be an app's.
    fn strangers_leaf(&self, host: &HostName, now: OffsetDateTime) -> Option<Arc<CertifiedKey>> {
        let domain = self.platform.first()?.as_str();
        let label = host.as_str().strip_suffix(domain)?.strip_suffix('.')?;
        if label.is_empty() || label.contains('.') {
            return None;
        }
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, leaf)) = strangers.iter().find(|(known, leaf)| known == host && now < leaf.renew_at) {
            return Some(Arc::clone(&leaf.key));
        }
        let leaf = self.issue(std::slice::from_ref(host), now)?;
        let key = Arc::clone(&leaf.key);
        if strangers.len() == STRANGERS {
            strangers.remove(0);
        }
        strangers.push((host.clone(), leaf));
        Some(key)
    }

    /// The leaf of a host that is served.
    fn leaf(&self, host: &HostName, now: OffsetDateTime) -> Option<Arc<CertifiedKey>> {
        if let Target::App(app) = self.routes.load().find(host.as_str())? {
            // The handshake takes about as long as a thaw: the two may go side by side.
            app.stir();
        }
        let fresh =
            |leaves: &HashMap<HostName, Leaf>| leaves.get(host).filter(|leaf| now < leaf.renew_at).map(|l| Arc::clone(&l.key));
        if let Some(key) = fresh(&self.leaves.load()) {
            return Some(key);
        }
        let _issuing = self.issuing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = fresh(&self.leaves.load()) {
            return Some(key);
        }
        let leaf = self.issue(std::slice::from_ref(host), now)?;
        let key = Arc::clone(&leaf.key);
        let mut leaves = HashMap::clone(&self.leaves.load());
        let routes = self.routes.load();
        leaves.retain(|host, _| routes.find(host.as_str()).is_some());
        leaves.insert(host.clone(), leaf);
        self.leaves.store(Arc::new(leaves));
        Some(key)
    }

    fn default_leaf(&self, now: OffsetDateTime) -> Arc<CertifiedKey> {
        let leaf = self.default.load();
        if now < leaf.renew_at {
            return Arc::clone(&leaf.key);
        }
        let _issuing = self.issuing.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= self.default.load().renew_at
            && let Some(leaf) = self.issue(&self.platform, now)
        {
            self.default.store(Arc::new(leaf));
        }
        Arc::clone(&self.default.load().key)
    }

    fn issue(&self, hosts: &[HostName], now: OffsetDateTime) -> Option<Leaf> {
        let issued = self.authority.issue(hosts, now);
        issued.inspect_err(|error| tracing::warn!(%error, "no certificate")).ok()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.find(hello.server_name(), OffsetDateTime::now_utc()))
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates").field("leaves", &self.leaves.load().len()).finish_non_exhaustive()
    }
}

/// The TLS settings of all connections: TLS 1.2 and 1.3, HTTP/2 before HTTP/1.1, resumption by tickets.
pub(crate) fn server_config(certificates: Arc<Certificates>) -> Result<Arc<ServerConfig>, EdgeError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificates(hosts: &[&str]) -> Certificates {
        let hosts: Vec<HostName> = hosts.iter().map(|host| host.parse().unwrap()).collect();
        let authority = Authority::generate(&["localhost".parse().unwrap()]).unwrap();
        let routes: Routes = hosts.iter().map(|host| (host.clone(), Target::Platform)).collect();
        Certificates::new(authority, Arc::new(ArcSwap::from_pointee(routes)), hosts, Arc::default()).unwrap()
    }

    #[test]
    fn a_leaf_is_made_once_and_renewed_before_its_end() {
        let certificates = certificates(&["localhost", "a.localhost"]);
        let now = OffsetDateTime::now_utc();
        let first = certificates.find(Some("a.localhost"), now);
        assert!(Arc::ptr_eq(&first, &certificates.find(Some("A.localhost"), now)));
        assert!(!Arc::ptr_eq(&first, &certificates.find(None, now)));
        let later = now + time::Duration::days(61);
        assert!(!Arc::ptr_eq(&first, &certificates.find(Some("a.localhost"), later)));
        assert!(!Arc::ptr_eq(&certificates.find(None, now), &certificates.find(None, later)));
    }

    #[test]
    fn names_that_are_nobodys_are_certified_below_the_platforms_own_and_forgotten() {
        let certificates = certificates(&["localhost"]);
        let now = OffsetDateTime::now_utc();
        let default = certificates.find(None, now);
        for elsewhere in ["other.example", "a.b.localhost", "xlocalhost", "..."] {
            assert!(Arc::ptr_eq(&default, &certificates.find(Some(elsewhere), now)), "{elsewhere}");
        }
        let other = certificates.find(Some("other.localhost"), now);
        assert!(!Arc::ptr_eq(&default, &other));
        assert!(Arc::ptr_eq(&other, &certificates.find(Some("other.localhost"), now)));
        for number in 0..STRANGERS {
            certificates.find(Some(&format!("stranger-{number}.localhost")), now);
        }
        assert_eq!(certificates.strangers.lock().unwrap().len(), STRANGERS);
        assert!(!Arc::ptr_eq(&other, &certificates.find(Some("other.localhost"), now)), "made anew");
        assert!(certificates.leaves.load().is_empty());
    }
}
