//! Python: which version, which dependencies, which system libraries.

pub(crate) mod companions;
pub(crate) mod conda;
pub(crate) mod drop;
pub(crate) mod environment;
pub(crate) mod imports;
pub(crate) mod install;
pub(crate) mod lock;
pub(crate) mod manifest;
pub(crate) mod pep508;
pub(crate) mod pins;
pub(crate) mod pipfile;
pub(crate) mod pyproject;
pub(crate) mod requirement;
pub(crate) mod requirements;
pub(crate) mod standard;
pub(crate) mod system;
pub(crate) mod toml_ext;
pub(crate) mod version;
