//! Two platforms on one machine, and two that want the same data.

use testkit::{Options, Output, Platform};

use crate::{plain, platform, program};

#[test]
fn two_platforms_side_by_side() {
    let one = platform();
    let two = Platform::start_beside(program(), Options::default());
    for (platform, text) in [(&one, "of one"), (&two, "of two")] {
        let source = platform.source("shop", &[("app.py", &plain(text))]);
        platform.deploy(&source, &[]);
    }
    assert_eq!(one.get("shop", "/").text(), "of one");
    assert_eq!(two.get("shop", "/").text(), "of two");
    // The certificate of one is worth nothing at the other, and an app of one does not reach those of the other.
    let theirs = one.get("shop", "/address").text();
    assert_ne!(theirs, two.get("shop", "/address").text());
    assert!(two.get("shop", &format!("/connect?host={theirs}&port=8080")).text().starts_with("failed"));
    drop(one);
    assert_eq!(two.get("shop", "/").text(), "of two");
}

#[test]
fn a_second_platform_for_the_same_data_says_so() {
    let platform = platform();
    let data = platform.data().to_str().expect("a path");
    let second = Output::from(&mut platform.bare_command(&["serve", "--data-dir", data, "--http", "127.0.0.1:0", "--https", "127.0.0.1:0"])).expect(1);
    let words = format!("another platform (process {}) uses the data directory", platform.pid());
    assert!(second.stderr.contains(&words), "{words:?} is not in {}", second.stderr);
    assert_eq!(platform.cli(&["apps", "--json"]).expect(0).json(), serde_json::json!([]));
}
