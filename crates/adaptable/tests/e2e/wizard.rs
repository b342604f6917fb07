//! The wizard through its forms, without a script: from an archive to a live app, the way of failure, hostile input, two tabs.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use testkit::{Answer, Platform, wait_until};

use crate::{flask, platform};

/// A browser without scripts: a jar of cookies, and the token of the page that it looked at last.
struct Browser<'a> {
    platform: &'a Platform,
    cookies: Mutex<BTreeMap<String, String>>,
    csrf: Mutex<String>,
}

impl<'a> Browser<'a> {
    /// A browser in which the first operator has signed in by the link of the first start.
    fn signed_in(platform: &'a Platform) -> Self {
        let browser = Self { platform, cookies: Mutex::default(), csrf: Mutex::default() };
        let link = platform.cli(&["sign-in-link", "--json"]).expect(0).json();
        let url = link["url"].as_str().expect("an address");
        let path = url.split_once("/welcome/").map(|(_, token)| format!("/welcome/{token}")).expect("a link");
        browser.get(&path);
        let (at, _) = browser.post(&path, &[("name", "ada"), ("password", "correct horse battery staple")]);
        assert_eq!(at, "/apps");
        browser
    }

    fn send(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Answer {
        let origin = format!("https://localhost:{}", self.platform.https().port());
        let cookies: Vec<String> =
            self.cookies.lock().expect("one thread at a time").iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let mut headers = vec![("Cookie", cookies.as_str()), ("Accept", "text/html,*/*;q=0.8"), ("Origin", origin.as_str())];
        if !kind.is_empty() {
            headers.push(("Content-Type", kind));
        }
        let answer = self.platform.request(method, "", path, &headers, body).expect("an answer");
        for (name, value) in &answer.headers {
            if name == "set-cookie"
                && let Some((name, value)) = value.split(';').next().and_then(|pair| pair.split_once('='))
            {
                self.cookies.lock().expect("one thread at a time").insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// Follows redirects; gives the address of the page, and the page.
    fn follow(&self, path: &str, mut answer: Answer) -> (String, Answer) {
        let mut at = path.to_owned();
        for _ in 0..5 {
            let Some(to) = answer.header("location").map(ToOwned::to_owned) else { break };
            assert!(to.starts_with('/'), "a redirect to {to}");
            to.split('#').next().unwrap_or_default().clone_into(&mut at);
            answer = self.send("GET", &at, "", b"");
        }
        if let Some(token) = between(&answer.text(), "name=\"csrf\" value=\"", "\"") {
            *self.csrf.lock().expect("one thread at a time") = token;
        }
        (at, answer)
    }

    fn get(&self, path: &str) -> (String, Answer) {
        let answer = self.send("GET", path, "", b"");
        self.follow(path, answer)
    }

    fn post(&self, path: &str, fields: &[(&str, &str)]) -> (String, Answer) {
        let answer = self.post_only(path, fields);
        self.follow(path, answer)
    }

    fn post_only(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.csrf.lock().expect("one thread at a time").clone();
        let mut all = vec![("csrf", csrf.as_str())];
        all.extend(fields);
        let pairs: Vec<String> = all.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        self.send("POST", path, "application/x-www-form-urlencoded", pairs.join("&").as_bytes())
    }

    fn upload(&self, name: &str, archive: &[u8]) -> (String, Answer) {
        self.get("/new/upload");
        let csrf = self.csrf.lock().expect("one thread at a time").clone();
        let mut body = Vec::new();
        write!(body, "--xxBOUNDARYxx\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n{csrf}\r\n").expect("memory");
        write!(body, "--xxBOUNDARYxx\r\nContent-Disposition: form-data; name=\"archive\"; filename=\"{name}\"\r\nContent-Type: application/gzip\r\n\r\n").expect("memory");
        body.extend_from_slice(archive);
        body.extend_from_slice(b"\r\n--xxBOUNDARYxx--\r\n");
        let answer = self.send("POST", "/new/upload", "multipart/form-data; boundary=xxBOUNDARYxx", &body);
        self.follow("/new/upload", answer)
    }

    /// Uploads a directory and goes on to the settings, with the recognised template and no database; gives the draft's address.
    fn to_settings(&self, archive: &[u8]) -> String {
        let (at, page) = self.upload("shop.tar.gz", archive);
        let base = at.strip_suffix("/template").unwrap_or_else(|| panic!("{at}: {}", page.text())).to_owned();
        let (at, page) = self.post(&format!("{base}/template"), &[("template", "flask")]);
        assert_eq!(at, format!("{base}/database"), "{}", page.text());
        let (at, page) = self.post(&format!("{base}/database"), &[("database", "none")]);
        assert_eq!(at, format!("{base}/settings"), "{}", page.text());
        base
    }
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn between(text: &str, before: &str, after: &str) -> Option<String> {
    Some(text.split_once(before)?.1.split_once(after)?.0.to_owned())
}

/// A directory as a .tar.gz, as people make one.
fn archive(platform: &Platform, name: &str, files: &[(&str, &str)]) -> Vec<u8> {
    let root = platform.source(name, files);
    let parent = root.parent().expect("a parent");
    let output =
        Command::new("tar").arg("-czf").arg("-").arg("-C").arg(parent).arg(name).stdin(Stdio::null()).output().expect("tar");
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

fn says(page: &Answer, words: &[&str]) {
    let text = page.text();
    for word in words {
        assert!(text.contains(word), "{word:?} is not on the page:\n{text}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one way through all steps")]
fn from_an_archive_to_a_live_app_through_the_forms() {
    let platform = platform();
    let browser = Browser::signed_in(&platform);
    let files = [
        ("myapp.py", flask("hello").replace("'hello'", "__import__('os').environ['GREETING']")),
        ("requirements.txt", "flask\ngunicorn\n".to_owned()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let (at, page) = browser.upload("my-shop.tar.gz", &archive(&platform, "my-shop", &files));
    // The archive is of one directory, which is looked into; Flask is recognised, is first, and it is said why.
    let base = at.strip_suffix("/template").unwrap_or_else(|| panic!("{at}: {}", page.text())).to_owned();
    says(&page, &["Choose a Deploy Template", "Flask App", "Recognised", "myapp.py"]);
    let text = page.text();
    assert!(text.find("Flask App").expect("there") < text.find("Django App").expect("there"), "the recognised one is first");
    let template = format!("{base}/template");
    // A step that is too far ahead leads back to the one that is to be done; a draft is resumed there, too.
    for ahead in ["name", "checks", "settings"] {
        assert_eq!(browser.get(&format!("{base}/{ahead}")).0, template, "{ahead}");
    }
    assert_eq!(browser.get(&base).0, template);
    says(&browser.get("/new").1, &["Unfinished", "my-shop.tar.gz", "Deploy Template", "Continue"]);
    let (at, page) = browser.post(&template, &[("template", "flask")]);
    assert_eq!(at, format!("{base}/database"));
    says(&page, &["None", "PostgreSQL", "MongoDB", "SQL Server", "Not available here"]);
    let (at, page) = browser.post(&at, &[("database", "none")]);
    assert_eq!(at, format!("{base}/settings"));
    says(
        &page,
        &["Start Command", "gunicorn --bind=0.0.0.0:$PORT", "Python Version", "Change", "/help/settings/startCommand", "my-shop"],
    );
    // "Change" beside Start Command, with the guide's own line, and a variable whose value is not shown again.
    let guide = "gunicorn --bind=0.0.0.0:$PORT --threads=4 myapp:start_app()";
    let settings = at.clone();
    let (at, page) = browser.post(&settings, &[("key", "startCommand"), ("value", guide)]);
    assert_eq!(at, settings);
    says(&page, &["<code>gunicorn --bind=0.0.0.0:$PORT --threads=4 myapp:start_app()</code>"]);
    let (_, page) = browser.post(&settings, &[("key", "environment"), ("value", "# greeting\nGREETING=\"from the wizard\"\n")]);
    says(&page, &["GREETING"]);
    assert!(!page.text().contains("from the wizard"), "a value is hidden");
    let (_, page) = browser.post(&settings, &[("key", "resourceConfig.memory"), ("value", "300")]);
    assert_eq!(page.status, 422);
    says(&page, &["multiple of 256", "Nothing was changed", "value=\"300\""]);
    let (at, page) = browser.post(&settings, &[("next", "yes")]);
    assert_eq!(at, format!("{base}/name"));
    says(&page, &["value=\"my-shop\"", "localhost:"]);
    // Names: what is none, what is taken, what is free.
    let name = at.clone();
    let (_, page) = browser.post(&name, &[("name", "My Shop")]);
    assert_eq!(page.status, 422);
    says(&page, &["is not an app name", "value=\"My Shop\""]);
    let free = |text: &str| browser.send("GET", &format!("{base}/name/free?name={}", encoded(text)), "", b"").json();
    assert_eq!(free("shop")["free"], true);
    assert_eq!(free("www")["free"], false);
    let (at, page) = browser.post(&name, &[("name", "shop")]);
    assert_eq!(at, format!("{base}/checks"));
    says(
        &page,
        &[
            "Pre-flight checks",
            "Repository and commit",
            "Start Command",
            "Room on the platform",
            "HTTP Listener on PORT",
            "/help/checks/start-target",
            "All checks have passed",
        ],
    );
    // The box has to be ticked.
    let checks = at.clone();
    let (_, page) = browser.post(&checks, &[]);
    assert_eq!(page.status, 422);
    says(&page, &["Tick the box"]);
    assert_eq!(platform.cli(&["apps", "--json"]).expect(0).json().as_array().map(Vec::len), Some(0), "nothing was deployed yet");
    // Two clicks, one deployment.
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let clicks: Vec<_> = (0..3).map(|_| scope.spawn(|| browser.post_only(&checks, &[("listens", "on")]))).collect();
        clicks.into_iter().map(|click| click.join().expect("a click")).collect()
    });
    for answer in &answers {
        assert_eq!((answer.status, answer.header("location")), (303, Some("/apps/shop/deployments/1")), "{}", answer.text());
    }
    wait_until("the app is live", 120, || platform.cli(&["status", "shop", "--json"]).json()["state"] == "live");
    assert_eq!(platform.get("shop", "/").text(), "from the wizard");
    assert_eq!(platform.cli(&["deployments", "shop", "--json"]).expect(0).json().as_array().map(Vec::len), Some(1));
    // What is deployed is no draft any more, and its address leads to the deployment.
    assert!(!browser.get("/new").1.text().contains("Unfinished"));
    let again = browser.send("GET", &checks, "", b"");
    assert_eq!(again.header("location"), Some("/apps/shop/deployments/1"));
    let (_, page) = browser.post(&settings, &[("key", "startCommand"), ("value", "x")]);
    assert!(!page.text().contains("Nothing was changed"), "the deployed one is not changed by an old tab");
    let kept = platform.cli(&["settings", "shop", "get", "--json"]).expect(0).stdout;
    assert!(kept.contains(guide), "{kept}");
}

#[test]
fn what_fails_is_told_before_and_after_it_is_deployed() {
    let platform = platform();
    let browser = Browser::signed_in(&platform);
    let app = format!("import os\n{}\nKEY = os.environ['STRIPE_API_KEY']\n", flask("hello"));
    let files = [("myapp.py", app.as_str()), ("requirements.txt", "flask\ngunicorn\n")];
    let base = browser.to_settings(&archive(&platform, "failing", &files));
    let settings = format!("{base}/settings");
    browser.post(&settings, &[("key", "startCommand"), ("value", "gunicorn --bind=0.0.0.0:$PORT myap:start_app()")]);
    browser.post(&settings, &[("next", "yes")]);
    let (at, page) = browser.post(&format!("{base}/name"), &[("name", "failing")]);
    assert_eq!(at, format!("{base}/checks"));
    says(&page, &["no module <code>myap</code>", "failed", "settings?change=startCommand", "disabled"]);
    // Whoever sends the form all the same is told the same, and nothing is made.
    let (_, page) = browser.post(&at, &[("listens", "on")]);
    assert_eq!(page.status, 422);
    says(&page, &["no module <code>myap</code>"]);
    assert_eq!(platform.cli(&["apps", "--json"]).expect(0).json().as_array().map(Vec::len), Some(0));
    // The link beside the check opens the setting; corrected, only the warning of the variable is left, which does not block.
    let (_, page) = browser.get(&format!("{settings}?change=startCommand"));
    says(&page, &["<details class=\"change\" name=\"change\" open>"]);
    browser.post(&settings, &[("key", "startCommand"), ("value", "gunicorn --bind=0.0.0.0:$PORT myapp:start_app()")]);
    let (_, page) = browser.get(&at);
    says(&page, &["STRIPE_API_KEY", "1 warning"]);
    let answer = browser.post_only(&at, &[("listens", "on")]);
    assert_eq!(answer.header("location"), Some("/apps/failing/deployments/1"), "{}", answer.text());
    let mut document = serde_json::Value::Null;
    wait_until("the deployment has ended", 120, || {
        document = platform.api("GET", "/apps/failing/deployments/1", b"").expect("an answer").json();
        !matches!(document["state"].as_str(), Some("queued" | "running"))
    });
    assert_eq!(document["state"], "failed", "{document}");
    let diagnosis = &document["diagnosis"];
    assert_eq!(diagnosis["id"], "missing-variable", "{document}");
    assert_eq!(diagnosis["setting"], "environment", "{document}");
    assert!(diagnosis["fix"].as_str().is_some_and(|fix| fix.contains("STRIPE_API_KEY")), "{document}");
    let (_, page) = browser.get(diagnosis["help"].as_str().expect("a page"));
    assert_eq!(page.status, 200);
    says(&page, &["Missing variable", "Runtime Environment"]);
    // The name is taken now.
    let base = browser.to_settings(&archive(&platform, "other", &[("myapp.py", &flask("x")), ("requirements.txt", "flask\n")]));
    browser.post(&format!("{base}/settings"), &[("next", "yes")]);
    let (_, page) = browser.post(&format!("{base}/name"), &[("name", "failing")]);
    assert_eq!(page.status, 422);
    says(&page, &["the name failing is taken"]);
}

#[test]
fn hostile_input_changes_nothing_and_is_shown_as_text() {
    let platform = platform();
    let browser = Browser::signed_in(&platform);
    let good = archive(&platform, "good", &[("myapp.py", &flask("x")), ("requirements.txt", "flask\n")]);
    let (at, page) = browser.upload("<script>alert(1).tar.gz", &good);
    let base = at.strip_suffix("/template").unwrap_or_else(|| panic!("{at}: {}", page.text())).to_owned();
    assert!(!page.text().contains("<script>alert"), "{}", page.text());
    says(&page, &["&#60;script&#62;alert(1)"]);
    assert!(!browser.get("/new").1.text().contains("<script>alert"));
    // Archives that are none, that lead out, that are empty.
    let cut = &good[..good.len() / 2];
    for (name, bytes) in
        [("a.tar.gz", &b"no archive"[..]), ("a.zip", b"PK\x03\x04"), ("a.tar.gz", cut), ("", &good), ("a.tar.gz", b"")]
    {
        let (at, page) = browser.upload(name, bytes);
        assert_eq!(at, "/new/upload", "{name}");
        assert!((400..500).contains(&page.status), "{name}: {}", page.status);
        says(&page, &["role=\"alert\""]);
    }
    // A zip is taken as well as a tar, whatever it is called.
    let zipped = platform.scratch().join("zipped");
    let pack = "import shutil, sys; shutil.make_archive(sys.argv[1], 'zip', sys.argv[2])";
    let tree = platform.source("zipped", &[("app.py", "x = 1\n")]);
    let packed = Command::new("python3").args(["-c", pack]).arg(&zipped).arg(tree).status().expect("python3");
    assert!(packed.success());
    let zipped = std::fs::read(zipped.with_extension("zip")).expect("an archive");
    for name in ["a.zip", "a.tar.gz"] {
        let (at, page) = browser.upload(name, &zipped);
        assert!(at.ends_with("/template"), "{at}: {}", page.text());
    }
    // Words that are none of ours.
    for (step, fields) in [
        ("template", &[("template", "cobol")][..]),
        ("template", &[("template", "")]),
        ("template", &[("directory", "../../etc")]),
        ("template", &[]),
    ] {
        let (_, page) = browser.post(&format!("{base}/{step}"), fields);
        assert!((400..500).contains(&page.status), "{step} {fields:?}: {}", page.status);
    }
    browser.post(&format!("{base}/template"), &[("template", "flask")]);
    for value in ["oracle", "", "<b>"] {
        let (_, page) = browser.post(&format!("{base}/database"), &[("database", value)]);
        assert_eq!(page.status, 422, "{value}");
    }
    browser.post(&format!("{base}/database"), &[("database", "none")]);
    let settings = format!("{base}/settings");
    let markup = "\"><script>alert(2)</script>";
    let (_, page) = browser.post(&settings, &[("key", "startCommand"), ("value", markup)]);
    assert_eq!(page.status, 200);
    assert!(!page.text().contains("<script>alert"), "{}", page.text());
    for (key, value) in [("nothing", "x"), ("domains", "x.example"), ("environment", "no line"), ("pythonVersion", markup)] {
        let (_, page) = browser.post(&settings, &[("key", key), ("value", value)]);
        assert!((400..500).contains(&page.status), "{key}: {}", page.status);
        assert!(!page.text().contains("<script>alert"), "{key}");
    }
    // Drafts that are not there, and addresses that are none.
    for path in
        ["/new/00000000000000000000000000000000/template", "/new/x/template", "/new/..%2f..%2fetc/name", "/new/%00/checks"]
    {
        let answer = browser.send("GET", path, "", b"");
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
    }
    // Without the token, from another site, and without a session.
    let before = browser.get(&settings).1.text();
    let stolen = browser.send("POST", &settings, "application/x-www-form-urlencoded", b"key=startCommand&value=evil");
    assert_eq!(stolen.status, 403);
    assert!(browser.get(&settings).1.text().contains(&between(&before, "Start Command</span>", "</li>").expect("the row")[..40]));
    let stranger = Browser { platform: &platform, cookies: Mutex::default(), csrf: Mutex::default() };
    let answer = stranger.send("GET", &settings, "", b"");
    assert!(answer.header("location").is_some_and(|to| to.starts_with("/sign-in")), "{} {:?}", answer.status, answer.headers);
    // Discarded is gone.
    browser.get("/new");
    browser.post(&format!("{base}/discard"), &[]);
    assert_eq!(browser.send("GET", &settings, "", b"").status, 404);
}

#[test]
fn two_tabs_do_not_undo_each_other() {
    let platform = platform();
    let browser = Browser::signed_in(&platform);
    let base = browser.to_settings(&archive(&platform, "tabs", &[("myapp.py", &flask("x")), ("requirements.txt", "flask\n")]));
    let settings = format!("{base}/settings");
    // Each tab changes what the other one has not seen.
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (browser, settings) = (&browser, &settings);
            scope.spawn(move || {
                let value = format!("V{number}={number}");
                let answer = browser.post_only(settings, &[("key", "environment"), ("value", &value)]);
                assert_eq!(answer.status, 303, "{}", answer.text());
            });
        }
    });
    let page = browser.get(&settings).1.text();
    for number in 0..8 {
        assert!(page.contains(&format!("V{number}")), "V{number} was lost");
    }
    // A platform that was restarted has all of it still.
    let cookies = browser.cookies.lock().expect("no thread is left").clone();
    let mut platform = platform;
    platform.kill9();
    platform.restart();
    let browser = Browser { platform: &platform, cookies: Mutex::new(cookies), csrf: Mutex::default() };
    let (at, page) = browser.get(&base);
    assert_eq!(at, settings);
    says(&page, &["V0", "V7"]);
}
