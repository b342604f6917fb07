//! `ChromeDriver` and its browser: started for one test, spoken to in the words of W3C's `WebDriver`, and ended with the test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::quiet::Quiet;

/// What must be there, and whose package it is in.
const PROGRAMS: [(&str, &str); 4] =
    [("chromium", "chromium"), ("chromedriver", "chromium-driver"), ("certutil", "libnss3-tools"), ("setpriv", "util-linux")];
/// How long the browser may take over one command: it shares two cores with containers.
const PATIENCE: Duration = Duration::from_mins(2);

/// A command that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// `WebDriver`'s code, such as `no such element`.
    pub(crate) code: String,
    /// The words.
    pub(crate) message: String,
}

impl Refused {
    /// Whether the page moved under the command, so that it is worth asking again.
    pub(crate) fn is_passing(&self) -> bool {
        let passing = [
            "stale element reference",
            "element click intercepted",
            "element not interactable",
            "no such element",
            "no such shadow root",
            "detached shadow root",
            "no such execution context",
        ];
        passing.contains(&self.code.as_str())
            // A page that was left while it was asked.
            || self.message.contains("context")
            || self.message.contains("aborted by navigation")
            || self.message.contains("does not belong to the document")
    }
}

/// A running driver with one session, that is one browser with a profile of its own.
#[derive(Debug)]
pub(crate) struct Driver {
    child: Child,
    port: u16,
    session: String,
    // Gone after those who run in it.
    network: Quiet,
}

impl Driver {
    /// Starts both; whatever they keep lies in `home`. Panics with one line where a program is missing.
    pub(crate) fn start(home: &Path) -> Self {
        let missing: Vec<_> = PROGRAMS.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
        assert!(
            missing.is_empty(),
            "the tests in a browser need Debian's packages {}: 'scripts/setup.sh' installs them",
            missing.join(" ")
        );
        // Each ends with whoever started it, however that ends: the driver with the test's process, the browser with the driver.
        let browser = home.join("browser");
        fs::write(&browser, "#!/bin/sh\nexec setpriv --pdeathsig KILL chromium \"$@\"\n").expect("a file");
        fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).expect("our own file");
        let network = Quiet::start();
        let mut child = network
            .command()
            .args(["setpriv", "--pdeathsig", "KILL", "chromedriver", "--port=0"])
            .env("HOME", home)
            .env("XDG_CONFIG_HOME", home.join("config"))
            .env("XDG_CACHE_HOME", home.join("cache"))
            .env("TMPDIR", home)
            // The pages' dates are the same wherever the test runs.
            .env("TZ", "UTC")
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("nsenter, of util-linux");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let port = loop {
            let line = lines.next().expect("chromedriver says where it listens").expect("its output");
            let port = line
                .strip_prefix("ChromeDriver was started successfully on port ")
                .and_then(|rest| rest.trim_end_matches('.').parse().ok());
            if let Some(port) = port {
                break port;
            }
        };
        // Nobody reads what it says after that; it must not wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let mut driver = Self { child, port, session: String::new(), network };
        let arguments = [
            "--headless=new".to_owned(),
            // Root can't have Chromium's sandbox, and the pages are our own.
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-extensions".to_owned(),
            "--disable-background-networking".to_owned(),
            "--no-first-run".to_owned(),
            "--hide-scrollbars".to_owned(),
            "--lang=en".to_owned(),
            format!("--proxy-server={}", driver.network.proxy()),
            // Chromium's word for: loopback, too, goes through the proxy.
            "--proxy-bypass-list=<-loopback>".to_owned(),
            format!("--user-data-dir={}", home.join("profile").display()),
        ];
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"binary": browser, "args": arguments},
        }}});
        let answer = driver.send("POST", "/session", &capabilities).unwrap_or_else(|refused| panic!("no browser: {refused:?}"));
        answer["sessionId"].as_str().expect("a session").clone_into(&mut driver.session);
        driver
    }

    /// A command of the session; `path` follows its address.
    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, Refused> {
        self.send(method, &format!("/session/{}{path}", self.session), body)
    }

    /// A command of Chromium's own protocol.
    pub(crate) fn cdp(&self, command: &str, parameters: &Value) -> Result<Value, Refused> {
        self.call("POST", "/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, Refused> {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let failed =
            |error: std::io::Error| Refused { code: "no answer".to_owned(), message: format!("{method} {path}: {error}") };
        let stream = self.network.connect(self.port).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        let headers = [("Content-Type", "application/json; charset=utf-8")];
        let answer = testkit::exchange(stream, method, &format!("127.0.0.1:{}", self.port), path, &headers, body.as_bytes());
        let answer = answer.map_err(failed)?;
        let mut document = answer.json();
        let value = document["value"].take();
        if answer.status == 200 {
            return Ok(value);
        }
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        Err(Refused { code: text("error"), message: text("message") })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            let _closed = self.call("DELETE", "", &Value::Null);
        }
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}
