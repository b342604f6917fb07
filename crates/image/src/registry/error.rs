//! Why an image could not be pulled, each in one line for whoever named it.

use crate::digest::Digest;
use crate::layout::LayoutError;

/// Why an image could not be pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The registry has none of this name.
    #[error("there is no image {image}: look at its name and its tag")]
    NoSuchImage {
        /// What was asked for.
        image: String,
    },
    /// The registry does not give it to us.
    #[error("{registry} does not give {image} to {who}: it is private, or there is none of this name")]
    NotAllowed {
        /// What was asked for.
        image: String,
        /// Who refuses.
        registry: String,
        /// As whom we asked.
        who: String,
    },
    /// Too much was asked of the registry.
    #[error("{registry} has had too many requests from here{}: try again later, or set a user or a mirror for it", .retry_after.map_or_else(String::new, |seconds| format!(" (it says: again in {seconds} s)")))]
    RateLimited {
        /// Who refuses.
        registry: String,
        /// When to ask again, in seconds from now, where it says so.
        retry_after: Option<u64>,
    },
    /// The image is for other machines.
    #[error("{image} is not for {wanted}, but for {offered}")]
    WrongPlatform {
        /// What was asked for.
        image: String,
        /// This machine's platform.
        wanted: String,
        /// What there is.
        offered: String,
    },
    /// What came is not what was announced.
    #[error("{what} was to be {expected}, but is {found}: the registry, or something on the way to it, gives other bytes")]
    Mismatch {
        /// Which part.
        what: String,
        /// What was announced.
        expected: Digest,
        /// What came.
        found: String,
    },
    /// It is larger than it may be.
    #[error("{what} is too large: more than {limit}")]
    TooLarge {
        /// Which part.
        what: String,
        /// The limit, with its unit.
        limit: String,
    },
    /// The disk is too full for it.
    #[error("{image} needs {wanted} MB on the disk, and {free} MB are free")]
    NoRoom {
        /// What was asked for.
        image: String,
        /// Megabytes that it takes, with a reserve.
        wanted: u64,
        /// Megabytes that there are.
        free: u64,
    },
    /// Nobody answers.
    #[error("{host} can't be reached: {why}")]
    Unreachable {
        /// Whom we asked.
        host: String,
        /// What went wrong.
        why: String,
    },
    /// The answer is not one of a registry, or one that is not taken.
    #[error("{host} does not answer as a registry should: {why}")]
    Protocol {
        /// Whom we asked.
        host: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// It is no image that can be run here.
    #[error("{image} can't be used: {why}")]
    Unsupported {
        /// What was asked for.
        image: String,
        /// What is wrong with it.
        why: String,
    },
    /// A setting can't be used.
    #[error(transparent)]
    Settings(#[from] super::settings::SettingsError),
    /// The image store failed.
    #[error("keep the image: {}", chain(.0))]
    Store(#[from] LayoutError),
}

impl PullError {
    /// Whether asking once more may help.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// An error with all its causes in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = inner.source();
    }
    text.replace(['\n', '\r'], " ")
}
