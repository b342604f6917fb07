//! What the operator wants to know of certificates.

use jiff::Timestamp;

use crate::Control;
use crate::error::{Result, internal};

/// The platform's own authority, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityFacts {
    /// Its name, as clients show it.
    pub name: String,
    /// Until when what it signs is believed.
    pub expires_at: Timestamp,
    /// The SHA-256 of its certificate, as browsers show it.
    pub fingerprint: String,
}

impl Control {
    /// The platform's own authority, and the hosts that it made a certificate for since the platform's start.
    pub fn certificates(&self) -> Result<(AuthorityFacts, Vec<(String, Timestamp)>)> {
        let facts = edge::certificate_facts(self.authority_pem())
            .ok_or_else(|| internal("read its authority's certificate", &"it is no certificate"))?;
        let time = |at| Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH);
        let authority = AuthorityFacts { name: facts.name, expires_at: time(facts.expires_at), fingerprint: facts.fingerprint };
        let leaves = self.inner.edge.certificates().into_iter().map(|(host, until)| (host.as_str().to_owned(), time(until)));
        Ok((authority, leaves.collect()))
    }
}
