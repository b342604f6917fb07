//! The front door: what somebody who is not signed in sees.

use crate::{Browser, platform};

#[test]
fn the_front_page_leads_to_signing_in() {
    let platform = platform();
    let browser = Browser::open(&platform);
    browser.goto("/");
    browser.see("Push an app.");
    assert!(!browser.offers("Sign in with GitHub"), "no GitHub App is set up yet");
    assert!(browser.offers("Sign in"));
}
