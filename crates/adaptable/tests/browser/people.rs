//! Who uses the platform in these tests, and how they come in.

use testkit::{Platform, wait_until};

use crate::browser::Browser;

/// The operator's name.
pub(crate) const OPERATOR: &str = "olive";
/// The operator's password.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// The one-time link that the first start prints.
pub(crate) fn first_link(platform: &Platform) -> String {
    let link = || platform.log().lines().find_map(|line| line.strip_prefix("sign in: ").map(str::to_owned));
    wait_until("the first start prints a link", 20, || link().is_some());
    link().expect("it was there")
}

/// Follows the link of the first start: the browser is the operator's from then on.
#[track_caller]
pub(crate) fn become_operator(platform: &Platform, browser: &Browser) {
    browser.goto(&first_link(platform));
    browser.fill("Name", OPERATOR);
    browser.fill("Password", PASSWORD);
    browser.click("Begin");
    browser.see("Dashboard");
}
