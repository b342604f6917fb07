//! The platform's GitHub App: made at GitHub by a manifest, or entered, checked against GitHub before it is kept, and removed.

use api::{ErrorBody, ErrorCode, GitHubApp, GitHubDelivery, GitHubState, NewGitHubApp};
use github::{AppKeys, Manifest, Secret};
use url::Url;

use super::flows::{Errand, ManifestForm};
use super::from_github;
use super::oauth::Arrival;
use crate::access::Who;
use crate::error::{Result, internal};
use crate::{Control, clock};

/// Deliveries that are shown.
const SHOWN: u32 = 50;

impl Control {
    /// How far the set-up has come, and whether the one who asks has connected an account.
    pub async fn github_state(&self, who: &Who) -> Result<GitHubState> {
        let web = self.github_endpoints().web().as_str().trim_end_matches('/').to_owned();
        let app = match self.inner.hub.keys() {
            None => None,
            Some(keys) => {
                let kept = self.read(|tx| tx.github_app::<AppKeys>()).await?;
                let (created_at, problem) = kept.map(|kept| (kept.created_at, kept.problem)).unwrap_or_default();
                Some(GitHubApp {
                    id: keys.id,
                    name: keys.name.clone(),
                    slug: keys.slug.clone(),
                    page: keys.html_url.clone(),
                    created_at: clock::timestamp(created_at),
                    webhook: self.hook_url()?.into(),
                    problem,
                })
            }
        };
        Ok(GitHubState { web, app, connected: self.is_connected(who).await? })
    }

    /// The form by which GitHub makes the App, owned by the operator who posts it or by an organisation. `browser` is what a cookie of the
    /// browser holds; the same has to come back.
    pub async fn begin_github_setup(&self, organization: Option<&str>, browser: &str) -> Result<ManifestForm> {
        if self.has_github() {
            return Err(there_is_one());
        }
        if organization.is_some_and(|name| !is_login(name)) {
            return Err(ErrorBody::new(ErrorCode::BadRequest, "this is no name of an organisation on GitHub")
                .help("it is the one in the address of its page: letters, digits and hyphens"));
        }
        let state = self.depart(Errand::SetUp, "/operator/github", browser, None).await?;
        let platform = self.platform_url("/")?;
        let manifest = Manifest::new(
            &format!("Adaptable {}", self.inner.config.urls.domain),
            &platform,
            &self.platform_url("/operator/github/created")?,
            &self.callback_url()?,
            &self.hook_url()?,
            self.is_reachable(),
        );
        let action = self.inner.hub.client.manifest_url(organization, &state);
        Ok(ManifestForm { action: action.into(), manifest: manifest.to_json() })
    }

    /// GitHub has made the App, and the operator comes back with a code that becomes its keys.
    pub async fn finish_github_setup(&self, code: &str, state: &str, browser: &str) -> Result<Arrival> {
        let control = self.clone();
        let back = (code.to_owned(), state.to_owned(), browser.to_owned());
        self.once_back(state, browser, async move { control.convert(&back.0, &back.1, &back.2).await }).await
    }

    async fn convert(&self, code: &str, state: &str, browser: &str) -> Result<Arrival> {
        let flow = self.arrive(state, browser).await?;
        if flow.errand != Errand::SetUp {
            return Err(
                ErrorBody::new(ErrorCode::BadRequest, "this way back from GitHub is for something else").help("begin again")
            );
        }
        if self.has_github() {
            return Err(there_is_one());
        }
        let keys = self.inner.hub.client.convert_manifest(code).await.map_err(from_github)?;
        self.keep_github_app(keys).await?;
        Ok(Arrival::at(flow.next))
    }

    /// Keeps an App that is there already, once GitHub has said that its number and its key belong together and it may do what is needed.
    pub async fn enter_github_app(&self, new: NewGitHubApp) -> Result<GitHubApp> {
        if self.has_github() {
            return Err(there_is_one());
        }
        let keys = AppKeys {
            id: new.id,
            slug: String::new(),
            name: String::new(),
            html_url: String::new(),
            client_id: new.client_id.trim().to_owned(),
            client_secret: Secret::new(new.client_secret.trim()),
            // A form's text area has line breaks of its own.
            private_key: Secret::new(new.private_key.trim().replace("\r\n", "\n") + "\n"),
            webhook_secret: Secret::new(new.webhook_secret.trim()),
        };
        let bad = |what: String| ErrorBody::new(ErrorCode::BadRequest, what);
        keys.check().map_err(|error| bad(error.to_string()).help("GitHub shows them on the App's settings page"))?;
        let info = self.inner.hub.client.app(&keys).await.map_err(from_github)?;
        if info.id != keys.id {
            return Err(bad(format!("the private key is that of the App {}, not of {}", info.id, keys.id)));
        }
        if info.client_id.as_ref().is_some_and(|id| *id != keys.client_id) {
            return Err(bad("the client id is not that of this App".to_owned())
                .help("it stands on the App's settings page, as Iv1.… or Iv23…"));
        }
        let missing = info.missing();
        if !missing.is_empty() {
            return Err(bad(format!("the App lacks {}", missing.join(", ")))
                .help("change it on the App's settings page on GitHub, under \"Permissions & events\", and enter it again"));
        }
        let keys = AppKeys { slug: info.slug, name: info.name, html_url: info.html_url, ..keys };
        // Where deliveries go and what they are signed with is known here, whatever was said there.
        if self.is_reachable() {
            let hook = self.hook_url()?;
            self.inner.hub.client.set_webhook(&keys, &hook).await.map_err(from_github)?;
        }
        self.keep_github_app(keys).await
    }

    /// Forgets the App and all that was had by it. Apps stay, and say that nothing is deployed by pushes.
    pub async fn remove_github_app(&self) -> Result<()> {
        self.github_keys()?;
        self.write(|tx| tx.remove_github_app()).await?;
        self.inner.hub.set_keys(None);
        Ok(())
    }

    /// What GitHub told the platform lately, the newest first.
    pub async fn github_deliveries(&self) -> Result<Vec<GitHubDelivery>> {
        let rows = self.read(|tx| tx.deliveries(SHOWN)).await?;
        let waiting = |row: &store::Delivery| row.state == store::DeliveryState::Waiting && row.tries > 0;
        let list = rows.into_iter().map(|row| GitHubDelivery {
            next_at: waiting(&row).then(|| clock::timestamp(row.next_at)),
            id: row.id,
            event: row.event,
            received_at: clock::timestamp(row.received_at),
            state: row.state.as_str().to_owned(),
            tries: row.tries,
            result: row.result,
        });
        Ok(list.collect())
    }

    async fn keep_github_app(&self, keys: AppKeys) -> Result<GitHubApp> {
        let (kept, now) = (keys.clone(), clock::now());
        self.write(move |tx| tx.set_github_app(&kept, now)).await?;
        tracing::info!(app = %keys.slug, id = keys.id, "the GitHub App is set up");
        self.inner.hub.set_keys(Some(keys));
        let state = self.github_state(&Who::Operator).await?;
        state.app.ok_or_else(|| internal("keep the GitHub App", &"it is gone again"))
    }

    /// Where an App has to send whoever has signed in.
    pub fn github_callback(&self) -> Result<String> {
        self.callback_url().map(Into::into)
    }

    /// A page of the platform's.
    pub(super) fn platform_url(&self, path: &str) -> Result<Url> {
        let url = Url::parse(&self.inner.config.urls.platform()).and_then(|url| url.join(path));
        url.map_err(|error| internal("tell its own address", &error))
    }

    /// Where GitHub sends whoever has signed in or installed the App.
    pub(super) fn callback_url(&self) -> Result<Url> {
        self.platform_url("/sign-in/github/callback")
    }

    /// Where GitHub sends deliveries.
    pub(super) fn hook_url(&self) -> Result<Url> {
        self.platform_url("/hooks/github")
    }

    /// Whether GitHub can send anything here: not to a name that every machine has for itself, unless GitHub is on this one.
    fn is_reachable(&self) -> bool {
        let domain = self.inner.config.urls.domain.as_str();
        let is_here = |host: &str| host == "localhost" || host.ends_with(".localhost");
        let github = self.github_endpoints().web();
        !is_here(domain) || github.scheme() == "http"
    }
}

/// A name of an account on GitHub, or one of an Enterprise with managed users.
fn is_login(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        && !text.starts_with('-')
}

fn there_is_one() -> ErrorBody {
    ErrorBody::new(ErrorCode::Conflict, "a GitHub App is set up already").help("remove it first, at /operator/github")
}
