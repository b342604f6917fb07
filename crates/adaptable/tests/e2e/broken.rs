//! Apps that do not work, in the ways apps do not work: one clear line, and what served before still serves.

use std::fs;
use std::process::Command;

use testkit::{Output, Platform};

use crate::{flask, plain, platform};

/// Deploys over the app `shop` and returns the line that says what is wrong.
fn refused(platform: &Platform, name: &str, files: &[(&str, &str)]) -> String {
    let source = platform.source(name, files);
    let output = platform.cli(&["deploy", source.to_str().expect("a path"), "--app", "shop"]).expect(1);
    let errors: Vec<_> = output.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{name}: one line says what is wrong:\n{}", output.stderr);
    assert_eq!(output.stdout, "", "{name}: no address is printed");
    assert_eq!(platform.get("shop", "/").text(), "good", "{name}: what served before still serves");
    let status = platform.cli(&["status", "shop", "--json"]).expect(0).json();
    assert_eq!((status["state"].as_str(), status["revision"].as_u64()), (Some("live"), Some(1)), "{name}: {status}");
    assert_eq!(status["deployments"][0]["state"], "failed", "{name}: {status}");
    errors[0].to_owned()
}

fn says(error: &str, words: &[&str]) {
    for word in words {
        assert!(error.contains(word), "{word:?} is not in {error:?}");
    }
}

#[test]
fn broken_apps_fail_with_one_clear_line() {
    let platform = platform();
    let good = platform.source("good", &[("myapp.py", &flask("good")), ("requirements.txt", "flask\ngunicorn\n")]);
    platform.deploy(&good, &["--app", "shop"]);
    let flask_only = ("requirements.txt", "flask\ngunicorn\n");
    let hello = "from flask import Flask\n\napp = Flask(__name__)\n";

    let syntax = refused(
        &platform,
        "syntax",
        &[("app.py", "from flask import Flask\n\napp = Flask(__name__)\n\ndef hello(:\n    pass\n"), flask_only],
    );
    says(&syntax, &["syntax error", "app.py:5"]);
    let missing = refused(&platform, "missing", &[("app.py", &format!("import yaml\n{hello}")), flask_only]);
    says(&missing, &["The module `yaml` is not installed"]);
    let exits =
        refused(&platform, "exits", &[("app.py", &format!("import sys\n{hello}sys.exit('no configuration')\n")), flask_only]);
    says(&exits, &["before", "answer"]);
    let plainly = refused(&platform, "plainly", &[("app.py", "import sys\nprint('bye')\nsys.exit(4)\n")]);
    says(&plainly, &["the app ended", "exit code 4"]);
    let unknown =
        refused(&platform, "unknown", &[("app.py", hello), ("requirements.txt", "flask\nadaptable-no-such-distribution\n")]);
    says(&unknown, &["requirements.txt", "There is no package `adaptable-no-such-distribution`"]);
    // No check is asked on this way: the server takes it, and answers every request with 500.
    let factory = "from flask import Flask\n\n\ndef start_app():\n    return Flask(__name__)\n";
    let procfile = ("Procfile", "web: gunicorn --bind=0.0.0.0:$PORT --threads=4 myapp:start_app\n");
    let uncalled = refused(&platform, "uncalled", &[("myapp.py", factory), flask_only, procfile]);
    says(&uncalled, &["every request", "500", "`start_app` is no application"]);
    let nothing = refused(&platform, "nothing", &[("notes.txt", "hi\n")]);
    says(&nothing, &["No app was recognised"]);
    let python = refused(&platform, "python", &[("app.py", hello), ("runtime.txt", "python-2.7.18\n"), flask_only]);
    says(&python, &["Python 2.7.18 is not available", "3.11"]);

    let help = platform.cli(&["deployments", "shop", "--json"]).expect(0).json();
    for deployment in help.as_array().expect("a list").iter().filter(|it| it["state"] == "failed") {
        assert!(
            deployment["error"]["help"].as_str().is_some_and(|help| !help.is_empty()),
            "every failure says what to do: {deployment}"
        );
    }
}

#[test]
fn an_app_that_listens_elsewhere_is_told_where() {
    let platform = platform();
    let good = platform.source("good", &[("app.py", &plain("good"))]);
    platform.deploy(&good, &["--app", "shop"]);
    let fixed = plain("x").replace("int(os.environ[\"PORT\"])", "5000");
    says(&refused(&platform, "fixed", &[("app.py", &fixed)]), &["listens on 0.0.0.0:5000, not on 0.0.0.0:8080"]);
    let loopback = plain("x").replace("(\"0.0.0.0\"", "(\"127.0.0.1\"");
    says(&refused(&platform, "loopback", &[("app.py", &loopback)]), &["listens on 127.0.0.1:8080, not on 0.0.0.0:8080"]);
    // As the advice has it: an app with a fixed port is told to the platform by the variable PORT.
    let source = platform.source("fixed-told", &[("app.py", &fixed)]);
    platform.deploy(&source, &["--app", "told", "--env", "PORT=5000"]);
    assert_eq!(platform.get("told", "/").text(), "x");
}

#[test]
fn a_hostile_tree_is_refused_at_the_door() {
    let platform = platform();
    let good = platform.source("good", &[("app.py", &plain("good"))]);
    platform.deploy(&good, &["--app", "shop"]);
    let directory = platform.scratch().join("hostile");
    fs::create_dir_all(directory.join("sub")).expect("a directory");
    fs::write(directory.join("app.py"), plain("evil")).expect("a file");
    std::os::unix::fs::symlink("/etc/passwd", directory.join("absolute")).expect("a link");
    std::os::unix::fs::symlink("../../etc/passwd", directory.join("sub/upwards")).expect("a link");
    let device = Output::from(Command::new("mknod").arg(directory.join("device")).args(["c", "1", "3"]));
    let archives: &[&[&str]] = &[
        &["app.py", "absolute"],
        &["app.py", "sub/upwards"],
        &["--transform=s,app.py,../app.py,", "app.py"],
        &["--transform=s,app.py,/etc/app.py,", "app.py"],
        &["app.py", "device"],
    ];
    for (number, arguments) in archives.iter().enumerate() {
        if arguments.contains(&"device") && device.code != 0 {
            continue;
        }
        let archive = platform.scratch().join(format!("{number}.tar"));
        Output::from(Command::new("tar").arg("-cPf").arg(&archive).arg("-C").arg(&directory).args(*arguments)).expect(0);
        let answer = platform.api("POST", "/uploads", &fs::read(&archive).expect("the archive")).expect("an answer");
        assert_eq!(answer.json()["code"], "source_refused", "{arguments:?}: {} {}", answer.status, answer.text());
    }
    let cut = fs::read(platform.scratch().join("0.tar")).expect("the archive");
    let answer = platform.api("POST", "/uploads", &cut[..700]).expect("an answer");
    assert!((400..500).contains(&answer.status), "{answer:?}");
    // The command line's own way: links that lead out are refused, too, or left out, but never followed.
    let output = platform.try_deploy(&directory, &["--app", "evil"]);
    if output.code == 0 {
        let leaked =
            platform.request("GET", "evil", "/file?path=/app/absolute", &[], b"").map(|answer| answer.text()).unwrap_or_default();
        let host = fs::read_to_string("/etc/passwd").expect("the machine's own");
        assert_ne!(leaked, host);
    }
    assert_eq!(platform.get("shop", "/").text(), "good");
}
