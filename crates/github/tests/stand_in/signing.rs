//! The App made of a manifest, installed, and somebody signed in: as the pages are clicked.

use github::{AccountKind, GitHubError, InstallationId, Pkce, Secret, Selection, Whose};
use jiff::{SignedDuration, Timestamp};
use testkit::github::GitHub as StandIn;

use super::{World, client, description, manifest, parameter, platform};

#[tokio::test]
async fn a_manifest_becomes_an_app() {
    let stand_in = StandIn::start();
    stand_in.user("octocat");
    stand_in.organization("octo-org", &["octocat"]);
    let github = client(&stand_in);
    for organization in [None, Some("octo-org")] {
        let mut wanted: serde_json::Value = serde_json::from_str(&manifest().to_json()).expect("JSON");
        wanted["name"] = format!("Adaptable {}", organization.unwrap_or("octocat")).into();
        let url = github.manifest_url(organization, "st&te");
        let back = stand_in.visitor("octocat").create_app(url.as_str(), &wanted.to_string());
        assert!(back.starts_with(platform("/operator/github").as_str()), "{back}");
        assert_eq!(parameter(&back, "state").as_deref(), Some("st&te"));
        let code = parameter(&back, "code").expect("a code");
        let keys = github.convert_manifest(&code).await.expect("keys");
        assert_eq!(keys.check(), Ok(()));
        let app = github.app(&keys).await.expect("the App");
        assert_eq!((app.id, app.name.as_str(), app.missing()), (keys.id, wanted["name"].as_str().expect("a name"), vec![]));
        assert_eq!(app.client_id.as_deref(), Some(keys.client_id.as_str()));
        // Nothing beyond what is needed.
        assert_eq!(app.permissions.len(), 4, "{:?}", app.permissions);
        // What is kept comes back as it was, and shows no secret.
        let kept = serde_json::to_string(&keys).expect("JSON");
        assert_eq!(serde_json::from_str::<github::AppKeys>(&kept).expect("keys"), keys);
        for secret in [&keys.client_secret, &keys.private_key, &keys.webhook_secret] {
            assert!(secret.reveal().len() > 30 && !format!("{keys:?}").contains(secret.reveal()));
        }
        // A code is good once.
        assert!(matches!(github.convert_manifest(&code).await, Err(GitHubError::NotFound { .. })));
        github.set_webhook(&keys, &platform("/hooks/github")).await.expect("another address");
    }
    let operations = [("post", "/app-manifests/{code}/conversions"), ("get", "/app"), ("patch", "/app/hook/config")];
    description::check(&stand_in.exchanges(), &operations);
}

#[tokio::test]
async fn keys_of_others_are_none() {
    let world = World::new();
    let other = world.stand_in.app("octocat", "Another", platform("/x").as_str(), platform("/hooks/github").as_str());
    let mut keys = super::keys(&other);
    keys.id = world.keys.id;
    let refused = world.github.app(&keys).await.expect_err("another App's key");
    assert!(matches!(refused, GitHubError::Unauthorized { whose: Whose::App, .. }), "{refused:?}");
    assert_eq!(
        refused.to_string(),
        "GitHub no longer accepts the credentials used to look at the GitHub App: the App was deleted on GitHub or has other keys now; set the GitHub App up again"
    );
    keys.private_key = Secret::new("-----BEGIN RSA PRIVATE KEY-----\nnonsense\n-----END RSA PRIVATE KEY-----");
    assert!(matches!(world.github.app(&keys).await, Err(GitHubError::Keys(_))));
    keys.webhook_secret = Secret::default();
    assert!(keys.check().expect_err("no secret").to_string().contains("webhook secret is missing"));
}

#[tokio::test]
async fn somebody_signs_in() {
    let world = World::new();
    let (github, keys, callback) = (&world.github, &world.keys, platform("/sign-in/github/callback"));
    let visitor = world.stand_in.visitor("octocat");
    let (pkce, other) = (Pkce::generate(), Pkce::generate());
    let url = github.authorize_url(keys, &callback, "a state", &pkce);
    // The page asks once, and leads back at once after that.
    for _ in 0..2 {
        let back = visitor.authorize(url.as_str());
        assert!(back.starts_with(callback.as_str()), "{back}");
        assert_eq!(parameter(&back, "state").as_deref(), Some("a state"));
        // A code that was stolen is of no use without the verifier, and of none after that.
        let code = parameter(&back, "code").expect("a code");
        for pkce in [Some(&other), None, Some(&pkce)] {
            let refused = github.exchange(keys, &code, pkce, &callback).await.expect_err("not with this verifier");
            assert!(matches!(&refused, GitHubError::Refused { code, .. } if code == "bad_verification_code"), "{refused:?}");
        }
    }
    let code = parameter(&visitor.authorize(url.as_str()), "code").expect("a code");
    let elsewhere = github.exchange(keys, &code, Some(&pkce), &platform("/elsewhere")).await.expect_err("another address");
    assert!(matches!(elsewhere, GitHubError::Invalid { .. }), "{elsewhere:?}");

    let token = world.sign_in("octocat").await;
    let person = github.user(&token).await.expect("who it is");
    assert_eq!((person.login.as_str(), person.name.as_deref()), ("octocat", None));
    let now = Timestamp::now();
    assert!(!token.is_stale(now) && token.is_stale(now + SignedDuration::from_hours(8)));
    assert!(
        token.can_refresh(now + SignedDuration::from_hours(24)) && !token.can_refresh(now + SignedDuration::from_hours(24 * 200))
    );
    assert!(!format!("{token:?}").contains("gh"), "{token:?}");

    // Time goes by: the token ends, and is renewed without the user.
    world.stand_in.expire_tokens();
    let ended = github.user(&token).await.expect_err("it has ended");
    assert!(matches!(ended, GitHubError::Unauthorized { whose: Whose::User, .. }), "{ended:?}");
    let renewed = github.refresh(keys, &token).await.expect("another one");
    assert_eq!(github.user(&renewed).await.expect("who it is").id, person.id);
    let again = github.refresh(keys, &token).await.expect_err("each is good once");
    assert!(matches!(&again, GitHubError::Refused { code, .. } if code == "bad_refresh_token"), "{again:?}");
    // The user takes it back.
    world.stand_in.revoke("octocat");
    assert!(matches!(github.user(&renewed).await, Err(GitHubError::Unauthorized { .. })));
    assert!(github.refresh(keys, &renewed).await.is_err());

    let mut stolen = keys.clone();
    stolen.client_secret = Secret::new("guessed");
    let refused = github.exchange(&stolen, "x", None, &callback).await.expect_err("a wrong secret");
    assert!(matches!(refused, GitHubError::Unauthorized { whose: Whose::App, .. }), "{refused:?}");
    stolen.client_id = "unknown".to_owned();
    let refused = github.exchange(&stolen, "x", None, &callback).await.expect_err("an unknown App");
    assert!(matches!(refused, GitHubError::Unauthorized { whose: Whose::App, .. }), "{refused:?}");
    description::check(&world.stand_in.exchanges(), &[("get", "/user")]);
}

#[tokio::test]
async fn the_app_is_installed() {
    let world = World::new();
    let (github, keys, callback) = (&world.github, &world.keys, platform("/sign-in/github/callback"));
    for repository in ["octo-org/one", "octo-org/two", "octocat/own"] {
        world.stand_in.repository(repository, true);
    }
    let visitor = world.stand_in.visitor("octocat");
    let url = github.install_url(keys, "a state");
    let back = visitor.install(&world.stand_in, url.as_str(), "octo-org", Some(&["one"]));
    assert!(back.starts_with(callback.as_str()), "{back}");
    assert_eq!(parameter(&back, "state").as_deref(), Some("a state"));
    assert_eq!(parameter(&back, "setup_action").as_deref(), Some("install"));
    let id = InstallationId(parameter(&back, "installation_id").expect("a number").parse().expect("a number"));
    // No challenge came along; the code is one all the same.
    let code = parameter(&back, "code").expect("a code");
    let token = github.exchange(keys, &code, None, &callback).await.expect("a token");

    let installations = github.installations(&token).await.expect("the installations");
    let [installation] = installations.items.as_slice() else { panic!("{installations:?}") };
    assert_eq!((installation.id, installation.selection), (id, Selection::Selected));
    assert_eq!((installation.account.login.as_str(), installation.account.kind), ("octo-org", AccountKind::Organization));
    let names = |listing: github::Listing<github::Repository>| {
        listing.items.into_iter().map(|it| it.name.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(github.repositories(&token, id).await.expect("repositories")), ["octo-org/one"]);
    // "Add more GitHub repositories" is the installation's own page.
    let back = visitor.configure(&world.stand_in, &installation.html_url, "octo-org", None);
    assert_eq!(parameter(&back, "setup_action").as_deref(), Some("update"));
    assert_eq!(names(github.repositories(&token, id).await.expect("repositories")), ["octo-org/one", "octo-org/two"]);
    visitor.install(&world.stand_in, url.as_str(), "octocat", None);
    assert_eq!(github.installations(&token).await.expect("the installations").items.len(), 2);
    assert_eq!(github.app_installations(keys).await.expect("the installations").items.len(), 2);
    assert_eq!(github.app_installation(keys, id).await.expect("the installation").selection, Selection::All);
    // Somebody else sees none of it.
    let stranger = world.sign_in("stranger").await;
    assert_eq!(github.installations(&stranger).await.expect("the installations").items, []);
    assert!(matches!(github.repositories(&stranger, id).await, Err(GitHubError::NotFound { .. })));
    let operations = [
        ("get", "/user/installations"),
        ("get", "/user/installations/{installation_id}/repositories"),
        ("get", "/app/installations"),
        ("get", "/app/installations/{installation_id}"),
    ];
    description::check(&world.stand_in.exchanges(), &operations);
}
