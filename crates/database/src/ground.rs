//! What a server needs that the platform runs for all apps.

use std::sync::Arc;

use crate::certificate::Certifier;
use crate::secret::Secret;
use crate::servers::Servers;
use crate::service::Images;

/// The range of user ids of a server that all apps share: above those of apps, whose last is 40,000.
pub(crate) const MONGODB_SLOT: u16 = 50_001;
/// SQL Server's.
pub(crate) const MSSQL_SLOT: u16 = 50_002;

/// What a server needs that the platform runs for all apps.
#[derive(Debug, Clone)]
pub struct Ground {
    /// Starts it, and keeps it running.
    pub servers: Servers,
    /// Gives it certificates.
    pub certifier: Arc<dyn Certifier>,
    /// The platform's domain, below which it has its name.
    pub domain: String,
    /// What its administrator's password is made from: always the same for a data directory, and known to nobody else.
    pub secret: Secret,
    /// Has images, for servers that come in one.
    pub images: Option<Arc<Images>>,
}

impl Ground {
    /// A password of its own for each purpose: letters and digits.
    pub(crate) fn password(&self, purpose: &str) -> Secret {
        use sha2::{Digest, Sha256};
        let mut sum = Sha256::new();
        // Its length first, so that no two pairs of texts are one text.
        sum.update(u64::try_from(self.secret.reveal().len()).unwrap_or(u64::MAX).to_be_bytes());
        sum.update(self.secret.reveal().as_bytes());
        sum.update(purpose.as_bytes());
        let mut text = String::new();
        for byte in sum.finalize() {
            use std::fmt::Write;
            let _written = write!(text, "{byte:02x}");
        }
        Secret::new(text)
    }
}
