//! The wizard's steps after the source is chosen, as the guide tells them.

use crate::browser::Browser;

/// How long a deployment may take: dependencies are installed, on two cores that others use as well.
pub(crate) const DEPLOYMENT: u64 = 180;
/// As the guide has it: the parentheses are not quoted.
pub(crate) const START: &str = "gunicorn --bind=0.0.0.0:$PORT --threads=4 myapp:start_app()";

/// What is chosen on the way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choices<'a> {
    /// How the database's name begins.
    pub(crate) database: &'a str,
    /// The start command.
    pub(crate) start: &'a str,
    /// The app's name.
    pub(crate) name: &'a str,
}

/// Steps 4 to 7: from the Deploy Template to "Deploy App".
#[track_caller]
pub(crate) fn to_the_deployment(browser: &Browser, choices: Choices<'_>) {
    up_to_the_name(browser, choices);
    // Step 6: Choose an app name
    browser.fill("App name", choices.name);
    browser.click("Next");
    // Step 7: Pre-flight checks
    browser.see("Pre-flight checks");
    browser.tick("HTTP Listener on PORT");
    browser.click("Deploy App");
}

/// Steps 4 and 5.
#[track_caller]
pub(crate) fn up_to_the_name(browser: &Browser, choices: Choices<'_>) {
    // Step 4: Choose a Deploy Template
    browser.choose("Flask App");
    browser.tick(choices.database);
    browser.click("Next");
    // Step 5: Set Start Command and review settings
    browser.click_beside("Change", "Start Command");
    browser.fill("Start Command", choices.start);
    browser.click("Save");
    browser.see(choices.start);
    browser.click("Next");
}

/// The guide's app, greeting with these words.
pub(crate) fn greeter(words: &str) -> String {
    format!(
        "from flask import Flask\n\n\ndef start_app():\n    app = Flask(__name__)\n\n    @app.get('/')\n    def hello():\n        return '<title>Greeter</title><h1>{words}</h1>'\n\n    return app\n"
    )
}
