//! Certificates for database servers: made by whoever implements this, the platform's own authority.

use std::fmt;
use std::sync::Arc;

use engine::Mount;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio_rustls::TlsConnector;

use crate::{DatabaseError, Result};

/// Where containers find the certificate of the authority.
pub(crate) const AUTHORITY_AT: &str = "/etc/adaptable/ca.pem";

/// A server's certificate with its key.
#[derive(Clone)]
pub struct Certificate {
    /// The certificate, and those between it and the authority, in PEM.
    pub chain_pem: String,
    /// The private key, in PEM.
    pub key_pem: String,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate")
    }
}

/// An authority that database servers have certificates of.
pub trait Certifier: Send + Sync + fmt::Debug {
    /// A certificate for a server that bears these names. Asked at each start of a server.
    fn certify(&self, names: &[String]) -> Result<Certificate>;

    /// The same with an RSA key, for servers that know no other.
    fn certify_rsa(&self, names: &[String]) -> Result<Certificate>;

    /// The authority's own certificate in PEM, for clients to trust.
    fn authority_pem(&self) -> String;
}

/// The authority's certificate, for a container whose programs connect to a server.
pub(crate) fn authority(certifier: &dyn Certifier) -> Mount {
    Mount::File { at: AUTHORITY_AT.to_owned(), contents: certifier.authority_pem().into_bytes(), owner: None }
}

/// TLS that trusts servers of this authority (in PEM), and no others.
pub(crate) fn connector(authority: &str) -> Result<TlsConnector> {
    let wrong = |error: &dyn fmt::Display| DatabaseError::Failed(format!("trust the platform's authority: {error}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
