//! The App itself: the manifest by which GitHub makes it in one click, its keys, its installations, its webhook.

use http::Method;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;

use crate::call::{Call, Credentials, GitHub, Listing};
use crate::error::{Result, Whose};
use crate::ids::InstallationId;
use crate::keys::AppKeys;
use crate::repositories::{Installation, InstallationDocument};
use crate::secret::Secret;

/// What the App is to be (GitHub Docs, "Registering a GitHub App from a manifest").
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Manifest {
    name: String,
    url: String,
    hook_attributes: Hook,
    redirect_url: String,
    callback_urls: Vec<String>,
    setup_url: String,
    description: String,
    public: bool,
    request_oauth_on_install: bool,
    setup_on_update: bool,
    default_events: Vec<&'static str>,
    default_permissions: Permissions,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Hook {
    url: String,
    active: bool,
}

/// What is asked for, and nothing beyond it: nobody's e-mail address, no writing to code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Permissions {
    contents: &'static str,
    deployments: &'static str,
    metadata: &'static str,
    statuses: &'static str,
}

/// The longest name that GitHub takes for an App, in characters.
const NAME_MAX: usize = 34;

impl Manifest {
    /// A manifest for a platform.
    ///
    /// - `name`: shown to everybody who signs in; unique on GitHub, and cut at 34 characters.
    /// - `platform`: the platform's own address.
    /// - `redirect`: where GitHub sends the operator with the code that becomes the keys.
    /// - `callback`: where it sends whoever has signed in or has installed the App.
    /// - `hook`: where it sends deliveries. Where GitHub can't reach it, `is_reachable` is false, and nothing is sent until that is changed.
    pub fn new(name: &str, platform: &Url, redirect: &Url, callback: &Url, hook: &Url, is_reachable: bool) -> Self {
        Self {
            name: name.trim().chars().take(NAME_MAX).collect(),
            url: platform.to_string(),
            hook_attributes: Hook { url: hook.to_string(), active: is_reachable },
            redirect_url: redirect.to_string(),
            callback_urls: vec![callback.to_string()],
            // Unused as long as an installation asks for authorization, which leads to the callback.
            setup_url: callback.to_string(),
            description: "Deploys repositories to Adaptable when they are pushed to.".to_owned(),
            // A private App can be installed by its owner alone; users have accounts and organisations of their own.
            public: true,
            request_oauth_on_install: true,
            setup_on_update: true,
            // What tells of installations is sent to every App, and can't be asked for.
            default_events: vec!["push", "repository"],
            default_permissions: Permissions { contents: "read", deployments: "write", metadata: "read", statuses: "write" },
        }
    }

    /// The document that a form posts, in the field `manifest`.
    pub fn to_json(&self) -> String {
        json!(self).to_string()
    }
}

/// What GitHub says of an App.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AppInfo {
    /// Its number.
    pub id: u64,
    /// Its name in URLs.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// Its page.
    pub html_url: String,
    /// What it is known by to OAuth. Enterprise Servers before 3.14 don't tell.
    pub client_id: Option<String>,
    /// Which events it is told of.
    #[serde(default)]
    pub events: Vec<String>,
    /// What it may do, by name: `read` or `write`.
    #[serde(default)]
    pub permissions: std::collections::BTreeMap<String, String>,
}

impl AppInfo {
    /// What it lacks to be of use here: rights and events, in words that GitHub's page for them uses. Empty where nothing is missing.
    pub fn missing(&self) -> Vec<&'static str> {
        let may = |name: &str, write: bool| match self.permissions.get(name).map(String::as_str) {
            Some("write" | "admin") => true,
            Some("read") => !write,
            _ => false,
        };
        let told = |event: &str| self.events.iter().any(|other| other == event);
        [
            (may("contents", false), "Contents: Read-only"),
            (may("metadata", false), "Metadata: Read-only"),
            (may("statuses", true), "Commit statuses: Read and write"),
            (may("deployments", true), "Deployments: Read and write"),
            (told("push"), "the event Push"),
            (told("repository"), "the event Repository"),
        ]
        .into_iter()
        .filter_map(|(is_there, words)| (!is_there).then_some(words))
        .collect()
    }
}

#[derive(Deserialize)]
struct Conversion {
    id: u64,
    slug: String,
    name: String,
    html_url: String,
    client_id: String,
    client_secret: Secret,
    pem: Secret,
    webhook_secret: Option<Secret>,
}

impl GitHub {
    /// Where the form with the manifest is posted to: `state` comes back with the code. An App of an organisation has its own page.
    pub fn manifest_url(&self, organization: Option<&str>, state: &str) -> Url {
        let mut url = match organization {
            None => self.endpoints().page(&["settings", "apps", "new"]),
            Some(name) => self.endpoints().page(&["organizations", name, "settings", "apps", "new"]),
        };
        url.query_pairs_mut().append_pair("state", state);
        url
    }

    /// Makes the App's keys of the code with which GitHub came back, once and within the hour.
    pub async fn convert_manifest(&self, code: &str) -> Result<AppKeys> {
        let url = self.endpoints().resource(&["app-manifests", code, "conversions"]);
        let call = Call { body: None, ..Call::post(Credentials::NOBODY, url, "get the App's keys", json!({})) };
        let made: Conversion = self.ask(call).await?;
        let keys = AppKeys {
            id: made.id,
            slug: made.slug,
            name: made.name,
            html_url: made.html_url,
            client_id: made.client_id,
            client_secret: made.client_secret,
            private_key: made.pem,
            webhook_secret: made.webhook_secret.unwrap_or_default(),
        };
        keys.check()?;
        Ok(keys)
    }

    /// What GitHub says of the App: that its number and its key are right, and what it may do.
    pub async fn app(&self, keys: &AppKeys) -> Result<AppInfo> {
        let jwt = keys.token(Timestamp::now())?;
        let url = self.endpoints().resource(&["app"]);
        self.ask(Call::get(by_app(&jwt), url, "look at the GitHub App")).await
    }

    /// Where a person chooses an account and repositories for the App; GitHub leads back with `state`.
    pub fn install_url(&self, keys: &AppKeys, state: &str) -> Url {
        // An Enterprise Server has the pages of Apps below /github-apps, github.com below /apps; the App's own page knows.
        let mut url = match Url::parse(&keys.html_url) {
            Ok(page) if page.origin() == self.endpoints().web().origin() => page,
            _ => self.endpoints().page(&["apps", &keys.slug]),
        };
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["installations", "new"]);
        }
        url.query_pairs_mut().append_pair("state", state);
        url
    }

    /// All installations of the App.
    pub async fn app_installations(&self, keys: &AppKeys) -> Result<Listing<Installation>> {
        let jwt = keys.token(Timestamp::now())?;
        let url = self.endpoints().resource(&["app", "installations"]);
        let call = Call::get(by_app(&jwt), url, "list the App's installations");
        self.all(call, |page: Vec<InstallationDocument>| page.into_iter().map(Installation::from).collect()).await
    }

    /// An installation of the App.
    pub async fn app_installation(&self, keys: &AppKeys, id: InstallationId) -> Result<Installation> {
        let jwt = keys.token(Timestamp::now())?;
        let url = self.endpoints().resource(&["app", "installations", &id.to_string()]);
        let document: InstallationDocument = self.ask(Call::get(by_app(&jwt), url, "look at the App's installation")).await?;
        Ok(document.into())
    }

    /// Tells GitHub where deliveries go and what they are signed with: after the platform's address or the secret has changed.
    pub async fn set_webhook(&self, keys: &AppKeys, hook: &Url) -> Result<()> {
        let jwt = keys.token(Timestamp::now())?;
        let url = self.endpoints().resource(&["app", "hook", "config"]);
        let body = json!({
            "url": hook.as_str(),
            "content_type": "json",
            "insecure_ssl": "0",
            "secret": keys.webhook_secret.reveal(),
        });
        let call = Call { method: Method::PATCH, ..Call::post(by_app(&jwt), url, "set the App's webhook", body) };
        self.tell(call).await
    }
}

fn by_app(jwt: &Secret) -> Credentials<'_> {
    Credentials { whose: Whose::App, token: Some(jwt) }
}
