//! What a viewer, a developer, an owner and a stranger may do with an app; who owns what they make.

use super::{invited, make_app, operator};

#[test]
fn an_app_is_its_members() {
    let platform = crate::platform();
    let ada = operator(&platform);
    let olga = invited(&platform, "olga", &[]);
    let sam = invited(&platform, "sam", &[]);
    assert_eq!(make_app(&olga, "shop").status, 202);
    let vera = invited(&platform, "vera", &["--app", "shop", "--app-role", "viewer"]);
    let dan = invited(&platform, "dan", &["--app", "shop"]);

    // Whoever makes an app owns it; others see it only as members.
    let names = |browser: &super::Browser<'_>| -> Vec<String> {
        let list = browser.call("GET", "/apps", b"").json();
        list.as_array().expect("a list").iter().map(|app| app["app"].as_str().expect("a name").to_owned()).collect()
    };
    for (browser, sees) in [(&ada, 1), (&olga, 1), (&vera, 1), (&dan, 1), (&sam, 0)] {
        assert_eq!(names(browser).len(), sees);
    }
    let members = olga.call("GET", "/apps/shop/members", b"").json();
    let roles: Vec<_> = members.as_array().expect("a list").iter().map(|it| (it["user"].as_str(), it["role"].as_str())).collect();
    assert_eq!(roles, [(Some("dan"), Some("developer")), (Some("olga"), Some("owner")), (Some("vera"), Some("viewer"))]);

    let set = br#"{"kind":"run","set":{"GREETING":"hello"}}"#;
    let codes = |method: &str, path: &str, body: &[u8]| {
        [&vera, &dan, &olga, &ada, &sam].map(|browser| browser.call(method, path, body).status)
    };
    assert_eq!(codes("GET", "/apps/shop", b""), [200, 200, 200, 200, 404]);
    // Variables are secrets.
    assert_eq!(codes("GET", "/apps/shop/env", b""), [403, 200, 200, 200, 404]);
    assert_eq!(codes("GET", "/apps/shop/settings", b""), [403, 200, 200, 200, 404]);
    assert_eq!(codes("PATCH", "/apps/shop/env", set), [403, 200, 200, 200, 404]);
    assert_eq!(codes("GET", "/apps/shop/audit", b""), [403, 403, 200, 200, 404]);
    assert_eq!(codes("PUT", "/apps/shop/members/vera", br#"{"role":"viewer"}"#), [403, 403, 200, 200, 404]);
    assert_eq!(codes("GET", "/audit", b""), [403, 403, 403, 200, 403]);
    assert_eq!(codes("GET", "/tokens", b""), [403, 403, 403, 200, 403]);
    // A stranger's app is told like one that is not there; its name is taken all the same.
    let (there, not_there) = (sam.call("GET", "/apps/shop", b"").json(), sam.call("GET", "/apps/none", b"").json());
    assert_eq!(there.to_string().replace("shop", "none"), not_there.to_string());
    let taken = sam.call("POST", "/apps/shop/deployments", br#"{"upload":"0000"}"#);
    assert_eq!((taken.status, taken.text().contains("the name shop is taken")), (409, true), "{}", taken.text());

    // The last owner stays; a role that is taken away is gone with the next request.
    assert_eq!(olga.call("DELETE", "/apps/shop/members/olga", b"").status, 409);
    assert_eq!(olga.call("PUT", "/apps/shop/members/olga", br#"{"role":"viewer"}"#).status, 409);
    assert_eq!(olga.call("PUT", "/apps/shop/members/nobody", br#"{"role":"viewer"}"#).status, 404);
    assert_eq!(olga.call("PUT", "/apps/shop/members/dan", br#"{"role":"owner"}"#).status, 200);
    assert_eq!(dan.call("DELETE", "/apps/shop/members/olga", b"").status, 204);
    assert_eq!(olga.call("GET", "/apps/shop", b"").status, 404);
    assert_eq!(dan.call("DELETE", "/apps/shop/members/olga", b"").status, 404);
    platform.cli(&["members", "shop", "set", "sam", "viewer"]).expect(0);
    assert_eq!(sam.call("GET", "/apps/shop", b"").status, 200);
    platform.cli(&["members", "shop", "remove", "sam"]).expect(0);
    assert_eq!(sam.call("GET", "/apps/shop", b"").status, 404);

    // All of that is written down: who, what, of which app, from where. An app of the same name that comes later is another one.
    let audit = platform.cli(&["audit", "--app", "shop", "--json"]).expect(0).json();
    let entries = audit.as_array().expect("a list");
    let found = |who: &str, what: &str| entries.iter().filter(|it| it["who"] == who && it["what"] == what).count();
    assert_eq!((found("olga", "app.deploy"), found("dan", "app.variables"), found("dan", "member.remove")), (1, 1, 1), "{audit}");
    assert_eq!((found("vera", "app.variables"), found("sam", "app.deploy")), (0, 0), "what was refused changed nothing: {audit}");
    assert!(entries.iter().any(|it| it["address"] == "127.0.0.1"), "{audit}");
    assert_eq!(dan.call("DELETE", "/apps/shop", b"").status, 204);
    assert_eq!(make_app(&sam, "shop-2").status, 202);
    assert!(sam.call("GET", "/apps/shop-2/audit", b"").json().as_array().is_some_and(|list| list.len() == 1));
}
