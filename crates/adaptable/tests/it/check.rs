//! `check`: the real binary over directories, without any platform.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::server::{Ran, run};

const FLASK: &str = "from flask import Flask\napp = Flask(__name__)\n";

/// What makes a directory hostile.
type Hostile = fn(&Path);

/// A directory with these files, which is no repository.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for (path, text) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
        fs::write(path, text).expect("write");
    }
    directory
}

fn check(directory: &Path, flags: &[&str]) -> Ran {
    let home = tempfile::tempdir().expect("a directory");
    run(home.path(), &[&["check", directory.to_str().expect("a plain path")], flags].concat())
}

fn state<'a>(document: &'a Value, id: &str) -> &'a str {
    let checks = document["checks"].as_array().expect("a list");
    checks.iter().find(|check| check["id"] == id).and_then(|check| check["state"].as_str()).expect("the check is there")
}

#[test]
fn a_good_app_is_ready() {
    let app = directory(&[("app.py", FLASK), ("requirements.txt", "flask\ngunicorn\n")]);
    let ran = check(app.path(), &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("flask: `app` in app.py is a Flask application"), "{ran:?}");
    assert!(ran.stdout.lines().count() == 13 && ran.stderr == "ready to deploy\n", "{ran:?}");
    let ran = check(app.path(), &["--json"]);
    let document = ran.document();
    assert_eq!((ran.code, document["template"].as_str()), (0, Some("flask")));
    assert_eq!(document["path"].as_str(), app.path().canonicalize().expect("it is there").to_str());
    assert!(document["start_command"].as_str().expect("text").contains("app:app"));
    for check in document["checks"].as_array().expect("a list") {
        let keys: Vec<&str> = check.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(keys.len(), 7, "{keys:?}");
        assert_eq!(check["state"], "ok", "{check}");
    }
}

#[test]
fn the_examples_are_ready() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    for (name, flags) in [
        ("flask", &[][..]),
        ("fastapi", &[]),
        ("django", &[]),
        ("guestbook", &["--database", "postgres"]),
        ("django-notes", &["--database", "postgres"]),
        ("pymongo", &["--database", "mongodb"]),
    ] {
        let ran = check(&examples.join(name), &[flags, &["--strict"]].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (0, "ready to deploy\n"), "{name}: {ran:?}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_what_to_do() {
    let app = directory(&[
        ("app.py", "import os\nfrom flask import Flask\napp = Flask(__name__)\nkey = os.environ['API_KEY']\n"),
        ("requirements.txt", "flask\ngunicorn\n"),
        ("Procfile", "web: gunicorn -b 127.0.0.1:5000 app:app\n"),
    ]);
    let ran = check(app.path(), &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, "1 of 13 checks failed\n"), "{ran:?}");
    for part in ["127.0.0.1", "Procfile:1", "--bind=0.0.0.0:$PORT", "docs/checks.md#listens", "app.py:4", "--env API_KEY="] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    // Flags and a settings document mend it.
    let start = ["--start-command", "gunicorn -b 0.0.0.0:$PORT app:app"];
    let ran = check(app.path(), &start);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, "ready to deploy, with 1 warning\n"), "{ran:?}");
    assert_eq!(check(app.path(), &[&start[..], &["--strict"]].concat()).code, 1);
    let ran = check(app.path(), &[&start[..], &["--env", "API_KEY=swordfish", "--strict"]].concat());
    assert!(ran.code == 0 && !ran.stdout.contains("swordfish"), "{ran:?}");
    let settings = app.path().join("s.yaml");
    fs::write(&settings, "startCommand: gunicorn -b 0.0.0.0:$PORT app:app\nenvironment:\n  API_KEY: swordfish\n").expect("write");
    let ran = check(app.path(), &["--settings", settings.to_str().expect("a plain path"), "--strict", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn bad_usage_is_2() {
    let app = directory(&[("app.py", FLASK)]);
    let file = app.path().join("app.py");
    let cases: [(PathBuf, &[&str]); 6] = [
        (app.path().join("gone"), &[]),
        (file, &[]),
        (app.path().to_owned(), &["--template", "cobol"]),
        (app.path().to_owned(), &["--base-directory", "../up"]),
        (app.path().to_owned(), &["--start-command", " "]),
        (app.path().to_owned(), &["--database", "oracle"]),
    ];
    for (path, flags) in cases {
        let ran = check(&path, flags);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{flags:?}: {ran:?}");
    }
}

#[test]
fn what_is_ignored_is_not_looked_at() {
    let app = directory(&[
        ("app.py", FLASK),
        ("requirements.txt", "flask\n"),
        (".env", "SECRET_KEY=swordfish\n"),
        (".gitignore", "old/\n"),
        ("old/app.py", "import os\nflask = os.environ['X']\n"),
    ]);
    let found = check(app.path(), &["--json"]).document();
    assert_eq!((state(&found, "secrets"), state(&found, "variables")), ("warning", "ok"), "{found}");
    fs::write(app.path().join(".adaptableignore"), ".env\n").expect("write");
    assert_eq!(state(&check(app.path(), &["--json"]).document(), "secrets"), "ok");
}

#[test]
fn what_can_not_be_sent_fails_at_once() {
    let hostile: [(&str, Hostile); 4] = [
        ("a FIFO", |at| nix::unistd::mkfifo(&at.join("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO")),
        ("a link out", |at| std::os::unix::fs::symlink("/etc/passwd", at.join("secret")).expect("a link")),
        ("links in a circle", |at| {
            std::os::unix::fs::symlink("b", at.join("a")).expect("a link");
            std::os::unix::fs::symlink("a", at.join("b")).expect("a link");
        }),
        ("depth", |at| fs::create_dir_all(at.join("d/".repeat(200))).expect("directories")),
    ];
    for (what, make) in hostile {
        let app = directory(&[("app.py", FLASK), ("requirements.txt", "flask\n")]);
        make(app.path());
        let begun = Instant::now();
        let ran = check(app.path(), &["--json"]);
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}: {:?}", begun.elapsed());
        if what == "links in a circle" {
            assert!(ran.code < 2, "{what}: {ran:?}");
        } else {
            assert_eq!((ran.code, state(&ran.document(), "repository")), (1, "failed"), "{what}: {ran:?}");
        }
    }
}
