//! Back to a moment, through the command line.

use std::path::Path;

use testkit::{Output, Platform};

use crate::{platform, settings};

fn psql(platform: &Platform, query: &str) -> String {
    let data = platform.data().to_str().expect("a plain path");
    let arguments = ["--data-dir", data, "db", "guestbook", "psql", "--", "-XAtqc", query];
    Output::from(&mut platform.bare_command(&arguments)).expect(0).stdout.trim().to_owned()
}

#[test]
fn what_was_deleted_by_mistake_comes_back() {
    let platform = platform();
    let guestbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/guestbook");
    platform.deploy(&guestbook, &["--database", "postgres"]);
    let early = platform.cli(&["db", "guestbook", "restore", "--at", "2020-01-01T00:00:00Z"]).expect(1);
    assert!(early.stderr.contains("can't be restored to a moment") && early.stderr.contains("pointInTime"), "{}", early.stderr);
    let document = settings(&platform, "databaseType: postgres\ndatabase:\n  pointInTime: true\n");
    platform.deploy(&guestbook, &["--settings", &document]);
    let info = platform.cli(&["db", "guestbook", "info"]).expect(0).stdout;
    assert!(info.contains("recoverable  to any moment since 20"), "{info}");
    let early = platform.cli(&["db", "guestbook", "restore", "--at", "2020-01-01T00:00:00Z"]).expect(1);
    assert!(early.stderr.contains("is not covered: it must be from 20"), "{}", early.stderr);

    let sign = |text: &str| {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let body = format!("name=somebody&text={text}");
        let answer = platform.request("POST", "guestbook", "/", &headers, body.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 303, "{}", answer.text());
    };
    let entries = || psql(&platform, "select string_agg(text, ' ' order by id) from entries");
    sign("first");
    sign("second");
    // Moments are told apart by the millisecond.
    let pause = || std::thread::sleep(std::time::Duration::from_millis(20));
    pause();
    let moment = psql(&platform, "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
    pause();
    psql(&platform, "delete from entries where text = 'first'");
    sign("third");
    let ran = platform.cli(&["db", "guestbook", "restore", "--at", &moment, "--json"]).expect(0).json();
    assert!(ran["before"].is_string() && ran["app"] == "guestbook", "{ran}");
    assert_eq!(entries(), "first second");
    sign("fourth");
    // What was there before is a backup.
    platform.cli(&["db", "guestbook", "restore", ran["before"].as_str().expect("an id")]).expect(0);
    assert_eq!(entries(), "second third");
    assert_eq!(platform.get("guestbook", "/").status, 200);
}
