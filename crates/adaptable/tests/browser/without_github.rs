//! Without GitHub everything works, too: the link of the first start, an upload, a password, a second factor.

use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use testkit::Platform;

use crate::browser::Browser;
use crate::people::{OPERATOR, PASSWORD, become_operator};
use crate::platform;
use crate::steps::{Choices, DEPLOYMENT, START, greeter, to_the_deployment};

/// The guide's app as an archive.
pub(crate) fn archive(platform: &Platform, words: &str) -> PathBuf {
    let source = platform.source("greeter", &[("myapp.py", &greeter(words)), ("requirements.txt", "flask\ngunicorn\n")]);
    let file = platform.scratch().join("greeter.tar.gz");
    let packed = Command::new("tar").arg("-C").arg(&source).arg("-czf").arg(&file).arg(".").status().expect("tar");
    assert!(packed.success(), "{}", file.display());
    file
}

/// From the Dashboard to the wizard's first step, with an upload.
#[track_caller]
pub(crate) fn upload(platform: &Platform, browser: &Browser, words: &str) {
    let file = archive(platform, words);
    browser.goto("/new");
    browser.choose("Upload");
    browser.upload("Archive", &file);
    browser.click("Upload");
}

#[test]
fn an_upload_becomes_a_live_app_and_its_operator_comes_back_with_password_and_code() {
    let platform = platform();
    let browser = Browser::open(&platform);
    become_operator(&platform, &browser);
    upload(&platform, &browser, "Hello from an archive");
    to_the_deployment(&browser, Choices { database: "None", start: START, name: "greeter" });
    browser.see_within(DEPLOYMENT, "Congratulations");
    browser.goto(&browser.app("greeter"));
    browser.see("Hello from an archive");

    // A second factor, and out.
    browser.goto("/account");
    browser.click("Set up");
    let secret = secret_on(&browser);
    browser.fill("Code", &code(&secret, 0));
    browser.click("Turn on");
    browser.click("I have kept them");
    sign_out(&browser);

    // In again: a wrong password first.
    browser.goto("/apps");
    browser.arrive("/sign-in");
    browser.expect_in_console("status of 401");
    browser.fill("Name", OPERATOR);
    browser.fill("Password", "hunter2hunter2");
    browser.click("Sign in");
    browser.see("password");
    browser.fill("Name", OPERATOR);
    browser.fill("Password", PASSWORD);
    browser.click("Sign in");
    // Each code is taken once; the next one is taken already.
    browser.fill("Code", &code(&secret, 1));
    browser.click("Sign in");
    browser.arrive("/apps");
    browser.see("greeter");
}

/// Through the menu.
#[track_caller]
fn sign_out(browser: &Browser) {
    browser.click(OPERATOR);
    browser.click("Sign out");
    browser.see("Sign in");
}

/// What an authenticator would read.
#[track_caller]
pub(crate) fn secret_on(browser: &Browser) -> Vec<u8> {
    browser.see("Set up a second factor");
    let text = browser.text();
    let secret = text
        .split(' ')
        .find(|word| word.len() == 32 && word.bytes().all(|byte| b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".contains(&byte)));
    base32(secret.unwrap_or_else(|| panic!("a secret: {text}")))
}

fn base32(text: &str) -> Vec<u8> {
    let value = |byte| if byte >= b'A' { u64::from(byte - b'A') } else { u64::from(byte - b'2') + 26 };
    let group = |group: &[u8]| group.iter().fold(0, |sum, byte| sum << 5 | value(*byte)).to_be_bytes();
    text.as_bytes().chunks_exact(8).flat_map(|eight| group(eight)[3..].to_vec()).collect()
}

/// The code of so many steps of 30 seconds from now (RFC 6238).
pub(crate) fn code(secret: &[u8], steps: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).expect("a key of any length");
    mac.update(&(now / 30 + steps).to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let at = usize::from(hash[19] & 15);
    let number = u32::from_be_bytes([hash[at], hash[at + 1], hash[at + 2], hash[at + 3]]) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}
