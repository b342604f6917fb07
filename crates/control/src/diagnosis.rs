//! How deployments fail: the error, and what it was recognised as.

use api::{Diagnosis, ErrorBody};
use build::explain::Explanation;

/// A deployment's failure.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    /// The error, as everybody gets it.
    pub(crate) error: ErrorBody,
    /// What it was recognised as.
    pub(crate) diagnosis: Option<Box<Diagnosis>>,
}

impl From<ErrorBody> for Failed {
    fn from(error: ErrorBody) -> Self {
        Self { error, diagnosis: None }
    }
}

impl Failed {
    /// A failure that was recognised.
    pub(crate) fn recognised(error: ErrorBody, found: &Explanation) -> Self {
        Self { error, diagnosis: Some(Box::new(diagnosis(found))) }
    }
}

/// The words of a failure, as a document.
pub(crate) fn diagnosis(found: &Explanation) -> Diagnosis {
    Diagnosis {
        id: found.id.to_owned(),
        title: found.title.clone(),
        cause: found.cause.clone(),
        fix: found.fix.clone(),
        help: format!("/help/failures/{}", found.id),
        setting: found.setting().map(ToOwned::to_owned),
    }
}
