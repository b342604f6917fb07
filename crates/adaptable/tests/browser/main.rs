//! The pages in a real browser: Chromium follows the guide word for word, against the real binary with real containers.
//!
//! What a page offers is found as a person finds it, by the words on it (accessible names, as a screen reader has them), never by ids
//! or classes. An error in the browser's console fails a test.
#![cfg(target_os = "linux")]

mod audit;
#[expect(dead_code, reason = "a browser can do more than these tests ask of it")]
mod browser;
mod by_hand;
mod driver;
mod entry;
mod failure;
mod furnished;
mod guide;
mod hostile;
mod logs;
mod pages;
mod people;
mod quiet;
mod scenes;
mod steps;
mod walk;
mod without_github;
mod words;

use testkit::{Options, Platform};

use browser::Browser;

/// A platform with an empty data directory.
fn platform() -> Platform {
    Platform::start(env!("CARGO_BIN_EXE_adaptable"), Options::default())
}
