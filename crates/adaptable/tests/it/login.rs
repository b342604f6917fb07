//! `login`: nobody is trusted, and no token is sent, before somebody has vouched for the platform.

use std::process::Command;

use crate::server::{Ran, Server, command, ended};

const PLATFORM: &str = r#"{"version":"0.1.0","domain":"localhost","url":"https://localhost:8443","app_url":"https://NAME.localhost:8443",
    "http":"0.0.0.0:8080","https":"0.0.0.0:8443","pid":4711,"data_dir":"/d","started_at":"2026-01-01T00:00:00Z","own_ca":true}"#;

/// The binary, with a home of its own.
fn adaptable(server: &Server) -> Command {
    command(server.data.path())
}

fn run(command: &mut Command, arguments: &[&str]) -> Ran {
    ended(&command.args(arguments).output().expect("run the binary"))
}

#[test]
fn a_login_is_remembered_until_it_is_forgotten() {
    let (server, tls) = Server::start_tls();
    server.expect("GET /api/v1/ca", 200, tls.authority.as_str());
    server.expect("GET /api/v1/platform", 200, PLATFORM);
    server.expect("GET /api/v1/apps", 200, "[]");
    let ran = run(&mut adaptable(&server), &["login", &tls.url, "--fingerprint", &tls.fingerprint, "--token", "the-token"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let tokens: Vec<_> = server.seen().into_iter().map(|seen| seen.token).collect();
    assert_eq!(tokens, ["", "Bearer the-token", "Bearer the-token"], "the first request went to a stranger");

    server.expect("GET /api/v1/apps", 200, "[]");
    let ran = run(&mut adaptable(&server), &["apps", "--json"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "[]\n"), "{ran:?}");
    assert_eq!(server.seen().last().expect("a request").token, "Bearer the-token");

    assert_eq!(run(&mut adaptable(&server), &["logout"]).code, 0);
    assert_eq!(run(adaptable(&server).env("ADAPTABLE_DATA_DIR", server.data.path()), &["apps"]).code, 3);
    server.is_done();
}

#[test]
fn another_fingerprint_is_refused() {
    let (server, tls) = Server::start_tls();
    for (fingerprint, code) in [(Some("AA:BB"), 1), (None, 2)] {
        server.expect("GET /api/v1/ca", 200, tls.authority.as_str());
        let mut arguments = vec!["login", &tls.url, "--token", "the-token"];
        arguments.extend(fingerprint.map(|fingerprint| ["--fingerprint", fingerprint]).into_iter().flatten());
        let ran = run(&mut adaptable(&server), &arguments);
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.stderr.contains(&tls.fingerprint), "{ran:?}");
        assert!(!ran.stderr.contains("the-token"), "{ran:?}");
    }
    assert!(server.seen().iter().all(|seen| seen.token.is_empty()), "no token was sent");
    assert!(!server.data.path().join(".config/adaptable/login.toml").exists());
}

#[test]
fn a_certificate_may_be_named_instead() {
    let (server, tls) = Server::start_tls();
    let file = server.data.path().join("ca.pem");
    std::fs::write(&file, &tls.authority).expect("write");
    server.expect("GET /api/v1/apps", 401, r#"{"error":{"code":"unauthorized","message":"the token is not valid","help":""}}"#);
    let ran = run(adaptable(&server).env("ADAPTABLE_CA", &file).env("ADAPTABLE_TOKEN", "old"), &["apps", "--url", &tls.url]);
    assert_eq!(ran.code, 4, "{ran:?}");
    let ran = run(&mut adaptable(&server), &["apps", "--url", &tls.url]);
    assert!(ran.code == 1 && ran.stderr.contains("--ca"), "{ran:?}");
    let key = server.data.path().join("nonsense.pem");
    std::fs::write(&key, "nonsense").expect("write");
    let ran = run(&mut adaptable(&server), &["apps", "--url", &tls.url, "--ca", key.to_str().expect("plain")]);
    assert_eq!(ran.code, 2, "{ran:?}");
}
