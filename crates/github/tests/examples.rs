//! Every delivery that GitHub gives as an example is read, and those that matter are read right.

use std::path::PathBuf;

use github::{Event, InstallationAction, InstallationId, Push, RepositoryAction, RepositoryId, parse};
use serde_json::Value;

/// Where `scripts/github-descriptions.sh` puts it.
const TOOLS: &str = "/var/cache/adaptable/test";
const NAME: &str = "github-23.0.2-7.6.1/webhooks.json";

/// GitHub's examples: the event, its action, the body. None, with a line that says so, where they were not fetched.
#[expect(clippy::print_stdout, reason = "whoever reads the tests' output must see that some were left out")]
fn examples() -> Option<Vec<(String, String, Value)>> {
    let tools = std::env::var_os("ADAPTABLE_TEST_TOOLS").map_or_else(|| PathBuf::from(TOOLS), PathBuf::from);
    let path = tools.join(NAME);
    let Ok(text) = std::fs::read(&path) else {
        assert!(std::env::var_os("CI").is_none(), "{} is not there: scripts/github-descriptions.sh fetches it", path.display());
        println!("left out: {} is not there; scripts/github-descriptions.sh fetches it, where there is npm", path.display());
        return None;
    };
    let events: Vec<Value> = serde_json::from_slice(&text).expect("a list of events");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = events.iter().flat_map(|event| {
        let bodies = event["examples"].as_array().expect("examples");
        bodies.iter().map(move |body| (text(&event["name"]), text(&body["action"]), body.clone()))
    });
    Some(all.collect())
}

fn read(name: &str, body: &Value) -> Event {
    let bytes = serde_json::to_vec(body).expect("JSON");
    parse(name, &bytes).unwrap_or_else(|error| panic!("{error}: {body}"))
}

#[test]
fn all_examples_are_read() {
    let Some(examples) = examples() else { return };
    assert_eq!(examples.len(), 329, "the version that is fetched has so many");
    let mut others = 0;
    for (name, action, body) in &examples {
        let event = read(name, body);
        match (name.as_str(), event) {
            ("push", Event::Push(push)) => check_push(&push, body),
            ("installation", Event::Installation(told)) => {
                assert_eq!(told.installation, InstallationId(body["installation"]["id"].as_u64().expect("a number")));
                assert_eq!(told.account.login, body["installation"]["account"]["login"].as_str().expect("a login"));
                let expected = match action.as_str() {
                    "created" => InstallationAction::Created,
                    "deleted" => InstallationAction::Deleted,
                    "suspend" => InstallationAction::Suspended,
                    "unsuspend" => InstallationAction::Unsuspended,
                    other => InstallationAction::Other(other.to_owned()),
                };
                assert_eq!(told.action, expected);
                assert_eq!(told.repositories.len(), body["repositories"].as_array().map_or(0, Vec::len));
            }
            ("installation_repositories", Event::InstallationRepositories(told)) => {
                assert_eq!(told.installation.0, body["installation"]["id"].as_u64().expect("a number"));
                let ids = |list: &[github::RepositoryRef]| list.iter().map(|it| it.id.0).collect::<Vec<_>>();
                let named = |key: &str| {
                    let list = body[key].as_array().expect("a list");
                    list.iter().map(|it| it["id"].as_u64().expect("a number")).collect::<Vec<_>>()
                };
                assert_eq!((ids(&told.added), ids(&told.removed)), (named("repositories_added"), named("repositories_removed")));
                assert_eq!(told.added.is_empty(), action == "removed");
            }
            ("repository", Event::Repository(told)) => {
                assert_eq!(told.repository.id.0, body["repository"]["id"].as_u64().expect("a number"));
                assert_eq!(told.installation.map(|id| id.0), body["installation"]["id"].as_u64());
                let is_right = match (&told.action, action.as_str()) {
                    (RepositoryAction::Renamed { from }, "renamed") => {
                        Some(from.as_str()) == body["changes"]["repository"]["name"]["from"].as_str()
                    }
                    (RepositoryAction::Transferred { from }, "transferred") => {
                        let before = &body["changes"]["owner"]["from"];
                        let login = before["user"]["login"].as_str().or_else(|| before["organization"]["login"].as_str());
                        from.as_deref() == login && login.is_some()
                    }
                    (RepositoryAction::Created, "created")
                    | (RepositoryAction::Deleted, "deleted")
                    | (RepositoryAction::Archived, "archived")
                    | (RepositoryAction::Unarchived, "unarchived")
                    | (RepositoryAction::Publicized, "publicized")
                    | (RepositoryAction::Privatized, "privatized")
                    | (RepositoryAction::Edited, "edited") => true,
                    _ => false,
                };
                assert!(is_right, "{told:?}: {action}");
            }
            ("installation_target", Event::AccountRenamed { account, from, .. }) => {
                assert_eq!(account.login, body["account"]["login"].as_str().expect("a login"));
                assert_eq!(from.as_deref(), body["changes"]["login"]["from"].as_str());
            }
            ("github_app_authorization", Event::AuthorizationRevoked { user }) => {
                assert_eq!(user, body["sender"]["id"].as_u64().expect("a number"));
            }
            ("ping", Event::Ping(ping)) => assert_eq!(ping.hook_id, body["hook_id"].as_u64()),
            (name, Event::Other(other)) => {
                assert_eq!(name, other);
                others += 1;
            }
            (name, event) => panic!("{name} is read as {event:?}"),
        }
    }
    assert_eq!(others, 329 - 7 - 7 - 3 - 13 - 2 - 4, "and no event that matters is among the others");
}

fn check_push(push: &Push, body: &Value) {
    assert_eq!(push.repository.id, RepositoryId(body["repository"]["id"].as_u64().expect("a number")));
    assert_eq!(push.repository.name.as_str(), body["repository"]["full_name"].as_str().expect("a name"));
    assert_eq!(push.git_ref, body["ref"].as_str().expect("a ref"));
    assert_eq!(push.before.as_str(), body["before"].as_str().expect("a commit"));
    assert_eq!(push.after.as_str(), body["after"].as_str().expect("a commit"));
    assert_eq!(Some(push.is_created), body["created"].as_bool());
    assert_eq!(Some(push.is_deleted), body["deleted"].as_bool());
    assert_eq!(Some(push.is_forced), body["forced"].as_bool());
    assert_eq!(push.installation.map(|id| id.0), body["installation"]["id"].as_u64());
    assert_eq!(push.branch().is_some(), push.git_ref.starts_with("refs/heads/"));
    match &push.head {
        None => assert!(body["head_commit"].is_null()),
        Some(head) => {
            let said = &body["head_commit"];
            assert_eq!(head.id.as_str(), said["id"].as_str().expect("an id"));
            assert_eq!(head.message, said["message"].as_str().expect("a message"));
            assert_eq!(head.author, said["author"]["name"].as_str().expect("a name"));
            let at: jiff::Timestamp = said["timestamp"].as_str().expect("a time").parse().expect("a time");
            assert_eq!(head.at, Some(at));
        }
    }
}

#[test]
fn what_is_no_delivery_is_told_in_one_line() {
    for (name, body) in
        [("push", "{}"), ("push", ""), ("push", "[1]"), ("installation", "null"), ("fork", "{"), ("repository", "\"\n\"")]
    {
        let error = parse(name, body.as_bytes()).expect_err("it is none").to_string();
        assert!(error.starts_with(&format!("the delivery of {name} can't be read: ")) && !error.contains('\n'), "{error}");
    }
    // A name that leads elsewhere does not get further than here.
    let body = r#"{"action":"renamed","repository":{"id":1,"full_name":"a/../../b"}}"#;
    assert!(parse("repository", body.as_bytes()).is_err());
}

#[test]
fn broken_deliveries_are_refused_in_one_line() {
    let Some(examples) = examples() else { return };
    let mut seen = std::collections::BTreeSet::new();
    for (name, action, body) in &examples {
        if matches!(read(name, body), Event::Other(_)) || !seen.insert((name, action)) {
            continue;
        }
        let bytes = serde_json::to_vec(body).expect("JSON");
        // Cut at every 97th byte, and with a byte of it changed: whatever it is then, it is read or refused.
        for at in (0..bytes.len()).step_by(97) {
            let mut changed = bytes.clone();
            changed[at] = changed[at].wrapping_add(13);
            let cut = parse(name, &bytes[..at]).expect_err("a part of a document is none");
            for error in [Err(cut), parse(name, &changed)].into_iter().filter_map(Result::err) {
                let words = error.to_string();
                assert!(!words.contains('\n') && words.len() < 1200, "{words}");
            }
        }
    }
}
