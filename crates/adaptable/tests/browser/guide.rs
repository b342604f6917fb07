//! The guide, word for word: from "Sign in with GitHub" to the app's greeting, and a push after it.

use testkit::github::GitHub;
use testkit::{Options, Platform};

use crate::browser::Browser;
use crate::people::become_operator;
use crate::steps::{Choices, DEPLOYMENT, START, greeter, to_the_deployment};

/// The guide's repository: private, of a person.
pub(crate) const REPOSITORY: &str = "flora/greeter";

/// GitHub, and a platform that knows its address and lets its users in.
pub(crate) fn world() -> (GitHub, Platform) {
    let github = GitHub::start();
    let environment = [
        ("ADAPTABLE_GITHUB_WEB", github.web()),
        ("ADAPTABLE_GITHUB_API", github.api()),
        ("ADAPTABLE_SIGN_UP", "github".to_owned()),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let platform = Platform::start(env!("CARGO_BIN_EXE_adaptable"), Options { environment, ..Options::default() });
    github.trust(&std::fs::read(platform.data().join("ca.pem")).expect("its authority"));
    github.user("olive");
    github.user("flora");
    github.organization("garden", &["flora"]);
    github.repository(REPOSITORY, true);
    github.repository("garden/site", false);
    let files = [("myapp.py", greeter("Hello from the guide")), ("requirements.txt", "flask\ngunicorn\n".to_owned())];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    github.commit(REPOSITORY, "main", &files, "First version");
    github.commit(REPOSITORY, "experiment", &[("README.md", "Not this one\n")], "Try something");
    (github, platform)
}

/// The operator makes the GitHub App, which needs doing once.
#[track_caller]
pub(crate) fn make_the_app(operator: &Browser) {
    operator.goto("/operator/github");
    operator.click("Create the GitHub App");
    sign_in_to_github(operator, "olive");
    operator.fill("GitHub App name", "Adaptable at the garden");
    operator.click("Create GitHub App");
    operator.arrive("/operator/github");
    operator.see("Adaptable at the garden");
}

#[track_caller]
fn sign_in_to_github(browser: &Browser, login: &str) {
    browser.select("Username", login);
    browser.click("Sign in");
}

/// On GitHub's page: gives the App an account's repositories. GitHub names them as well, so what comes next is looked for on ours.
#[track_caller]
pub(crate) fn install(browser: &Browser, account: &str) {
    browser.click(account);
    browser.click("Install & Authorize");
    browser.arrive_at("/repository");
}

/// Step 2: Connect to GitHub. The browser is flora's, who has never been there before.
#[track_caller]
pub(crate) fn connected(platform: &Platform) -> Browser {
    let operator = Browser::open(platform);
    become_operator(platform, &operator);
    make_the_app(&operator);
    drop(operator);
    connect(platform)
}

/// The same, where the GitHub App is made already.
#[track_caller]
pub(crate) fn connect(platform: &Platform) -> Browser {
    let browser = Browser::open(platform);
    browser.goto("/");
    browser.click("Sign in with GitHub");
    sign_in_to_github(&browser, "flora");
    browser.click("Authorize Adaptable at the garden");
    browser.arrive("/apps");
    browser.click("Deploy your first app");
    browser.click("Connect GitHub Repository");
    browser.see("Where do you want to install it?");
    install(&browser, "flora");
    browser
}

#[test]
fn the_guide_is_followed_word_for_word_and_a_push_is_live() {
    let (github, platform) = world();
    let browser = connected(&platform);

    // Step 3: Choose a GitHub repo to deploy
    browser.see(REPOSITORY);
    assert!(browser.offers("Add more GitHub repositories"));
    assert!(!browser.text().contains("garden/site"), "the organisation is not connected");
    browser.choose(REPOSITORY);
    browser.choose("main");

    // Steps 4 to 7
    browser.see("Recognised");
    to_the_deployment(&browser, Choices { database: "None", start: START, name: "greeter" });
    browser.see_within(DEPLOYMENT, "Congratulations");
    // "You will be redirected to the app status page with a congratulations message", and "have the option to take a tour".
    browser.wait_for_path("/apps/greeter");
    browser.see("Congratulations");
    browser.click("Take the tour");
    browser.see("A short tour");
    browser.goto(&browser.app("greeter"));
    browser.see("Hello from the guide");

    // "Each time you push to the branch you selected, Adaptable will automatically deploy your code changes."
    github.push(REPOSITORY, "experiment", &[("myapp.py", &greeter("Hello from elsewhere"))], "Elsewhere");
    github.push(REPOSITORY, "main", &[("myapp.py", &greeter("Hello from a push"))], "Say it anew");
    browser.until_it_says(DEPLOYMENT, "Hello from a push");
    // "To manage settings for your app and to monitor app logs, click App Status. To see all your apps, go to your Dashboard."
    browser.goto("/apps/greeter/deployments/2");
    browser.see("Say it anew");
    browser.click("App Status");
    browser.see("Say it anew");
    assert!(!browser.text().contains("Elsewhere"), "only the branch that was chosen is deployed");
    browser.click("Dashboard");
    browser.arrive("/apps");
    browser.see("greeter");
}
