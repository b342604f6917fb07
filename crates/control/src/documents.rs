//! Rows of the store as documents of the API.

use api::{DeploymentStep, ErrorBody, ErrorCode};
use model::AppName;

use crate::clock;

/// A deployment's document.
pub(crate) fn deployment(app: &AppName, url: &str, row: &store::Deployment) -> api::Deployment {
    let error = row.error.as_ref().map(|message| {
        let code = row.error_code.as_deref().map_or(ErrorCode::Unknown, ErrorCode::parse);
        ErrorBody::new(code, message.clone()).help(row.help.clone().unwrap_or_default())
    });
    api::Deployment {
        app: app.clone(),
        url: url.to_owned(),
        revision: row.revision,
        deployment: row.number,
        state: row.state,
        template: row.template.clone(),
        steps: row
            .steps
            .iter()
            .map(|step| DeploymentStep { name: step.step, seconds: step.seconds.unwrap_or(0.0), state: step.state })
            .collect(),
        error,
        diagnosis: row.diagnosis.as_deref().and_then(|text| serde_json::from_str(text).ok()),
        commit: row.commit_id.as_ref().map(|id| api::Commit { id: id.clone(), ..api::Commit::default() }),
        by: row.by.clone(),
        retry_of: row.retry_of,
        created_at: clock::timestamp(row.created_at),
        ended_at: row.ended_at.map(clock::timestamp),
    }
}

/// Where a source came from, for the API.
pub(crate) fn commit(commit: &model::Commit) -> api::Commit {
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    api::Commit {
        id: commit.id.clone(),
        subject: some(&commit.subject),
        author: some(&commit.author),
        branch: some(&commit.branch),
        dirty: commit.dirty,
    }
}

/// The same the other way.
pub(crate) fn commit_from(commit: &api::Commit) -> model::Commit {
    model::Commit {
        id: commit.id.clone(),
        subject: commit.subject.clone().unwrap_or_default(),
        author: commit.author.clone().unwrap_or_default(),
        branch: commit.branch.clone().unwrap_or_default(),
        dirty: commit.dirty,
    }
}
