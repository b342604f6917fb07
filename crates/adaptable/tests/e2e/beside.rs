//! Two platforms on one machine, two that want the same data, and one in the background.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use testkit::{Options, Output, Platform, leftovers};

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
    let second = Output::from(&mut platform.bare_command(&[
        "serve",
        "--data-dir",
        data,
        "--http",
        "127.0.0.1:0",
        "--https",
        "127.0.0.1:0",
    ]))
    .expect(1);
    let words = format!("another platform (process {}) uses the data directory", platform.pid());
    assert!(second.stderr.contains(&words), "{words:?} is not in {}", second.stderr);
    assert_eq!(platform.cli(&["apps", "--json"]).expect(0).json(), serde_json::json!([]));
}

#[test]
fn up_gives_the_terminal_back_and_down_leaves_nothing() {
    let directory = tempfile::Builder::new().prefix("adaptable-e2e-").tempdir_in("/var/tmp").expect("a directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("our own");
    let (data, source) = (directory.path().join("data"), directory.path().join("shop"));
    fs::create_dir(&source).expect("a directory");
    fs::write(source.join("app.py"), plain("behind")).expect("a file");
    let cli = |arguments: &[&str]| Output::from(Command::new(program()).args(arguments).arg("--data-dir").arg(&data));
    let listen = ["--http", "127.0.0.1:0", "--https", "127.0.0.1:0"];
    let path = source.to_str().expect("a path");
    let up = cli(&[&["up", path, "--json"], &listen[..]].concat()).expect(0).json();
    assert_eq!((up["state"].as_str(), up["first"]["answer"].as_str()), (Some("live"), Some("behind")), "{up}");
    // The platform goes on without the command that started it, and a second `up` finds it.
    fs::write(source.join("app.py"), plain("still")).expect("a file");
    let again = cli(&[&["up", path, "--json"], &listen[..]].concat()).expect(0).json();
    assert_eq!((again["url"].as_str(), again["first"]["answer"].as_str()), (up["url"].as_str(), Some("still")), "{again}");
    let down = cli(&["down", "--json"]).expect(0).json();
    assert_eq!(down["stopped"], true);
    let left = leftovers(&data);
    assert!(left.is_empty(), "left behind at once after 'down': {left:#?}");
    assert_eq!(cli(&["down", "--json"]).expect(0).json()["stopped"], false);
    cli(&["apps"]).expect(3);
}
