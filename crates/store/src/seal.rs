//! Secrets at rest: XChaCha20-Poly1305 under a key that lies beside the database, bound to the row and column it is in.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::RngCore;
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// Why a secret could not be sealed or opened. An opening that fails is never an empty secret.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key file could not be read or made.
    #[error("read the key {path}: {source}")]
    Key {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key file is not ours.
    #[error("the key {0} does not hold 32 bytes; restore it from a backup: without it sealed settings can't be read")]
    KeyLength(PathBuf),
    /// Another key, another row, or damage.
    #[error("a sealed value can't be opened ({0}): it is damaged, or the data directory's key is another one")]
    Open(&'static str),
    /// The value is no longer plain data; can't happen with what we write.
    #[error("seal a value: {0}")]
    Value(String),
}

/// Seals and opens values with the data directory's key.
pub struct Sealer {
    cipher: XChaCha20Poly1305,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// Reads the key file, or makes it (mode 0600) where `may_create` and there is none.
    pub fn load(path: &Path, may_create: bool) -> Result<Self, SealError> {
        let fail = |source| SealError::Key { path: path.to_owned(), source };
        match fs::read(path) {
            Ok(bytes) => {
                let bytes = Zeroizing::new(bytes);
                let key: &[u8; KEY_BYTES] =
                    bytes.as_slice().try_into().map_err(|_short| SealError::KeyLength(path.to_owned()))?;
                Ok(Self::new(key))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_create => {
                let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
                rand::rng().fill_bytes(key.as_mut());
                let partial = path.with_extension("new");
                let mut file =
                    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial).map_err(fail)?;
                file.write_all(key.as_ref()).and_then(|()| file.sync_all()).map_err(fail)?;
                fs::rename(&partial, path).map_err(fail)?;
                let directory = path.parent().unwrap_or(Path::new("."));
                fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(fail)?;
                Ok(Self::new(&key))
            }
            Err(error) => Err(fail(error)),
        }
    }

    /// A sealer with that key.
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self { cipher: XChaCha20Poly1305::new(key.into()) }
    }

    /// Seals bytes for one place; they open nowhere else.
    pub fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0_u8; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let payload = Payload { msg: plain, aad: place.as_bytes() };
        let sealed =
            self.cipher.encrypt(XNonce::from_slice(&nonce), payload).map_err(|error| SealError::Value(error.to_string()))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what was sealed for that place.
    pub fn open(&self, what: &'static str, place: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES).ok_or(SealError::Open(what))?;
        let payload = Payload { msg: sealed, aad: place.as_bytes() };
        let plain = self.cipher.decrypt(XNonce::from_slice(nonce), payload).map_err(|_opaque| SealError::Open(what))?;
        Ok(Zeroizing::new(plain))
    }

    /// Seals a plain value as JSON.
    pub(crate) fn seal_json(&self, place: &str, value: &impl serde::Serialize) -> Result<Vec<u8>, SealError> {
        let plain = Zeroizing::new(serde_json::to_vec(value).map_err(|error| SealError::Value(error.to_string()))?);
        self.seal(place, &plain)
    }

    /// Opens a value sealed as JSON.
    pub(crate) fn open_json<T: serde::de::DeserializeOwned>(
        &self,
        what: &'static str,
        place: &str,
        sealed: &[u8],
    ) -> Result<T, SealError> {
        let plain = self.open(what, place, sealed)?;
        // serde_json's own message could quote a secret.
        serde_json::from_slice(&plain).map_err(|_quoting| SealError::Open(what))
    }
}
