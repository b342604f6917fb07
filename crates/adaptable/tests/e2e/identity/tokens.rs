//! A user's own tokens: made on their page, shown once, good for what their user may at that moment, for git, the API and the command line.

use std::process::Command;

use testkit::{Output, Platform};

use super::{Browser, invited, make_app, operator};
use crate::plain;
use crate::push::{commit, git};

/// The text of a token that a page shows.
fn shown(page: &str) -> String {
    let from = page.find("adpt_").unwrap_or_else(|| panic!("no token in {page}"));
    page[from..].chars().take_while(|it| it.is_ascii_alphanumeric() || *it == '_').collect()
}

fn by(platform: &Platform, token: &str, method: &str, path: &str, body: &[u8]) -> u16 {
    let browser = Browser { token: Some(token.to_owned()), ..Browser::new(platform) };
    browser.send(method, path, &[("Content-Type", "application/json")], body).status
}

/// The command line on another machine: all that it knows is the address, the authority and a token.
fn elsewhere(platform: &Platform, token: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(crate::program());
    command.args(arguments).arg("--url").arg(format!("https://localhost:{}", platform.https().port()));
    command.arg("--ca").arg(platform.data().join("ca.pem"));
    command.env("ADAPTABLE_TOKEN", token).env("HOME", platform.data().join("nowhere"));
    Output::from(&mut command)
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story: each part needs what the one before it has made")]
fn a_member_pushes_with_a_token_of_their_own() {
    let platform = crate::platform();
    let mut ada = operator(&platform);
    let mut olga = invited(&platform, "olga", &[]);
    let sam = invited(&platform, "sam", &[]);
    assert_eq!(make_app(&sam, "other").status, 202);

    // Made on the page, and shown this once.
    let made = olga.post("/account/tokens", &[("name", "laptop"), ("app", ""), ("days", "30")]);
    assert_eq!(made.status, 200, "{}", made.text());
    let token = shown(&made.text());
    let page = olga.get("/account").text();
    assert!(page.contains("laptop") && !page.contains("adpt_"), "{page}");
    for (name, app, days) in [("", "", "30"), ("x", "other", "30"), ("x", "none", "30"), ("x", "", "0"), ("x", "", "soon")] {
        let refused = olga.post("/account/tokens", &[("name", name), ("app", app), ("days", days)]);
        assert!(matches!(refused.status, 400 | 404 | 422), "{name} {app} {days}: {}", refused.status);
        assert!(!refused.text().contains("adpt_"));
    }
    assert_eq!(olga.call("GET", "/me/tokens", b"").json().as_array().map(Vec::len), Some(1));

    // A push makes an app of theirs, and a second one changes it.
    let repository = platform.source("pushed", &[("app.py", &plain("one"))]);
    git(&platform, &repository, &["init", "-q", "-b", "main"]).expect(0);
    commit(&platform, &repository, &plain("one"));
    let remote = |token: &str, app: &str| format!("https://olga:{token}@localhost:{}/git/{app}.git", platform.https().port());
    git(&platform, &repository, &["push", &remote(&token, "mine"), "main"]).expect(0);
    assert_eq!(platform.get("mine", "/").text(), "one");
    let members = olga.call("GET", "/apps/mine/members", b"").json();
    assert_eq!((&members[0]["user"], &members[0]["role"]), (&"olga".into(), &"owner".into()), "{members}");

    // A developer of that app pushes to it as well, by a token for it alone, and to nobody else's.
    let dan = invited(&platform, "dan", &["--app", "mine"]);
    let dans = dan.call("POST", "/me/tokens", br#"{"name":"ci <b>","app":"mine","days":7}"#);
    assert_eq!((dans.status, dans.header("cache-control")), (201, Some("no-store")), "{}", dans.text());
    let dans = dans.json()["token"].as_str().expect("a token").to_owned();
    commit(&platform, &repository, &plain("two"));
    git(&platform, &repository, &["push", &remote(&dans, "mine"), "main"]).expect(0);
    assert_eq!(platform.get("mine", "/").text(), "two");
    for (token, app, why) in
        [(&token, "other", "the name other is taken"), (&dans, "new", "this token is for the app mine alone")]
    {
        let refused = git(&platform, &repository, &["push", &remote(token, app), "main"]);
        assert!(refused.code != 0 && refused.stderr.contains(why), "{}", refused.stderr);
    }
    assert_eq!(platform.cli(&["deployments", "other", "--json"]).expect(0).json().as_array().map(Vec::len), Some(1));

    // The API and the command line take it, too; what is its user's own, it does not open.
    assert_eq!(by(&platform, &token, "GET", "/api/v1/me", b""), 200);
    let apps = elsewhere(&platform, &token, &["apps", "--json"]).expect(0).json();
    assert_eq!((apps.as_array().map(Vec::len), &apps[0]["app"]), (Some(1), &"mine".into()), "{apps}");
    elsewhere(&platform, &dans, &["env", "mine", "set", "GREETING=hello"]).expect(0);
    for (method, path) in [
        ("GET", "/account"),
        ("POST", "/account/password"),
        ("POST", "/account/tokens"),
        ("GET", "/api/v1/sessions"),
        ("DELETE", "/api/v1/sessions"),
        ("GET", "/api/v1/me/tokens"),
        ("POST", "/api/v1/me/tokens"),
        ("GET", "/api/v1/tokens"),
    ] {
        assert_eq!(by(&platform, &token, method, path, br#"{"name":"another"}"#), 403, "{method} {path}");
    }

    // Who did it, and by which token, is written down; the token is not.
    let audit = platform.cli(&["audit", "--json"]).expect(0).json();
    let entries = audit.as_array().expect("a list");
    let found = |who: &str, what: &str| entries.iter().any(|it| it["who"] == who && it["what"] == what);
    assert!(found("olga by token 1 (laptop)", "app.deploy") && found("dan by token 2 (ci <b>)", "app.variables"), "{audit}");
    assert!(found("olga", "token.create") && found("dan", "token.create"), "{audit}");
    assert!(!audit.to_string().contains("adpt_"), "{audit}");
    for secret in [&token, &dans] {
        assert!(!platform.log().contains(secret.as_str()), "a token is in the platform's log");
    }

    // A role counts as it is at that moment; so does a user.
    let dans_look = || by(&platform, &dans, "GET", "/api/v1/apps/mine", b"");
    assert_eq!(olga.call("PUT", "/apps/mine/members/dan", br#"{"role":"viewer"}"#).status, 200);
    let refused = git(&platform, &repository, &["push", &remote(&dans, "mine"), "main"]);
    assert!(refused.code != 0 && refused.stderr.contains("yours is viewer"), "{}", refused.stderr);
    assert_eq!(dans_look(), 200);
    assert_eq!(olga.call("DELETE", "/apps/mine/members/dan", b"").status, 204);
    assert_eq!(dans_look(), 404);
    platform.cli(&["members", "mine", "set", "dan", "developer"]).expect(0);
    assert_eq!(dans_look(), 200);
    assert_eq!(ada.call("PATCH", "/users/dan", br#"{"disabled":true}"#).status, 200);
    assert_eq!(dans_look(), 401);
    assert_eq!(ada.call("PATCH", "/users/dan", br#"{"disabled":false}"#).status, 200);
    assert_eq!(dans_look(), 200);
    assert_eq!(ada.call("DELETE", "/users/dan", b"").status, 204);
    assert_eq!(dans_look(), 401);

    // The operator sees it, and takes it away; its user takes away their own and nobody else's.
    let list = ada.call("GET", "/tokens", b"").json();
    assert_eq!((list.as_array().map(Vec::len), &list[0]["user"]), (Some(1), &"olga".into()), "{list}");
    assert!(ada.get("/operator/tokens").text().contains("laptop"));
    let second = olga.post("/account/tokens", &[("name", "second"), ("app", "mine"), ("days", "")]);
    let second = shown(&second.text());
    assert_eq!(by(&platform, &second, "GET", "/api/v1/apps/mine", b""), 200);
    let ids: Vec<String> = olga
        .call("GET", "/me/tokens", b"")
        .json()
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| it["id"].as_str().expect("an id").to_owned())
        .collect();
    let [first_id, second_id] = &ids[..] else { panic!("{ids:?}") };
    assert_eq!(sam.call("DELETE", &format!("/me/tokens/{second_id}"), b"").status, 404);
    assert_eq!(olga.post(&format!("/account/tokens/{second_id}/revoke"), &[]).status, 303);
    assert_eq!(by(&platform, &second, "GET", "/api/v1/apps/mine", b""), 401);
    assert_eq!(ada.post(&format!("/operator/tokens/{first_id}/revoke"), &[]).status, 303);
    assert_eq!(by(&platform, &token, "GET", "/api/v1/apps/mine", b""), 401);
    let refused = git(&platform, &repository, &["push", &remote(&token, "mine"), "main"]);
    assert_ne!(refused.code, 0, "{}", refused.stderr);
    let audit = platform.cli(&["audit", "--json"]).expect(0).stdout;
    assert!(audit.contains(&format!("token {first_id} (laptop) of olga")), "{audit}");
}

/// Whoever has found a token must not come to a session by it, nor link an account of their own to its user.
#[test]
fn a_token_is_no_way_to_a_session() {
    let platform = crate::platform();
    let ada = operator(&platform);
    let made = ada.call("POST", "/me/tokens", br#"{"name":"an operator's"}"#);
    let token = made.json()["token"].as_str().expect("a token").to_owned();
    let finder = Browser { token: Some(token.clone()), ..Browser::new(&platform) };
    // It is an operator's, as far as the platform goes.
    assert_eq!(finder.send("GET", "/api/v1/users", &[], b"").status, 200);
    assert_eq!(finder.get("/operator/users").status, 200);
    let page = finder.get("/apps");
    assert_eq!((page.status, page.header("set-cookie")), (200, None));
    for path in ["/sign-in/github", "/account", "/account/second-factor"] {
        let answer = finder.get(path);
        assert!(!answer.text().contains("Connect") && answer.status != 200, "{path}: {} {}", answer.status, answer.text());
    }
    // Nobody else's cookie makes up for what a token lacks, nor the other way round.
    let both = Browser { cookie: ada.cookie.clone(), token: Some(token), ..Browser::new(&platform) };
    assert_eq!(both.get("/account").status, 403);
    let wrong = Browser { cookie: ada.cookie.clone(), token: Some("adpt_0".to_owned()), ..Browser::new(&platform) };
    assert_eq!(wrong.send("GET", "/api/v1/users", &[], b"").status, 401);
}
