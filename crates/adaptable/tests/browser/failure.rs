//! The way of failure, as the guide tells it below "Having trouble?": View Logs, a correction in Settings or a push, and it is live.

use crate::browser::Browser;
use crate::guide::{REPOSITORY, connected, world};
use crate::people::become_operator;
use crate::platform;
use crate::steps::{Choices, DEPLOYMENT, START, greeter, to_the_deployment};
use crate::without_github::upload;

/// With an option that gunicorn does not have: no check of the source tells that, and the server ends at once.
const WRONG: &str = "gunicorn --bind=0.0.0.0:$PORT --treads=4 myapp:start_app()";
/// What gunicorn says of it.
const SAID: &str = "unrecognized arguments: --treads=4";

/// "You'll get an error message and some help to resolve the error … click View Logs next to the failed step to see the related logs."
#[track_caller]
fn read_the_failure(browser: &Browser) {
    browser.see_within(DEPLOYMENT, "Likely cause");
    let text = browser.text();
    for words in ["has an option that its program does not know", "What to change", "Tour"] {
        assert!(text.contains(words), "{words:?}: {text}");
    }
    assert!(!text.contains("Congratulations"), "{text}");
    browser.click_beside("View Logs", "Start the app");
    browser.see(SAID);
    browser.see("All steps");
}

/// Corrects the start command in Settings, where the message's button leads.
#[track_caller]
fn correct_it(browser: &Browser) {
    browser.click("Settings");
    browser.arrive("/apps/greeter/settings");
    assert_eq!(browser.value("Start Command"), WRONG);
    browser.fill("Start Command", START);
    browser.click("Save Settings and Update Deployment");
    browser.arrive("/apps/greeter/deployments/2");
    browser.see_within(DEPLOYMENT, "Congratulations");
}

#[test]
fn a_wrong_start_command_is_told_by_its_log_and_corrected_in_settings() {
    let (github, platform) = world();
    let browser = connected(&platform);
    browser.choose(REPOSITORY);
    browser.choose("main");
    to_the_deployment(&browser, Choices { database: "None", start: WRONG, name: "greeter" });
    read_the_failure(&browser);
    browser.click("App Status");
    browser.see("Failed");
    // Nothing is live: whoever visits is told so, by the platform.
    browser.goto(&browser.app("greeter"));
    assert!(!browser.text().contains("Hello"), "{}", browser.text());

    browser.goto("/apps/greeter/deployments/1");
    correct_it(&browser);
    browser.goto(&browser.app("greeter"));
    browser.see("Hello from the guide");

    // "If you need to make any code changes, you can push to your GitHub repo to update your app and Adaptable will re-deploy it.
    // Monitor additional deploys by clicking the App Status button."
    github.push(REPOSITORY, "main", &[("myapp.py", "import nowhere_to_be_found\n")], "Break it");
    browser.goto("/apps/greeter");
    browser.until_it_says(DEPLOYMENT, "nowhere_to_be_found");
    browser.choose("Break it");
    browser.arrive("/apps/greeter/deployments/3");
    browser.click_beside("View Logs", "Start the app");
    browser.see("ModuleNotFoundError");
    browser.goto(&browser.app("greeter"));
    browser.see("Hello from the guide");
    github.push(REPOSITORY, "main", &[("myapp.py", &greeter("Hello again"))], "Mend it");
    browser.until_it_says(DEPLOYMENT, "Hello again");
}

#[test]
fn the_way_of_failure_needs_no_scripts_and_no_github() {
    let platform = platform();
    let browser = Browser::open(&platform);
    browser.scripts(false);
    become_operator(&platform, &browser);
    upload(&platform, &browser, "Hello after all");
    to_the_deployment(&browser, Choices { database: "None", start: WRONG, name: "greeter" });
    read_the_failure(&browser);
    correct_it(&browser);
    browser.goto(&browser.app("greeter"));
    browser.see("Hello after all");
}
