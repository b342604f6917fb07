//! What strangers write, in a real browser: names, messages, lines of logs and values that would be markup stay text, also where the script
//! puts them. (An error in the console fails the test, and the policy would say so of anything that tried to run.)

use std::process::Command;

use serde_json::json;
use testkit::Platform;

use crate::browser::Browser;
use crate::guide::{REPOSITORY, connect, make_the_app, world};
use crate::people::become_operator;
use crate::steps::greeter;

/// Out of a text, out of an attribute in either kind of quotes, and into one.
const HOSTILE: &str = "<img src=x onerror=hacked=1 class=hostile>\"'><b class=hostile>";
/// The same, as git takes it for a branch.
const BRANCH: &str = "<img/src=x/class=hostile>\"'><b/class=hostile>";

/// The page that is open shows it, as text.
#[track_caller]
fn is_text(browser: &Browser) {
    let ask = |script: &str| browser.script(script, &json!([])).unwrap_or_default();
    assert_eq!(ask("return document.querySelectorAll('.hostile, img[src=x]').length"), 0, "{}: it is markup", browser.path());
    assert_eq!(ask("return typeof hacked"), "undefined", "{}: it ran", browser.path());
    // Elements have their attributes in quotes.
    let shown = "return document.documentElement.outerHTML.includes('class=hostile') || \
                 [...document.querySelectorAll('input, textarea')].some((it) => it.value.includes('class=hostile'))";
    assert_eq!(ask(shown), true, "{}: it is not shown: {}", browser.path(), browser.text());
}

/// An app in a directory under git whose branch and message are hostile, and what it prints is.
fn source(platform: &Platform, name: &str, fails: bool) -> std::path::PathBuf {
    let app = format!(
        "import os\nfrom http.server import BaseHTTPRequestHandler, HTTPServer\n\nprint('''\\x1b[31m{HOSTILE}\\x1b[0m''', flush=True)\n\
         print('''{HOSTILE}''', flush=True)\n\n\nclass Handler(BaseHTTPRequestHandler):\n    def do_GET(self):\n        \
         self.send_response(200)\n        self.end_headers()\n\n\nHTTPServer(('0.0.0.0', int(os.environ['PORT'])), Handler).serve_forever()\n"
    );
    let release = format!(
        "import sys\n\nprint('''{HOSTILE}''')\nsys.exit({})\n",
        if fails { "'''".to_owned() + HOSTILE + "'''" } else { "0".to_owned() }
    );
    let files = [
        ("app.py", app.as_str()),
        ("release.py", release.as_str()),
        ("Procfile", "release: python release.py\nweb: python app.py\n"),
    ];
    let directory = platform.source(name, &files);
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(&directory).args(["-c", "user.name=\"'/class=hostile/", "-c", "user.email=eve@example.org"]);
        let done = command.args(arguments).output().expect("git");
        assert!(done.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    git(&["init", "--quiet", "--initial-branch", BRANCH]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message", HOSTILE]);
    directory
}

#[test]
fn what_strangers_write_stays_text_in_a_browser() {
    let (github, platform) = world();
    let browser = Browser::open(&platform);
    become_operator(&platform, &browser);
    make_the_app(&browser);

    platform.deploy(&source(&platform, "shop", false), &[]);
    platform.try_deploy(&source(&platform, "broken", true), &[]).expect(1);
    platform.cli(&["env", "shop", "set", &format!("GREETING={HOSTILE}")]).expect(0);
    platform.get("shop", "/");
    platform.cli(&["token", "create", HOSTILE]).expect(0);
    platform.cli(&["users", "invite", "--note", HOSTILE]).expect(0);
    for path in [
        "/apps",
        "/apps/shop",
        "/apps/shop/deployments/1",
        "/apps/broken/deployments/1",
        "/apps/shop/resources",
        "/apps/shop/settings?reveal=1",
        "/apps/shop/settings?view=yaml&reveal=1",
        "/operator/users",
        "/operator/tokens",
        "/operator/audit",
    ] {
        browser.goto(path);
        is_text(&browser);
    }
    // The script's own work: searching marks what it finds, a stream adds lines.
    browser.goto("/apps/shop/deployments/1");
    browser.fill("Search in the log", "<img src=x");
    browser.see("found");
    is_text(&browser);
    browser.goto("/account");
    browser.fill("Name of a new token", HOSTILE);
    browser.click("Make the token");
    browser.see("is made. Copy it now");
    is_text(&browser);

    // From GitHub: descriptions, branches, messages.
    github.describe(REPOSITORY, HOSTILE);
    let files = [("myapp.py", greeter("Hello")), ("requirements.txt", "flask\ngunicorn\n".to_owned())];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    github.commit(REPOSITORY, BRANCH, &files, HOSTILE);
    let flora = connect(&platform);
    flora.see(REPOSITORY);
    flora.choose(REPOSITORY);
    flora.see("main");
    is_text(&flora);
    flora.choose(BRANCH);
    flora.see("Recognised");
    flora.goto("/apps");
    flora.see(REPOSITORY);
    assert!(browser.complaints().is_empty(), "{:?}", browser.complaints());
    assert!(flora.complaints().is_empty(), "{:?}", flora.complaints());
}
