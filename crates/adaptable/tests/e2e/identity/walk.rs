//! A walk over every route that there is, as nobody, as a stranger, as a viewer, as a developer, and by the developer's tokens.

use control::Right;
use web::{Needs, Route};

use super::{Browser, glance, invited, make_app, operator};

/// What somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Who are you?
    WhoAreYou,
    /// That is not yours to do.
    NotYours,
    /// There is no such app.
    NoSuchApp,
    /// The name is taken.
    Taken,
    /// Anything else: it was let in.
    In,
}

/// The address of a route, for the app `shop`; what else is named is not there.
fn address(route: &Route) -> String {
    let git = if route.method == "GET" { "shop.git/info/refs?service=git-upload-pack" } else { "shop.git/git-receive-pack" };
    let mut path = route.path.replace("{app}", "shop").replace("{*path}", git);
    while let (Some(from), Some(to)) = (path.find('{'), path.find('}')) {
        path.replace_range(from..=to, "987654");
    }
    path
}

fn told(browser: &Browser<'_>, csrf: &str, route: &Route) -> (Told, String) {
    let origin = browser.origin();
    let is_page = ["/api/v", "/git/", "/metrics", "/hooks/", "/assets/"].iter().all(|it| !route.path.starts_with(it));
    let kind = if is_page { "application/x-www-form-urlencoded" } else { "application/json" };
    let body: &[u8] = if route.method == "GET" || is_page { b"" } else { b"{}" };
    let headers = [("Origin", origin.as_str()), ("X-Csrf-Token", csrf), ("Content-Type", kind), ("Accept", "*/*")];
    let (status, location, text) = glance(browser, route.method, &address(route), &headers, body);
    assert!(status < 500 || text.contains("unavailable"), "{} {}: {status} {text}", route.method, route.path);
    let told = match status {
        401 => Told::WhoAreYou,
        303 if (location == "/sign-in" || location.starts_with("/sign-in?")) && browser.cookie.is_none() => Told::WhoAreYou,
        // Let in, and told that what it typed is wrong.
        403 if text.contains("the password is not right") => Told::In,
        403 => Told::NotYours,
        404 if text.contains("there is no app shop") => Told::NoSuchApp,
        409 if text.contains("the name shop is taken") => Told::Taken,
        _ => Told::In,
    };
    (told, format!("{status} {location} {text}"))
}

/// What each is to be told.
fn expected(who: &str, route: &Route) -> Told {
    let has = |right: Right| match who {
        "viewer" => right <= Right::Look,
        "developer" | "token" | "token of shop" => right <= Right::Change,
        _ => false,
    };
    let git = if route.method == "GET" { Needs::App(Right::Look) } else { Needs::Deploy };
    let needs = if route.needs == Needs::Itself { git } else { route.needs };
    match (who, needs) {
        (_, Needs::Nothing) => Told::In,
        ("nobody", _) => Told::WhoAreYou,
        // No token opens what is its user's own; one for one app makes no other.
        (_, Needs::Platform) | ("token" | "token of shop", Needs::Account) | ("token of shop", Needs::NewApp) => Told::NotYours,
        ("stranger", Needs::App(_)) => Told::NoSuchApp,
        ("stranger", Needs::Deploy) => Told::Taken,
        (_, Needs::App(right)) if !has(right) => Told::NotYours,
        (_, Needs::Deploy) if !has(Right::Change) => Told::NotYours,
        (_, Needs::App(_) | Needs::Deploy | Needs::Hello | Needs::Account | Needs::NewApp | Needs::Itself) => Told::In,
    }
}

#[test]
fn nobody_gets_further_than_the_table_says() {
    let platform = crate::platform();
    operator(&platform);
    let owner = invited(&platform, "olga", &[]);
    assert_eq!(make_app(&owner, "shop").status, 202);
    let developer = invited(&platform, "dan", &["--app", "shop"]);
    // Tokens of the developer's own: for all that they may, and for the app alone.
    let [all, one] = [r#"{"name":"laptop"}"#, r#"{"name":"ci","app":"shop"}"#].map(|new| {
        let made = developer.call("POST", "/me/tokens", new.as_bytes());
        assert_eq!(made.status, 201, "{}", made.text());
        Browser { token: Some(made.json()["token"].as_str().expect("a token").to_owned()), ..Browser::new(&platform) }
    });
    let visitors = [
        ("nobody", Browser::new(&platform)),
        ("stranger", invited(&platform, "sam", &[])),
        ("viewer", invited(&platform, "vera", &["--app", "shop", "--app-role", "viewer"])),
        ("developer", developer),
        ("token", all),
        ("token of shop", one),
    ];
    let routes = web::routes();
    assert!(routes.len() > 60, "{} routes", routes.len());
    let mut wrong = Vec::new();
    for (who, browser) in &visitors {
        let csrf = browser.csrf();
        for route in &routes {
            // Whoever signs out is somebody else afterwards; and forms of those who are let in without being anybody say 403 of a link
            // that is none in their own words.
            if route.path == "/sign-out" && browser.cookie.is_some() {
                continue;
            }
            let (told, answer) = told(browser, &csrf, route);
            let expected = expected(who, route);
            if told != expected && !(route.needs == Needs::Nothing && told != Told::WhoAreYou) {
                wrong.push(format!("{who}: {} {}: {told:?} instead of {expected:?}: {answer}", route.method, route.path));
            }
        }
        let there = if browser.token.is_some() { "/apps" } else { "/account" };
        assert!(*who == "nobody" || browser.get(there).status == 200, "{who} is still somebody");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A change without a word for the audit log, or a page that shows something to nobody, is a mistake that nobody sees.
#[test]
fn the_table_itself_is_sound() {
    for route in web::routes() {
        let place = format!("{} {}", route.method, route.path);
        // What nobody else sees yet (an upload, a draft, a form that is drawn anew), and what its use case writes down.
        let quiet =
            ["/theme", "/api/v1/uploads", "/git/{*path}", "/hooks/github", "/sign-in/github", "/apps/{app}/settings/draft"]
                .contains(&route.path.as_str())
                || ((route.path == "/new" || route.path.starts_with("/new/")) && route.what.is_empty());
        assert!(route.method == "GET" || quiet || !route.what.is_empty(), "{place}: a change that is not written down");
        if route.path.contains("{app}") {
            assert!(
                matches!(route.needs, Needs::App(_) | Needs::Deploy),
                "{place}: what is about an app needs a right to it, not {:?}",
                route.needs
            );
        }
        assert!(
            route.method == "GET" || route.needs != Needs::App(Right::Look),
            "{place}: who may only look must not change anything"
        );
    }
}
