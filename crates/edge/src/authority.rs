//! The platform's own certificate authority, for hosts that no public authority knows.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_RSA_SHA256, RsaKeySize, SanType,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use time::{Duration, OffsetDateTime};

use crate::HostName;

const CA_VALIDITY: Duration = Duration::days(3650);
/// Clients accept at most 397 days; a short life costs nothing, since the edge issues anew by itself.
const LEAF_VALIDITY: Duration = Duration::days(90);
/// Certificates of servers that read theirs only when they start.
const SERVER_VALIDITY: Duration = Duration::days(396);
/// Leaves are replaced this long before they end.
const RENEW_BEFORE: Duration = Duration::days(30);
/// Certificates begin in the past, for clients whose clock is behind.
const BACKDATED: Duration = Duration::days(1);

/// Why the authority could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The key or certificate that was handed in is none.
    #[error(
        "the authority's {what} can't be read; remove it together with its other half, and a new authority is made: {source}"
    )]
    Unreadable {
        /// The half that can't be read.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Signing failed.
    #[error("signing a certificate for {host} failed: {source}")]
    Signing {
        /// For whom.
        host: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A certificate for a host with its key, and the time to make the next one.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    pub(crate) key: Arc<CertifiedKey>,
    pub(crate) renew_at: OffsetDateTime,
}

impl Leaf {
    /// Until when clients accept it.
    pub(crate) fn expires_at(&self) -> OffsetDateTime {
        self.renew_at + RENEW_BEFORE
    }
}

/// The platform's own certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    key_pem: String,
}

impl Authority {
    /// A new authority. It can only speak for `domains`, what lies below them, and loopback addresses: who trusts it trusts it for
    /// nothing else. The caller keeps [`Authority::key_pem`] secret and both halves for the next start.
    pub fn generate(domains: &[HostName]) -> Result<Self, AuthorityError> {
        let signing =
            |source: rcgen::Error| AuthorityError::Signing { host: "the authority itself".into(), source: source.into() };
        let key = KeyPair::generate().map_err(signing)?;
        let now = OffsetDateTime::now_utc();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("Adaptable local authority {}", now.date()));
        params.distinguished_name.push(DnType::OrganizationName, "Adaptable");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = now - BACKDATED;
        params.not_after = now + CA_VALIDITY;
        let mut permitted: Vec<_> = domains
            .iter()
            .map(|domain| match domain.ip() {
                Some(ip) => GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(ip, if ip.is_ipv4() { 32 } else { 128 })),
                None => GeneralSubtree::DnsName(domain.as_str().to_owned()),
            })
            .collect();
        permitted.push(GeneralSubtree::IpAddress(CidrSubnet::V4([127, 0, 0, 0], [255, 0, 0, 0])));
        permitted.push(GeneralSubtree::IpAddress(CidrSubnet::V6(std::net::Ipv6Addr::LOCALHOST.octets(), [255; 16])));
        params.name_constraints = Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: Vec::new() });
        let certificate = params.self_signed(&key).map_err(signing)?;
        let key_pem = key.serialize_pem();
        Ok(Self { certificate_pem: certificate.pem(), issuer: Issuer::new(params, key), key_pem })
    }

    /// The authority that [`Authority::generate`] made before.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, AuthorityError> {
        let key =
            KeyPair::from_pem(key_pem).map_err(|source| AuthorityError::Unreadable { what: "key", source: source.into() })?;
        let unreadable = |source| AuthorityError::Unreadable { what: "certificate", source };
        CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(|source| unreadable(source.into()))?;
        let issuer = Issuer::from_ca_cert_pem(certificate_pem, key).map_err(|source| unreadable(source.into()))?;
        Ok(Self { issuer, certificate_pem: certificate_pem.to_owned(), key_pem: key_pem.to_owned() })
    }

    /// The certificate, for clients to trust.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key: for the caller's disk, readable by nobody else.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Whether clients that trust this authority accept its certificates for this host today. Where they do not (another domain
    /// than at its making, or its time is over), a new authority is needed.
    pub fn covers(&self, host: &HostName) -> bool {
        let now = OffsetDateTime::now_utc();
        self.issue(std::slice::from_ref(host), now).is_ok_and(|leaf| self.accepts(host, &leaf, now))
    }

    /// Looks at a leaf as a client does.
    fn accepts(&self, host: &HostName, leaf: &Leaf, now: OffsetDateTime) -> bool {
        let mut roots = RootCertStore::empty();
        let trusted = CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).ok().and_then(|root| roots.add(root).ok());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let bare = host.as_str().trim_start_matches('[').trim_end_matches(']').to_owned();
        let (Some(()), Ok(verifier), Ok(name)) = (trusted, verifier, ServerName::try_from(bare)) else {
            return false;
        };
        let seconds = u64::try_from(now.unix_timestamp()).unwrap_or(0);
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        leaf.key.cert.first().is_some_and(|cert| verifier.verify_server_cert(cert, &[], &name, &[], time).is_ok())
    }

    /// A certificate that covers all these hosts.
    pub(crate) fn issue(&self, hosts: &[HostName], now: OffsetDateTime) -> Result<Leaf, AuthorityError> {
        let (certificate, key) = self.sign(hosts, now, LEAF_VALIDITY, KeyPair::generate)?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der)
            .map_err(|source| AuthorityError::Signing { host: first(hosts), source: source.into() })?;
        let key = Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signer));
        Ok(Leaf { key, renew_at: now + LEAF_VALIDITY - RENEW_BEFORE })
    }

    /// A certificate for a server other than the edge, with its key, both in PEM. It is good for thirteen months: such a server
    /// reads it when it starts.
    pub fn certify(&self, hosts: &[HostName]) -> Result<(String, String), AuthorityError> {
        let (certificate, key) = self.sign(hosts, OffsetDateTime::now_utc(), SERVER_VALIDITY, KeyPair::generate)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// The same with an RSA key, for servers that know no other.
    pub fn certify_rsa(&self, hosts: &[HostName]) -> Result<(String, String), AuthorityError> {
        let rsa = || KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048);
        let (certificate, key) = self.sign(hosts, OffsetDateTime::now_utc(), SERVER_VALIDITY, rsa)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    fn sign(
        &self,
        hosts: &[HostName],
        now: OffsetDateTime,
        validity: Duration,
        key: impl FnOnce() -> Result<KeyPair, rcgen::Error>,
    ) -> Result<(Certificate, KeyPair), AuthorityError> {
        let name = || first(hosts);
        let signing = |source: rcgen::Error| AuthorityError::Signing { host: name(), source: source.into() };
        let key = key().map_err(signing)?;
        let mut params = CertificateParams::default();
        for host in hosts {
            params.subject_alt_names.push(match host.ip() {
                Some(ip) => SanType::IpAddress(ip),
                None => SanType::DnsName(host.as_str().try_into().map_err(signing)?),
            });
        }
        params.distinguished_name = DistinguishedName::new();
        // A common name holds at most 64 characters; clients read the alternative names anyway.
        params.distinguished_name.push(DnType::CommonName, name().chars().take(64).collect::<String>());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if key.is_compatible(&PKCS_RSA_SHA256) {
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = now - BACKDATED;
        params.not_after = now + validity;
        let certificate = params.signed_by(&key, &self.issuer).map_err(signing)?;
        Ok((certificate, key))
    }
}

/// The host that an error names.
fn first(hosts: &[HostName]) -> String {
    hosts.first().map_or_else(String::new, ToString::to_string)
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> HostName {
        name.parse().unwrap()
    }

    #[test]
    fn it_speaks_for_its_domains_and_loopback_and_for_nobody_else() {
        let made = Authority::generate(&[host("apps.example"), host("192.0.2.7")]).unwrap();
        let loaded = Authority::from_pem(made.certificate_pem(), made.key_pem()).unwrap();
        for authority in [made, loaded] {
            for name in ["apps.example", "a.apps.example", "127.0.0.1", "[::1]", "192.0.2.7"] {
                assert!(authority.covers(&host(name)), "{name}");
            }
            for name in ["example", "other.example", "xapps.example", "localhost", "192.0.2.8"] {
                assert!(!authority.covers(&host(name)), "{name}");
            }
        }
    }

    #[test]
    fn leaves_end_with_their_time() {
        let authority = Authority::generate(&[host("localhost")]).unwrap();
        let now = OffsetDateTime::now_utc();
        let leaf = authority.issue(&[host("localhost")], now).unwrap();
        assert!(authority.accepts(&host("localhost"), &leaf, leaf.renew_at));
        assert!(authority.accepts(&host("localhost"), &leaf, now - Duration::hours(1)), "a clock behind");
        assert!(!authority.accepts(&host("localhost"), &leaf, now + Duration::days(91)));
        assert!(LEAF_VALIDITY + BACKDATED <= Duration::days(397) && SERVER_VALIDITY + BACKDATED <= Duration::days(398));
    }

    #[test]
    fn what_is_no_key_and_no_certificate_is_refused() {
        let made = Authority::generate(&[host("localhost")]).unwrap();
        let error = Authority::from_pem(made.certificate_pem(), "nonsense").unwrap_err().to_string();
        assert!(error.contains("key"), "{error}");
        let error = Authority::from_pem("nonsense", made.key_pem()).unwrap_err().to_string();
        assert!(error.contains("certificate"), "{error}");
        let other = Authority::generate(&[host("localhost")]).unwrap();
        let mixed = Authority::from_pem(made.certificate_pem(), other.key_pem()).unwrap();
        assert!(!mixed.covers(&host("localhost")), "a key of another authority");
    }
}
