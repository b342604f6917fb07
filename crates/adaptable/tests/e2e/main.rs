//! The platform from end to end: the real binary, real containers, real HTTPS, and a look at the machine afterwards.
#![cfg(target_os = "linux")]

mod beside;
mod broken;
mod commands;
mod crash;
mod deploying;
mod first;
mod images;
mod isolation;
mod push;
mod start;
mod streams;
mod waking;

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

/// Tells a measurement to whoever runs the tests with their output shown.
#[expect(clippy::print_stdout, reason = "the harness shows it where it is asked to")]
fn tell(what: &str) {
    println!("{what}");
}
