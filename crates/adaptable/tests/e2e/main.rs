//! The platform from end to end: the real binary, real containers, real HTTPS, and a look at the machine afterwards.
#![cfg(target_os = "linux")]

mod backups;
mod beside;
mod broken;
mod clients;
mod commands;
mod contract;
mod crash;
mod databases;
mod deploying;
mod figures;
mod first;
mod freezing;
mod github;
mod grpc;
mod handover;
mod identity;
mod images;
mod isolation;
mod moments;
mod mongodb;
mod push;
mod scaling;
mod settings;
mod sources;
mod split;
mod start;
mod streams;
mod under_load;
mod waking;
mod wizard;

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use testkit::{Options, Platform};

/// A platform with an empty data directory.
fn platform() -> Platform {
    Platform::start(program(), Options::default())
}

/// A platform whose apps sleep after that time without a request.
fn sleepy(idle: &str) -> Platform {
    Platform::start(program(), Options { idle_timeout: idle.to_owned(), ..Options::default() })
}

fn program() -> &'static str {
    env!("CARGO_BIN_EXE_adaptable")
}

/// The guide's app, answering `text`.
fn flask(text: &str) -> String {
    format!(
        "from flask import Flask\n\n\ndef start_app():\n    app = Flask(__name__)\n\n    @app.get('/')\n    def hello():\n        return '{text}'\n\n    return app\n"
    )
}

/// An app without dependencies that answers `text`, and does what tests ask it to do from inside of its container.
fn plain(text: &str) -> String {
    include_str!("plain.py").replace("@TEXT@", text)
}

/// How a step of a deployment ended.
fn step<'a>(document: &'a Value, name: &str) -> Option<&'a str> {
    let steps = document["steps"].as_array().expect("a list of steps");
    steps.iter().find(|step| step["name"] == name).and_then(|step| step["state"].as_str())
}

/// The next visit to an app whose process has just died. Who comes in the very moment in which it is taken down may be told
/// the same as who was there when it died, once.
fn after_a_crash(platform: &Platform) -> testkit::Answer {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let next = platform.get("shop", "/");
        // 502 met the instance that was just ending; 503 is told while a start that follows another crash waits its second.
        if !matches!(next.status, 502 | 503) || std::time::Instant::now() > until {
            return next;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// What runs of the app `shop`, as `status` tells it.
fn instances(platform: &Platform) -> Vec<Value> {
    platform.cli(&["status", "shop", "--json"]).expect(0).json()["instances"].as_array().expect("a list").clone()
}

/// Writes a settings document beside the sources, for `--settings`.
fn settings(platform: &Platform, document: &str) -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let name = format!("documents-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let directory = platform.source(&name, &[("settings.yaml", document)]);
    directory.join("settings.yaml").to_str().expect("a plain path").to_owned()
}

/// Tells a measurement to whoever runs the tests with their output shown.
#[expect(clippy::print_stdout, reason = "the harness shows it where it is asked to")]
fn tell(what: &str) {
    println!("{what}");
}
