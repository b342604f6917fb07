//! Images from registries (OCI distribution specification): what is asked for by name comes whole, checked, and within limits.
//!
//! [`Client::pull`] fetches an image's manifest for this machine's platform, its configuration and its layers into a
//! [`Layout`](crate::Layout). Every byte is checked against the digest it was announced with; [`Pulled::unpack`] gives a layer's
//! archive and checks that, too. Knows nothing of what is done with an image.

mod auth;
mod blob;
mod documents;
mod error;
mod pull;
mod reference;
mod session;
mod settings;
mod transport;
mod unpack;

pub use documents::{Chosen, Document, Part, Parts, choose, parse_manifest};
pub use error::PullError;
pub use pull::{Client, Freshness, Progress, Pulled};
pub use reference::{Reference, ReferenceError};
pub use settings::{Credentials, Limits, Proxy, Settings, SettingsError};
