//! What people want to know of a certificate.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Its subject's common name.
    pub name: String,
    /// Until when it is good.
    pub expires_at: SystemTime,
    /// The SHA-256 of it, in pairs of hexadecimal digits, as browsers show it.
    pub fingerprint: String,
}

/// Reads a certificate in PEM; nothing where it is none.
pub fn certificate_facts(pem: &str) -> Option<CertificateFacts> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default();
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    let pairs: Vec<_> = Sha256::digest(&der).iter().map(|byte| format!("{byte:02X}")).collect();
    Some(CertificateFacts {
        name: name.to_owned(),
        expires_at: UNIX_EPOCH + Duration::from_secs(seconds),
        fingerprint: pairs.join(":"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Authority, HostName};

    #[test]
    fn our_own_authority_is_told_of() {
        let authority = Authority::generate(&[HostName::parse("localhost").expect("a host")]).expect("an authority");
        let facts = certificate_facts(authority.certificate_pem()).expect("a certificate");
        assert!(facts.name.starts_with("Adaptable local authority "), "{}", facts.name);
        let days = facts.expires_at.duration_since(SystemTime::now()).expect("in the future").as_secs() / 86_400;
        assert!((3648..=3650).contains(&days), "{days}");
        assert_eq!(facts.fingerprint.len(), 32 * 3 - 1);
        assert_eq!(certificate_facts("nothing"), None);
    }
}
