//! `deploy`: what is sent, what is shown, and how it ends.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::server::{Server, command, ended};

const EVENTS: &str = "GET /api/v1/apps/shop/deployments/1/events?from=1";

/// A small app in a directory of that name.
fn app(server: &Server, name: &str) -> PathBuf {
    let directory = server.data.path().join(name);
    std::fs::create_dir(&directory).expect("a directory");
    std::fs::write(directory.join("app.py"), "print('hello')\n").expect("write");
    directory
}

fn deployment(state: &str, error: Option<Value>) -> Value {
    let mut document = json!({"app":"shop","url":"https://shop.localhost:8443","revision":null,"deployment":1,"state":state,
        "template":"flask","steps":[{"name":"plan","seconds":0.01,"state":"done"}],"created_at":"2026-01-01T00:00:00Z"});
    if state == "live" {
        document["revision"] = json!(1);
    }
    if let Some(error) = error {
        document["error"] = error;
    }
    document
}

fn event(seq: u32, rest: &Value) -> String {
    let mut event = json!({"seq":seq,"at":"2026-01-01T00:00:00Z"});
    event.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
    format!("{event}\n")
}

fn steps() -> String {
    event(1, &json!({"kind":"step","step":"dependencies","state":"running"}))
        + &event(2, &json!({"kind":"line","step":"dependencies","stream":"stdout","line":"Installing \u{1b}[31mflask\u{1b}[0m"}))
        + &event(3, &json!({"kind":"step","step":"dependencies","state":"done","seconds":1.25}))
        + &event(4, &json!({"kind":"tomorrow","x":[1]}))
        + &event(5, &json!({"kind":"step","step":"release","state":"cached","seconds":0.0}))
}

fn accept(server: &Server) {
    server.expect("POST /api/v1/uploads", 200, r#"{"upload":"abc","files":1,"bytes":15}"#);
    server.expect("POST /api/v1/apps/shop/deployments", 202, r#"{"app":"shop","deployment":1}"#);
}

#[test]
fn a_deployment_shows_plain_lines_and_prints_the_url() {
    let server = Server::start();
    let directory = app(&server, "Shop");
    accept(&server);
    server.expect(EVENTS, 200, steps() + &event(6, &json!({"kind":"end","deployment":deployment("live", None)})));
    let ran = server.run(&["deploy", directory.to_str().expect("plain"), "--env", "A=1", "--start-command", "python app.py"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "https://shop.localhost:8443\n"), "{ran:?}");
    for line in [
        "app: shop (from the directory's name \"Shop\"",
        "dependencies: Installing flask\n",
        "dependencies: done in 1.25 s",
        "release: cached",
    ] {
        assert!(ran.stderr.contains(line), "{line:?}: {ran:?}");
    }
    let seen = server.seen();
    assert_eq!(seen[0].kind, "application/x-tar");
    assert!(seen[0].body.windows(6).any(|bytes| bytes == b"app.py"), "the source was sent");
    let request: Value = serde_json::from_slice(&seen[1].body).expect("a document");
    assert_eq!(request, json!({"upload":"abc","options":{"start_command":"python app.py","env":{"A":"1"}}}));
}

#[test]
fn json_is_the_document_of_the_contract() {
    let server = Server::start();
    let directory = app(&server, "shop");
    accept(&server);
    let document = deployment("live", None);
    server.expect(EVENTS, 200, steps() + &event(6, &json!({"kind":"end","deployment":document})));
    let ran = server.run(&["deploy", directory.to_str().expect("plain"), "--json"]);
    assert_eq!((ran.code, ran.document()), (0, document));
    assert!(ran.stderr.contains("dependencies: done"), "{ran:?}");
}

#[test]
fn a_failed_deployment_is_1_and_one_clear_line() {
    let error = json!({"code":"build_failed","message":"flask 99 does not exist","help":"name a version that does"});
    for json in [false, true] {
        let server = Server::start();
        let directory = app(&server, "shop");
        accept(&server);
        let end = event(6, &json!({"kind":"end","deployment":deployment("failed", Some(error.clone()))}));
        server.expect(EVENTS, 200, steps() + &end);
        let mut arguments = vec!["deploy", directory.to_str().expect("plain")];
        arguments.extend(json.then_some("--json"));
        let ran = server.run(&arguments);
        assert_eq!(ran.code, 1, "{ran:?}");
        if json {
            assert_eq!(ran.document()["state"], "failed");
            assert_eq!(ran.document()["error"], error);
            assert_eq!(ran.error(), error);
        } else {
            assert_eq!(ran.stdout, "");
            assert!(ran.stderr.ends_with("error: flask 99 does not exist\n  help: name a version that does\n"), "{ran:?}");
        }
    }
}

#[test]
fn a_lost_connection_is_taken_up_where_it_broke() {
    let server = Server::start();
    let directory = app(&server, "shop");
    accept(&server);
    server.expect_cut(EVENTS, steps());
    let end = event(6, &json!({"kind":"end","deployment":deployment("failed", None)}));
    server.expect("GET /api/v1/apps/shop/deployments/1/events?from=6", 200, end);
    let ran = server.run(&["deploy", directory.to_str().expect("plain")]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("error: deployment 1 of shop is failed"), "{ran:?}");
    assert_eq!(ran.stderr.matches("Installing").count(), 1, "{ran:?}");
}

#[test]
fn events_that_end_too_early_are_not_taken_for_success() {
    let server = Server::start();
    let directory = app(&server, "shop");
    accept(&server);
    server.expect(EVENTS, 200, steps());
    server.expect("GET /api/v1/apps/shop/deployments/1", 200, deployment("cancelled", None).to_string());
    let ran = server.run(&["deploy", directory.to_str().expect("plain")]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("is cancelled"), "{ran:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_first_interrupt_cancels_the_deployment() {
    let server = Server::start();
    let directory = app(&server, "shop");
    accept(&server);
    // The platform keeps the stream open; the test reads what the command says to know when it follows.
    server.expect_open(EVENTS, steps());
    server.expect("POST /api/v1/apps/shop/deployments/1/cancel", 200, deployment("cancelled", None).to_string());
    let mut command = command(server.data.path());
    command.args(["--data-dir", server.data.path().to_str().expect("plain"), "deploy", directory.to_str().expect("plain")]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("run");
    wait(|| server.seen().iter().any(|seen| seen.line == EVENTS));
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("interrupt it");
    wait(|| server.seen().iter().any(|seen| seen.line.ends_with("/cancel")));
    server.finish(&event(6, &json!({"kind":"end","deployment":deployment("cancelled", None)})));
    let ran = ended(&child.wait_with_output().expect("it ends"));
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("cancelling deployment 1 of shop"), "{ran:?}");
}

#[test]
fn a_source_that_can_not_be_sent_is_refused_before_anything_is() {
    let server = Server::start();
    let empty = server.data.path().join("empty");
    std::fs::create_dir(&empty).expect("a directory");
    let ran = server.run(&["deploy", empty.to_str().expect("plain")]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let directory = app(&server, "links");
    std::os::unix::fs::symlink("/etc/passwd", directory.join("link")).expect("a link");
    let ran = server.run(&["deploy", directory.to_str().expect("plain"), "--json"]);
    assert_eq!((ran.code, ran.error()["code"].as_str()), (1, Some("source_refused")), "{ran:?}");
    assert!(server.seen().is_empty());
}

/// Waits for something to come true, for a while.
fn wait(what: impl Fn() -> bool) {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < Duration::from_secs(20), "it did not come true");
        std::thread::sleep(Duration::from_millis(10));
    }
}
