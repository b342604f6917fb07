//! Who may come in, and who may do what: the real binary, asked as a browser asks it.

mod entry;
mod forgery;
mod hostile;
mod roles;
mod tokens;
mod walk;

use std::io::{Read, Write};

use serde_json::Value;
use testkit::{Answer, Platform};

const PASSWORD: &str = "correct horse battery";

/// A browser: what it was told to keep, and what its pages say.
struct Browser<'a> {
    platform: &'a Platform,
    /// What the session's cookie holds.
    cookie: Option<String>,
    /// A token that it shows instead; then it is a program.
    token: Option<String>,
}

impl<'a> Browser<'a> {
    fn new(platform: &'a Platform) -> Self {
        Self { platform, cookie: None, token: None }
    }

    fn origin(&self) -> String {
        format!("https://localhost:{}", self.platform.https().port())
    }

    /// A request with the cookie, and with exactly these headers beside it.
    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let cookie = self.cookie.as_ref().map(|text| format!("theme=dark; __Host-adaptable={text}"));
        let mut all: Vec<(&str, &str)> = headers.to_vec();
        if let Some(cookie) = &cookie {
            all.push(("Cookie", cookie));
        }
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        if let Some(bearer) = &bearer {
            all.push(("Authorization", bearer));
        }
        self.platform.request(method, "", path, &all, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[("Accept", "text/html")], b"")
    }

    /// What a page of this session holds in its hidden fields.
    fn csrf(&self) -> String {
        if self.cookie.is_none() {
            return String::new();
        }
        let page = self.get("/account").text();
        // A session that has ended has no page.
        let rest = page.split_once("name=\"csrf\" content=\"").map(|(_, rest)| rest);
        rest.and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
    }

    /// Sends a form as its page would, and keeps the cookie that it is given.
    fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let (origin, csrf) = (self.origin(), self.csrf());
        let body = form(&[fields, &[("csrf", &csrf)]].concat());
        let headers =
            [("Accept", "text/html"), ("Origin", origin.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
        let answer = self.send("POST", path, &headers, body.as_bytes());
        if let Some(text) = answer.header("set-cookie").and_then(|line| line.strip_prefix("__Host-adaptable=")) {
            let text = text.split(';').next().unwrap_or_default();
            self.cookie = (!text.is_empty()).then(|| text.to_owned());
        }
        answer
    }

    /// A call of the API as a script on a page would make it.
    fn call(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let (origin, csrf) = (self.origin(), self.csrf());
        let headers = [("Origin", origin.as_str()), ("X-Csrf-Token", csrf.as_str()), ("Content-Type", "application/json")];
        self.send(method, &format!("/api/v1{path}"), &headers, body)
    }

    #[track_caller]
    fn sign_in(&mut self, name: &str) {
        let answer = self.post("/sign-in", &[("name", name), ("password", PASSWORD)]);
        assert_eq!((answer.status, answer.header("location")), (303, Some("/apps")), "{}", answer.text());
    }
}

/// Fields as a form sends them.
fn form(fields: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
                other => format!("%{other:02X}"),
            })
            .collect()
    };
    fields.iter().map(|(key, value)| format!("{}={}", escape(key), escape(value))).collect::<Vec<_>>().join("&")
}

/// The path of a link.
fn path_of(url: &str) -> String {
    let rest = url.trim().strip_prefix("https://").unwrap_or_else(|| panic!("{url:?} is no link"));
    rest.split_once('/').map(|(_, path)| format!("/{path}")).expect("a path")
}

/// The first operator, who is called ada.
fn operator(platform: &Platform) -> Browser<'_> {
    let link = platform.cli(&["sign-in-link"]).expect(0).stdout;
    let mut browser = Browser::new(platform);
    let answer = browser.post(&path_of(&link), &[("name", "ada"), ("password", PASSWORD)]);
    assert_eq!(answer.status, 303, "{}", answer.text());
    browser
}

/// Somebody who comes by an invitation.
fn invited<'a>(platform: &'a Platform, name: &str, arguments: &[&str]) -> Browser<'a> {
    let link = platform.cli(&[&["users", "invite"], arguments].concat()).expect(0).stdout;
    let mut browser = Browser::new(platform);
    let answer = browser.post(&path_of(&link), &[("name", name), ("password", PASSWORD)]);
    assert_eq!(answer.status, 303, "{}", answer.text());
    browser
}

/// Makes an app of that name as a user who has come by a browser, and waits until its deployment has ended: there is nothing in it that
/// could be built, so that it fails at once.
fn make_app(browser: &Browser<'_>, name: &str) -> Answer {
    let directory = browser.platform.source(name, &[("notes.txt", "nothing to run\n")]);
    let packed = std::process::Command::new("tar").arg("-C").arg(&directory).args(["-cf", "-", "."]).output().expect("tar");
    let upload = browser.call("POST", "/uploads", &packed.stdout);
    assert_eq!(upload.status, 200, "{}", upload.text());
    let body = serde_json::json!({ "upload": upload.json()["upload"] }).to_string();
    let answer = browser.call("POST", &format!("/apps/{name}/deployments"), body.as_bytes());
    if answer.status == 202 {
        testkit::wait_until("the deployment ends", 60, || {
            let shown: Value = browser.call("GET", &format!("/apps/{name}/deployments/1"), b"").json();
            matches!(shown["state"].as_str(), Some("failed" | "live"))
        });
    }
    answer
}

/// A request whose answer is read no further than needed: streams have no end.
fn glance(browser: &Browser<'_>, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String, String) {
    use std::fmt::Write as _;
    let mut stream = browser.platform.connect("").expect("a connection");
    let host = browser.origin().replace("https://", "");
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    if let Some(cookie) = &browser.cookie {
        write!(head, "Cookie: __Host-adaptable={cookie}\r\n").expect("a string takes all");
    }
    if let Some(token) = &browser.token {
        write!(head, "Authorization: Bearer {token}\r\n").expect("a string takes all");
    }
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").expect("a string takes all");
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).expect("a request");
    stream.write_all(body).expect("a request");
    let mut read = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&read);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lines = head.to_lowercase();
            let wanted = lines.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
            if wanted.is_none_or(|wanted| body.len() >= wanted) {
                let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
                let location = head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap_or_default();
                return (status, location.to_owned(), body.to_owned());
            }
        }
        let count = stream.read(&mut piece).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        assert!(count > 0, "{method} {path}: the answer broke off: {:?}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&piece[..count]);
    }
}
