//! 0 done, 1 it failed, 2 bad usage, 3 no platform answers, 4 not allowed; and what is said.

use crate::server::{Server, command, ended, run};

fn error(code: &str) -> String {
    format!(r#"{{"error":{{"code":"{code}","message":"the message","help":"the help"}}}}"#)
}

#[test]
fn each_code_has_its_exit_code() {
    for (status, code, exit) in [
        (404, "app_not_found", 1),
        (409, "conflict", 1),
        (500, "internal", 1),
        (422, "invalid_settings", 2),
        (400, "bad_request", 2),
        (503, "unavailable", 3),
        (401, "unauthorized", 4),
        (403, "forbidden", 4),
        (418, "a_code_of_tomorrow", 1),
    ] {
        let server = Server::start();
        server.expect("GET /api/v1/apps/shop", status, error(code));
        let ran = server.run(&["status", "shop"]);
        assert_eq!(ran.code, exit, "{code}: {ran:?}");
        assert_eq!(ran.stderr, "error: the message\n  help: the help\n");
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn an_error_is_a_document_with_json() {
    let server = Server::start();
    server.expect("GET /api/v1/apps/shop", 404, error("app_not_found"));
    let ran = server.run(&["status", "shop", "--json"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert_eq!(ran.error()["code"], "app_not_found");
    assert_eq!(ran.error()["message"], "the message");
    assert_eq!(ran.error()["help"], "the help");
}

#[test]
fn no_platform_is_3() {
    let empty = tempfile::tempdir().expect("a directory");
    let ran = run(empty.path(), &["apps"]);
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("no platform answers at") && ran.stderr.contains("adaptable up"), "{ran:?}");
    // A socket that nobody listens on any more is the same.
    drop(std::os::unix::net::UnixListener::bind(empty.path().join("adaptable.sock")).expect("a socket"));
    assert_eq!(run(empty.path(), &["apps", "--json"]).error()["code"], "no_platform");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let ran = run(empty.path(), &["apps", "--url", &format!("https://{closed}")]);
    assert_eq!(ran.code, 3, "{ran:?}");
}

#[test]
fn what_is_no_platform_is_said_so() {
    let server = Server::start();
    server.expect("GET /api/v1/apps", 502, "<html>Bad Gateway</html>");
    let ran = server.run(&["apps"]);
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("502"), "{ran:?}");
    server.expect("GET /api/v1/apps", 200, "<html>Welcome to nginx</html>");
    assert_eq!(server.run(&["apps"]).code, 1);
}

#[test]
fn bad_usage_is_2() {
    let empty = tempfile::tempdir().expect("a directory");
    for arguments in [&["frobnicate"][..], &["status"], &["status", "My_App"], &["deploy", "--env", "A"], &["scale", "shop"]] {
        let ran = run(empty.path(), arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
    }
    let ran = run(empty.path(), &["deploy", "/no/such/directory"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let ran = run(empty.path(), &["status", "My_App", "--json"]);
    assert_eq!(ran.error()["code"], "bad_request");
    assert!(ran.error()["message"].as_str().expect("a text").contains("a-z, 0-9 and '-'"), "{ran:?}");
    let ran = run(empty.path(), &["apps", "--url", "http://localhost"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("https"), "{ran:?}");
}

#[test]
fn help_is_no_error() {
    let empty = tempfile::tempdir().expect("a directory");
    let ran = run(empty.path(), &["--help"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    for word in ["serve", "up", "down", "deploy", "logs", "rollback", "Exit codes"] {
        assert!(ran.stdout.contains(word), "{word}");
    }
    assert_eq!(run(empty.path(), &["--version"]).code, 0);
    let ran = run(empty.path(), &["env", "shop", "--help"]);
    assert!(ran.stdout.contains("Examples"), "{ran:?}");
}

#[test]
fn a_closed_pipe_is_quiet() {
    let server = Server::start();
    let lines = r#"{"at":"2026-01-01T00:00:00Z","instance":"a","stream":"stdout","line":"x"}"#;
    server.expect("GET /api/v1/apps/shop/logs", 200, format!("{lines}\n").repeat(20_000));
    let mut command = command(server.data.path());
    command.args(["--data-dir", server.data.path().to_str().expect("plain"), "logs", "shop"]);
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().expect("run");
    drop(child.stdout.take());
    let ran = ended(&child.wait_with_output().expect("it ends"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
}
