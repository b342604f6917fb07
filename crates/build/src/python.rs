//! Python: which version, which dependencies, which system libraries.

pub(crate) mod drop;
pub(crate) mod environment;
pub(crate) mod requirement;
pub(crate) mod requirements;
