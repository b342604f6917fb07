//! The platform's own authority on disk: `ca.pem` for everybody, its key sealed.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use database::{Certificate, Certifier, DatabaseError, Secret};
use edge::{Authority, HostName};
use store::Sealer;

/// What the key is sealed for.
const PLACE: &str = "authority.key";
/// The same for what the passwords of servers' administrators are made from.
const SERVERS_PLACE: &str = "servers.secret";

/// Loads the authority, or makes it at the first start.
pub(super) fn load(data_dir: &Path, domain: &HostName, sealer: &Sealer) -> anyhow::Result<Authority> {
    let (certificate, key) = (data_dir.join("ca.pem"), data_dir.join("tls/ca-key.sealed"));
    match (fs::read_to_string(&certificate), fs::read(&key)) {
        (Ok(certificate), Ok(sealed)) => {
            let plain = sealer.open("the authority's key", PLACE, &sealed)?;
            let plain = std::str::from_utf8(&plain).context("read the authority's key")?;
            Ok(Authority::from_pem(&certificate, plain)?)
        }
        (Err(first), Err(second)) if first.kind() == io::ErrorKind::NotFound && second.kind() == io::ErrorKind::NotFound => {
            let authority = Authority::generate(std::slice::from_ref(domain))?;
            let sealed = sealer.seal(PLACE, authority.key_pem().as_bytes())?;
            write(&key, &sealed, 0o600)?;
            write(&certificate, authority.certificate_pem().as_bytes(), 0o644)?;
            Ok(authority)
        }
        (certificate_read, _) => {
            let missing = if certificate_read.is_ok() { &key } else { &certificate };
            bail!(
                "half of the platform's authority is missing ({}); restore it, or remove the other half to make a new one",
                missing.display()
            )
        }
    }
}

/// What the passwords of administrators of shared database servers are made from: made at the first start, kept sealed.
pub(super) fn servers_secret(data_dir: &Path, sealer: &Sealer) -> anyhow::Result<Secret> {
    let path = data_dir.join("tls/servers-secret.sealed");
    match fs::read(&path) {
        Ok(sealed) => {
            let plain = sealer.open("the secret of database servers", SERVERS_PLACE, &sealed)?;
            Ok(Secret::new(std::str::from_utf8(&plain).context("read the secret of database servers")?))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = Secret::generate();
            write(&path, &sealer.seal(SERVERS_PLACE, secret.reveal().as_bytes())?, 0o600)?;
            Ok(secret)
        }
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// Writes a file so that it is whole or not there.
fn write(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let partial = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(mode).open(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    write().with_context(|| format!("write {}", path.display()))
}

/// The authority, as database servers ask it for certificates.
#[derive(Debug)]
pub(super) struct ForServers(Authority);

impl ForServers {
    /// The same authority; the edge has its own.
    pub(super) fn of(authority: &Authority) -> anyhow::Result<Self> {
        Ok(Self(Authority::from_pem(authority.certificate_pem(), authority.key_pem())?))
    }
}

impl Certifier for ForServers {
    fn certify(&self, names: &[String]) -> database::Result<Certificate> {
        certificate(names, |hosts| self.0.certify(hosts))
    }

    fn certify_rsa(&self, names: &[String]) -> database::Result<Certificate> {
        certificate(names, |hosts| self.0.certify_rsa(hosts))
    }

    fn authority_pem(&self) -> String {
        self.0.certificate_pem().to_owned()
    }
}

fn certificate(
    names: &[String],
    certify: impl FnOnce(&[HostName]) -> Result<(String, String), edge::AuthorityError>,
) -> database::Result<Certificate> {
    let failed = |error: &dyn std::fmt::Display| DatabaseError::Failed(format!("make a certificate for a server: {error}"));
    let hosts = names.iter().map(|name| HostName::parse(name)).collect::<Result<Vec<_>, _>>().map_err(|error| failed(&error))?;
    let (chain_pem, key_pem) = certify(&hosts).map_err(|error| failed(&error))?;
    Ok(Certificate { chain_pem, key_pem })
}
