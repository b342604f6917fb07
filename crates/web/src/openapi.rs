//! The API's description (`OpenAPI` 3.1): what each route of the API takes, gives and is for.
//!
//! Each handler's file says it of its own, in `operations`; a test compares that with the table of routes, so that neither has what
//! the other has not. Schemas of bodies and answers are those of the types that are read and written (`schemars`, which follows
//! serde's attributes).

mod document;
mod operation;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use crate::{apps, backups, databases, deployments, figures, github, platform, users};

pub(crate) use document::document;
pub(crate) use operation::{Operation, Tag};

/// The description as it is put together.
#[derive(Default)]
pub(crate) struct Api(Vec<Described>);

/// An operation and where it lies.
pub(crate) struct Described {
    pub(crate) method: &'static str,
    /// Below the prefix, as the router has it.
    pub(crate) path: &'static str,
    pub(crate) operation: Operation,
}

impl Api {
    /// Something to look at.
    pub(crate) fn get(self, path: &'static str, operation: Operation) -> Self {
        self.with("GET", path, operation)
    }

    /// Something to do or to make.
    pub(crate) fn post(self, path: &'static str, operation: Operation) -> Self {
        self.with("POST", path, operation)
    }

    /// Something to put in the place of what is there.
    pub(crate) fn put(self, path: &'static str, operation: Operation) -> Self {
        self.with("PUT", path, operation)
    }

    /// Something to change in part.
    pub(crate) fn patch(self, path: &'static str, operation: Operation) -> Self {
        self.with("PATCH", path, operation)
    }

    /// Something to take away.
    pub(crate) fn delete(self, path: &'static str, operation: Operation) -> Self {
        self.with("DELETE", path, operation)
    }

    fn with(mut self, method: &'static str, path: &'static str, operation: Operation) -> Self {
        self.0.push(Described { method, path, operation });
        self
    }
}

/// Every operation of the API, which lies below [`api::PREFIX`].
pub(crate) fn operations() -> Vec<Described> {
    let api = Api::default();
    let api = platform::operations(api);
    let api = apps::operations(api);
    let api = deployments::operations(api);
    let api = figures::operations(api);
    let api = databases::operations(api);
    let api = backups::operations(api);
    let api = users::operations(api);
    let api = github::operations(api);
    api.0
}

/// Which operations take an `Idempotency-Key`: their methods and whole paths, as the router has them.
pub(crate) fn once() -> HashSet<(&'static str, String)> {
    let once = operations().into_iter().filter(|described| described.operation.once);
    once.map(|described| (described.method, format!("{}{}", api::PREFIX, described.path))).collect()
}
