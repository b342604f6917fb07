//! The platform as a git remote.

use std::fs;
use std::path::Path;
use std::process::Command;

use testkit::{Output, Platform};

use crate::{plain, platform};

pub(crate) fn git(platform: &Platform, repository: &Path, arguments: &[&str]) -> Output {
    let authority = format!("http.sslCAInfo={}", platform.data().join("ca.pem").display());
    let mut command = Command::new("git");
    command.arg("-C").arg(repository).args(["-c", &authority, "-c", "user.name=Ada", "-c", "user.email=ada@example.com"]);
    // What the machine trusts is of no interest: the platform's own authority alone counts.
    Output::from(command.args(arguments).env("GIT_TERMINAL_PROMPT", "0").env_remove("GIT_SSL_CAINFO"))
}

pub(crate) fn commit(platform: &Platform, repository: &Path, text: &str) {
    fs::write(repository.join("app.py"), text).expect("a file");
    git(platform, repository, &["add", "-A"]).expect(0);
    git(platform, repository, &["commit", "-qm", "a change"]).expect(0);
}

#[test]
fn a_push_deploys_while_the_pusher_watches() {
    let platform = platform();
    let token = platform.cli(&["token", "create", "laptop"]).expect(0).stdout.trim().to_owned();
    let repository = platform.source("pushed", &[("app.py", &plain("one"))]);
    git(&platform, &repository, &["init", "-q", "-b", "main"]).expect(0);
    commit(&platform, &repository, &plain("one"));
    let remote = |token: &str| format!("https://git:{token}@localhost:{}/git/pushed.git", platform.https().port());

    let refused = git(&platform, &repository, &["push", &remote("adpt_wrong"), "main"]);
    assert_ne!(refused.code, 0, "{}", refused.stderr);
    assert_eq!(platform.cli(&["apps", "--json"]).expect(0).json(), serde_json::json!([]));

    let named = remote(&token).replace("pushed.git", "Not_A_Name.git");
    let misnamed = git(&platform, &repository, &["push", &named, "main"]);
    assert!(misnamed.code != 0 && misnamed.stderr.contains("remote:"), "{}", misnamed.stderr);
    assert!(misnamed.stderr.contains("Not_A_Name"), "{}", misnamed.stderr);

    let first = git(&platform, &repository, &["push", &remote(&token), "main"]).expect(0);
    for part in
        ["remote: deployment 1 of pushed", "remote: plan", "remote: start: done", "remote: live: https://pushed.localhost:"]
    {
        assert!(first.stderr.contains(part), "{part:?} is not in {}", first.stderr);
    }
    assert_eq!(platform.get("pushed", "/").text(), "one");

    commit(&platform, &repository, "def broken(:\n");
    let failing = git(&platform, &repository, &["push", &remote(&token), "main"]);
    assert_ne!(failing.code, 0, "a failing deployment fails the push: {}", failing.stderr);
    assert!(failing.stderr.contains("remote:") && failing.stderr.contains("syntax error"), "{}", failing.stderr);
    assert_eq!(platform.get("pushed", "/").text(), "one");

    commit(&platform, &repository, &plain("two"));
    let second = git(&platform, &repository, &["push", &remote(&token), "main"]).expect(0);
    assert!(second.stderr.contains("dependencies: cached") || !second.stderr.contains("dependencies: done"), "{}", second.stderr);
    assert!(second.seconds < 15.0, "{} s", second.seconds);
    assert_eq!(platform.get("pushed", "/").text(), "two");
    let head = git(&platform, &repository, &["rev-parse", "HEAD"]).expect(0).stdout.trim().to_owned();
    let revisions = platform.cli(&["revisions", "pushed", "--json"]).expect(0).json();
    assert_eq!(revisions[0]["commit"]["id"], head, "{revisions}");
    assert!(!platform.log().contains(&token), "the token is in the platform's log");
}
