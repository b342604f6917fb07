//! Certificates for database servers: made by whoever implements this, the platform's own authority.

use std::fmt;

use crate::Result;

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
