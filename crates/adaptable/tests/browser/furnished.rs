//! A platform in which something has happened: apps that are live, failed, paused and asleep, traffic, a database with a backup, people,
//! and GitHub beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::github::GitHub;
use testkit::{Options, Platform};

use crate::browser::Browser;
use crate::people;

/// The app with a database and visitors.
pub(crate) const GUESTBOOK: &str = "guestbook";
/// The app that does not start.
pub(crate) const BROKEN: &str = "newsletter";
/// The app that sleeps; no name is longer.
pub(crate) const LONG: &str = "quarterly-report-generator-for-the-board";

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

/// A step that takes as long as somebody looks at it.
const SLOW: &str = r#"import sys
import time

for number, table in enumerate(["people", "seats", "prices", "bookings"], 1):
    print(f"\x1b[32m{number:04}\x1b[0m create table \x1b[1m{table}\x1b[0m", flush=True)
print("\x1b[33mwarning:\x1b[0m bookings: 48211 rows without a price", file=sys.stderr, flush=True)
time.sleep(900)
"#;

/// Paths and texts.
type Files<'a> = &'a [(&'a str, &'a str)];

/// A repository with all that the checks before a deployment know of.
const CARELESS: Files<'_> = &[
    (
        "app.py",
        "import os\nimport sqlite3\n\nfrom flask import Flask\n\napp = Flask(__name__)\ndb = sqlite3.connect('poems.db')\nkey = os.environ['MAIL_KEY']\n\n\
         if __name__ == '__main__':\n    app.run(host='127.0.0.1', port=5000)\n",
    ),
    ("requirements.txt", "flask\ngunicorn\n"),
    (".env", "MAIL_KEY=0123456789\n"),
];

/// The platform, and who looks at it.
#[derive(Debug)]
pub(crate) struct Furnished {
    // Each goes before what it talks to.
    operator: Browser,
    platform: Platform,
    _github: GitHub,
}

impl Furnished {
    /// Makes it, with nothing in it and nobody who runs it.
    pub(crate) fn new() -> Self {
        let github = GitHub::start();
        let environment = [("ADAPTABLE_GITHUB_WEB", github.web()), ("ADAPTABLE_GITHUB_API", github.api())];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let options = Options { idle_timeout: "40s".to_owned(), environment, ..Options::default() };
        let platform = Platform::start(env!("CARGO_BIN_EXE_adaptable"), options);
        github.trust(&fs::read(platform.data().join("ca.pem")).expect("its authority"));
        fill(&github);
        Self { operator: Browser::open(&platform), platform, _github: github }
    }

    /// Deploys apps and lets them be visited; takes as long as seven deployments.
    pub(crate) fn furnish(&self) {
        let platform = &self.platform;
        let board =
            "Write the figures of the quarter that has just ended into the summary for the board, beside those of last year";
        for (name, subject) in [("intranet", "Show the canteen's menu"), (LONG, board)] {
            let source = self.repository(name, &[("app.py", PLAIN)], subject);
            platform.deploy(&source, &["--app", name, "--start-command", "python app.py"]);
        }
        platform.cli(&["pause", "intranet"]).expect(0);
        let broken = "import os\n\nfrom flask import Flask\n\nkey = os.environ['MAIL_KEY']\n\n\ndef start_app():\n    return Flask(__name__)\n";
        let files = [("myapp.py", broken), ("requirements.txt", "flask\ngunicorn\n")];
        let source = self.repository(BROKEN, &files, "Send letters by mail");
        let start = "gunicorn --bind=0.0.0.0:$PORT myapp:start_app()";
        platform.try_deploy(&source, &["--app", BROKEN, "--start-command", start]).expect(1);
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/guestbook");
        let read = |file: &str| fs::read_to_string(example.join(file)).expect("the example");
        let files = ["app.py", "Procfile", "requirements.txt", "templates/entries.html"].map(|file| (file, read(file)));
        let files = files.each_ref().map(|(file, text)| (*file, text.as_str()));
        let source = self.repository(GUESTBOOK, &files, "A guestbook");
        platform.deploy(&source, &["--app", GUESTBOOK, "--database", "postgres"]);
        platform.cli(&["env", GUESTBOOK, "set", "GREETING=hello"]).expect(0);
        let files = [&files[..], &[("README.md", "What is written stands here, the newest first.\n")]].concat();
        let source = self.repository("guestbook-later", &files, "Sort entries by date, the newest first");
        platform.deploy(&source, &["--app", GUESTBOOK]);
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

    /// The platform.
    pub(crate) fn platform(&self) -> &Platform {
        &self.platform
    }

    /// The operator's browser, which is nobody's before [`people::become_operator`].
    pub(crate) fn operator(&self) -> &Browser {
        &self.operator
    }

    /// The operator comes in.
    #[track_caller]
    pub(crate) fn begin(&self) {
        people::become_operator(&self.platform, &self.operator);
    }

    /// Somebody who is not signed in.
    pub(crate) fn stranger(&self) -> Browser {
        Browser::open(&self.platform)
    }
}

/// What the operator has on GitHub.
fn fill(github: &GitHub) {
    github.user("olive");
    let slow =
        [("migrate.py", SLOW), ("Procfile", "release: python migrate.py\nweb: gunicorn --bind=0.0.0.0:$PORT box_office:app\n")];
    let app = "from flask import Flask\n\napp = Flask(__name__)\n";
    let slow = [&slow[..], &[("box_office.py", app), ("requirements.txt", "flask\ngunicorn\n")]].concat();
    let repositories: [(&str, bool, &str, Files<'_>); 3] = [
        ("olive/box-office", true, "Seats, prices and bookings of the theatre behind the garden", &slow),
        ("olive/poems", false, "A poem a day", CARELESS),
        ("olive/notes-on-how-we-run-the-garden-and-who-waters-what", false, "", &[("README.md", "Mondays: Flora.\n")]),
    ];
    for (name, private, about, files) in repositories {
        github.repository(name, private);
        if !about.is_empty() {
            github.describe(name, about);
        }
        github.commit(name, "main", files, "First version");
    }
    let branch = "olive/seats-that-were-sold-twice-are-told-apart";
    github.commit("olive/box-office", branch, &[("seats.py", "SEATS = 120\n")], "Tell seats apart");
}
