//! Pushes that the platform was not told of, or was cut short in: found, and tried once more.

use super::{PATIENCE, deliveries, deployments, linked, says, wait_until, warnings};
use crate::plain;

/// An app that takes a while to start.
fn slow(text: &str) -> String {
    format!("import time\ntime.sleep(4)\n{}", plain(text))
}

#[test]
fn a_push_that_the_platforms_end_cut_short_is_tried_once_more() {
    let (github, mut platform, _app, _) = linked();
    let count = deployments(&platform).len();
    let newest = |platform: &testkit::Platform| deployments(platform)[0].clone();
    let starts = |platform: &testkit::Platform, number: usize| {
        let began = || {
            let newest = newest(platform);
            newest["deployment"] == number && crate::step(&newest, "start") == Some("running")
        };
        assert!(wait_until(PATIENCE, began), "{}\n{}", newest(platform), deliveries(platform));
    };
    let pushed = github.push("octo/shop", "main", &[("app.py", &slow("two"))], "Slow");
    starts(&platform, count + 1);
    platform.kill9();
    platform.restart();
    says(&platform, "two");
    let list = deployments(&platform);
    assert_eq!(list.len(), count + 2, "{list:?}");
    let (again, before) = (&list[0], &list[1]);
    assert!(wait_until(PATIENCE, || newest(&platform)["state"] == "live"), "{again}");
    assert_eq!((&again["retry_of"], &again["commit"]["id"]), (&before["deployment"], &pushed.sha.as_str().into()), "{again}");
    assert_eq!((&before["state"], &before["error"]["code"]), (&"failed".into(), &"interrupted".into()), "{before}");
    assert!(before["error"]["help"].to_string().contains("once more"), "{before}");
    assert!(deliveries(&platform).to_string().contains(&format!("the second try of {}", before["deployment"])));
    let told = || github.statuses().into_iter().rfind(|it| it.sha == pushed.sha).is_some_and(|it| it.state == "success");
    assert!(wait_until(PATIENCE, told), "{:?}", github.statuses());

    // Once: a deployment that ends its platform does not do so for ever.
    github.push("octo/shop", "main", &[("app.py", &slow("three"))], "Slow again");
    starts(&platform, count + 3);
    platform.kill9();
    platform.restart();
    starts(&platform, count + 4);
    platform.kill9();
    platform.restart();
    // Long enough for the first look, too.
    std::thread::sleep(std::time::Duration::from_secs(8));
    let list = deployments(&platform);
    assert_eq!(
        (list.len(), &list[0]["error"]["code"]),
        (count + 4, &"interrupted".into()),
        "{list:?}\n{}",
        deliveries(&platform)
    );
    assert!(list[0]["error"]["help"].to_string().contains("deploy again"), "{}", list[0]);
    assert_eq!(platform.get("shop", "/").text(), "two", "what is live stays");

    // Nothing that nobody pushed: what is begun by hand is its beginner's to begin again.
    platform.api("POST", "/apps/shop/update", b"{}").expect("an answer");
    starts(&platform, count + 5);
    platform.kill9();
    platform.restart();
    github.push("octo/shop", "main", &[("app.py", &plain("four"))], "Quick");
    says(&platform, "four");
    let list = deployments(&platform);
    assert_eq!((list.len(), &list[0]["retry_of"]), (count + 6, &serde_json::Value::Null), "{list:?}");
}

#[test]
fn a_push_that_nobody_told_of_is_found() {
    let (github, mut platform, _app, _) = linked();
    let count = deployments(&platform).len();
    platform.kill9();
    let lost = github.push("octo/shop", "main", &[("app.py", &plain("lost"))], "Lost");
    let pushed = github.push("octo/shop", "main", &[("app.py", &plain("found"))], "Found");
    assert!(pushed.deliveries.iter().all(|it| it.status.is_none()), "{:?}", pushed.deliveries);
    platform.restart();
    says(&platform, "found");
    let list = deployments(&platform);
    assert_eq!((list.len(), &list[0]["commit"]["id"]), (count + 1, &pushed.sha.as_str().into()), "{list:?}");
    let listed = deliveries(&platform);
    assert!(listed.to_string().contains("missed push"), "{listed}");
    assert_eq!(warnings(&platform), "null");
    // Whoever has GitHub send it again all the same deploys nothing twice.
    assert_eq!(github.redeliver(&pushed.deliveries[0].id).status, Some(202));
    let worked = || deliveries(&platform).to_string().contains("this push was deployed before");
    assert!(wait_until(PATIENCE, worked), "{}", deliveries(&platform));
    assert_eq!(deployments(&platform).len(), count + 1);
    assert_ne!(lost.sha, pushed.sha);

    // What was dealt with is not found again, nor what pushes are not to deploy.
    let put = |auto: bool| {
        let body = serde_json::json!({ "repository": "octo/shop", "branch": "main", "auto_deploy": auto }).to_string();
        let answer = platform.api("PUT", "/apps/shop/source", body.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    put(false);
    github.push("octo/shop", "main", &[("app.py", &plain("not yet"))], "Not yet");
    put(true);
    platform.kill9();
    platform.restart();
    std::thread::sleep(std::time::Duration::from_secs(8));
    assert_eq!((deployments(&platform).len(), platform.get("shop", "/").text().as_str()), (count + 1, "found"));
    // The next one is again.
    platform.kill9();
    github.push("octo/shop", "main", &[("app.py", &plain("again"))], "Again");
    platform.restart();
    says(&platform, "again");
}
