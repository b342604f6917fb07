//! The API keeps to its own description, whatever is sent: schemathesis against the real binary. And what makes something makes it once.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{plain, platform};

/// What is tried with few examples each, so that it ends within a minute or two.
const EXAMPLES: &str = "6";
/// What is left out: bytes that it can't make (archives, what is said to a database) and logs that may be followed for ever. Other tests
/// have those.
const LEFT_OUT: &[&str] = &["uploadSource", "connectDatabase", "readLogs"];
/// What would end the trial itself (the token that it shows, the app that it asks about): tried by itself, at last.
const LAST: &[&str] = &["revokeToken", "deleteApp"];
/// A token is kept to what it may do (`ignored_auth` sends none, and the walk of all routes does that with more care). What is accepted
/// beyond the schema is not an error of ours where the schema can't say all (reserved names), nor what is refused.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance";

#[test]
fn the_api_keeps_to_its_description() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/schemathesis.sh");
    let found = Command::new(script).output().expect("the script runs");
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let program = String::from_utf8(found.stdout).expect("a path");
    let platform = platform();
    // The name that examples have, so that they meet an app.
    let source = platform.source("my-shop", &[("app.py", &plain("here"))]);
    platform.deploy(&source, &[]);
    let token = platform.cli(&["--json", "token", "create", "contract"]).json()["token"].as_str().expect("a token").to_owned();
    let url = format!("https://localhost:{}", platform.https().port());
    let ca = platform.data().join("ca.pem");
    let trial = |choice: &str, operations: &[&str]| {
        let mut command = Command::new(program.trim());
        command.args(["run", &format!("{url}/api/openapi.json"), "--url", &url]);
        command.args(["--header", &format!("Authorization: Bearer {token}"), "--tls-verify"]).arg(&ca);
        // One worker: with two, Python 3.11 now and then fails to parse its own lambdas ("AST constructor recursion depth mismatch"). What
        // changes an app waits for its turn behind the deployments that were asked for before, of which there are hundreds here.
        command.args(["--seed", "5", "--max-examples", EXAMPLES, "--workers", "1"]);
        command.args(["--phases", "examples,coverage,fuzzing", "--request-timeout", "240", "--no-color"]);
        command.args(["--checks", CHECKS]).args(operations.iter().flat_map(|id| [choice, id]));
        let tried = command.current_dir(platform.scratch()).output().expect("it runs");
        let said = String::from_utf8_lossy(&tried.stdout).into_owned();
        assert!(tried.status.success(), "{said}\n{}", String::from_utf8_lossy(&tried.stderr));
        // "3829 generated, 3829 passed": that it tried nothing is no success.
        let counts = said.lines().find_map(|line| line.trim().strip_suffix(" passed")?.split_once(" generated, "));
        let (generated, passed) =
            counts.unwrap_or_else(|| panic!("no summary that says how many passed, and nothing else: {said}"));
        assert_eq!(generated, passed, "{said}");
        generated.parse::<u32>().expect("a count")
    };
    let began = Instant::now();
    let generated = trial("--exclude-operation-id", &[LEFT_OUT, LAST].concat());
    assert!(generated > 1000, "{generated}");
    assert_eq!(platform.get("my-shop", "/").status, 200, "what was tried did not end the app");
    let generated = trial("--include-operation-id", LAST);
    assert!(generated > 10, "{generated}");
    assert!(began.elapsed() < Duration::from_mins(10), "{:?}", began.elapsed());
}

/// A request over the platform's socket with more headers than usual.
fn post(platform: &testkit::Platform, path: &str, key: &str, body: &Value) -> (u16, Value, bool) {
    let socket = platform.data().join("adaptable.sock");
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--include", "--unix-socket"])
        .arg(socket)
        .args(["-H", &format!("Idempotency-Key: {key}"), "--json", &body.to_string(), &format!("http://localhost/api/v1{path}")])
        .output()
        .expect("curl runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).unwrap_or_default(), head.to_ascii_lowercase().contains("idempotent-replay: true"))
}

#[test]
fn what_is_made_with_a_key_is_made_once() {
    let mut platform = platform();
    let new = json!({ "name": "laptop" });
    let first = post(&platform, "/tokens", "one", &new);
    assert_eq!((first.0, first.2), (201, false), "{first:?}");
    let again = post(&platform, "/tokens", "one", &new);
    assert_eq!((again.0, &again.1, again.2), (201, &first.1, true), "the same token, not another one");
    let other = post(&platform, "/tokens", "one", &json!({ "name": "another" }));
    assert_eq!((other.0, other.1["code"].as_str()), (422, Some("idempotency_key_reused")), "{other:?}");
    assert_eq!(post(&platform, "/tokens", "two", &new).0, 201);
    assert_eq!(platform.cli(&["--json", "token", "list"]).json().as_array().map(Vec::len), Some(2));
    // What was refused made nothing, and may be tried again.
    let wrong = json!({ "upload": "0".repeat(64) });
    for _ in 0..2 {
        let refused = post(&platform, "/apps/shop/deployments", "three", &wrong);
        assert_eq!((refused.0, refused.1["code"].as_str(), refused.2), (404, Some("upload_not_found"), false), "{refused:?}");
    }
    // A deployment is recorded together with its answer, so that a platform that is killed right then knows of both.
    let source = platform.source("shop", &[("app.py", &plain("here"))]);
    platform.deploy(&source, &[]);
    let rollback = post(&platform, "/apps/shop/rollback", "four", &json!({ "to": 1 }));
    assert_eq!(rollback.1["code"], "conflict", "{rollback:?}");
    platform.cli(&["env", "shop", "set", "A=1"]).expect(0);
    let rollback = post(&platform, "/apps/shop/rollback", "four", &json!({ "to": 1 }));
    assert_eq!((rollback.0, rollback.2), (202, false), "{rollback:?}");
    platform.kill9();
    platform.restart();
    let again = post(&platform, "/apps/shop/rollback", "four", &json!({ "to": 1 }));
    assert_eq!((again.0, &again.1, again.2), (202, &rollback.1, true));
    let listed = platform.api("GET", "/apps/shop/deployments?limit=2", b"").expect("an answer").json();
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    assert_eq!(listed[0]["deployment"], rollback.1["deployment"], "no other one was made: {listed}");
}
