//! A deployment as lists and its own page show it.

use control::{DeploymentGlance, DeploymentKind};

use crate::pages::state::{self, State};
use crate::pages::text::{Seconds, When, short_commit};

/// A deployment in one line.
#[derive(Debug, Clone)]
pub(crate) struct DeploymentLine {
    /// Its number.
    pub(crate) number: u32,
    /// Where its page is.
    pub(crate) href: String,
    /// How far it is.
    pub(crate) state: State,
    /// What it brings: the commit's message, or what was changed.
    pub(crate) what: String,
    /// The commit's first letters; empty where there is none.
    pub(crate) commit: String,
    /// The branch; empty where it is not known.
    pub(crate) branch: String,
    /// Who wrote the commit; empty where it is not known.
    pub(crate) author: String,
    /// Who asked for it; empty where it is not known.
    pub(crate) by: String,
    /// The revision that it made.
    pub(crate) revision: Option<u32>,
    /// When it was asked for.
    pub(crate) when: When,
    /// How long it took, once it has ended.
    pub(crate) took: Option<Seconds>,
    /// Why it failed, in one line.
    pub(crate) error: Option<String>,
}

impl DeploymentLine {
    /// The line of a deployment.
    pub(crate) fn new(glance: &DeploymentGlance) -> Self {
        let it = &glance.deployment;
        let commit = glance.commit.as_ref();
        let subject = commit.and_then(|commit| commit.subject.clone());
        let what = match glance.kind {
            DeploymentKind::Settings => "Settings changed".to_owned(),
            DeploymentKind::Rollback => match it.revision {
                Some(revision) => format!("Rolled back to revision {revision}"),
                None => "Roll back".to_owned(),
            },
            DeploymentKind::Source => subject.unwrap_or_else(|| match commit {
                Some(commit) if !commit.id.is_empty() => format!("Commit {}", short_commit(&commit.id)),
                _ => "Uploaded source".to_owned(),
            }),
        };
        let took = it.ended_at.map(|ended| Seconds(ended.duration_since(it.created_at).as_secs_f64()));
        Self {
            number: it.deployment.0,
            href: format!("/apps/{}/deployments/{}", it.app, it.deployment),
            state: state::deployment(it.state),
            what,
            commit: commit.map(|commit| short_commit(&commit.id)).unwrap_or_default(),
            branch: commit.and_then(|commit| commit.branch.clone()).unwrap_or_default(),
            author: commit.and_then(|commit| commit.author.clone()).unwrap_or_default(),
            by: it.by.as_ref().map(ToString::to_string).unwrap_or_default(),
            revision: it.revision.map(|revision| revision.0),
            when: When::new(it.created_at),
            took,
            error: it.error.as_ref().map(|error| error.message.clone()),
        }
    }
}
