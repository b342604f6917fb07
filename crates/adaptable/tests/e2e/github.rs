//! GitHub: a push is live, what changes there is noted here, and nothing is lost when either of the two is gone for a while.

mod missed;
mod moved;

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::github::{App, GitHub, Trouble};
use testkit::{Options, Output, Platform};

use crate::{plain, program};

const PATIENCE: Duration = Duration::from_mins(2);

/// A stand-in of GitHub with a private repository of `octo`, a platform that knows it, and the App, which the platform does not know yet.
fn world() -> (GitHub, Platform, App) {
    let github = GitHub::start();
    github.user("octo");
    github.repository("octo/shop", true);
    let environment = [("ADAPTABLE_GITHUB_WEB", github.web()), ("ADAPTABLE_GITHUB_API", github.api())];
    let environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let platform = Platform::start(program(), Options { environment, ..Options::default() });
    github.trust(&std::fs::read(platform.data().join("ca.pem")).expect("the authority"));
    let address = format!("https://localhost:{}", platform.https().port());
    let app = github.app("octo", "Adaptable", &format!("{address}/sign-in/github/callback"), &format!("{address}/hooks/github"));
    (github, platform, app)
}

fn entered(app: &App) -> Value {
    json!({
        "id": app.id,
        "client_id": app.client_id,
        "client_secret": app.client_secret,
        "private_key": app.private_key,
        "webhook_secret": app.webhook_secret,
    })
}

/// The same with the App entered and installed, and `shop` deployed from the branch `main`, where it says "one".
pub(crate) fn linked() -> (GitHub, Platform, App, u64) {
    let (github, platform, app) = world();
    let answer = platform.api("PUT", "/github", entered(&app).to_string().as_bytes()).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let installation = github.install(app.id, "octo", None);
    let source = platform.source("zero", &[("app.py", &plain("zero"))]);
    platform.deploy(&source, &["--app", "shop"]);
    github.commit("octo/shop", "main", &[("app.py", &plain("one"))], "Say one");
    platform.cli(&["source", "shop", "set", "octo/shop", "main"]).expect(0);
    platform.cli(&["update", "shop"]).expect(0);
    assert_eq!(platform.get("shop", "/").text(), "one");
    (github, platform, app, installation)
}

/// Whether something comes about in time.
fn wait_until(patience: Duration, came: impl Fn() -> bool) -> bool {
    let until = Instant::now() + patience;
    loop {
        if came() {
            return true;
        }
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[track_caller]
pub(crate) fn says(platform: &Platform, text: &str) {
    let said = || platform.request("GET", "shop", "/", &[], b"").is_ok_and(|answer| answer.text() == text);
    assert!(wait_until(PATIENCE, said), "it does not come to say {text:?}:\n{}\n{}", deliveries(platform), platform.log());
}

/// The app's deployments, the newest first.
pub(crate) fn deployments(platform: &Platform) -> Vec<Value> {
    platform.cli(&["deployments", "shop", "--json"]).expect(0).json().as_array().expect("a list").clone()
}

/// What GitHub told lately, and what came of it.
pub(crate) fn deliveries(platform: &Platform) -> Value {
    platform.api("GET", "/github/deliveries", b"").expect("an answer").json()
}

/// What people are told of the app, in one text.
fn warnings(platform: &Platform) -> String {
    platform.api("GET", "/apps/shop", b"").expect("an answer").json()["warnings"].to_string()
}

#[track_caller]
fn comes_to_warn(platform: &Platform, words: &str) {
    assert!(
        wait_until(PATIENCE, || warnings(platform).contains(words)),
        "{words:?}: {}\n{}",
        warnings(platform),
        deliveries(platform)
    );
}

/// A delivery as GitHub would send it, or somebody else.
fn deliver(platform: &Platform, id: &str, body: &str, signature: Option<&str>) -> u16 {
    let mut headers = vec![("X-GitHub-Event", "push"), ("X-GitHub-Delivery", id), ("Content-Type", "application/json")];
    headers.extend(signature.map(|signature| ("X-Hub-Signature-256", signature)));
    platform.request("POST", "", "/hooks/github", &headers, body.as_bytes()).expect("an answer").status
}

#[test]
fn a_push_is_live_and_only_githubs() {
    let (github, platform, app) = world();
    // Without an App there is no door at all.
    assert_eq!(deliver(&platform, "early", "{}", Some("sha256=00")), 404);
    // Keys are tried before they are kept.
    let mut wrong = entered(&app);
    wrong["private_key"] = json!(github.app("octo", "Another", "https://a.example/c", "https://a.example/h").private_key);
    let answer = platform.api("PUT", "/github", wrong.to_string().as_bytes()).expect("an answer");
    assert!((400..600).contains(&answer.status), "{}: {}", answer.status, answer.text());
    assert_eq!(platform.api("GET", "/github", b"").expect("an answer").json()["app"], Value::Null);
    let answer = platform.api("PUT", "/github", entered(&app).to_string().as_bytes()).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    drop(platform);
    drop(github);

    let (github, platform, app, _) = linked();
    let before = deployments(&platform).len();
    let pushed = github.push("octo/shop", "main", &[("app.py", &plain("two"))], "Say two\n\nand more");
    assert_eq!(pushed.deliveries.iter().map(|it| it.status).collect::<Vec<_>>(), [Some(202)]);
    says(&platform, "two");
    let last = deployments(&platform)[0].clone();
    assert_eq!((last["state"].as_str(), last["commit"]["id"].as_str()), (Some("live"), Some(pushed.sha.as_str())), "{last}");
    let revision = platform.cli(&["revisions", "shop", "--json"]).expect(0).json()[0]["commit"].clone();
    assert_eq!((revision["subject"].as_str(), revision["branch"].as_str()), (Some("Say two"), Some("main")), "{revision}");
    assert_eq!(deployments(&platform).len(), before + 1);

    // GitHub is told, with links that lead here.
    let number = last["deployment"].as_u64().expect("a number");
    let page = format!("https://localhost:{}/apps/shop/deployments/{number}", platform.https().port());
    let told = || github.statuses().iter().any(|it| it.sha == pushed.sha && it.state == "success");
    assert!(wait_until(PATIENCE, told), "{:?}", github.statuses());
    let marks: Vec<_> = github.statuses().into_iter().filter(|it| it.sha == pushed.sha).collect();
    assert!(marks.iter().all(|it| it.context == "adaptable/shop" && it.target_url.as_deref() == Some(&page)), "{marks:?}");
    assert_eq!(marks[0].state, "pending", "{marks:?}");
    let shown = || github.deployments().into_iter().find(|it| it.sha == pushed.sha && it.state() == "success");
    assert!(wait_until(PATIENCE, || shown().is_some()), "{:?}", github.deployments());
    let shown = shown().expect("it was there");
    let word = shown.words.last().expect("a word");
    let address = format!("https://shop.localhost:{}", platform.https().port());
    assert_eq!((shown.environment.as_str(), word.log_url.as_deref()), ("shop", Some(page.as_str())));
    assert_eq!(word.environment_url.as_deref().map(|url| url.trim_end_matches('/')), Some(address.as_str()));

    // Neither another branch, nor a replay, nor anybody else deploys.
    github.push("octo/shop", "next", &[("app.py", &plain("next"))], "Elsewhere");
    let again = github.redeliver(&pushed.deliveries[0].id);
    assert_eq!(again.status, Some(200));
    let body = &pushed.deliveries[0].body;
    let right = GitHub::signature(&app.webhook_secret, body.as_bytes());
    assert_eq!(deliver(&platform, "new-1", body, None), 401);
    assert_eq!(deliver(&platform, "new-2", body, Some("sha256=")), 401);
    assert_eq!(deliver(&platform, "new-3", body, Some(&GitHub::signature("guessed", body.as_bytes()))), 401);
    assert_eq!(deliver(&platform, "new-4", &body.replace("Say two", "Say six"), Some(&right)), 401);
    assert_eq!(deliver(&platform, "", body, Some(&right)), 400);
    // Whoever has seen a delivery and sends it under another id: the same push is deployed once.
    assert_eq!(deliver(&platform, "new-5", body, Some(&right)), 202);
    let worked =
        |platform: &Platform| deliveries(platform).as_array().is_some_and(|list| list.iter().all(|it| it["state"] == "done"));
    assert!(wait_until(PATIENCE, || worked(&platform)), "{}", deliveries(&platform));
    let ids = deliveries(&platform).to_string();
    for refused in ["early", "new-1", "new-2", "new-3", "new-4"] {
        assert!(!ids.contains(&format!("\"{refused}\"")), "{refused} left something behind: {ids}");
    }
    assert_eq!(deployments(&platform).len(), before + 1);
    assert_eq!(platform.get("shop", "/").text(), "two");
    assert_eq!(warnings(&platform), "null");
    leaves_no_secret(&platform, &app);
}

/// No token and no key lies in the clear in the data directory or in the platform's log.
fn leaves_no_secret(platform: &Platform, app: &App) {
    let log = platform.scratch().join("serve.log");
    let key = app.private_key.lines().nth(3).expect("a line of the key");
    for secret in ["ghs_", "ghu_", "ghr_", &app.client_secret, &app.webhook_secret, key] {
        let mut grep = Command::new("grep");
        grep.args(["-r", "-a", "-l", "-F", "-e", secret]).arg(platform.data()).arg(&log);
        let found = Output::from(&mut grep);
        // The tree of a base system may hold the words of a token; what the platform writes may not.
        assert_eq!((found.code, found.stdout.as_str()), (1, ""), "{secret:?}");
    }
}

/// GitHub shows that a commit is live: what is taken away from the App after that concerns no report on its way.
#[track_caller]
fn is_shown(github: &GitHub, sha: &str) {
    let shown = || github.deployments().iter().any(|it| it.sha == sha && it.state() == "success");
    assert!(wait_until(PATIENCE, shown), "{:?}", github.deployments());
}

#[test]
fn what_changes_at_github_is_noted() {
    let (github, platform, app, installation) = linked();
    let count = deployments(&platform).len();
    // Another name: the number keeps the link.
    github.rename("octo/shop", "store");
    let source = |platform: &Platform| platform.cli(&["source", "shop", "--json"]).expect(0).json();
    assert!(wait_until(PATIENCE, || source(&platform)["repository"] == "octo/store"), "{}", source(&platform));
    github.push("octo/store", "main", &[("app.py", &plain("renamed"))], "Renamed");
    says(&platform, "renamed");
    // A branch that is gone deploys nothing, and comes back.
    github.delete_branch("octo/store", "main");
    comes_to_warn(&platform, "the branch main of octo/store was deleted");
    let update = platform.cli(&["update", "shop", "--json"]);
    assert!(update.code == 1 && update.stderr.contains("has no branch main"), "{} {}", update.code, update.stderr);
    let back = github.push("octo/store", "main", &[("app.py", &plain("back"))], "Back");
    says(&platform, "back");
    is_shown(&github, &back.sha);
    assert_eq!(warnings(&platform), "null");
    assert_eq!(deployments(&platform).len(), count + 2);
    // Suspended, removed, installed again.
    github.suspend(installation, true);
    comes_to_warn(&platform, "suspended");
    github.suspend(installation, false);
    assert!(wait_until(PATIENCE, || warnings(&platform) == "null"), "{}", warnings(&platform));
    github.uninstall(installation);
    comes_to_warn(&platform, "the GitHub App was removed from octo");
    let update = platform.cli(&["update", "shop", "--json"]);
    assert_eq!(update.code, 1, "{}", update.stderr);
    let again = github.install(app.id, "octo", Some(&["store"]));
    assert!(wait_until(PATIENCE, || warnings(&platform) == "null"), "{}\n{}", warnings(&platform), deliveries(&platform));
    let once_more = github.push("octo/store", "main", &[("app.py", &plain("again"))], "Again");
    says(&platform, "again");
    is_shown(&github, &once_more.sha);
    // Taken away from the App, given back, deleted.
    github.repository("octo/other", false);
    github.choose(again, Some(&["other"]));
    comes_to_warn(&platform, "octo/store was taken away");
    github.choose(again, Some(&["other", "store"]));
    assert!(wait_until(PATIENCE, || warnings(&platform) == "null"), "{}", warnings(&platform));
    github.delete("octo/store");
    comes_to_warn(&platform, "octo/store was deleted");
    assert_eq!(platform.get("shop", "/").text(), "again", "what is live stays");
    // Nobody sees what the App does not see.
    let strange = platform.cli(&["source", "shop", "set", "octo/nowhere", "main", "--json"]);
    assert_eq!(strange.code, 1, "{}", strange.stderr);
    platform.cli(&["source", "shop", "remove"]).expect(0);
    assert_eq!(warnings(&platform), "null");
}

#[test]
fn nothing_is_lost_while_github_or_the_platform_is_gone() {
    let (github, mut platform, _app, _) = linked();
    let count = deployments(&platform).len();
    // GitHub is down: what it said is kept, and tried again.
    github.trouble(Trouble::Down);
    github.push("octo/shop", "main", &[("app.py", &plain("first"))], "First");
    comes_to_warn(&platform, "it is tried again at");
    github.push("octo/shop", "main", &[("app.py", &plain("second"))], "Second");
    let pushed = github.push("octo/shop", "main", &[("app.py", &plain("third"))], "Third");
    assert_eq!(pushed.deliveries[0].status, Some(202));
    // And the platform is killed between its answer and the work.
    platform.kill9();
    github.trouble(Trouble::None);
    platform.restart();
    says(&platform, "third");
    assert_eq!(deployments(&platform).len(), count + 1, "of three pushes the last one counts: {}", deliveries(&platform));
    let results = deliveries(&platform).to_string();
    assert!(results.contains("a newer push took its place"), "{results}");
    assert_eq!(warnings(&platform), "null");
    // Too many requests: not before GitHub says so.
    github.trouble(Trouble::RateLimited { seconds: 4 });
    github.push("octo/shop", "main", &[("app.py", &plain("patient"))], "Patient");
    comes_to_warn(&platform, "GitHub limits how often it is asked");
    github.trouble(Trouble::None);
    says(&platform, "patient");
    // A successor goes on where the platform was.
    platform.take_over();
    github.push("octo/shop", "main", &[("app.py", &plain("successor"))], "Successor");
    says(&platform, "successor");
}

/// A browser at the platform: its cookies, and what it got last.
struct Browser<'a> {
    platform: &'a Platform,
    cookies: std::collections::BTreeMap<String, String>,
}

impl Browser<'_> {
    fn send(&mut self, method: &str, to: &str, form: &[(&str, &str)]) -> testkit::Answer {
        let origin = format!("https://localhost:{}", self.platform.https().port());
        let path = to.strip_prefix(&origin).unwrap_or(to);
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let mut headers = vec![("Cookie", cookies.as_str())];
        if method == "POST" {
            headers.extend([("Origin", origin.as_str()), ("Content-Type", "application/x-www-form-urlencoded")]);
        }
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let answer = self.platform.request(method, "", path, &headers, body.as_bytes()).expect("an answer");
        for (_, value) in answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")) {
            let (name, value) = value.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    #[track_caller]
    fn led(&mut self, method: &str, to: &str, form: &[(&str, &str)]) -> String {
        let answer = self.send(method, to, form);
        assert_eq!(answer.status, 303, "{to}: {}", answer.text());
        answer.header("location").expect("it leads somewhere").to_owned()
    }
}

/// What stands between two texts of a page, as a browser reads it.
fn between(page: &str, before: &str, after: &str) -> String {
    let text =
        page.split_once(before).and_then(|(_, rest)| rest.split_once(after)).unwrap_or_else(|| panic!("no {before}: {page}")).0;
    text.replace("&#34;", "\"")
        .replace("&quot;", "\"")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#38;", "&")
        .replace("&amp;", "&")
}

#[test]
fn an_operator_makes_the_app_and_people_come_in_by_it() {
    let (github, platform, _) = world();
    github.user("stranger");
    let octo = github.visitor("octo");
    let mut browser = Browser { platform: &platform, cookies: std::collections::BTreeMap::new() };
    assert_eq!(browser.led("GET", "/operator/github", &[]), "/sign-in?next=%2Foperator%2Fgithub");
    let log = platform.log();
    let welcome = log.lines().find_map(|line| line.strip_prefix("sign in: ")).expect("the link of the first start").to_owned();
    browser.led("POST", &welcome, &[("name", "op"), ("password", "a long pass phrase of mine")]);
    let page = browser.send("GET", "/operator/github", &[]).text();
    let form = page.split("<form").find(|form| form.contains("name=\"manifest\"")).expect("the form").to_owned();
    let back = octo.create_app(&between(&form, "action=\"", "\""), &between(&form, "value=\"", "\""));
    // Who has only the address has not the browser.
    let mut other = Browser { platform: &platform, cookies: browser.cookies.clone() };
    other.cookies.remove("__Host-adaptable-github");
    assert_eq!(other.send("GET", &back, &[]).status, 400);
    let page = browser.send("GET", "/operator/github", &[]).text();
    let form = page.split("<form").find(|form| form.contains("name=\"manifest\"")).expect("the form").to_owned();
    let manifest = between(&form, "value=\"", "\"").replace("Adaptable localhost", "Another");
    let back = octo.create_app(&between(&form, "action=\"", "\""), &manifest);
    assert_eq!(browser.led("GET", &back, &[]), "/operator/github?said=github-ready");
    assert_eq!(browser.led("GET", &back, &[]), "/operator/github?said=github-ready", "a reload is no error");
    assert!(browser.send("GET", "/operator/github", &[]).text().contains("Not installed anywhere yet"));
    // The operator connects an account, which takes a click.
    let page = browser.send("GET", "/sign-in/github?next=/account", &[]);
    assert_eq!(page.status, 200, "{}", page.text());
    let csrf = between(&page.text(), "name=\"csrf\" content=\"", "\"");
    let to = browser.led("POST", "/sign-in/github", &[("csrf", &csrf), ("next", "/account")]);
    assert!(to.contains("code_challenge="), "{to}");
    let back = octo.authorize(&to);
    assert_eq!(browser.led("GET", &back, &[]), "/account");
    assert_eq!(browser.led("GET", &back, &[]), "/account", "the same browser, led on again");
    other.cookies.remove("__Host-adaptable-github");
    assert_eq!(other.send("GET", &back, &[]).status, 400, "a way back is its browser's");
    // Another browser comes in by it; one that nobody knows does not.
    let mut fresh = Browser { platform: &platform, cookies: std::collections::BTreeMap::new() };
    let back = octo.authorize(&fresh.led("GET", "/sign-in/github?next=//evil.example", &[]));
    // Its connection breaks, so it asks again before the first answer is there; what comes in is one session.
    let both = std::thread::scope(|scope| {
        let ask = |mut browser: Browser<'_>| (browser.led("GET", &back, &[]), browser.cookies);
        let copies = [0; 2].map(|_| Browser { platform: &platform, cookies: fresh.cookies.clone() });
        copies.map(|copy| scope.spawn(move || ask(copy))).map(|asked| asked.join().expect("an answer"))
    });
    let of =
        |signed_in: bool| both.iter().find(|(_, has)| has.contains_key("__Host-adaptable") == signed_in).expect("one of both");
    assert_eq!(of(true).0, "/apps");
    assert_eq!(of(false).0, "/sign-in/github?next=%2Fapps", "its cookie may be lost: it begins again");
    fresh.cookies = of(true).1.clone();
    let mut strange = Browser { platform: &platform, cookies: std::collections::BTreeMap::new() };
    let back = github.visitor("stranger").authorize(&strange.led("GET", "/sign-in/github", &[]));
    assert_eq!(strange.send("GET", &back, &[]).status, 403);
    // Installed on GitHub's page, and back where it was wanted.
    let to = fresh.led("GET", "/sign-in/github/install?next=/new", &[]);
    let back = octo.install(&github, &to, "octo", None);
    assert_eq!(fresh.led("GET", &back, &[]), "/new");
    let repositories = fresh.send("GET", "/api/v1/github/repositories?search=sho", &[]);
    assert_eq!(repositories.json()[0]["full_name"], "octo/shop", "{}", repositories.text());
}
