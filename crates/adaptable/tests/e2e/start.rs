//! Start commands and release commands.

use std::fs;

use crate::{flask, plain, platform, step};

#[test]
fn the_guides_start_command_works_as_it_stands() {
    let platform = platform();
    let source = platform.source("guide", &[("myapp.py", &flask("guide")), ("requirements.txt", "flask\ngunicorn\n")]);
    platform.deploy(&source, &["--start-command", "gunicorn --bind=0.0.0.0:$PORT --threads=4 myapp:start_app()"]);
    assert_eq!(platform.get("guide", "/").text(), "guide");
    // Quotes, && and variables work, too, and settings win over a Procfile.
    fs::write(source.join("Procfile"), "web: false\n").expect("a file");
    platform.deploy(
        &source,
        &[
            "--start-command",
            "mkdir -p /tmp/x && echo \"started on $PORT\" && exec gunicorn --bind=\"0.0.0.0:$PORT\" 'myapp:start_app()'",
        ],
    );
    assert_eq!(platform.get("guide", "/").text(), "guide");
    let log = platform.cli(&["logs", "guide"]).expect(0).stdout;
    assert!(log.contains("started on 8080"), "{log}");
}

#[test]
fn a_procfile_says_what_runs_and_what_is_released() {
    let platform = platform();
    let procfile = |release: &str| format!("release: {release}\nweb: LEVEL=2 python app.py\n");
    let source = platform.source("rel", &[("app.py", &plain("one")), ("Procfile", &procfile("echo released-$GREETING"))]);
    let first = platform.deploy(&source, &["--env", "GREETING=hi"]);
    assert_eq!(step(&first, "release"), Some("done"), "{first}");
    let log = platform.cli(&["logs", "rel", "--deployment", "1"]).expect(0).stdout;
    assert_eq!(
        log.lines().filter(|line| line.ends_with(" released-hi")).count(),
        1,
        "released once, with the app's variables: {log}"
    );
    assert_eq!(platform.get("rel", "/env").json()["LEVEL"], "2");

    fs::write(source.join("app.py"), plain("two")).expect("a file");
    fs::write(source.join("Procfile"), procfile("echo no-migration && exit 7")).expect("a file");
    let failed = platform.try_deploy(&source, &[]).expect(1).json();
    assert_eq!(
        (failed["state"].as_str(), failed["error"]["code"].as_str()),
        (Some("failed"), Some("release_failed")),
        "{failed}"
    );
    assert!(failed["error"]["message"].as_str().is_some_and(|text| text.contains("exit code 7")), "{failed}");
    let log = platform.cli(&["logs", "rel", "--deployment", "2"]).expect(0).stdout;
    assert!(log.contains("no-migration"), "{log}");
    assert_eq!(platform.get("rel", "/").text(), "one");
    let status = platform.cli(&["status", "rel", "--json"]).expect(0).json();
    assert_eq!((status["state"].as_str(), status["revision"].as_u64()), (Some("live"), Some(1)), "{status}");
}
