//! Without a mouse, and without scripts: the wizard and the settings are forms, and forms are enough.

use crate::browser::{Browser, key};
use crate::people::become_operator;
use crate::platform;
use crate::steps::{Choices, DEPLOYMENT, START, to_the_deployment};
use crate::without_github::upload;

/// Stops of the Tab key on a page, more than any page has.
const STOPS: usize = 80;

/// Goes on with the Tab key until what is so named has the focus; whatever has it on the way must show that.
#[track_caller]
fn tab_to(browser: &Browser, name: &str) {
    let mut passed = Vec::new();
    for _ in 0..STOPS {
        browser.keys(&key::TAB.to_string());
        let focused = browser.focused();
        assert!(browser.shows_focus(), "{focused:?} on {} has the focus and does not show it", browser.path());
        if focused.starts_with(name) {
            return;
        }
        passed.push(focused);
    }
    panic!("the Tab key does not lead to {name:?} on {}: {passed:?}", browser.path());
}

#[test]
fn the_wizard_is_gone_through_with_the_keyboard_alone() {
    let platform = platform();
    let browser = Browser::open(&platform);
    become_operator(&platform, &browser);
    upload(&platform, &browser, "Hello, keys");
    let enter = key::ENTER.to_string();
    browser.see("Flask App");

    // The first stop leads past the frame.
    tab_to(&browser, "Skip to the content");
    browser.keys(&enter);
    tab_to(&browser, "Flask App");
    browser.keys(&enter);
    browser.arrive_at("/database");
    tab_to(&browser, "None");
    browser.keys(" ");
    tab_to(&browser, "Next");
    browser.keys(&enter);
    browser.arrive_at("/settings");
    tab_to(&browser, "Change Start Command");
    browser.keys(&enter);
    tab_to(&browser, "Start Command");
    browser.keys(&format!("{}a{}{START}{enter}", key::CONTROL, key::NULL));
    browser.see(START);
    tab_to(&browser, "Next");
    browser.keys(&enter);
    browser.arrive_at("/name");
    tab_to(&browser, "App name");
    browser.keys(&format!("keys{enter}"));
    browser.arrive_at("/checks");
    tab_to(&browser, "HTTP Listener on PORT");
    browser.keys(" ");
    tab_to(&browser, "Deploy App");
    browser.keys(&enter);
    browser.arrive("/apps/keys/deployments/1");
    browser.see_within(DEPLOYMENT, "Congratulations");
}

#[test]
fn wizard_and_settings_work_without_scripts() {
    let platform = platform();
    let browser = Browser::open(&platform);
    browser.scripts(false);
    become_operator(&platform, &browser);
    upload(&platform, &browser, "Hello, forms");
    to_the_deployment(&browser, Choices { database: "None", start: START, name: "forms" });
    // The page asks again by itself.
    browser.see_within(DEPLOYMENT, "Congratulations");
    browser.goto("/apps/forms/settings");
    browser.fill("Start Command", &format!("{START} --log-level=debug"));
    browser.click("Save Settings");
    browser.see("Saved.");
    browser.goto("/apps/forms/settings");
    assert_eq!(browser.value("Start Command"), format!("{START} --log-level=debug"));
    browser.goto(&browser.app("forms"));
    browser.see("Hello, forms");
}
