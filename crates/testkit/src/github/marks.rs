//! What the stand-in is told of a commit: statuses, deployments, and how they do.

use serde_json::{Value, json};

use super::api::{Caller, Outcome, body, invalid, not_found, refused};
use super::documents::made;
use super::server::{Asked, Told};
use super::state::{App, Repository, State};
use super::{Deployment, DeploymentWord, Status};

/// The App that may write this.
fn writer<'a>(state: &'a State, caller: &Caller, right: &str) -> Result<&'a App, Told> {
    let forbidden = || refused(403, "Resource not accessible by integration");
    let Caller::Installation { installation, .. } = caller else { return Err(forbidden()) };
    let app = &state.apps[&state.installations[installation].app];
    if app.permissions.get(right).is_some_and(|right| right == "write") { Ok(app) } else { Err(forbidden()) }
}

/// A text, or none; not one that is longer than GitHub takes.
fn short(wanted: &Value, key: &str, resource: &str) -> Result<Option<String>, Told> {
    match wanted[key].as_str() {
        Some(text) if text.chars().count() > 140 => Err(invalid(resource, key, "too_long")),
        text => Ok(text.map(str::to_owned)),
    }
}

/// An address, or none.
fn address(wanted: &Value, key: &str, resource: &str) -> Result<Option<String>, Told> {
    match wanted[key].as_str() {
        Some(text) if !text.is_empty() && !text.starts_with("http://") && !text.starts_with("https://") => {
            Err(invalid(resource, key, "custom"))
        }
        text => Ok(text.filter(|text| !text.is_empty()).map(str::to_owned)),
    }
}

pub(super) fn status(
    state: &mut State,
    caller: &Caller,
    repository: &Repository,
    sha: &str,
    is_there: bool,
    asked: &Asked,
) -> Outcome {
    let creator = state.bot_document(writer(state, caller, "statuses")?);
    let wanted = body(asked);
    if !is_there {
        return Err(refused(422, &format!("No commit found for SHA: {sha}")));
    }
    let Some(word @ ("error" | "failure" | "pending" | "success")) = wanted["state"].as_str() else {
        return Err(invalid("Status", "state", "custom"));
    };
    let status = Status {
        repository: state.full_name(repository),
        sha: sha.to_owned(),
        state: word.to_owned(),
        context: wanted["context"].as_str().unwrap_or("default").to_owned(),
        description: short(&wanted, "description", "Status")?,
        target_url: address(&wanted, "target_url", "Status")?,
    };
    let mut document = made(state.id(), "S", &format!("{}/repos/{}/statuses/{sha}", state.api, status.repository));
    document["state"] = json!(status.state);
    document["description"] = json!(status.description);
    document["target_url"] = json!(status.target_url);
    document["context"] = json!(status.context);
    document["avatar_url"] = creator["avatar_url"].clone();
    document["creator"] = creator;
    state.statuses.push(status);
    Ok(Told::json(201, &document))
}

pub(super) fn deployment(
    state: &mut State,
    caller: &Caller,
    repository: &Repository,
    sha: Option<String>,
    asked: &Asked,
) -> Outcome {
    let creator = state.bot_document(writer(state, caller, "deployments")?);
    let wanted = body(asked);
    let reference = wanted["ref"].as_str().ok_or_else(|| invalid("Deployment", "ref", "missing_field"))?;
    let sha = sha.ok_or_else(|| refused(422, &format!("No ref found for: {reference}")))?;
    if wanted["auto_merge"] != json!(false) || wanted["required_contexts"] != json!([]) {
        // What GitHub would do then depends on the repository's other branches and checks, which are not here.
        return Err(refused(409, "Conflict: Commit status checks failed."));
    }
    let id = state.id();
    let deployment = Deployment {
        id,
        repository: state.full_name(repository),
        sha,
        environment: wanted["environment"].as_str().unwrap_or("production").to_owned(),
        description: short(&wanted, "description", "Deployment")?,
        words: Vec::new(),
    };
    let repository_url = format!("{}/repos/{}", state.api, deployment.repository);
    let url = format!("{repository_url}/deployments/{id}");
    let mut document = made(id, "D", &url);
    document["sha"] = json!(deployment.sha);
    document["ref"] = json!(reference);
    document["task"] = json!(wanted["task"].as_str().unwrap_or("deploy"));
    document["payload"] = json!({});
    document["environment"] = json!(deployment.environment);
    document["original_environment"] = json!(deployment.environment);
    document["description"] = json!(deployment.description);
    document["creator"] = creator;
    document["statuses_url"] = json!(format!("{url}/statuses"));
    document["repository_url"] = json!(repository_url);
    document["transient_environment"] = json!(wanted["transient_environment"].as_bool().unwrap_or_default());
    document["production_environment"] = json!(wanted["production_environment"].as_bool().unwrap_or_default());
    state.deployments.push(deployment);
    Ok(Told::json(201, &document))
}

pub(super) fn deployment_status(
    state: &mut State,
    caller: &Caller,
    repository: &Repository,
    deployment: &str,
    asked: &Asked,
) -> Outcome {
    let creator = state.bot_document(writer(state, caller, "deployments")?);
    let wanted = body(asked);
    let full_name = state.full_name(repository);
    let deployment: u64 = deployment.parse().map_err(|_nonsense| not_found())?;
    let Some("error" | "failure" | "inactive" | "in_progress" | "queued" | "pending" | "success") = wanted["state"].as_str()
    else {
        return Err(invalid("DeploymentStatus", "state", "custom"));
    };
    let word = DeploymentWord {
        state: wanted["state"].as_str().unwrap_or_default().to_owned(),
        description: short(&wanted, "description", "DeploymentStatus")?,
        log_url: address(&wanted, "log_url", "DeploymentStatus")?,
        environment_url: address(&wanted, "environment_url", "DeploymentStatus")?,
    };
    let id = state.id();
    let repository_url = format!("{}/repos/{full_name}", state.api);
    let deployment_url = format!("{repository_url}/deployments/{deployment}");
    let known = state.deployments.iter_mut().find(|it| it.id == deployment && it.repository == full_name);
    let known = known.ok_or_else(not_found)?;
    let environment = known.environment.clone();
    known.words.push(word.clone());
    if word.state == "success" && wanted["auto_inactive"] != json!(false) {
        let older = state.deployments.iter_mut().filter(|it| {
            it.repository == full_name && it.environment == environment && it.id < deployment && it.state() == "success"
        });
        for older in older {
            let inactive = DeploymentWord { state: "inactive".to_owned(), ..DeploymentWord::default() };
            older.words.push(inactive);
        }
    }
    let mut document = made(id, "DS", &format!("{deployment_url}/statuses/{id}"));
    document["state"] = json!(word.state);
    document["creator"] = creator;
    document["description"] = json!(word.description.unwrap_or_default());
    document["environment"] = json!(environment);
    document["target_url"] = json!(word.log_url.clone().unwrap_or_default());
    for (key, url) in [("log_url", word.log_url), ("environment_url", word.environment_url)] {
        if let Some(url) = url {
            document[key] = json!(url);
        }
    }
    document["deployment_url"] = json!(deployment_url);
    document["repository_url"] = json!(repository_url);
    Ok(Told::json(201, &document))
}
