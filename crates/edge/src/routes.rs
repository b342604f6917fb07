//! The table of routes: which host is whose. Made by control, never changed, replaced as a whole.

use std::collections::HashMap;
use std::sync::Arc;

use crate::{AppHandle, HostName};

/// Who answers a host's requests.
#[derive(Debug, Clone)]
pub enum Target {
    /// An app's instances.
    App(Arc<AppHandle>),
    /// The platform itself.
    Platform,
}

impl Target {
    /// Whether both are the same app, or both the platform.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::App(a), Self::App(b)) => Arc::ptr_eq(a, b),
            (Self::Platform, Self::Platform) => true,
            _ => false,
        }
    }
}

/// A finished table of routes.
#[derive(Debug, Clone, Default)]
pub struct Routes(HashMap<HostName, Target>);

impl Routes {
    /// An empty table: every host is unknown.
    pub fn new() -> Self {
        Self::default()
    }

    /// The table with one more route (or another target for the host).
    #[must_use]
    pub fn with(mut self, host: HostName, target: Target) -> Self {
        self.0.insert(host, target);
        self
    }

    /// Adds a route or changes a host's target.
    pub fn insert(&mut self, host: HostName, target: Target) {
        self.0.insert(host, target);
    }

    /// The target of a host given in lower case and without port.
    pub fn find(&self, host: &str) -> Option<&Target> {
        self.0.get(host)
    }

    /// All routes, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&HostName, &Target)> {
        self.0.iter()
    }
}

impl FromIterator<(HostName, Target)> for Routes {
    fn from_iter<I: IntoIterator<Item = (HostName, Target)>>(routes: I) -> Self {
        Self(routes.into_iter().collect())
    }
}
