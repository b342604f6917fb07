//! Where an app comes from, by its settings' page: another branch, pushes that deploy or not, disconnected, connected again. And who
//! deployed is told.

use serde_json::json;
use testkit::wait_until;

use crate::github::{deliveries, deployments, linked, says};
use crate::plain;
use crate::settings::pages;

const REPOSITORY: &str = "octo/shop";

#[test]
fn the_source_is_changed_by_its_page_and_who_deploys_is_told() {
    let (github, platform, _app, _) = linked();
    assert_eq!(deployments(&platform)[0]["by"], json!({ "kind": "machine", "name": "" }));
    let somebody = pages(&platform, &["laptop"]);
    let page = somebody.get("/apps/shop/settings").text();
    assert!(page.contains(REPOSITORY) && page.contains("Each push deploys"), "{page}");
    let (_, shown) = page.split_once("name=\"shown\" value=\"").expect("the repository's number");
    let shown = shown.split('"').next().expect("its end");
    let send = |fields: &[(&str, &str)]| somebody.post("/apps/shop/settings/source", &[&[("shown", shown)], fields].concat());
    let saved = |fields: &[(&str, &str)]| {
        let answer = send(fields);
        assert_eq!(answer.status, 303, "{fields:?}: {}", answer.text());
        answer.header("location").unwrap_or_default().to_owned()
    };

    // What can't be had is refused, and still there to be corrected.
    let wrong = send(&[("branch", "nowhere"), ("pushes", "yes"), ("do", "save")]);
    assert_eq!(wrong.status, 404);
    assert!(wrong.text().contains("has no branch nowhere") && wrong.text().contains("value=\"nowhere\""), "{}", wrong.text());
    assert_eq!(send(&[("branch", " "), ("do", "save")]).status, 400);
    assert!(saved(&[("branch", "main"), ("pushes", "yes"), ("do", "save")]).contains("nothing-changed"));

    // Another branch counts from its next push.
    github.commit(REPOSITORY, "next", &[("app.py", &plain("two"))], "Say two");
    let location = saved(&[("branch", "next"), ("pushes", "yes"), ("do", "save")]);
    assert_eq!(location, "/apps/shop/settings?said=source-saved#source");
    assert_eq!(platform.get("shop", "/").text(), "one");
    github.push(REPOSITORY, "next", &[("app.py", &plain("three"))], "Say three");
    says(&platform, "three");
    assert_eq!(deployments(&platform)[0]["by"], json!({ "kind": "push", "name": "octo" }));

    // Without automatic deployments somebody has to ask.
    saved(&[("branch", "next"), ("do", "save")]);
    github.push(REPOSITORY, "next", &[("app.py", &plain("four"))], "Say four");
    wait_until("the push is worked off", 30, || deliveries(&platform).to_string().contains("pushes do not deploy it"));
    assert_eq!(platform.get("shop", "/").text(), "three");
    assert_eq!(somebody.post("/apps/shop/update", &[]).status, 303);
    says(&platform, "four");
    let newest = deployments(&platform)[0].clone();
    assert_eq!(newest["by"], json!({ "kind": "token", "name": "laptop" }));
    let revisions = platform.cli(&["revisions", "shop", "--json"]).expect(0).json();
    assert_eq!(revisions[0]["by"], newest["by"], "{revisions}");
    for path in ["/apps/shop".to_owned(), format!("/apps/shop/deployments/{}", newest["deployment"])] {
        let page = somebody.get(&path).text();
        assert!(page.contains("by the token laptop"), "{path}: {page}");
    }

    // Disconnected; what was shown before that is changed no more.
    assert!(saved(&[("branch", "next"), ("do", "disconnect")]).contains("source-removed"));
    assert_eq!(send(&[("branch", "main"), ("pushes", "yes"), ("do", "save")]).status, 409);
    assert_eq!(platform.get("shop", "/").text(), "four");
    let connect = |name: &str| {
        let fields = [("shown", ""), ("repository", name), ("branch", ""), ("pushes", "yes"), ("do", "save")];
        somebody.post("/apps/shop/settings/source", &fields)
    };
    assert_eq!(connect("octo/nothing").status, 404);
    assert_eq!(connect(REPOSITORY).status, 303);
    let source = platform.api("GET", "/apps/shop/source", b"").expect("an answer").json();
    assert_eq!((source["branch"].as_str(), &source["auto_deploy"]), (Some("main"), &json!(true)), "{source}");

    // All of that is written down, and nobody else may.
    let audit = platform.api("GET", "/apps/shop/audit", b"").expect("an answer").text();
    for words in ["octo/shop, next, each push deploys", "pushes do not deploy", "disconnected from octo/shop"] {
        assert!(audit.contains(words), "{words:?}: {audit}");
    }
    platform.deploy(&platform.source("other", &[("app.py", &plain("other"))]), &["--app", "other"]);
    let stranger = pages(&platform, &["stranger", "--app", "other"]);
    assert_eq!(stranger.post("/apps/shop/settings/source", &[("shown", shown), ("do", "disconnect")]).status, 404);
}
