//! A part of the visitors gets another revision, exactly as many as were asked for, until another becomes live.

use std::collections::BTreeMap;
use std::fs;

use serde_json::json;
use testkit::Platform;

use crate::{plain, platform};

/// What so many visitors, one after the other, get to read.
fn texts(platform: &Platform, count: usize) -> BTreeMap<String, usize> {
    let mut texts = BTreeMap::new();
    for _ in 0..count {
        let answer = platform.get("shop", "/");
        assert_eq!(answer.status, 200, "{}", answer.text());
        *texts.entry(answer.text()).or_default() += 1;
    }
    texts
}

fn counts(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
    pairs.iter().map(|(text, count)| ((*text).to_owned(), *count)).collect()
}

#[test]
fn a_part_of_the_visitors_gets_another_revision() {
    let mut platform = platform();
    let source = platform.source("shop", &[("app.py", &plain("one"))]);
    platform.deploy(&source, &[]);
    fs::write(source.join("app.py"), plain("two")).expect("a file");
    platform.deploy(&source, &[]);

    let told = platform.cli(&["split", "shop", "--to", "1", "--percent", "25"]).expect(0).stdout;
    assert_eq!(told.trim(), "25 % of the visitors get revision 1, the others revision 2");
    assert_eq!(texts(&platform, 40), counts(&[("one", 10), ("two", 30)]));
    let revisions = platform.cli(&["revisions", "shop", "--json"]).expect(0).json();
    let parts: Vec<_> = revisions.as_array().expect("a list").iter().map(|it| (&it["serving"], &it["percent"])).collect();
    assert_eq!(parts, [(&json!(true), &json!(75)), (&json!(true), &json!(25))]);

    // Both sleep and wake by themselves, and a platform that was killed knows of it.
    platform.api("POST", "/apps/shop/sleep", b"").expect("an answer");
    assert_eq!(texts(&platform, 4), counts(&[("one", 1), ("two", 3)]));
    platform.kill9();
    platform.restart();
    assert_eq!(texts(&platform, 20), counts(&[("one", 5), ("two", 15)]));
    platform.cli(&["split", "shop", "--to", "1", "--percent", "50"]).expect(0);
    assert_eq!(texts(&platform, 20), counts(&[("one", 10), ("two", 10)]));

    for (to, percent, code, words) in [
        ("2", "10", 1, "revision 2 is the one that shop serves"),
        ("9", "10", 1, "no revision 9"),
        ("1", "100", 2, "1..=99"),
        ("1", "0", 2, "1..=99"),
    ] {
        let refused = platform.cli(&["split", "shop", "--to", to, "--percent", percent]).expect(code);
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    assert_eq!(platform.cli(&["status", "shop", "--json"]).expect(0).json()["split"], json!({"revision": 1, "percent": 50}));

    // An upgrade of the platform finds both in use.
    platform.take_over();
    let status = platform.cli(&["status", "shop", "--json"]).expect(0).json();
    let mut revisions: Vec<_> =
        status["instances"].as_array().expect("a list").iter().map(|it| it["revision"].as_u64()).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, [Some(1), Some(2)], "{status}");
    assert_eq!(texts(&platform, 20), counts(&[("one", 10), ("two", 10)]));

    fs::write(source.join("app.py"), plain("three")).expect("a file");
    platform.deploy(&source, &[]);
    assert_eq!(texts(&platform, 20), counts(&[("three", 20)]), "whoever becomes live gets all visitors");
    platform.cli(&["split", "shop", "--to", "2", "--percent", "10"]).expect(0);
    let told = platform.cli(&["split", "shop", "--off"]).expect(0).stdout;
    assert_eq!(told.trim(), "all visitors get revision 3");
    assert_eq!(texts(&platform, 10), counts(&[("three", 10)]));
}
