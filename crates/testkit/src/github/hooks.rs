//! What the stand-in tells an App of: deliveries with their signatures, as GitHub sends them, each kept so that it can be sent again.

use std::collections::BTreeSet;
use std::io;
use std::net::TcpStream;
use std::time::Duration;

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use url::Url;

use super::Delivery;
use super::repositories::Commit;
use super::server::{Shared, locked};
use super::state::{App, Installation, Repository, State, hex, random};
use crate::http::{connect, exchange};

/// How long an App has for its answer (GitHub Docs, "Troubleshooting webhooks").
const PATIENCE: Duration = Duration::from_secs(10);

/// A delivery on its way.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    url: String,
    authorities: Vec<u8>,
    headers: Vec<(String, String)>,
    delivery: Delivery,
}

/// The signature of a body, as its header has it.
pub(super) fn signature(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("sha256={}", hex(hmac::sign(&key, body).as_ref()))
}

fn old_signature(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    format!("sha1={}", hex(hmac::sign(&key, body).as_ref()))
}

/// Sends deliveries one after the other; they come back with the answers, and are kept.
pub(super) fn send(shared: &Shared, outgoing: Vec<Outgoing>) -> Vec<Delivery> {
    let sent = outgoing.into_iter().map(|one| {
        let mut delivery = one.delivery.clone();
        match post(&one) {
            Ok(answer) => {
                delivery.status = Some(answer.0);
                delivery.answer = answer.1;
            }
            Err(error) => delivery.answer = error.to_string(),
        }
        locked(shared).deliveries.push(delivery.clone());
        delivery
    });
    sent.collect()
}

/// Sends deliveries while the caller goes on.
pub(super) fn send_later(shared: &Shared, outgoing: Vec<Outgoing>) {
    let shared = shared.clone();
    if !outgoing.is_empty() {
        std::thread::spawn(move || send(&shared, outgoing));
    }
}

fn post(outgoing: &Outgoing) -> io::Result<(u16, String)> {
    let url = Url::parse(&outgoing.url).map_err(io::Error::other)?;
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(443);
    let authority = format!("{host}:{port}");
    let addresses = url.socket_addrs(|| None)?;
    let address = addresses.iter().find(|it| it.is_ipv4()).or_else(|| addresses.first()).copied();
    let address = address.ok_or_else(|| io::Error::other("the host has no address"))?;
    let headers: Vec<_> = outgoing.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let body = outgoing.delivery.body.as_bytes();
    let answer = if url.scheme() == "https" {
        let stream = connect(address, host, &outgoing.authorities)?;
        stream.sock.set_read_timeout(Some(PATIENCE))?;
        exchange(stream, "POST", &authority, url.path(), &headers, body)?
    } else {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        exchange(stream, "POST", &authority, url.path(), &headers, body)?
    };
    Ok((answer.status, answer.text()))
}

impl State {
    /// A delivery for an App. `None` where the App's webhook is not active, or the App is not told of such events.
    pub(super) fn outgoing(&self, app: &App, event: &str, document: &Value) -> Option<Outgoing> {
        // GitHub Docs, "Webhook events and payloads": those are sent to every App.
        let is_always = matches!(
            event,
            "installation" | "installation_repositories" | "installation_target" | "github_app_authorization" | "ping"
        );
        if !app.hook_is_active || !is_always && !app.events.iter().any(|other| other == event) {
            return None;
        }
        let delivery = Delivery {
            app: app.id,
            id: guid(),
            event: event.to_owned(),
            body: document.to_string(),
            status: None,
            answer: String::new(),
        };
        Some(self.again(app, delivery))
    }

    /// A delivery with the App's address and secret as they are now.
    pub(super) fn again(&self, app: &App, delivery: Delivery) -> Outgoing {
        let body = delivery.body.as_bytes();
        let headers = [
            ("user-agent", "GitHub-Hookshot/0000000".to_owned()),
            ("content-type", "application/json".to_owned()),
            ("accept", "*/*".to_owned()),
            ("x-github-delivery", delivery.id.clone()),
            ("x-github-event", delivery.event.clone()),
            ("x-github-hook-id", (app.id + 1).to_string()),
            ("x-github-hook-installation-target-id", app.id.to_string()),
            ("x-github-hook-installation-target-type", "integration".to_owned()),
            ("x-hub-signature", old_signature(&app.webhook_secret, body)),
            ("x-hub-signature-256", signature(&app.webhook_secret, body)),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Outgoing { url: app.hook_url.clone(), authorities: self.authorities.clone(), headers, delivery }
    }

    /// `push`, to every App that sees the repository.
    pub(super) fn told_of_push(
        &self,
        repository: &Repository,
        branch: &str,
        before: &str,
        head: Option<&Commit>,
        forced: bool,
    ) -> Vec<Outgoing> {
        const NONE: &str = "0000000000000000000000000000000000000000";
        let full_name = self.full_name(repository);
        let owner = &self.accounts[&repository.owner];
        let pusher = self.accounts.values().find(|it| owner.members.contains(&it.id)).unwrap_or(owner);
        let after = head.map_or(NONE, |head| head.sha.as_str());
        let commit = head.map(|head| self.pushed_commit_document(&full_name, head));
        let mut about = self.repository_document(repository);
        about["created_at"] = json!(1_577_836_800);
        about["pushed_at"] = json!(repository.pushed_at.as_second());
        about["url"] = json!(format!("{}/{full_name}", self.web));
        about["stargazers"] = json!(0);
        about["master_branch"] = json!(repository.default_branch);
        about["owner"]["name"] = json!(owner.login);
        about["owner"]["email"] = Value::Null;
        let mut document = json!({
            "ref": format!("refs/heads/{branch}"),
            "before": before,
            "after": after,
            "repository": about,
            "pusher": { "name": pusher.login, "email": format!("{}@users.example", pusher.login) },
            "sender": self.user_document(pusher),
            "created": before == NONE,
            "deleted": head.is_none(),
            "forced": forced,
            "base_ref": null,
            "compare": format!("{}/{full_name}/compare/{}...{}", self.web, &before[..12], &after[..12]),
            "commits": commit.iter().collect::<Vec<_>>(),
            "head_commit": commit,
        });
        self.to_all(repository, "push", &mut document)
    }

    /// `repository`, to every App that sees it.
    pub(super) fn told_of_repository(&self, repository: &Repository, action: &str, changes: Option<Value>) -> Vec<Outgoing> {
        let mut document = json!({
            "action": action,
            "repository": self.repository_document(repository),
            "sender": self.user_document(&self.accounts[&repository.owner]),
        });
        if let Some(changes) = changes {
            document["changes"] = changes;
        }
        self.to_all(repository, "repository", &mut document)
    }

    fn to_all(&self, repository: &Repository, event: &str, document: &mut Value) -> Vec<Outgoing> {
        let installations = self.installations_of(repository).into_iter().filter(|it| it.suspended_at.is_none());
        let each = installations.filter_map(|installation| {
            document["installation"] = json!({ "id": installation.id, "node_id": format!("I_{}", installation.id) });
            self.outgoing(&self.apps[&installation.app], event, document)
        });
        each.collect()
    }

    /// `installation`, to its App.
    pub(super) fn told_of_installation(&self, installation: &Installation, action: &str, sender: u64) -> Vec<Outgoing> {
        let listed = self.repositories_of(installation).into_iter().map(|it| self.short_repository(it));
        let document = json!({
            "action": action,
            "installation": self.installation_document(installation),
            "repositories": listed.collect::<Vec<_>>(),
            "requester": null,
            "sender": self.user_document(&self.accounts[&sender]),
        });
        self.outgoing(&self.apps[&installation.app], "installation", &document).into_iter().collect()
    }

    /// Gives an installation other repositories; what its App is told of that.
    pub(super) fn choose(
        &mut self,
        installation: &mut Installation,
        wanted: Option<BTreeSet<u64>>,
        sender: u64,
    ) -> Vec<Outgoing> {
        let ids = |state: &Self, it: &Installation| state.repositories_of(it).iter().map(|it| it.id).collect::<BTreeSet<_>>();
        let before = ids(self, installation);
        installation.chosen = wanted;
        let after = ids(self, installation);
        self.installations.insert(installation.id, installation.clone());
        let listed =
            |some: Vec<&u64>| some.into_iter().map(|id| self.short_repository(&self.repositories[id])).collect::<Vec<_>>();
        let added = listed(after.difference(&before).collect());
        let removed = listed(before.difference(&after).collect());
        let mut outgoing = Vec::new();
        for (action, is_some) in [("added", !added.is_empty()), ("removed", !removed.is_empty())] {
            let mut document = json!({
                "action": action,
                "installation": self.installation_document(installation),
                "repository_selection": if installation.chosen.is_some() { "selected" } else { "all" },
                "repositories_added": [],
                "repositories_removed": [],
                "requester": null,
                "sender": self.user_document(&self.accounts[&sender]),
            });
            document[format!("repositories_{action}")] = json!(if action == "added" { &added } else { &removed });
            if is_some {
                outgoing.extend(self.outgoing(&self.apps[&installation.app], "installation_repositories", &document));
            }
        }
        outgoing
    }
}

/// A delivery's id (RFC 9562, version 4 in form).
fn guid() -> String {
    let digits = random(16);
    format!("{}-{}-4{}-8{}-{}", &digits[..8], &digits[8..12], &digits[13..16], &digits[17..20], &digits[20..])
}
