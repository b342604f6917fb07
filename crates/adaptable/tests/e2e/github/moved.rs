//! Repositories and accounts that become another's, or another: each has its message, and nothing breaks.

use super::{PATIENCE, comes_to_warn, deliveries, deployments, is_shown, linked, says, wait_until, warnings};
use crate::plain;

fn source(platform: &testkit::Platform) -> serde_json::Value {
    platform.cli(&["source", "shop", "--json"]).expect(0).json()
}

#[test]
fn a_repository_that_is_archived_or_transferred_and_an_account_with_another_login() {
    let (github, mut platform, app, _) = linked();
    let count = deployments(&platform).len();
    let is_well = |platform: &testkit::Platform| {
        assert!(wait_until(PATIENCE, || warnings(platform) == "null"), "{}\n{}", warnings(platform), deliveries(platform));
    };

    github.archive("octo/shop", true);
    comes_to_warn(&platform, "octo/shop was archived on GitHub, so it takes no pushes");
    assert_eq!(platform.get("shop", "/").text(), "one", "what is live stays");
    github.archive("octo/shop", false);
    is_well(&platform);

    // Another login is another owner in each name.
    github.rename_account("octo", "octavia");
    let is_called = |platform: &testkit::Platform, name: &str| wait_until(PATIENCE, || source(platform)["repository"] == name);
    assert!(is_called(&platform, "octavia/shop"), "{}\n{}", source(&platform), deliveries(&platform));
    let listed = platform.api("GET", "/github/installations", b"").expect("an answer").text();
    assert!(listed.contains("octavia"), "{listed}");
    let pushed = github.push("octavia/shop", "main", &[("app.py", &plain("octavia"))], "Renamed");
    says(&platform, "octavia");
    is_shown(&github, &pushed.sha);

    // To an owner who has the App: it goes on by itself.
    github.organization("acme", &["octavia"]);
    github.install(app.id, "acme", None);
    github.transfer("octavia/shop", "acme");
    assert!(is_called(&platform, "acme/shop"), "{}\n{}", source(&platform), deliveries(&platform));
    is_well(&platform);
    let pushed = github.push("acme/shop", "main", &[("app.py", &plain("acme"))], "Transferred");
    says(&platform, "acme");
    is_shown(&github, &pushed.sha);
    assert_eq!(deployments(&platform).len(), count + 2);

    // To one who has not: GitHub tells nobody, and the next look finds that it is not seen.
    github.user("eve");
    github.transfer("acme/shop", "eve");
    platform.kill9();
    platform.restart();
    comes_to_warn(&platform, "the GitHub App does not see acme/shop (any more)");
    assert_eq!(platform.get("shop", "/").text(), "acme", "what is live stays");
    let update = platform.cli(&["update", "shop", "--json"]);
    assert_eq!(update.code, 1, "{}", update.stderr);
    github.push("eve/shop", "main", &[("app.py", &plain("eve"))], "Not ours");
    assert_eq!(platform.get("shop", "/").text(), "acme");
    // Once it is, it is deployed from there.
    github.install(app.id, "eve", None);
    assert!(is_called(&platform, "eve/shop"), "{}\n{}", source(&platform), deliveries(&platform));
    is_well(&platform);
    says(&platform, "eve");
}
