//! The documents of the contract, and what the commands ask for.

use serde_json::{Value, json};

use crate::server::Server;

const SUMMARY: &str =
    r#"{"app":"shop","url":"https://shop.localhost:8443","state":"live","revision":3,"template":"flask","database":"none"}"#;

fn deployment(state: &str) -> Value {
    json!({"app":"shop","url":"https://shop.localhost:8443","revision":3,"deployment":7,"state":state,"template":"flask",
        "steps":[{"name":"start","seconds":0.25,"state":"done"}],"created_at":"2026-01-01T00:00:00Z"})
}

fn end(state: &str) -> String {
    format!("{}\n", json!({"seq":1,"at":"2026-01-01T00:00:01Z","kind":"end","deployment":deployment(state)}))
}

fn changed(number: Option<u32>) -> String {
    json!({"app":"shop","settings":{},"deployment":number,"needs_deploy":number.is_none()}).to_string()
}

fn body(server: &Server, at: usize) -> Value {
    serde_json::from_slice(&server.seen()[at].body).expect("a document was sent")
}

#[test]
fn apps_and_status_have_the_fields_of_the_contract() {
    let server = Server::start();
    server.expect("GET /api/v1/apps", 200, format!("[{SUMMARY}]"));
    assert_eq!(
        server.run(&["apps", "--json"]).document(),
        serde_json::from_str::<Value>(&format!("[{SUMMARY}]")).expect("a document")
    );
    server.expect("GET /api/v1/apps", 200, format!("[{SUMMARY}]"));
    let ran = server.run(&["apps"]);
    assert!(ran.stdout.starts_with("APP   STATE  REVISION"), "{ran:?}");
    assert!(ran.stdout.contains("shop  live   3"), "{ran:?}");

    let mut status: Value = serde_json::from_str(SUMMARY).expect("a document");
    status["instances"] = json!([{"id":"shop-1","revision":3,"state":"ready","memory_bytes":30_000_000,"cpu_seconds":0.5}]);
    status["deployments"] = json!([deployment("live")]);
    server.expect("GET /api/v1/apps/shop", 200, status.to_string());
    assert_eq!(server.run(&["status", "shop", "--json"]).document(), status);
    server.expect("GET /api/v1/apps/shop", 200, status.to_string());
    let ran = server.run(&["status", "shop"]);
    assert!(ran.stdout.contains("30.0 MB") && ran.stdout.contains("ready"), "{ran:?}");
    assert!(!ran.stdout.contains("last hour"), "an older platform does not tell: {ran:?}");
}

#[test]
fn the_last_hour_is_a_line_of_bars() {
    let mut status: Value = serde_json::from_str(SUMMARY).expect("a document");
    (status["instances"], status["deployments"]) = (json!([]), json!([]));
    let (mut requests, mut errors, mut slowest) = ([0; 60], [0; 60], [0.0; 60]);
    (requests[0], requests[30], requests[59], errors[30], slowest[30]) = (7, 14, 1, 2, 1.25);
    status["last_hour"] = json!({"requests": requests.to_vec(), "errors": errors.to_vec(), "slowest": slowest.to_vec()});
    let server = Server::start();
    server.expect("GET /api/v1/apps/shop", 200, status.to_string());
    assert_eq!(server.run(&["status", "shop", "--json"]).document(), status);
    let shown = |locale: &str, columns: &str| {
        server.expect("GET /api/v1/apps/shop", 200, status.to_string());
        let ran = server.run_with(&["status", "shop"], &[("LC_ALL", locale), ("COLUMNS", columns)]);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout.lines().skip_while(|line| !line.contains("last hour")).take(3).map(str::to_owned).collect::<Vec<_>>()
    };
    let words = "            22 requests, at most 14 a minute; 2 failed (!); the slowest took 1.25 s";
    let line = format!("  last hour ▅{}█{}▂", "▁".repeat(29), "▁".repeat(28));
    assert_eq!(shown("C.UTF-8", "80"), [line, format!("{}!", " ".repeat(42)), words.to_owned()]);
    let line = format!("  last hour ={}#{}.", "_".repeat(14), "_".repeat(13));
    assert_eq!(shown("C", "50"), [line, format!("{}!", " ".repeat(27)), words.to_owned()]);
    status["last_hour"] = json!({"requests": vec![0; 60], "errors": vec![0; 60], "slowest": vec![0; 60]});
    server.expect("GET /api/v1/apps/shop", 200, status.to_string());
    assert!(server.run(&["status", "shop"]).stdout.contains("  last hour no request\n"));
}

#[test]
fn revisions_and_deployments_are_listed() {
    let server = Server::start();
    let revisions = json!([{"revision":2,"created_at":"2026-01-01T00:00:00Z","commit":{"id":"abcdef0123","subject":"Fix it","branch":"main","dirty":true},
        "image":"sha256:0123456789abcdef","serving":true,"percent":100}]);
    server.expect("GET /api/v1/apps/shop/revisions", 200, revisions.to_string());
    assert_eq!(server.run(&["revisions", "shop", "--json"]).document(), revisions);
    server.expect("GET /api/v1/apps/shop/revisions", 200, revisions.to_string());
    let ran = server.run(&["revisions", "shop"]);
    assert!(ran.stdout.contains("0123456789ab") && ran.stdout.contains("abcdef0+ Fix it"), "{ran:?}");
    server.expect("GET /api/v1/apps/shop/deployments", 200, "[]");
    let ran = server.run(&["deployments", "shop"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", "no deployments yet\n"));
}

#[test]
fn variables_are_hidden_until_they_are_asked_for() {
    let variables = r#"{"kind":"run","variables":{"A":"secret"}}"#;
    let server = Server::start();
    for arguments in [&["env", "shop", "list"][..], &["env", "shop", "list", "--json"]] {
        server.expect("GET /api/v1/apps/shop/env?kind=run", 200, variables);
        let ran = server.run(arguments);
        assert!(ran.stdout.contains('A') && !ran.stdout.contains("secret"), "{ran:?}");
    }
    server.expect("GET /api/v1/apps/shop/env?kind=build", 200, variables);
    assert_eq!(server.run(&["env", "shop", "list", "--build", "--reveal"]).stdout, "A=secret\n");
    server.expect("GET /api/v1/apps/shop/env?kind=run", 200, variables);
    assert_eq!(server.run(&["env", "shop", "list", "--reveal", "--json"]).document()["variables"]["A"], "secret");
}

#[test]
fn a_change_of_variables_is_followed_until_it_serves() {
    let server = Server::start();
    server.expect("PATCH /api/v1/apps/shop/env", 200, changed(Some(7)));
    server.expect("GET /api/v1/apps/shop/deployments/7/events?from=1", 200, end("live"));
    let ran = server.run(&["env", "shop", "set", "A=b=c", "EMPTY="]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "https://shop.localhost:8443\n"), "{ran:?}");
    assert_eq!(body(&server, 0), json!({"kind":"run","set":{"A":"b=c","EMPTY":""},"unset":[]}));

    let server = Server::start();
    server.expect("PATCH /api/v1/apps/shop/env", 200, changed(None));
    let ran = server.run(&["env", "shop", "unset", "A", "--build"]);
    assert!(ran.code == 0 && ran.stderr.contains("next deployment"), "{ran:?}");
    assert_eq!(body(&server, 0), json!({"kind":"build","set":{},"unset":["A"]}));
}

#[test]
fn settings_go_in_and_out_as_yaml() {
    let server = Server::start();
    server.expect("GET /api/v1/apps/shop/settings", 200, "databaseType: none\n");
    assert_eq!(server.run(&["settings", "shop", "get"]).stdout, "databaseType: none\n");
    let file = server.data.path().join("s.yaml");
    std::fs::write(&file, "resourceConfig: {memory: 512}\n").expect("write");
    server.expect("PUT /api/v1/apps/shop/settings", 200, changed(None));
    let ran = server.run(&["settings", "shop", "apply", "-f", file.to_str().expect("plain")]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let sent = &server.seen()[1];
    assert_eq!((sent.kind.as_str(), sent.body.as_slice()), ("application/yaml", &b"resourceConfig: {memory: 512}\n"[..]));
    // What is wrong is said without asking the platform.
    std::fs::write(&file, "resourceConfig: {memory: 300}\nfrob: 1\n").expect("write");
    assert_eq!(server.run(&["settings", "shop", "apply", "-f", file.to_str().expect("plain")]).code, 2);
}

#[test]
fn the_other_verbs_ask_for_what_they_say() {
    let server = Server::start();
    server.expect("PATCH /api/v1/apps/shop/scale", 200, changed(None));
    assert_eq!(server.run(&["scale", "shop", "--max", "3", "--vcpus", "0.5"]).code, 0);
    assert_eq!(body(&server, 0), json!({"max":3,"vcpus":0.5}));
    server.expect("POST /api/v1/apps/shop/pause", 200, SUMMARY);
    assert_eq!(server.run(&["pause", "shop", "--json"]).document()["app"], "shop");
    server.expect("POST /api/v1/apps/shop/resume", 200, SUMMARY);
    assert_eq!(server.run(&["resume", "shop"]).code, 0);
    server.expect("DELETE /api/v1/apps/shop", 204, "");
    assert_eq!(server.run(&["delete", "shop", "--yes", "--json"]).document(), json!({"app":"shop","deleted":true}));
    server.expect("DELETE /api/v1/apps/shop?without_backup=true", 204, "");
    server.run(&["delete", "shop", "--yes", "--without-backup", "--json"]).document();
    // Nobody can be asked, so nothing is deleted.
    assert_eq!(server.run(&["delete", "shop"]).code, 2);
    server.expect("POST /api/v1/apps/shop/rollback", 202, r#"{"app":"shop","deployment":7}"#);
    server.expect("GET /api/v1/apps/shop/deployments/7/events?from=1", 200, end("live"));
    let ran = server.run(&["rollback", "shop", "--to", "2", "--json"]);
    assert_eq!((ran.code, ran.document()["revision"].as_u64()), (0, Some(3)), "{ran:?}");
    let rollback = server.seen().iter().rev().find(|seen| seen.line.ends_with("rollback")).cloned().expect("it was asked for");
    assert_eq!(rollback.body, br#"{"to":2}"#);
}

#[test]
fn backups_are_listed_made_verified_and_restored() {
    const GOOD: &str = r#"{"backup":"20261124T031500Z-ab12","created_at":"2026-11-24T03:15:00Z","bytes":2048,"state":"verified",
        "kind":"daily","verified":{"tables":2,"rows":17},"places":["directory","s3"]}"#;
    const BAD: &str = r#"{"backup":"20261123T031500Z-ab13","created_at":"2026-11-23T03:15:00Z","bytes":9,"state":"damaged",
        "kind":"daily","verified":null,"problem":"its SHA-256 differs"}"#;
    let server = Server::start();
    let path = "/api/v1/apps/shop/database/backups";
    server.expect(&format!("GET {path}"), 200, format!("[{GOOD},{BAD}]"));
    let list = server.run(&["db", "shop", "backups"]).stdout;
    assert!(list.contains("verified: 2 tables, 17 rows") && list.contains("directory, s3") && list.contains("2.0 kB"), "{list}");
    assert!(list.contains("damaged: its SHA-256 differs"), "{list}");
    server.expect(&format!("POST {path}"), 200, GOOD);
    assert_eq!(server.run(&["db", "shop", "backup", "--json"]).document()["verified"], json!({"tables":2,"rows":17}));
    server.expect(&format!("POST {path}/20261124T031500Z-ab12/verify"), 200, GOOD);
    assert_eq!(server.run(&["db", "shop", "verify", "20261124T031500Z-ab12"]).code, 0);
    let restored = r#"{"app":"shop","restored":"20261124T031500Z-ab12","before":"20261124T120000Z-0001"}"#;
    server.expect(&format!("POST {path}/20261124T031500Z-ab12/restore"), 200, restored);
    let ran = server.run(&["db", "shop", "restore", "20261124T031500Z-ab12"]);
    assert!(ran.code == 0 && ran.stderr.contains("adaptable db shop restore 20261124T120000Z-0001"), "{ran:?}");
    let restored = r#"{"app":"shop","at":"2026-11-24T12:00:00.5Z","before":"20261124T120000Z-0001"}"#;
    server.expect("POST /api/v1/apps/shop/database/restore?at=2026-11-24T12:00:00.5Z", 200, restored);
    let ran = server.run(&["db", "shop", "restore", "--at", "2026-11-24T13:00:00.5+01:00"]);
    assert!(ran.code == 0 && ran.stderr.contains("adaptable db shop restore 20261124T120000Z-0001"), "{ran:?}");
    for bad in [&["--at", "noon"][..], &[], &["20261124T031500Z-ab12", "--at", "2026-11-24T12:00:00Z"]] {
        assert_eq!(server.run(&[&["db", "shop", "restore"], bad].concat()).code, 2, "{bad:?}");
    }
    // What is no id is not asked for.
    assert_eq!(server.run(&["db", "shop", "restore", "../../etc/passwd"]).code, 2);
}

#[test]
fn a_token_is_shown_once() {
    let server = Server::start();
    let token =
        r#"{"id":"t1","name":"laptop","app":null,"created_at":"2026-01-01T00:00:00Z","last_used_at":null,"token":"the-secret"}"#;
    server.expect("POST /api/v1/tokens", 201, token);
    assert_eq!(server.run(&["token", "create", "laptop"]).stdout, "the-secret\n");
    server.expect("GET /api/v1/tokens", 200, r#"[{"id":"t1","name":"laptop","app":null,"created_at":"2026-01-01T00:00:00Z"}]"#);
    let ran = server.run(&["token", "list"]);
    assert!(ran.stdout.contains("t1") && ran.stdout.contains("(all)"), "{ran:?}");
    server.expect("DELETE /api/v1/tokens/t1", 204, "");
    assert_eq!(server.run(&["token", "revoke", "t1"]).code, 0);
    assert_eq!(server.run(&["token", "revoke", "../apps/shop"]).code, 2);
}

#[test]
fn logs_are_lines_of_the_contract() {
    let first = r#"{"at":"2026-01-01T00:00:00.5Z","instance":"shop-1","stream":"stdout","line":"hello"}"#;
    let second = r#"{"at":"2026-01-01T00:00:01Z","instance":"shop-1","stream":"stderr","line":"world"}"#;
    let server = Server::start();
    server.expect("GET /api/v1/apps/shop/logs?since=600&lines=5", 200, format!("{first}\n\n{second}\n"));
    let ran = server.run(&["logs", "shop", "--since", "10m", "-n", "5"]);
    assert_eq!(ran.stdout, "2026-01-01T00:00:00.500Z shop-1 hello\n2026-01-01T00:00:01.000Z shop-1 world\n");
    server.expect("GET /api/v1/apps/shop/logs?deployment=3", 200, format!("{first}\n{second}"));
    let ran = server.run(&["logs", "shop", "--deployment", "3", "--json"]);
    let lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1], serde_json::from_str::<Value>(second).expect("an object"));
    server.expect("GET /api/v1/apps/shop/logs?access=true&lines=1", 200, second);
    assert_eq!(server.run(&["logs", "shop", "--access", "-n", "1"]).code, 0);
    assert_eq!(server.run(&["logs", "shop", "--access", "--deployment", "1"]).code, 2);
}

#[test]
fn followed_logs_survive_a_restart_of_the_platform() {
    let line = |second: u32, text: &str| {
        format!("{}\n", json!({"at":format!("2026-01-01T00:00:0{second}Z"),"instance":"a","stream":"stdout","line":text}))
    };
    let server = Server::start();
    server.expect_cut("GET /api/v1/apps/shop/logs?follow=true", line(1, "one") + &line(2, "two"));
    // After the restart the platform repeats the last second; the end of the script ends the command.
    server.expect("GET /api/v1/apps/shop/logs?since=2026-01-01T00:00:02Z&follow=true", 200, line(2, "two") + &line(2, "three"));
    server.expect(
        "GET /api/v1/apps/shop/logs?since=2026-01-01T00:00:02Z&follow=true",
        404,
        r#"{"error":{"code":"app_not_found","message":"there is no app shop","help":""}}"#,
    );
    let ran = server.run(&["logs", "shop", "--follow"]);
    let texts: Vec<_> = ran.stdout.lines().filter_map(|line| line.split(' ').next_back()).collect();
    assert_eq!(texts, ["one", "two", "three"], "{ran:?}");
    assert_eq!(ran.code, 1);
}
