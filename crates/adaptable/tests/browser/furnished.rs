//! A platform in which something has happened: apps that are live, failed, paused and asleep, traffic, a database with a backup, people.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::{Options, Platform};

use crate::browser::Browser;
use crate::people;

/// The app with a database and visitors.
pub(crate) const GUESTBOOK: &str = "guestbook";
/// The app that does not start.
pub(crate) const BROKEN: &str = "newsletter";

/// An app without dependencies: it answers, prints what it did, and fails where it is asked to.
const PLAIN: &str = r#"import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        status = {"/missing": 404, "/broken": 500}.get(self.path, 200)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b"Hello\n")


print("listening", flush=True)
ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// The platform, and who looks at it.
#[derive(Debug)]
pub(crate) struct Furnished {
    platform: Platform,
    operator: Browser,
}

impl Furnished {
    /// Makes it; takes as long as five deployments.
    pub(crate) fn new() -> Self {
        let options = Options { idle_timeout: "40s".to_owned(), ..Options::default() };
        let platform = Platform::start(env!("CARGO_BIN_EXE_adaptable"), options);
        let operator = Browser::open(&platform);
        people::become_operator(&platform, &operator);
        let furnished = Self { platform, operator };
        furnished.deploy();
        furnished
    }

    fn deploy(&self) {
        let platform = &self.platform;
        for (name, subject) in [("intranet", "Show the canteen's menu"), ("landing-page", "A shorter headline")] {
            let source = self.repository(name, &[("app.py", PLAIN)], subject);
            platform.deploy(&source, &["--app", name, "--start-command", "python app.py"]);
        }
        platform.cli(&["pause", "intranet"]).expect(0);
        let broken = "import os\n\nfrom flask import Flask\n\nkey = os.environ['MAIL_KEY']\n\n\ndef start_app():\n    return Flask(__name__)\n";
        let source =
            self.repository(BROKEN, &[("myapp.py", broken), ("requirements.txt", "flask\ngunicorn\n")], "Send letters by mail");
        let start = "gunicorn --bind=0.0.0.0:$PORT myapp:start_app()";
        platform.try_deploy(&source, &["--app", BROKEN, "--start-command", start]).expect(1);
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/guestbook");
        let read = |file: &str| fs::read_to_string(example.join(file)).expect("the example");
        let files = ["app.py", "Procfile", "requirements.txt", "templates/entries.html"].map(|file| (file, read(file)));
        let files = files.each_ref().map(|(file, text)| (*file, text.as_str()));
        let source = self.repository(GUESTBOOK, &files, "Sort entries by date, the newest first");
        platform.deploy(&source, &["--app", GUESTBOOK, "--database", "postgres"]);
        platform.cli(&["env", GUESTBOOK, "set", "GREETING=hello"]).expect(0);
        platform.cli(&["db", GUESTBOOK, "backup"]).expect(0);
        for _ in 0..60 {
            self.visit();
        }
        for path in ["/favicon.ico", "/wp-login.php"] {
            platform.get(GUESTBOOK, path);
        }
    }

    /// A directory under git with one commit.
    fn repository(&self, name: &str, files: &[(&str, &str)], subject: &str) -> PathBuf {
        let source = self.platform.source(name, files);
        let git = |arguments: &[&str]| {
            let identity =
                ["-c", "user.name=Olive Garden", "-c", "user.email=olive@example.org", "-c", "init.defaultBranch=main"];
            let mut command = Command::new("git");
            command.arg("-C").arg(&source).args(identity).args(arguments);
            // The commit is the same each time.
            command.env("GIT_AUTHOR_DATE", "2026-01-05T08:00:00Z").env("GIT_COMMITTER_DATE", "2026-01-05T08:00:00Z");
            let done = command.output().expect("git");
            assert!(done.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        };
        git(&["init", "--quiet"]);
        git(&["add", "--all"]);
        git(&["commit", "--quiet", "--message", subject]);
        source
    }

    /// Somebody visits the app that is awake, so that it stays so.
    pub(crate) fn visit(&self) {
        self.platform.get(GUESTBOOK, "/");
    }

    /// The operator's browser.
    pub(crate) fn operator(&self) -> &Browser {
        &self.operator
    }

    /// Somebody who is not signed in.
    pub(crate) fn stranger(&self) -> Browser {
        Browser::open(&self.platform)
    }
}
