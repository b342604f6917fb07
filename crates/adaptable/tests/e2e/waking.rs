//! Scale to zero and back, and what visitors see when an app does not come back.

use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use testkit::{Answer, Platform, wait_until};

use crate::{after_a_crash, instances, plain, sleepy};

fn ask_json(platform: &Platform) -> Answer {
    platform.request("GET", "shop", "/", &[("Accept", "application/json")], b"").expect("an answer")
}

#[test]
fn a_quiet_app_sleeps_and_a_crowd_wakes_it_once() {
    let platform = sleepy("1s");
    let source = platform.source("shop", &[("app.py", &plain("awake"))]);
    platform.deploy(&source, &[]);
    platform.get("shop", "/");
    wait_until("the last instance is stopped", 15, || instances(&platform).is_empty());
    assert_eq!(platform.cli(&["status", "shop", "--json"]).expect(0).json()["state"], "live", "an app that sleeps is live");

    let boots: Vec<String> = std::thread::scope(|scope| {
        let visitors: Vec<_> = (0..40).map(|_| scope.spawn(|| platform.get("shop", "/boot"))).collect();
        visitors
            .into_iter()
            .map(|visitor| {
                let answer = visitor.join().expect("a visitor");
                assert_eq!(answer.status, 200, "{}", answer.text());
                answer.text()
            })
            .collect()
    });
    assert!(boots.iter().all(|boot| *boot == boots[0]), "one instance answers all of them: {boots:?}");

    // A request in flight keeps it awake, however long the quiet time is exceeded.
    let slow = platform.get("shop", "/slow?seconds=3");
    assert_eq!((slow.status, slow.text().as_str()), (200, "awake"));
    let log = platform.cli(&["logs", "shop"]).expect(0).stdout;
    assert!(log.contains("stopped: no request for a while"), "{log}");
}

#[test]
fn a_crash_is_told_and_the_next_visitor_is_served() {
    let platform = sleepy("15m");
    let source = platform.source("shop", &[("app.py", &plain("risen"))]);
    platform.deploy(&source, &[]);
    let died = platform.request("GET", "shop", "/exit", &[("Accept", "text/html")], b"").expect("an answer");
    assert_eq!(died.status, 502, "{}", died.text());
    assert!(died.text().contains("closed the connection without an answer"), "{}", died.text());
    let next = after_a_crash(&platform);
    assert_eq!((next.status, next.text().as_str()), (200, "risen"));
    wait_until("the log tells it", 5, || {
        platform.cli(&["logs", "shop"]).expect(0).stdout.contains("the instance ended: exit code 3")
    });
}

#[test]
fn an_app_that_no_longer_starts_is_told_and_left_alone_for_a_while() {
    let platform = sleepy("1s");
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let until = now() + 10;
    let text = plain("for now")
        .replace("BOOT = ", &format!("if time.time() > {until}:\n    sys.exit('my licence has expired')\nBOOT = "));
    let source = platform.source("shop", &[("app.py", &text)]);
    platform.deploy(&source, &[]);
    wait_until("the time is over and the app asleep", 20, || now() > until + 1 && instances(&platform).is_empty());

    let first = ask_json(&platform);
    assert_eq!((first.status, &first.json()["error"]["code"]), (502, &json!("start_failed")), "{}", first.text());
    let help = first.json()["error"]["help"].as_str().expect("words").to_owned();
    assert!(help.contains("exit code 1") && !help.contains("licence"), "visitors see no output of the app: {help}");
    let log = platform.cli(&["logs", "shop"]).expect(0).stdout;
    assert!(log.contains("my licence has expired"), "its owner does: {log}");
    for _ in 0..3 {
        assert_eq!(ask_json(&platform).status, 502);
    }
    // By now the next start is some time away: visitors are told at once.
    let began = Instant::now();
    let page = platform.request("GET", "shop", "/", &[("Accept", "text/html")], b"").expect("an answer");
    assert_eq!(page.status, 502);
    assert!(page.text().contains("<html") && page.text().contains("The app did not start"), "{}", page.text());
    assert!(page.text().contains("times in a row; the next start is tried in"), "{}", page.text());
    assert!(page.header("retry-after").is_some());
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}
