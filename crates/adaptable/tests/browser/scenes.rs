//! What has to be done before some pages can be looked at: the wizard, coming in, errors.

use crate::browser::Browser;
use crate::furnished::{Furnished, GUESTBOOK};
use crate::guide::{install, make_the_app};
use crate::people::{OPERATOR, PASSWORD, first_link};
use crate::steps::DEPLOYMENT;
use crate::walk::Walk;
use crate::without_github::{code, secret_on};

/// Before anybody runs the platform.
pub(crate) fn nobody(walk: &mut Walk, world: &Furnished) {
    let stranger = world.stranger();
    for (name, path) in [("front", "/"), ("sign-in", "/sign-in")] {
        walk.goto(&stranger, name, path);
    }
    walk.goto(&stranger, "welcome", &first_link(world.platform()));
    stranger.expect_in_console("status of 404");
    walk.goto(&stranger, "not-found", "/nothing-here");
}

/// When nothing has happened yet.
pub(crate) fn nothing(walk: &mut Walk, operator: &Browser) {
    let pages = [
        ("dashboard-empty", "/apps"),
        ("new-without-github", "/new"),
        ("operator-github-none", "/operator/github"),
        ("operator-tokens-empty", "/operator/tokens"),
        ("operator-backups-empty", "/operator/backups"),
    ];
    for (name, path) in pages {
        walk.goto(operator, name, path);
    }
}

/// From GitHub to a deployment under way, step by step.
pub(crate) fn wizard(walk: &mut Walk, world: &Furnished) {
    let browser = world.operator();
    make_the_app(browser);
    walk.goto(browser, "new-to-link", "/new");
    walk.goto(browser, "github-link", "/sign-in/github?next=/new");
    browser.click("Connect GitHub");
    browser.click("Authorize Adaptable at the garden");
    browser.see("You haven't connected");
    walk.look(browser, "new-to-connect");
    browser.click("Connect GitHub Repository");
    install(browser, "olive");
    careless(walk, browser);

    let choose = |repository: &str| {
        browser.goto("/new");
        browser.click("Choose a GitHub repo");
        browser.choose(repository);
    };
    choose("olive/notes");
    browser.choose("main");
    browser.see("Base Directory");
    walk.look(browser, "wizard-template-none");

    choose("olive/box-office");
    browser.see("Default");
    walk.look(browser, "wizard-branch");
    browser.choose("main");
    browser.see("Recognised");
    walk.look(browser, "wizard-template");
    browser.choose("Flask App");
    browser.tick("PostgreSQL");
    walk.look(browser, "wizard-database");
    browser.tick("None");
    browser.click("Next");
    browser.see("Start Command");
    walk.look(browser, "wizard-settings");
    browser.click_beside("Change", "Start Command");
    walk.look(browser, "wizard-settings-change");
    browser.fill("Start Command", "gunicorn --bind=0.0.0.0:$PORT --threads=4 box_office:app");
    browser.click("Save");
    browser.see("--threads=4");
    browser.click("Next");
    browser.expect_in_console("/name - Failed to load");
    browser.fill("App name", GUESTBOOK);
    browser.click("Next");
    browser.see("is taken");
    walk.look(browser, "wizard-name-taken");
    browser.fill("App name", "box-office");
    browser.see("free");
    walk.look(browser, "wizard-name");
    browser.click("Next");
    browser.see("Pre-flight checks");
    walk.look(browser, "wizard-checks");
    browser.tick("HTTP Listener on PORT");
    browser.click("Deploy App");
    under_way(walk, browser);
}

/// A repository whose checks fail; the first one that is chosen, so the list of repositories is open.
fn careless(walk: &mut Walk, browser: &Browser) {
    browser.see("olive/poems");
    walk.look(browser, "wizard-repository");
    browser.choose("olive/poems");
    browser.choose("main");
    browser.choose("Flask App");
    browser.tick("None");
    browser.click("Next");
    browser.click_beside("Change", "Start Command");
    browser.fill("Start Command", "gunicorn --bind=0.0.0.0:$PORT poems:application");
    browser.click("Save");
    browser.see("poems:application");
    browser.click("Next");
    browser.fill("App name", "poems");
    browser.click("Next");
    browser.see("Pre-flight checks");
    walk.look(browser, "wizard-checks-failed");
}

/// A deployment that runs, and what cancels it.
fn under_way(walk: &mut Walk, browser: &Browser) {
    browser.arrive("/apps/box-office/deployments/1");
    browser.see_within(DEPLOYMENT, "48211 rows");
    walk.look(browser, "deployment-running");
    walk.goto(browser, "operator", "/operator");
    walk.goto(browser, "dashboard", "/apps");
    browser.goto("/apps/box-office/deployments/1");
    browser.click("Cancel");
    browser.see("What is served stays as it is.");
    walk.look(browser, "deployment-cancel");
    browser.click("Cancel the deployment");
    browser.see_within(DEPLOYMENT, "Cancelled");
    browser.goto("/apps/box-office/deployments/1");
    walk.look(browser, "deployment-cancelled");
}

/// Forms that say what is wrong with them.
pub(crate) fn mistakes(walk: &mut Walk, browser: &Browser) {
    browser.expect_in_console("/settings - Failed to load");
    browser.goto(&format!("/apps/{GUESTBOOK}/settings"));
    browser.fill("Memory", "12");
    browser.click("Save Settings");
    browser.see("Nothing was changed.");
    walk.look(browser, "settings-wrong");
    browser.goto(&format!("/apps/{GUESTBOOK}/settings?view=yaml"));
    browser.fill("Settings as YAML", "startCommand: [\nmemory: much\n");
    browser.click("Save Settings");
    browser.see("nothing was changed");
    walk.look(browser, "settings-yaml-wrong");
    browser.expect_in_console("/apps/greenhouse - Failed to load");
    walk.goto(browser, "app-unknown", "/apps/greenhouse");
}

/// A second factor, and everything by which people come in.
pub(crate) fn people(walk: &mut Walk, world: &Furnished) {
    let operator = world.operator();
    operator.goto("/account/second-factor");
    let secret = secret_on(operator);
    walk.look(operator, "second-factor-new");
    operator.fill("Code", &code(&secret, 0));
    operator.click("Turn on");
    operator.see("Keep these codes");
    walk.look(operator, "recovery-codes");
    operator.click("I have kept them");

    let stranger = world.stranger();
    stranger.expect_in_console("status of 401");
    stranger.goto("/sign-in?next=/account");
    stranger.fill("Name", OPERATOR);
    stranger.fill("Password", "hunter2hunter2");
    stranger.click("Sign in");
    stranger.see("belong together");
    walk.look(&stranger, "sign-in-wrong");
    stranger.fill("Password", PASSWORD);
    stranger.click("Sign in");
    stranger.see("Six digits");
    walk.look(&stranger, "second-factor");
    // Each code is taken once; the next one is taken already.
    stranger.fill("Code", &code(&secret, 1));
    stranger.click("Sign in");
    stranger.see("This browser");
    walk.look(&stranger, "account");
    drop(stranger);

    operator.goto("/operator/users");
    operator.fill("For whom", "Flora, from the theatre");
    operator.select("As", "Member, viewer");
    operator.select("App", GUESTBOOK);
    operator.click("Make the invitation");
    operator.see("/invite/");
    walk.look(operator, "operator-users-invited");
    let text = operator.text();
    let link = text.split(' ').find(|word| word.contains("/invite/")).expect("a link").to_owned();
    let guest = world.stranger();
    walk.goto(&guest, "invite", &link);
    guest.fill("Name", "flora");
    guest.fill("Password", PASSWORD);
    guest.click("Come in");
    guest.see(GUESTBOOK);
    walk.goto(&guest, "settings-viewer", &format!("/apps/{GUESTBOOK}/settings"));
    guest.expect_in_console("status of 403");
    walk.goto(&guest, "forbidden", "/operator");
}

/// What is shown once.
pub(crate) fn once(walk: &mut Walk, browser: &Browser) {
    browser.goto("/operator/tokens");
    browser.fill("Name", "laptop");
    browser.click("Make the token");
    browser.see("Copy it now");
    walk.look(browser, "operator-tokens-made");
    browser.goto(&format!("/apps/{GUESTBOOK}/resources"));
    browser.click("Show the password");
    browser.see("Hide the password");
    walk.look(browser, "resources-revealed");
}
