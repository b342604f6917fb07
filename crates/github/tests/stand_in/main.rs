//! The client against the stand-in of GitHub, and both against GitHub's own description of its API.

mod description;
mod hooks;
mod repositories;
mod signing;
mod trouble;

use github::{AppKeys, Endpoints, GitHub, InstallationId, Manifest, RepositoryName, Secret, UserToken};
use testkit::github::{App, GitHub as StandIn};
use url::Url;

/// Where the platform would be; nobody listens there, and nobody is asked to.
const PLATFORM: &str = "https://platform.example";

fn platform(path: &str) -> Url {
    Url::parse(PLATFORM).and_then(|url| url.join(path)).expect("an address")
}

fn client(stand_in: &StandIn) -> GitHub {
    let endpoints = Endpoints::new(&stand_in.web(), &stand_in.api()).expect("loopback");
    GitHub::new(endpoints, b"").expect("a client")
}

fn name(text: &str) -> RepositoryName {
    RepositoryName::parse(text).expect("a name")
}

fn manifest() -> Manifest {
    let (home, made, callback, hook) =
        (platform("/"), platform("/operator/github"), platform("/sign-in/github/callback"), platform("/hooks/github"));
    Manifest::new("Adaptable at platform.example", &home, &made, &callback, &hook, true)
}

/// What a parameter of an address is.
fn parameter(url: &str, name: &str) -> Option<String> {
    let url = Url::parse(url).expect("an address");
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn keys(app: &App) -> AppKeys {
    AppKeys {
        id: app.id,
        slug: app.slug.clone(),
        name: app.name.clone(),
        html_url: app.html_url.clone(),
        client_id: app.client_id.clone(),
        client_secret: Secret::new(app.client_secret.clone()),
        private_key: Secret::new(app.private_key.clone()),
        webhook_secret: Secret::new(app.webhook_secret.clone()),
    }
}

/// A stand-in with a user, an organisation of theirs, and an App whose webhook nobody hears.
struct World {
    stand_in: StandIn,
    github: GitHub,
    keys: AppKeys,
}

impl World {
    fn new() -> Self {
        let stand_in = StandIn::start();
        stand_in.user("octocat");
        stand_in.user("stranger");
        stand_in.organization("octo-org", &["octocat"]);
        let callback = platform("/sign-in/github/callback");
        // Port 9 (discard) is nobody's; a delivery fails at once.
        let app = stand_in.app("octocat", "Adaptable", callback.as_str(), "http://127.0.0.1:9/hooks/github");
        let (github, keys) = (client(&stand_in), keys(&app));
        Self { stand_in, github, keys }
    }

    /// Installs the App; the installation.
    fn install(&self, account: &str, repositories: Option<&[&str]>) -> InstallationId {
        InstallationId(self.stand_in.install(self.keys.id, account, repositories))
    }

    /// Signs somebody in.
    async fn sign_in(&self, login: &str) -> UserToken {
        let (pkce, callback) = (github::Pkce::generate(), platform("/sign-in/github/callback"));
        let url = self.github.authorize_url(&self.keys, &callback, "state", &pkce);
        let back = self.stand_in.visitor(login).authorize(url.as_str());
        let code = parameter(&back, "code").expect("a code");
        self.github.exchange(&self.keys, &code, Some(&pkce), &callback).await.expect("a token")
    }
}
