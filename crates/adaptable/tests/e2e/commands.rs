//! The commands that look after an app, against a platform with real containers.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Output, Platform, wait_until};

use crate::{plain, platform, step};

fn variables(platform: &Platform) -> Value {
    platform.get("shop", "/env").json()
}

#[test]
fn variables_settings_scale_and_rollback() {
    let platform = platform();
    let source = platform.source("shop", &[("app.py", &plain("one"))]);
    platform.deploy(&source, &["--env", "LEVEL=1"]);
    assert_eq!(variables(&platform)["LEVEL"], "1");

    let set = platform.cli(&["env", "shop", "set", "LEVEL=2", "COLOR=light blue", "--json"]).expect(0).json();
    assert_eq!((&set["deployment"]["state"], &set["deployment"]["revision"]), (&json!("live"), &json!(2)), "{set}");
    for name in ["source", "plan", "dependencies"] {
        assert_eq!(step(&set["deployment"], name), None, "no build for a variable: {set}");
    }
    assert_eq!((&variables(&platform)["LEVEL"], &variables(&platform)["COLOR"]), (&json!("2"), &json!("light blue")));
    let hidden = platform.cli(&["env", "shop", "list"]).expect(0).stdout;
    assert!(hidden.contains("COLOR") && !hidden.contains("light blue"), "{hidden}");
    let shown = platform.cli(&["env", "shop", "list", "--reveal"]).expect(0).stdout;
    assert_eq!(shown, "COLOR=light blue\nLEVEL=2\n");
    platform.cli(&["env", "shop", "unset", "COLOR"]).expect(0);
    assert!(variables(&platform).get("COLOR").is_none());
    platform.cli(&["env", "shop", "unset", "COLOR"]).expect(2);

    let build = platform.cli(&["env", "shop", "set", "INDEX=private", "--build", "--json"]).expect(0).json();
    assert_eq!((&build["needs_deploy"], &build["deployment"]), (&json!(true), &Value::Null), "{build}");
    assert!(variables(&platform).get("INDEX").is_none(), "a build's variable is none of the run time");

    let old = platform.cli(&["rollback", "shop", "--to", "1", "--json"]).expect(0).json();
    assert_eq!(old["revision"], 1);
    assert_eq!(variables(&platform)["LEVEL"], "1", "the variables of the old revision are back");
    let revisions = platform.cli(&["revisions", "shop", "--json"]).expect(0).json();
    let serving: Vec<_> =
        revisions.as_array().expect("a list").iter().filter(|it| it["serving"] == true).map(|it| &it["revision"]).collect();
    assert_eq!(serving, [1]);

    let scaled = platform.cli(&["scale", "shop", "--memory", "512", "--concurrency", "7", "--json"]).expect(0).json();
    assert_eq!(scaled["deployment"]["state"], "live", "{scaled}");
    settings(&platform);
}

fn settings(platform: &Platform) {
    let document = platform.cli(&["settings", "shop", "get"]).expect(0).stdout;
    for part in ["LEVEL: ", "memory: 512", "maxConcurrentRequestsPerInstance: 7"] {
        assert!(document.contains(part), "{part:?} is not in {document}");
    }
    let file = platform.scratch().join("settings.yaml");
    let path = file.to_str().expect("a path");
    fs::write(&file, "resourceConfig: {memory: 300, vCpus: 99}\ntemplate: cobol\n").expect("a file");
    let refused = platform.cli(&["settings", "shop", "apply", "-f", path]).expect(2);
    for key in ["resourceConfig.memory", "resourceConfig.vCpus", "template"] {
        assert!(refused.stderr.contains(key), "{key} is not named in {}", refused.stderr);
    }
    let body = fs::read(&file).expect("a file");
    let answer = platform.api("PUT", "/apps/shop/settings", &body).expect("an answer");
    assert!((400..500).contains(&answer.status), "{answer:?}");
    assert_eq!(platform.cli(&["settings", "shop", "get"]).expect(0).stdout, document, "nothing was changed");

    fs::write(&file, document.replace("memory: 512", "memory: 768")).expect("a file");
    platform.cli(&["settings", "shop", "apply", "-f", path]).expect(0);
    assert!(platform.cli(&["settings", "shop", "get"]).expect(0).stdout.contains("memory: 768"));
}

#[test]
fn pause_resume_logs_and_delete() {
    let platform = platform();
    let source = platform.source("shop", &[("app.py", &plain("open"))]);
    platform.deploy(&source, &[]);
    logs(&platform);

    let paused = platform.cli(&["pause", "shop", "--json"]).expect(0).json();
    assert_eq!(paused["state"], "paused");
    let answer = platform.request("GET", "shop", "/", &[("Accept", "application/json")], b"").expect("an answer");
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (503, Some("paused")));
    let status = platform.cli(&["status", "shop", "--json"]).expect(0).json();
    assert_eq!((&status["state"], &status["instances"]), (&json!("paused"), &json!([])));
    let resumed = platform.cli(&["resume", "shop", "--json"]).expect(0).json();
    assert_eq!(resumed["state"], "live");
    assert_eq!(platform.cli(&["status", "shop", "--json"]).expect(0).json()["instances"], json!([]), "resuming starts nothing");
    assert_eq!(platform.get("shop", "/").text(), "open");

    let status = platform.cli(&["status", "shop", "--json"]).expect(0).json();
    let instance = &status["instances"][0];
    // A tenth of a second without a request, and it is frozen: on a busy machine the question may come after that.
    assert!(instance["state"] == "ready" || instance["state"] == "frozen", "{status}");
    assert_eq!(instance["revision"], json!(1), "{status}");
    assert!(instance["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{status}");
    assert!(instance["cpu_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{status}");
    let apps = platform.cli(&["apps", "--json"]).expect(0).json();
    let url = format!("https://shop.localhost:{}", platform.https().port());
    assert_eq!(
        apps,
        json!([{"app": "shop", "url": url, "state": "live", "revision": 1, "template": apps[0]["template"], "database": "none"}])
    );

    platform.cli(&["delete", "shop"]).expect(2);
    platform.cli(&["delete", "shop", "--yes"]).expect(0);
    platform.cli(&["status", "shop"]).expect(1);
    assert_eq!(platform.cli(&["apps", "--json"]).expect(0).json(), json!([]));
    assert_eq!(platform.get("shop", "/").status, 404, "an app that is gone");
    let left = || {
        let layers = fs::read_dir(platform.data().join("layers")).expect("the layers").flatten().count();
        let logs =
            fs::read_dir(platform.data().join("logs")).expect("the logs").flatten().map(|it| it.path()).filter(|it| it.is_dir());
        (layers, logs.flat_map(|it| fs::read_dir(it).into_iter().flatten().flatten()).count())
    };
    wait_until("its layers and logs are gone", 20, || left() == (0, 0));
    // The name is free again.
    platform.deploy(&source, &[]);
    assert_eq!(platform.get("shop", "/").text(), "open");
}

fn logs(platform: &Platform) {
    platform.get("shop", "/print?text=first-line");
    let find = |arguments: &[&str], text: &str| -> Option<Value> {
        let output = platform.cli(&[&["logs", "shop", "--json"], arguments].concat()).expect(0).stdout;
        output
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("an object a line"))
            .find(|line| line["line"] == text)
    };
    wait_until("the lines are kept", 5, || find(&[], "err-first-line").is_some());
    let line = find(&[], "first-line").expect("kept");
    assert_eq!(line["stream"], "stdout");
    assert!(line["instance"].as_str().is_some_and(|id| id.starts_with("shop-1-")), "{line}");
    assert_eq!(find(&[], "err-first-line").expect("kept")["stream"], "stderr");
    assert!(find(&["--since", "10m"], "first-line").is_some());
    std::thread::sleep(Duration::from_millis(1100));
    assert!(find(&["--since", "1s"], "first-line").is_none());
    let deployment = platform.cli(&["logs", "shop", "--deployment", "1"]).expect(0).stdout;
    assert!(deployment.contains("start command"), "{deployment}");

    let mut follower =
        platform.command(&["logs", "shop", "--follow", "--lines", "0"]).stdout(Stdio::piped()).spawn().expect("it starts");
    let stdout = BufReader::new(follower.stdout.take().expect("piped"));
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    // The follower may need a moment to be there.
    let began = Instant::now();
    let seen = (0..20).any(|number| {
        platform.get("shop", &format!("/print?text=live-{number}"));
        lines.recv_timeout(Duration::from_millis(500)).is_ok_and(|line| line.contains("live-"))
    });
    assert!(seen, "nothing came within {:?}", began.elapsed());
    follower.kill().expect("a child of ours");
    follower.wait().expect("a child of ours");
}

#[test]
fn tokens_and_exit_codes() {
    let platform = platform();
    let created = platform.cli(&["token", "create", "ci", "--json"]).expect(0).json();
    let token = created["token"].as_str().expect("a token").to_owned();
    let url = format!("https://localhost:{}", platform.https().port());
    let authority = platform.data().join("ca.pem");
    let remote = |token: &str, arguments: &[&str]| {
        Output::from(platform.bare_command(arguments).args(["--url", &url, "--token", token, "--ca"]).arg(&authority))
    };
    let source = platform.source("far", &[("app.py", &plain("from afar"))]);
    let deployed = remote(&token, &["deploy", source.to_str().expect("a path"), "--json"]).expect(0).json();
    assert_eq!(deployed["state"], "live");
    assert_eq!(platform.get("far", "/").text(), "from afar");
    assert_eq!(remote(&token, &["apps", "--json"]).expect(0).json()[0]["app"], "far");
    let refused = remote("adpt_0000000000000000000000000000000000000000000000000000000000000000", &["apps"]).expect(4);
    assert!(refused.stderr.starts_with("error: "), "{}", refused.stderr);

    let own = platform.cli(&["token", "create", "far only", "--app", "far", "--json"]).expect(0).json();
    let own = own["token"].as_str().expect("a token");
    remote(own, &["status", "far"]).expect(0);
    remote(own, &["apps"]).expect(4);
    remote(own, &["token", "list"]).expect(4);
    let plain_text = remote(own, &["status", "other"]).expect(1);
    assert!(plain_text.stderr.contains("other"), "{}", plain_text.stderr);

    let listed = platform.cli(&["token", "list"]).expect(0).stdout;
    assert!(listed.contains("ci") && !listed.contains(&token), "{listed}");
    platform.cli(&["token", "revoke", created["id"].as_str().expect("an id")]).expect(0);
    remote(&token, &["apps"]).expect(4);

    platform.cli(&["frobnicate"]).expect(2);
    platform.cli(&["scale", "far", "--memory", "300"]).expect(2);
    platform.cli(&["status", "nobody"]).expect(1);
    let nowhere = platform.scratch().join("nowhere");
    let silent = Output::from(platform.bare_command(&["apps", "--json", "--data-dir"]).arg(&nowhere)).expect(3);
    let document: Value = serde_json::from_str(&silent.stderr).expect("one document");
    assert_eq!(document["error"]["code"], "no_platform");
    assert!(document["error"]["help"].as_str().is_some_and(|help| help.contains("adaptable up")), "{document}");
    platform.cli(&["doctor"]).expect(0);
}
