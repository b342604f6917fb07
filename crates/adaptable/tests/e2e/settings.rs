//! Settings by their page: saved, deployed, refused with what was typed, told apart from what others have changed; metrics and the
//! operator's pages beside them.

use serde_json::{Value, json};
use testkit::{Answer, Platform, wait_until};

use crate::{plain, platform};

/// A person's requests, by a token in the place of a session.
pub(crate) struct Pages<'a> {
    platform: &'a Platform,
    token: String,
}

impl Pages<'_> {
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, b"")
    }

    pub(crate) fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body: Vec<_> = fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        self.ask("POST", path, body.join("&").as_bytes())
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let headers =
            [("Authorization", bearer.as_str()), ("Accept", "text/html"), ("Content-Type", "application/x-www-form-urlencoded")];
        self.platform.request(method, "", path, &headers, body).expect("an answer")
    }
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The pages as somebody with a token of that name sees them.
pub(crate) fn pages<'a>(platform: &'a Platform, arguments: &[&str]) -> Pages<'a> {
    let token = platform.cli(&[&["token", "create"], arguments].concat()).expect(0).stdout.trim().to_owned();
    Pages { platform, token }
}

/// The version of the document that a page was made from.
fn version(page: &Answer) -> String {
    let text = page.text();
    let (_, rest) = text.split_once("name=\"version\" value=\"").unwrap_or_else(|| panic!("no version: {text}"));
    rest.split('"').next().unwrap_or_default().to_owned()
}

fn live(platform: &Platform) -> Value {
    platform.cli(&["status", "shop", "--json"]).expect(0).json()["revision"].clone()
}

#[test]
fn settings_are_saved_deployed_and_refused_by_their_page() {
    let platform = platform();
    let source = platform.source("shop", &[("app.py", &plain("hello"))]);
    platform.deploy(&source, &["--env", "SECRET_KEY=hunter2"]);
    let somebody = pages(&platform, &["somebody"]);
    let page = somebody.get("/apps/shop/settings");
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(page.text().contains("SECRET_KEY") && !page.text().contains("hunter2"), "a hidden value is in the page");
    assert!(somebody.get("/apps/shop/settings?reveal=yes").text().contains("hunter2"));
    assert_eq!(live(&platform), json!(1));

    // Saved, and nothing else: what runs goes on as it is.
    let row = [
        ("rows", "environment"),
        ("environment.0.was", "SECRET_KEY"),
        ("environment.0.shown", "no"),
        ("environment.0.name", "SECRET_KEY"),
        ("environment.0.value", ""),
        ("environment.1.was", ""),
        ("environment.1.shown", "yes"),
        ("environment.1.name", "GREETING"),
        ("environment.1.value", "from the page"),
    ];
    let first = version(&page);
    let send = |version: &str, action: &str, more: &[(&str, &str)]| {
        somebody.post("/apps/shop/settings", &[&[("version", version), ("do", action)][..], &row, more].concat())
    };
    let saved = send(&first, "save", &[("f.resourceConfig.maxInstances", "3")]);
    assert_eq!((saved.status, saved.header("location")), (303, Some("/apps/shop/settings?said=saved-for-later")));
    assert_eq!(live(&platform), json!(1));
    let page = somebody.get("/apps/shop/settings");
    assert!(page.text().contains("not live yet"));
    let document = platform.cli(&["settings", "shop", "get"]).expect(0).stdout;
    assert!(
        document.contains("hunter2") && document.contains("from the page") && document.contains("maxInstances: 3"),
        "{document}"
    );

    // By then the version is another one: who comes late is told, and loses nothing.
    let late = send(&first, "save", &[("f.startCommand", "python3 typed.py")]);
    assert_eq!(late.status, 409);
    let text = late.text();
    assert!(text.contains("Somebody has changed these settings") && text.contains("python3 typed.py"), "{text}");

    // What can't be used is refused where it stands.
    let second = version(&page);
    let wrong = send(&second, "update", &[("f.resourceConfig.memory", "300"), ("f.idleTimeout", "soon")]);
    assert_eq!(wrong.status, 422);
    let text = wrong.text();
    assert!(
        text.contains("must be a multiple of 256") && text.contains("value=\"300\"") && text.contains("value=\"soon\""),
        "{text}"
    );
    assert_eq!(version(&wrong), second);

    // Saved and deployed: the page of the deployment, and the app knows.
    let update = send(&second, "update", &[]);
    assert_eq!((update.status, update.header("location")), (303, Some("/apps/shop/deployments/2")));
    wait_until("the revision with the new variables is live", 60, || live(&platform) == json!(2));
    assert_eq!(platform.get("shop", "/env").json()["GREETING"], "from the page");
    assert!(!somebody.get("/apps/shop/settings").text().contains("not live yet"));

    // The other view of the same document.
    let page = somebody.get("/apps/shop/settings?view=yaml");
    let text = page.text();
    assert!(text.contains("SECRET_KEY: (hidden)") && !text.contains("hunter2"), "{text}");
    let yaml = "environment:\n  SECRET_KEY: (hidden)\nresourceConfig:\n  maxInstances: 0\n";
    let send = |text: &str| {
        somebody.post("/apps/shop/settings", &[("version", &version(&page)), ("view", "yaml"), ("text", text), ("do", "save")])
    };
    let wrong = send(yaml);
    assert_eq!(wrong.status, 422);
    assert!(wrong.text().contains("Line 4") && wrong.text().contains("must be from 1 to 1000"), "{}", wrong.text());
    assert_eq!(send(&yaml.replace(": 0", ": 5")).status, 303);
    let document = platform.cli(&["settings", "shop", "get"]).expect(0).stdout;
    assert!(document.contains("hunter2") && !document.contains("GREETING") && document.contains("maxInstances: 5"), "{document}");

    // The token of another app sees nothing of this one.
    platform.deploy(&platform.source("other", &[("app.py", &plain("other"))]), &[]);
    let stranger = pages(&platform, &["stranger", "--app", "other"]);
    for path in ["/apps/shop/settings", "/apps/shop/metrics"] {
        assert_eq!(stranger.get(path).status, 404, "{path}");
    }
    for path in ["/operator", "/operator/tokens", "/operator/backups", "/operator/certificates"] {
        assert_eq!(stranger.get(path).status, 403, "{path}");
        let page = somebody.get(path);
        assert!(page.status == 200 && page.text().contains("<h1>Platform</h1>"), "{path}: {}", page.text());
    }

    // Deleted by its name, and by no other.
    let wrong = somebody.post("/apps/shop/settings/delete", &[("name", "shpo")]);
    assert!(wrong.status == 422 && wrong.text().contains("That is not its name"), "{}", wrong.text());
    let gone = somebody.post("/apps/shop/settings/delete", &[("name", "shop"), ("backup", "with")]);
    assert_eq!((gone.status, gone.header("location")), (303, Some("/apps?said=deleted")));
    assert_eq!(somebody.get("/apps/shop/settings").status, 404);
}

#[test]
fn settings_take_the_place_of_those_that_were_read() {
    let platform = platform();
    platform.deploy(&platform.source("shop", &[("app.py", &plain("hello"))]), &[]);
    let bearer = format!("Bearer {}", pages(&platform, &["program"]).token);
    let ask = |method: &str, headers: &[(&str, &str)], body: &[u8]| {
        let headers = [&[("Authorization", bearer.as_str())], headers].concat();
        platform.request(method, "", "/api/v1/apps/shop/settings", &headers, body).expect("an answer")
    };
    let read = ask("GET", &[], b"");
    let tag = read.header("etag").expect("a tag").to_owned();
    let yaml = ask("GET", &[("Accept", "application/yaml")], b"").header("etag").expect("a tag").to_owned();
    assert_ne!(tag, yaml, "each form has its own");
    assert_eq!(ask("GET", &[], b"").header("etag"), Some(tag.as_str()), "nothing was changed");
    let put = |tag: &str, idle: u32| {
        let mut settings = read.json();
        settings["idleTimeout"] = json!(idle);
        ask("PUT", &[("If-Match", tag)], settings.to_string().as_bytes())
    };
    assert_eq!(put(&yaml, 100).status, 200);
    // Somebody else has the version before.
    let late = put(&tag, 200);
    assert_eq!((late.status, late.json()["code"].as_str()), (412, Some("precondition_failed")), "{}", late.text());
    assert!(late.header("content-type").is_some_and(|kind| kind == "application/problem+json"));
    let now = ask("GET", &[], b"");
    assert_eq!(now.json()["idleTimeout"], 100, "nothing was changed");
    let current = now.header("etag").expect("a tag").to_owned();
    assert_eq!(put(&format!("W/{current}"), 300).status, 412, "a weak tag matches nothing");
    assert_eq!(put("300", 300).status, 400);
    assert_eq!(put(&format!("{tag}, {current}"), 300).status, 200);
    assert_eq!(put("*", 400).status, 200);
    assert_eq!(ask("GET", &[], b"").json()["idleTimeout"], 400);
}

#[test]
fn the_last_hour_is_told_by_minutes_and_the_last_day_by_quarters() {
    let platform = platform();
    platform.deploy(&platform.source("shop", &[("app.py", &plain("hello"))]), &[]);
    for _ in 0..5 {
        assert_eq!(platform.get("shop", "/").status, 200);
    }
    let history = |range: &str| {
        let answer = platform.api("GET", &format!("/apps/shop/history?range={range}"), b"").expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let sum = |history: &Value| -> u64 {
        let steps = history["steps"].as_array().expect("steps");
        steps.iter().filter_map(|step| step["requests"]["2xx"].as_u64()).sum()
    };
    // A request is counted when it has ended, which is a moment after its visitor has all of it.
    wait_until("all are counted", 5, || sum(&history("1h")) >= 5);
    for (range, steps, seconds) in [("1h", 60, 60), ("24h", 96, 900)] {
        let history = history(range);
        assert_eq!((history["steps"].as_array().map(Vec::len), &history["step_seconds"]), (Some(steps), &json!(seconds)));
        assert!(sum(&history) >= 5, "{history}");
        assert!(history["latency"]["p50"].as_f64().is_some_and(|p50| p50 > 0.0), "{history}");
        let last = &history["steps"][steps - 1];
        assert!(last["instances"].as_u64().is_some_and(|instances| instances >= 1), "{last}");
        // What was not looked at is not said to be nothing.
        assert_eq!(history["steps"][0]["instances"], Value::Null);
    }
    let somebody = pages(&platform, &["somebody"]);
    for (path, words) in [("/apps/shop/metrics", "The last hour"), ("/apps/shop/metrics?range=24h", "The last 24 hours")] {
        let page = somebody.get(path);
        assert!(page.status == 200 && page.text().contains(words) && page.text().contains("class=\"plot\""), "{}", page.text());
    }
    assert_eq!(somebody.get("/apps/shop/metrics?range=1y").status, 400);
    let machine = platform.api("GET", "/machine", b"").expect("an answer").json();
    assert!(machine["memory"]["total_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 28), "{machine}");
    assert_eq!(machine["apps"][0]["app"], "shop");
    assert!(machine["apps"][0]["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{machine}");
}
