//! Apps of the stand-in: made of a manifest or at once, installed, and what their owners may do with them.

use std::collections::BTreeSet;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::encoding::Pkcs8V1Der;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::server::locked;
use super::state::{self, Installation, State, random};
use super::{Delivery, GitHub, hooks};

/// An App and its keys, as its owner has them.
#[derive(Debug, Clone)]
pub struct App {
    /// Its number.
    pub id: u64,
    /// Its name in URLs.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// Its page.
    pub html_url: String,
    /// What it is known by to OAuth.
    pub client_id: String,
    /// What it shows to OAuth.
    pub client_secret: String,
    /// What it signs with: RSA, PEM.
    pub private_key: String,
    /// What deliveries are signed with.
    pub webhook_secret: String,
}

impl GitHub {
    /// Makes an App at once, with the rights and events that the platform's manifest asks for.
    pub fn app(&self, owner: &str, name: &str, callback: &str, hook: &str) -> App {
        let manifest = json!({
            "name": name,
            "url": callback,
            "redirect_url": callback,
            "callback_urls": [callback],
            "hook_attributes": { "url": hook, "active": true },
            "public": true,
            "request_oauth_on_install": true,
            "default_events": ["push", "repository"],
            "default_permissions": { "contents": "read", "deployments": "write", "metadata": "read", "statuses": "write" },
        });
        let mut state = locked(&self.shared);
        let owner = state.account(owner).unwrap_or_else(|| panic!("there is no {owner}")).id;
        let id = state.make_app(owner, &manifest).expect("an App");
        state.keys(id)
    }

    /// The App of this name in URLs.
    pub fn app_named(&self, slug: &str) -> Option<App> {
        let state = locked(&self.shared);
        let id = state.apps.values().find(|app| app.slug == slug)?.id;
        Some(state.keys(id))
    }

    /// Installs an App on an account at once: on all its repositories, or on those of these names (without the owner). Tells the App, and
    /// waits for its answer. The installation's number.
    pub fn install(&self, app: u64, account: &str, repositories: Option<&[&str]>) -> u64 {
        let (id, outgoing) = {
            let mut state = locked(&self.shared);
            let owner = state.account(account).unwrap_or_else(|| panic!("there is no {account}")).id;
            let chosen = repositories.map(|names| state.numbers(account, names));
            let id = state.id();
            let installation = Installation { id, app, account: owner, chosen, suspended_at: None, created_at: Timestamp::now() };
            state.installations.insert(id, installation.clone());
            let sender = state.apps[&app].owner;
            (id, state.told_of_installation(&installation, "created", sender))
        };
        hooks::send(&self.shared, outgoing);
        id
    }

    /// Gives an installation other repositories (names without the owner; none: all), and tells its App.
    pub fn choose(&self, installation: u64, repositories: Option<&[&str]>) -> Vec<Delivery> {
        let outgoing = {
            let mut state = locked(&self.shared);
            let mut found = state.installations[&installation].clone();
            let account = state.accounts[&found.account].login.clone();
            let wanted = repositories.map(|names| state.numbers(&account, names));
            let sender = state.apps[&found.app].owner;
            state.choose(&mut found, wanted, sender)
        };
        hooks::send(&self.shared, outgoing)
    }

    /// Suspends an installation, or ends that, and tells its App.
    pub fn suspend(&self, installation: u64, is_suspended: bool) -> Vec<Delivery> {
        let outgoing = {
            let mut state = locked(&self.shared);
            let found = state.installations.get_mut(&installation).expect("an installation");
            found.suspended_at = is_suspended.then(Timestamp::now);
            let found = found.clone();
            let sender = state.apps[&found.app].owner;
            state.told_of_installation(&found, if is_suspended { "suspend" } else { "unsuspend" }, sender)
        };
        hooks::send(&self.shared, outgoing)
    }

    /// Removes an installation, and tells its App.
    pub fn uninstall(&self, installation: u64) -> Vec<Delivery> {
        let outgoing = {
            let mut state = locked(&self.shared);
            let found = state.installations[&installation].clone();
            let sender = state.apps[&found.app].owner;
            let outgoing = state.told_of_installation(&found, "deleted", sender);
            state.installations.remove(&installation);
            outgoing
        };
        hooks::send(&self.shared, outgoing)
    }

    /// Deletes an App with its installations and tokens.
    pub fn delete_app(&self, app: u64) {
        let mut state = locked(&self.shared);
        state.installations.retain(|_, it| it.app != app);
        state.user_tokens.retain(|_, it| it.app != app);
        state.refresh_tokens.retain(|_, it| it.app != app);
        state.authorized.retain(|(_, other)| *other != app);
        state.apps.remove(&app);
    }

    /// Gives an account another login, and tells the Apps on it.
    pub fn rename_account(&self, login: &str, to: &str) -> Vec<Delivery> {
        let outgoing: Vec<_> = {
            let mut state = locked(&self.shared);
            let id = state.account(login).unwrap_or_else(|| panic!("there is no {login}")).id;
            let account = state.accounts.get_mut(&id).expect("it was there");
            to.clone_into(&mut account.login);
            let account = account.clone();
            let moved: Vec<_> = state.repositories.values().filter(|it| it.owner == id).map(|it| it.id).collect();
            for repository in moved {
                let repository = state.repositories.get_mut(&repository).expect("it was there");
                let old = format!("{login}/{}", repository.name);
                repository.old_names.push(old);
            }
            let installed = state.installations.values().filter(|it| it.account == id);
            let each = installed.filter_map(|installation| {
                let document = json!({
                    "action": "renamed",
                    "account": state.user_document(&account),
                    "changes": { "login": { "from": login } },
                    "installation": { "id": installation.id, "node_id": format!("I_{}", installation.id) },
                    "target_type": if account.is_organization { "Organization" } else { "User" },
                    "sender": state.user_document(&account),
                });
                state.outgoing(&state.apps[&installation.app], "installation_target", &document)
            });
            each.collect()
        };
        hooks::send(&self.shared, outgoing)
    }

    /// Tells an App that it is heard.
    pub fn ping(&self, app: u64) -> Delivery {
        let outgoing = {
            let state = locked(&self.shared);
            let app = &state.apps[&app];
            let hook = json!({
                "type": "App",
                "id": app.id + 1,
                "name": "web",
                "active": app.hook_is_active,
                "events": app.events,
                "config": { "content_type": "json", "insecure_ssl": "0", "secret": "********", "url": app.hook_url },
                "updated_at": "2020-01-01T00:00:00Z",
                "created_at": "2020-01-01T00:00:00Z",
                "app_id": app.id,
                "deliveries_url": format!("{}/app/hook/deliveries", state.api),
            });
            let document = json!({ "zen": "Speak like a human.", "hook_id": app.id + 1, "hook": hook });
            state.outgoing(app, "ping", &document).expect("an App whose webhook is active")
        };
        hooks::send(&self.shared, vec![outgoing]).pop().expect("one delivery")
    }
}

impl State {
    /// The numbers of an account's repositories.
    fn numbers(&self, account: &str, names: &[&str]) -> BTreeSet<u64> {
        let number = |name: &&str| {
            let full_name = format!("{account}/{name}");
            self.repository(&full_name).unwrap_or_else(|| panic!("there is no {full_name}")).id
        };
        names.iter().map(number).collect()
    }

    fn keys(&self, id: u64) -> App {
        let app = &self.apps[&id];
        App {
            id,
            slug: app.slug.clone(),
            name: app.name.clone(),
            html_url: format!("{}/apps/{}", self.web, app.slug),
            client_id: app.client_id.clone(),
            client_secret: app.client_secret.clone(),
            private_key: app.private_key.clone(),
            webhook_secret: app.webhook_secret.clone(),
        }
    }

    /// Makes an App of a manifest that was checked; its number, or what GitHub says against its name.
    pub(super) fn make_app(&mut self, owner: u64, manifest: &Value) -> Result<u64, String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let texts = |value: &Value| value.as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
        let name = text(&manifest["name"]);
        if name.trim().is_empty() || name.chars().count() > 34 {
            return Err("Name is too long or too short.".to_owned());
        }
        let slug: String = name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        if self.apps.values().any(|app| app.slug == slug) {
            return Err("Name is already taken".to_owned());
        }
        let (private_key, public_key) = key();
        let permissions = manifest["default_permissions"].as_object().into_iter().flatten();
        let id = self.id();
        let app = state::App {
            id,
            slug,
            name,
            owner,
            url: text(&manifest["url"]),
            client_id: format!("Iv23li{}", random(7)),
            client_secret: random(20),
            private_key,
            public_key,
            webhook_secret: random(20),
            hook_url: text(&manifest["hook_attributes"]["url"]),
            hook_is_active: manifest["hook_attributes"]["active"].as_bool().unwrap_or(true),
            callbacks: texts(&manifest["callback_urls"]),
            is_public: manifest["public"].as_bool().unwrap_or_default(),
            asks_on_install: manifest["request_oauth_on_install"].as_bool().unwrap_or_default(),
            events: texts(&manifest["default_events"]),
            permissions: permissions.map(|(name, right)| (name.clone(), text(right))).collect(),
        };
        self.apps.insert(id, app);
        Ok(id)
    }
}

/// A new key: PEM as GitHub's are (PKCS #1), and its public part in DER.
fn key() -> (String, Vec<u8>) {
    let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
    let public = pair.public_key().as_ref().to_vec();
    let pkcs8: Pkcs8V1Der<'static> = pair.as_der().expect("a key that can be written");
    // PKCS #8 is PKCS #1 within an octet string, after 26 bytes that are the same for every RSA key of this size (RFC 5208, section 5).
    let inner = &pkcs8.as_ref()[26..];
    assert_eq!(&inner[..2], [0x30, 0x82], "a sequence");
    let text = base64::engine::general_purpose::STANDARD.encode(inner);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    (format!("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----\n", lines.join("\n")), public)
}
