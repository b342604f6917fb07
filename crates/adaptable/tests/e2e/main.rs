//! The platform from end to end: the real binary, real containers, real HTTPS, and a look at the machine afterwards.
#![cfg(target_os = "linux")]

mod first;

use testkit::{Options, Platform};

/// A platform with an empty data directory.
fn platform() -> Platform {
    Platform::start(program(), Options::default())
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
