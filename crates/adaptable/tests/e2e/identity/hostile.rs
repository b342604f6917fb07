//! What strangers write stays text on every page that shows it, and leads nowhere: the same texts in a real browser are `browser/hostile.rs`.

use testkit::Answer;

use super::{Browser, PASSWORD, form, make_app, operator};

/// Out of a text, out of an attribute in either kind of quotes, and into one.
const HOSTILE: &str = "<img src=x onerror=hacked()>\"'><b class=hostile>";

/// A text as a part of an address.
fn escaped(text: &str) -> String {
    form(&[("", text)]).split_off(1)
}

/// The page shows it, as text, and allows no script but its own.
#[track_caller]
fn is_text(what: &str, answer: &Answer) {
    let page = answer.text();
    assert!(page.contains("class=hostile"), "{what}: it is not shown at all: {} {page}", answer.status);
    nothing_of_it(what, answer);
}

#[track_caller]
fn nothing_of_it(what: &str, answer: &Answer) {
    let page = answer.text();
    let kind = answer.header("content-type").unwrap_or_default();
    let policy = answer.header("content-security-policy").unwrap_or_default();
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{what}");
    if kind.starts_with("text/html") {
        for markup in ["<img src=x", "<b class=hostile", "\"'>"] {
            assert!(!page.contains(markup), "{what}: {markup} is markup: {page}");
        }
        // An error that git was to be told, say, is a page without any script.
        let strict = policy.contains("script-src 'self'") || policy.contains("default-src 'none'");
        assert!(strict && !policy.contains("unsafe"), "{what}: {policy}");
    } else {
        // No browser takes it for a page, nor runs anything in it.
        assert!(
            (kind.is_empty() && page.is_empty()) || kind == "application/problem+json" || kind.starts_with("text/plain"),
            "{what}: {kind}"
        );
        assert!(page.is_empty() || policy.contains("default-src 'none'"), "{what}: {policy}");
    }
}

#[test]
fn what_is_typed_stays_text() {
    let platform = crate::platform();
    let mut ada = operator(&platform);
    assert_eq!(make_app(&ada, "shop").status, 202);
    // Names that are none are shown again to whoever has typed them.
    let mut nobody = Browser::new(&platform);
    is_text("a name to sign in by", &nobody.post("/sign-in", &[("name", HOSTILE), ("password", PASSWORD)]));
    is_text("what is invited", &ada.post("/operator/users/invites", &[("note", HOSTILE), ("role", "member")]));
    is_text("invitations", &ada.get("/operator/users"));
    let link = platform.cli(&["users", "invite", "--note", HOSTILE]).expect(0).stdout;
    let link = super::path_of(&link);
    is_text("a user's name", &nobody.post(&link, &[("name", HOSTILE), ("password", PASSWORD)]));
    is_text("a token", &ada.post("/operator/tokens", &[("name", HOSTILE)]));
    is_text("tokens", &ada.get("/operator/tokens"));
    is_text("a token's app", &ada.post("/operator/tokens", &[("name", "x"), ("app", HOSTILE)]));
    is_text("a token of one's own", &ada.post("/account/tokens", &[("name", HOSTILE)]));
    is_text("one's own tokens", &ada.get("/account"));
    is_text("its app", &ada.post("/account/tokens", &[("name", "x"), ("app", HOSTILE)]));
    is_text("the audit log", &ada.get("/operator/audit"));
    // A browser says what it is.
    let fields = form(&[("name", "ada"), ("password", PASSWORD)]);
    let origin = ada.origin();
    let headers = [("Origin", origin.as_str()), ("Content-Type", "application/x-www-form-urlencoded"), ("User-Agent", HOSTILE)];
    assert_eq!(nobody.send("POST", "/sign-in", &headers, fields.as_bytes()).status, 303);
    is_text("another session", &ada.get("/account"));

    // Settings: what can't be read is said, with the words that were there; what can is shown.
    let yaml = |text: &str| [("view", "yaml".to_owned()), ("text", text.to_owned()), ("do", "save".to_owned())];
    for text in [
        format!("startCommand: [{HOSTILE}\n"),
        format!("{HOSTILE}: 1\n"),
        format!("databaseType: '{}'\n", HOSTILE.replace('\'', "''")),
        format!("domains:\n- domainName: '{}'\n", HOSTILE.replace('\'', "''")),
        format!("environment:\n  '{}': x\n", HOSTILE.replace('\'', "''")),
    ] {
        let fields = yaml(&text);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let answer = ada.post("/apps/shop/settings", &fields);
        assert_eq!(answer.status, 422, "{text}: {}", answer.text());
        is_text(&text, &answer);
    }
    platform.cli(&["env", "shop", "set", &format!("GREETING={HOSTILE}")]);
    is_text("a variable's value", &ada.get("/apps/shop/settings?reveal=1"));
    is_text("a variable's value in YAML", &ada.get("/apps/shop/settings?view=yaml&reveal=1"));
    nothing_of_it("a hidden value", &ada.get("/apps/shop/settings"));

    // Addresses.
    let hostile = escaped(HOSTILE);
    for path in [
        format!("/apps/{hostile}"),
        format!("/apps/shop/deployments/{hostile}"),
        format!("/apps/shop/settings?view={hostile}"),
        format!("/apps/shop/resources?q={hostile}"),
        format!("/apps/shop?said={hostile}"),
        format!("/operator/audit?app={hostile}"),
        format!("/help/errors/{hostile}"),
        format!("/help/{hostile}"),
        format!("/invite/{hostile}"),
        format!("/welcome/{hostile}"),
        format!("/sign-in?next=/{hostile}"),
        format!("/sign-in/github?next=/{hostile}"),
        format!("/new/{hostile}/name"),
        format!("/{hostile}"),
        format!("/api/v1/apps/{hostile}"),
        format!("/git/{hostile}.git/info/refs?service=git-upload-pack"),
    ] {
        for browser in [&ada, &nobody] {
            nothing_of_it(&path, &browser.get(&path));
        }
    }

    // Nobody is led elsewhere by a page's own forms.
    for (next, leads) in [("/apps?x=1", "/apps?x=1"), ("//evil.example", "/"), ("https://evil.example", "/"), ("/\\evil", "/")] {
        let answer = ada.post("/theme", &[("theme", "dark"), ("next", next)]);
        assert_eq!((answer.status, answer.header("location")), (303, Some(leads)), "{next}");
    }
    // A header has one line, whatever stands in an address.
    let answer = ada.post("/theme", &[("theme", "dark"), ("next", "/x\r\nSet-Cookie: evil=1")]);
    assert_eq!((answer.header("location"), answer.text().contains("evil")), (Some("/"), false));
}

/// Values that are hidden are shown to whoever may see them, and it is written down who has.
#[test]
fn who_has_seen_hidden_values_is_written_down() {
    let platform = crate::platform();
    let ada = operator(&platform);
    assert_eq!(make_app(&ada, "shop").status, 202);
    let shown = || -> Vec<String> {
        let audit = platform.cli(&["audit", "--app", "shop", "--json"]).expect(0).json();
        let entries = audit.as_array().expect("a list").iter().filter(|it| it["what"] == "app.variables.show");
        entries.map(|it| it["who"].as_str().expect("somebody").to_owned()).collect()
    };
    // Nothing is hidden yet.
    assert_eq!(ada.call("GET", "/apps/shop/env", b"").status, 200);
    assert_eq!(ada.get("/apps/shop/settings?reveal=1").status, 200);
    assert!(shown().is_empty(), "{:?}", shown());
    assert_eq!(ada.call("PATCH", "/apps/shop/env", br#"{"kind":"run","set":{"KEY":"hunter2-secret"}}"#).status, 200);
    // Looking at what stays hidden is nobody's business.
    assert!(!ada.get("/apps/shop/settings").text().contains("hunter2-secret"));
    assert!(!ada.get("/apps/shop/settings?view=yaml").text().contains("hunter2-secret"));
    assert!(shown().is_empty(), "{:?}", shown());
    for (count, path) in ["/apps/shop/settings?reveal=1", "/apps/shop/settings?view=yaml&reveal=1"].into_iter().enumerate() {
        assert!(ada.get(path).text().contains("hunter2-secret"), "{path}");
        assert_eq!(shown(), vec!["ada"; count + 1], "{path}");
    }
    for (count, path) in ["/apps/shop/env", "/apps/shop/settings"].into_iter().enumerate() {
        assert!(ada.call("GET", path, b"").text().contains("hunter2-secret"), "{path}");
        assert_eq!(shown(), vec!["ada"; count + 3], "{path}");
    }
    platform.cli(&["env", "shop", "list", "--reveal"]).expect(0);
    assert_eq!(shown().first().map(String::as_str), Some("operator of the machine"));
    assert!(!platform.cli(&["audit", "--json"]).expect(0).stdout.contains("hunter2-secret"));
}
