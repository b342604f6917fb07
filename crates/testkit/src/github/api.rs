//! The stand-in's API: who asks, whether they may, and an answer as GitHub's own description has it.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use super::server::{Asked, Shared, Told, locked};
use super::state::{INSTALLATION_TOKEN, InstallationToken, Repository, State, random, written};
use super::{Exchange, marks, repositories};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    Nobody,
    App(u64),
    User { user: u64, app: u64 },
    Installation { installation: u64, repositories: Option<BTreeSet<u64>> },
}

/// An answer, or a refusal.
pub(super) type Outcome = Result<Told, Told>;

/// A refusal in GitHub's form.
pub(super) fn refused(status: u16, message: &str) -> Told {
    let status_text = status.to_string();
    Told::json(status, &json!({ "message": message, "documentation_url": "https://docs.github.com/rest", "status": status_text }))
}

pub(super) fn not_found() -> Told {
    refused(404, "Not Found")
}

/// What a request wants that can't be carried out.
pub(super) fn invalid(resource: &str, field: &str, code: &str) -> Told {
    let error = json!({ "resource": resource, "field": field, "code": code });
    Told::json(
        422,
        &json!({ "message": "Validation Failed", "errors": [error], "documentation_url": "https://docs.github.com/rest", "status": "422" }),
    )
}

pub(super) fn answer(shared: &Shared, asked: &Asked, path: &[String]) -> Told {
    let segments: Vec<_> = path.iter().map(String::as_str).collect();
    let caller = locked(shared).caller(asked);
    let (template, told) = match caller {
        Ok(caller) => route(shared, asked, &caller, &segments),
        Err(told) => ("", Err(told)),
    };
    let told = told.unwrap_or_else(|told| told);
    let document = |bytes: &[u8]| serde_json::from_slice(bytes).ok();
    let mut state = locked(shared);
    state.exchanges.push(Exchange {
        method: asked.method.to_ascii_lowercase(),
        path: template.to_owned(),
        status: told.status,
        request: document(&asked.body),
        response: document(&told.body),
    });
    drop(state);
    let reset = (Timestamp::now() + SignedDuration::from_hours(1)).as_second();
    told.with("x-ratelimit-limit", "5000")
        .with("x-ratelimit-remaining", "4999")
        .with("x-ratelimit-used", "1")
        .with("x-ratelimit-reset", reset.to_string())
        .with("x-ratelimit-resource", "core")
        .with("x-github-media-type", "github.v3; format=json")
}

/// The path as GitHub's description writes it, and the answer.
fn route(shared: &Shared, asked: &Asked, caller: &Caller, path: &[&str]) -> (&'static str, Outcome) {
    let mut state = locked(shared);
    match (asked.method.as_str(), path) {
        ("POST", ["app-manifests", code, "conversions"]) => ("/app-manifests/{code}/conversions", state.convert(code)),
        ("GET", ["app"]) => ("/app", state.as_app(caller).map(|app| Told::json(200, &state.app_document(&state.apps[&app])))),
        ("PATCH", ["app", "hook", "config"]) => ("/app/hook/config", state.set_hook(caller, asked)),
        ("GET", ["app", "installations"]) => ("/app/installations", state.app_installations(caller, asked)),
        ("GET", ["app", "installations", id]) => ("/app/installations/{installation_id}", state.app_installation(caller, id)),
        ("POST", ["app", "installations", id, "access_tokens"]) => {
            ("/app/installations/{installation_id}/access_tokens", state.installation_token(caller, id, asked))
        }
        ("GET", ["user"]) => {
            ("/user", state.as_user(caller).map(|(user, _)| Told::json(200, &state.person_document(&state.accounts[&user]))))
        }
        ("GET", ["user", "installations"]) => ("/user/installations", state.user_installations(caller, asked)),
        ("GET", ["user", "installations", id, "repositories"]) => {
            ("/user/installations/{installation_id}/repositories", state.user_repositories(caller, id, asked))
        }
        ("GET", ["installation", "repositories"]) => ("/installation/repositories", state.its_repositories(caller, asked)),
        (_, ["repos", owner, name, rest @ ..]) => {
            let full_name = format!("{owner}/{name}");
            if let Some(id) = state.repository(&full_name).map(|it| it.id) {
                drop(state);
                return of_repository(shared, asked, caller, id, rest);
            }
            // GitHub Docs, "Repository name redirects": the same verb again, at the number.
            let Some(id) = state.renamed(&full_name).map(|it| it.id) else { return ("", Err(not_found())) };
            let (api, rest, query) = (state.api.clone(), rest.join("/"), asked.raw_query.as_str());
            let url = format!(
                "{api}/repositories/{id}{}{rest}{}{query}",
                if rest.is_empty() { "" } else { "/" },
                if query.is_empty() { "" } else { "?" }
            );
            let status = if asked.method == "GET" { 301 } else { 307 };
            let body = json!({ "message": "Moved Permanently", "url": url, "documentation_url": "https://docs.github.com/rest/guides/best-practices-for-using-the-rest-api#follow-redirects" });
            ("", Err(Told::json(status, &body).with("location", url)))
        }
        (_, ["repositories", id, rest @ ..]) => match id.parse() {
            Ok(id) if state.repositories.contains_key(&id) => {
                drop(state);
                of_repository(shared, asked, caller, id, rest)
            }
            _ => ("", Err(not_found())),
        },
        _ => ("", Err(not_found())),
    }
}

fn of_repository(shared: &Shared, asked: &Asked, caller: &Caller, id: u64, path: &[&str]) -> (&'static str, Outcome) {
    let (repository, full_name) = {
        let state = locked(shared);
        let repository = state.repositories[&id].clone();
        if let Err(told) = state.opens(caller, &repository) {
            return ("", Err(told));
        }
        let full_name = state.full_name(&repository);
        (repository, full_name)
    };
    let commit = |name: &str| repository.dir.as_deref().and_then(|dir| repositories::commit(dir, name));
    match (asked.method.as_str(), path) {
        ("GET", []) => ("/repos/{owner}/{repo}", Ok(Told::json(200, &locked(shared).repository_document(&repository)))),
        ("GET", ["branches"]) => {
            let branches = repository.dir.as_deref().map(repositories::branches).unwrap_or_default();
            let api = locked(shared).api.clone();
            let list = branches.into_iter().map(|(name, sha)| {
                json!({ "name": name, "protected": false, "commit": { "sha": sha, "url": format!("{api}/repos/{full_name}/commits/{sha}") } })
            });
            let told = paged(list.collect(), asked, &format!("{api}/repositories/{id}/branches"), |page| json!(page));
            ("/repos/{owner}/{repo}/branches", Ok(told))
        }
        ("GET", ["branches", branch @ ..]) if !branch.is_empty() => {
            let branch = branch.join("/");
            let Some(head) = commit(&format!("refs/heads/{branch}")) else { return ("", Err(refused(404, "Branch not found"))) };
            let state = locked(shared);
            let url = format!("{}/repos/{full_name}/branches/{branch}", state.api);
            let document = json!({
                "name": branch,
                "commit": state.commit_document(&full_name, &head),
                "_links": { "self": url, "html": format!("{}/{full_name}/tree/{branch}", state.web) },
                "protected": false,
                "protection": { "enabled": false },
                "protection_url": format!("{url}/protection"),
            });
            ("/repos/{owner}/{repo}/branches/{branch}", Ok(Told::json(200, &document)))
        }
        ("GET", ["git", "commits", sha]) => {
            let found = if repository.dir.is_none() {
                Err(refused(409, "Git Repository is empty."))
            } else {
                commit(sha).ok_or_else(not_found)
            };
            let told = found.map(|commit| Told::json(200, &locked(shared).git_commit_document(&full_name, &commit)));
            ("/repos/{owner}/{repo}/git/commits/{commit_sha}", told)
        }
        ("POST", ["statuses", sha]) => {
            let is_there = commit(sha).is_some();
            (
                "/repos/{owner}/{repo}/statuses/{sha}",
                marks::status(&mut locked(shared), caller, &repository, sha, is_there, asked),
            )
        }
        ("POST", ["deployments"]) => {
            let reference = body(asked)["ref"].as_str().unwrap_or_default().to_owned();
            let sha = commit(&reference).map(|it| it.sha);
            ("/repos/{owner}/{repo}/deployments", marks::deployment(&mut locked(shared), caller, &repository, sha, asked))
        }
        ("POST", ["deployments", deployment, "statuses"]) => (
            "/repos/{owner}/{repo}/deployments/{deployment_id}/statuses",
            marks::deployment_status(&mut locked(shared), caller, &repository, deployment, asked),
        ),
        _ => ("", Err(not_found())),
    }
}

/// A request's document; null where there is none.
pub(super) fn body(asked: &Asked) -> Value {
    serde_json::from_slice(&asked.body).unwrap_or_default()
}

/// A page of a list, with the header by which the others are found (RFC 8288).
fn paged(items: Vec<Value>, asked: &Asked, url: &str, document: impl Fn(Vec<Value>) -> Value) -> Told {
    let number = |name: &str| asked.query(name).and_then(|text| text.parse::<usize>().ok());
    let size = number("per_page").unwrap_or(30).clamp(1, 100);
    let page = number("page").unwrap_or(1).max(1);
    let last = items.len().div_ceil(size).max(1);
    let listed = items.into_iter().skip((page - 1) * size).take(size).collect();
    let told = Told::json(200, &document(listed));
    let link = |to: usize, rel: &str| format!("<{url}?per_page={size}&page={to}>; rel=\"{rel}\"");
    let mut links = Vec::new();
    if page > 1 {
        links.extend([link(page - 1, "prev"), link(1, "first")]);
    }
    if page < last {
        links.extend([link(page + 1, "next"), link(last, "last")]);
    }
    if links.is_empty() { told } else { told.with("link", links.join(", ")) }
}

impl State {
    /// Who asks, by the header `Authorization`.
    pub(super) fn caller(&self, asked: &Asked) -> Result<Caller, Told> {
        let Some(value) = asked.header("authorization") else { return Ok(Caller::Nobody) };
        let bad = || refused(401, "Bad credentials");
        let (scheme, token) = value.split_once(' ').ok_or_else(bad)?;
        if !scheme.eq_ignore_ascii_case("bearer") && !scheme.eq_ignore_ascii_case("token") {
            return Err(bad());
        }
        self.whose(token).ok_or_else(bad)
    }

    /// Whose token it is, if it is one.
    pub(super) fn whose(&self, token: &str) -> Option<Caller> {
        let now = Timestamp::now();
        if token.split('.').count() == 3 {
            return self.apps.values().find(|app| is_signed(token, &app.public_key, app.id, now)).map(|app| Caller::App(app.id));
        }
        if let Some(known) = self.user_tokens.get(token).filter(|known| known.expires_at > now) {
            return Some(Caller::User { user: known.user, app: known.app });
        }
        let known = self.installation_tokens.get(token).filter(|known| known.expires_at > now)?;
        self.installations.get(&known.installation)?;
        Some(Caller::Installation { installation: known.installation, repositories: known.repositories.clone() })
    }

    fn as_app(&self, caller: &Caller) -> Result<u64, Told> {
        match caller {
            Caller::App(app) if self.apps.contains_key(app) => Ok(*app),
            _ => Err(refused(401, "A JSON web token could not be decoded")),
        }
    }

    fn as_user(&self, caller: &Caller) -> Result<(u64, u64), Told> {
        match caller {
            Caller::User { user, app } if self.accounts.contains_key(user) => Ok((*user, *app)),
            Caller::Nobody => Err(refused(401, "Requires authentication")),
            _ => Err(refused(403, "Resource not accessible by integration")),
        }
    }

    /// Whether a repository is open to whoever asks. What is not is not there.
    pub(super) fn opens(&self, caller: &Caller, repository: &Repository) -> Result<(), Told> {
        let is_open = match caller {
            Caller::Nobody | Caller::App(_) => !repository.is_private,
            Caller::User { user, app } => {
                !repository.is_private
                    || self.may_see(*user, repository) && self.installations_of(repository).iter().any(|it| it.app == *app)
            }
            Caller::Installation { installation, repositories } => {
                let installation = &self.installations[installation];
                if installation.suspended_at.is_some() {
                    return Err(refused(403, "This installation has been suspended"));
                }
                let listed = self.installations_of(repository).iter().any(|it| it.id == installation.id);
                !repository.is_private || listed && repositories.as_ref().is_none_or(|some| some.contains(&repository.id))
            }
        };
        if is_open { Ok(()) } else { Err(not_found()) }
    }

    fn convert(&mut self, code: &str) -> Outcome {
        let app = self.conversions.remove(code).ok_or_else(not_found)?;
        let app = &self.apps[&app];
        let mut document = self.app_document(app);
        document["client_secret"] = json!(app.client_secret);
        document["webhook_secret"] = json!(app.webhook_secret);
        document["pem"] = json!(app.private_key);
        Ok(Told::json(201, &document))
    }

    fn set_hook(&mut self, caller: &Caller, asked: &Asked) -> Outcome {
        let app = self.as_app(caller)?;
        let wanted = body(asked);
        let app = self.apps.get_mut(&app).ok_or_else(not_found)?;
        if let Some(url) = wanted["url"].as_str() {
            url.clone_into(&mut app.hook_url);
            app.hook_is_active = true;
        }
        if let Some(secret) = wanted["secret"].as_str() {
            secret.clone_into(&mut app.webhook_secret);
        }
        let document = json!({ "content_type": "json", "insecure_ssl": "0", "secret": "********", "url": app.hook_url });
        Ok(Told::json(200, &document))
    }

    fn app_installations(&self, caller: &Caller, asked: &Asked) -> Outcome {
        let app = self.as_app(caller)?;
        let all = self.installations.values().filter(|it| it.app == app).map(|it| self.installation_document(it));
        Ok(paged(all.collect(), asked, &format!("{}/app/installations", self.api), |page| json!(page)))
    }

    fn app_installation(&self, caller: &Caller, id: &str) -> Outcome {
        let app = self.as_app(caller)?;
        let found = id.parse().ok().and_then(|id: u64| self.installations.get(&id)).filter(|it| it.app == app);
        Ok(Told::json(200, &self.installation_document(found.ok_or_else(not_found)?)))
    }

    fn installation_token(&mut self, caller: &Caller, id: &str, asked: &Asked) -> Outcome {
        let app = self.as_app(caller)?;
        let found = id.parse().ok().and_then(|id: u64| self.installations.get(&id)).filter(|it| it.app == app);
        let installation = found.ok_or_else(not_found)?.clone();
        if installation.suspended_at.is_some() {
            return Err(refused(403, "This installation has been suspended"));
        }
        let chosen: Option<BTreeSet<u64>> =
            body(asked)["repository_ids"].as_array().map(|ids| ids.iter().filter_map(Value::as_u64).collect());
        let opened: BTreeSet<u64> = self.repositories_of(&installation).iter().map(|it| it.id).collect();
        if chosen.as_ref().is_some_and(|chosen| !chosen.is_subset(&opened)) {
            let message = "There is at least one repository that does not exist or is not accessible to the parent installation.";
            return Err(refused(422, message));
        }
        let token = format!("ghs_{}", random(18));
        let expires_at = Timestamp::now() + SignedDuration::from_secs(INSTALLATION_TOKEN);
        let mut document = json!({
            "token": token,
            "expires_at": written(expires_at),
            "permissions": self.apps[&app].permissions,
            "repository_selection": if installation.chosen.is_some() || chosen.is_some() { "selected" } else { "all" },
        });
        if let Some(chosen) = &chosen {
            let listed = chosen.iter().map(|id| self.repository_document(&self.repositories[id]));
            document["repositories"] = Value::Array(listed.collect());
        }
        self.installation_tokens
            .insert(token, InstallationToken { installation: installation.id, repositories: chosen, expires_at });
        Ok(Told::json(201, &document))
    }

    fn user_installations(&self, caller: &Caller, asked: &Asked) -> Outcome {
        let (user, app) = self.as_user(caller)?;
        let accounts: BTreeSet<u64> = self.accounts_of(user).iter().map(|it| it.id).collect();
        let all = self.installations.values().filter(|it| it.app == app && accounts.contains(&it.account));
        let all: Vec<_> = all.map(|it| self.installation_document(it)).collect();
        let total = all.len();
        let url = format!("{}/user/installations", self.api);
        Ok(paged(all, asked, &url, |page| json!({ "total_count": total, "installations": page })))
    }

    fn its_repositories(&self, caller: &Caller, asked: &Asked) -> Outcome {
        let Caller::Installation { installation, repositories } = caller else {
            return Err(refused(
                403,
                "You must authenticate with an installation access token in order to list repositories for an installation.",
            ));
        };
        let all = self.repositories_of(&self.installations[installation]).into_iter();
        let all = all.filter(|it| repositories.as_ref().is_none_or(|only| only.contains(&it.id)));
        let all: Vec<_> = all.map(|it| self.repository_document(it)).collect();
        let total = all.len();
        let document = |page| json!({ "total_count": total, "repositories": page });
        Ok(paged(all, asked, &format!("{}/installation/repositories", self.api), document))
    }

    fn user_repositories(&self, caller: &Caller, id: &str, asked: &Asked) -> Outcome {
        let (user, app) = self.as_user(caller)?;
        let found = id.parse().ok().and_then(|id: u64| self.installations.get(&id)).filter(|it| it.app == app);
        let installation = found.ok_or_else(not_found)?;
        if !self.accounts_of(user).iter().any(|it| it.id == installation.account) {
            return Err(not_found());
        }
        if installation.suspended_at.is_some() {
            return Err(refused(403, "This installation has been suspended"));
        }
        let all = self.repositories_of(installation).into_iter().filter(|it| self.may_see(user, it));
        let all: Vec<_> = all.map(|it| self.repository_document(it)).collect();
        let total = all.len();
        let url = format!("{}/user/installations/{}/repositories", self.api, installation.id);
        let selection = if installation.chosen.is_some() { "selected" } else { "all" };
        let document = |page| json!({ "total_count": total, "repository_selection": selection, "repositories": page });
        Ok(paged(all, asked, &url, document))
    }
}

/// Whether a token is an App's: its signature, its issuer, and its ten minutes.
fn is_signed(token: &str, public_key: &[u8], app: u64, now: Timestamp) -> bool {
    let mut rules = Validation::new(Algorithm::RS256);
    rules.set_required_spec_claims(&["exp", "iss"]);
    rules.set_issuer(&[app.to_string()]);
    rules.leeway = 5;
    let Ok(token) = jsonwebtoken::decode::<Value>(token, &DecodingKey::from_rsa_der(public_key), &rules) else { return false };
    let claim = |name: &str| token.claims[name].as_i64();
    let (Some(issued), Some(expires)) = (claim("iat"), claim("exp")) else { return false };
    issued <= now.as_second() && expires - now.as_second() <= 600
}
