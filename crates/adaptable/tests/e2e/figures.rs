//! Figures: the page for Prometheus by both ways in, what outlives an instance, the last hour, and the access log.

use std::time::Duration;

use serde_json::Value;
use testkit::{Answer, Metrics, Options, Platform, wait_until};

use crate::{plain, program};

const SHOP: (&str, &str) = ("app", "shop");

/// An app that answers with the status it is asked for, and reads what it is sent.
fn obliging() -> String {
    let read = "def do_POST(self):\n        self.rfile.read(int(self.headers['Content-Length']))\n        self.do_GET()\n\n    def do_GET(self):";
    let status = "self.send_response(int(dict(parse_qsl(url.query)).get('status', 200)))";
    plain("hello").replace("def do_GET(self):", read).replace("self.send_response(200)", status)
}

fn scrape(platform: &Platform) -> Metrics {
    let answer = platform.socket("GET", "/metrics", b"").expect("an answer");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; version=0.0.4; charset=utf-8")));
    Metrics::parse(&answer.text()).unwrap_or_else(|error| panic!("{error}\n{}", answer.text()))
}

fn with_token(platform: &Platform, path: &str, token: &str) -> Answer {
    platform.request("GET", "", path, &[("Authorization", &format!("Bearer {token}"))], b"").expect("an answer")
}

fn status(platform: &Platform) -> Value {
    platform.cli(&["status", "shop", "--json"]).expect(0).json()
}

fn asleep(platform: &Platform) -> bool {
    status(platform)["instances"].as_array().is_some_and(Vec::is_empty)
}

fn sum(list: &Value) -> u64 {
    list.as_array().expect("a list").iter().filter_map(Value::as_u64).sum()
}

#[test]
fn prometheus_reads_what_happened_and_nothing_goes_back() {
    let platform = Platform::start(program(), Options { idle_timeout: "2s".to_owned(), ..Options::default() });
    let source = platform.source("shop", &[("app.py", &obliging())]);
    platform.deploy(&source, &[]);
    for (path, wanted) in [("/", 200), ("/", 200), ("/?status=404", 404), ("/?status=404", 404), ("/?status=503", 503)] {
        assert_eq!(platform.get("shop", path).status, wanted);
    }
    assert_eq!(platform.request("POST", "shop", "/", &[], &[b'x'; 10_000]).expect("an answer").status, 200);
    // A request is counted when it has ended, which is a moment after its visitor has all of it.
    wait_until("all six are counted", 5, || scrape(&platform).value("adaptable_app_request_seconds_count", &[SHOP]) == Some(6.0));

    let page = scrape(&platform);
    let class = |class: &str| page.value("adaptable_app_requests_total", &[SHOP, ("class", class)]);
    assert_eq!(["1xx", "2xx", "3xx", "4xx", "5xx"].map(class), [0.0, 3.0, 0.0, 2.0, 1.0].map(Some));
    let app = |name: &str| page.value(name, &[SHOP]).unwrap_or_else(|| panic!("no {name}"));
    assert!((10_000.0..10_100.0).contains(&app("adaptable_app_received_bytes_total")));
    assert!((30.0..1000.0).contains(&app("adaptable_app_sent_bytes_total")));
    assert!(app("adaptable_app_memory_bytes") > 1e6 && app("adaptable_app_cpu_seconds_total") > 0.0, "{page:?}");
    assert_eq!((page.sum("adaptable_app_instances"), app("adaptable_app_starts_total")), (1.0, 1.0));
    assert_eq!((app("adaptable_app_in_flight"), app("adaptable_app_queued")), (0.0, 0.0));
    let of = |name: &str, labels: &[(&str, &str)]| page.value(name, labels).unwrap_or_else(|| panic!("no {name}"));
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    for (name, labels) in [
        ("adaptable_builds_total", &[("result", "done")][..]),
        ("adaptable_build_seconds_count", &[]),
        ("adaptable_build_info", &version),
        ("adaptable_apps", &[]),
    ] {
        assert_eq!(page.value(name, labels), Some(1.0), "{name}");
    }
    assert!(of("adaptable_store_seconds_count", &[("operation", "write")]) > 1.0);
    assert!(of("adaptable_store_seconds_sum", &[("operation", "write")]) < 60.0);
    for (process, most) in [("process_resident_memory_bytes", 1e9), ("adaptable_launcher_resident_memory_bytes", 1e9)] {
        assert!((1e6..most).contains(&of(process, &[])), "{process}");
    }
    assert!(of("process_cpu_seconds_total", &[]) > 0.0 && of("process_open_fds", &[]) > 5.0);
    of("adaptable_launcher_cpu_seconds_total", &[]);
    of("adaptable_connections", &[]);

    // Asleep: its processor time stays, and a look wakes nobody.
    wait_until("it sleeps", 15, || asleep(&platform));
    let before = page;
    wait_until("nothing runs", 15, || scrape(&platform).sum("adaptable_app_instances") == 0.0);
    let page = scrape(&platform);
    let cpu = |page: &Metrics| page.value("adaptable_app_cpu_seconds_total", &[SHOP]).expect("its time");
    assert!(cpu(&page) >= cpu(&before) && cpu(&page) > 0.0, "{} after {}", cpu(&page), cpu(&before));
    assert_eq!(page.value("adaptable_app_memory_bytes", &[SHOP]), Some(0.0));
    assert_eq!(page.value("adaptable_app_starts_total", &[SHOP]), Some(1.0));
    assert_eq!(page.value("adaptable_app_cold_start_seconds_count", &[SHOP]), None, "nobody has waited yet");
    assert!(asleep(&platform));

    assert_eq!(platform.get("shop", "/").status, 200);
    let page = scrape(&platform);
    assert_eq!(page.value("adaptable_app_cold_start_seconds_count", &[SHOP]), Some(1.0));
    let waited = page.value("adaptable_app_cold_start_seconds_sum", &[SHOP]).expect("a sum");
    assert!((0.005..60.0).contains(&waited), "{waited}");
    assert_eq!(page.value("adaptable_app_starts_total", &[SHOP]), Some(2.0));
    // An instance that ends by itself leaves its time, too.
    let with_two = cpu(&page);
    assert_eq!(platform.get("shop", "/exit").status, 502);
    wait_until("it has gone", 15, || scrape(&platform).sum("adaptable_app_instances") == 0.0);
    assert!(cpu(&scrape(&platform)) >= with_two);

    let hour = &status(&platform)["last_hour"];
    assert_eq!(["requests", "errors", "slowest"].map(|key| hour[key].as_array().map(Vec::len)), [Some(60); 3]);
    assert_eq!((sum(&hour["requests"]), sum(&hour["errors"])), (8, 2), "{hour}");
    let mut command = platform.command(&["status", "shop"]);
    let shown = testkit::Output::from(command.env("LC_ALL", "C.UTF-8").env("COLUMNS", "100")).expect(0).stdout;
    assert!(shown.contains("  last hour ▁▁▁▁▁") && shown.contains("8 requests") && shown.contains("2 failed (!)"), "{shown}");
    assert!(shown.lines().any(|line| line.trim().chars().all(|c| c == '!' || c == ' ') && line.contains('!')), "{shown}");
}

#[test]
fn a_thaw_is_counted_and_the_page_thaws_nobody() {
    let platform = crate::platform();
    let source = platform.source("shop", &[("app.py", &plain("hello"))]);
    platform.deploy(&source, &[]);
    platform.get("shop", "/");
    let frozen = |page: &Metrics| page.value("adaptable_app_instances", &[SHOP, ("state", "frozen")]) == Some(1.0);
    wait_until("it is frozen", 10, || frozen(&scrape(&platform)));
    let thaws = |page: &Metrics| page.value("adaptable_app_thaw_seconds_count", &[SHOP]).unwrap_or(0.0);
    let (before, page) = (scrape(&platform), scrape(&platform));
    assert!(frozen(&page), "looked at twice, and frozen still");
    assert_eq!(Some(thaws(&before)), Some(thaws(&page)));
    assert!(page.value("adaptable_app_memory_bytes", &[SHOP]) > Some(1e6), "it keeps its memory");
    platform.get("shop", "/");
    let page = scrape(&platform);
    assert!(thaws(&page) > thaws(&before), "{page:?}");
    assert!(page.value("adaptable_app_thaw_seconds_sum", &[SHOP]) > Some(0.0));
    assert_eq!(page.value("adaptable_app_cold_start_seconds_count", &[SHOP]), None, "a thaw is no start");
}

#[test]
fn figures_are_for_those_who_may() {
    let platform = crate::platform();
    let source = platform.source("shop", &[("app.py", &plain("hello"))]);
    platform.deploy(&source, &[]);
    let token = |arguments: &[&str]| platform.cli(&[&["token", "create"], arguments].concat()).expect(0).stdout.trim().to_owned();
    let (all, own) = (token(&["prometheus"]), token(&["shop-only", "--app", "shop"]));

    let answer = with_token(&platform, "/metrics", &all);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; version=0.0.4; charset=utf-8")));
    let page = Metrics::parse(&answer.text()).expect("a page");
    assert_eq!(page.families().collect::<Vec<_>>(), scrape(&platform).families().collect::<Vec<_>>());

    let nobody = platform.request("GET", "", "/metrics", &[], b"").expect("an answer");
    assert_eq!((nobody.status, nobody.header("www-authenticate").is_some()), (401, true));
    assert!(!nobody.text().contains("shop"), "{}", nobody.text());
    assert_eq!(with_token(&platform, "/metrics", "adpt_wrong").status, 401);

    // One app's token: nothing of the platform, and of the apps its own alone.
    assert_eq!(with_token(&platform, "/metrics", &own).status, 403);
    let answer = with_token(&platform, "/api/v1/apps/shop/metrics", &own);
    let page = Metrics::parse(&answer.text()).expect("a page");
    assert!(page.value("adaptable_app_in_flight", &[SHOP]).is_some());
    assert!(
        page.families()
            .all(|family| ["adaptable_app_", "adaptable_database_", "adaptable_backup"].iter().any(|of| family.starts_with(of))),
        "{page:?}"
    );
    assert_eq!(with_token(&platform, "/api/v1/apps/other/metrics", &own).status, 404);
    assert_eq!(platform.request("GET", "", "/api/v1/apps/shop/metrics", &[], b"").expect("an answer").status, 401);
    let unkept = platform.cli(&["logs", "shop", "--access"]).expect(1).stderr;
    assert!(unkept.contains("keeps no access log") && unkept.contains("--access-log on"), "{unkept}");
    // Under an app's name it is the app that answers.
    assert_eq!(platform.get("shop", "/metrics").text(), "hello");
}

#[test]
fn the_access_log_has_a_line_for_every_request() {
    let environment = vec![("ADAPTABLE_ACCESS_LOG".to_owned(), "on".to_owned())];
    let mut platform = Platform::start(program(), Options { environment, ..Options::default() });
    let source = platform.source("shop", &[("app.py", &obliging())]);
    platform.deploy(&source, &[]);
    let headers = [("User-Agent", "probe/1 \"quoted\"")];
    let post = platform.request("POST", "shop", "/a%20b?token=secret", &headers, b"12345").expect("an answer");
    assert_eq!(post.status, 200);
    platform.get("shop", "/?status=503");
    platform.request("GET", "", "/api/v1/platform", &[], b"").expect("an answer");
    let stray = testkit::exchange(platform.connect("").expect("a connection"), "GET", "nobody.localhost", "/", &[], b"");
    assert_eq!(stray.expect("an answer").status, 421);

    let file = platform.data().join("logs/access.log");
    let lines = || -> Vec<Value> {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    };
    wait_until("all are written", 10, || lines().len() == 4);
    let lines = lines();
    let first = &lines[0];
    for (key, wanted) in [
        ("app", "shop"),
        ("method", "POST"),
        ("path", "/a%20b"),
        ("client", "127.0.0.1"),
        ("protocol", "HTTP/1.1"),
        ("agent", "probe/1 \"quoted\""),
    ] {
        assert_eq!(first[key], wanted, "{key} in {first}");
    }
    assert_eq!((&first["status"], &first["bytes_in"], &first["bytes_out"]), (&200.into(), &5.into(), &5.into()), "{first}");
    assert!(first["host"].as_str().is_some_and(|host| host.starts_with("shop.localhost:")), "{first}");
    assert!(first["upstream"].as_str().is_some_and(|upstream| upstream.starts_with("shop-1-i")), "{first}");
    assert!(first["duration_ms"].as_f64().is_some_and(|took| took > 0.0 && took < 60_000.0), "{first}");
    assert!(first["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{first}");
    assert_eq!((&lines[1]["status"], &lines[1]["path"]), (&503.into(), &"/".into()));
    assert_eq!((&lines[2]["status"], &lines[2]["app"]), (&401.into(), &Value::Null));
    assert_eq!((&lines[3]["app"], &lines[3]["upstream"]), (&Value::Null, &Value::Null));
    assert_eq!((&lines[3]["status"], &lines[3]["host"]), (&421.into(), &"nobody.localhost".into()));
    assert_eq!(scrape(&platform).value("adaptable_access_log_lost_total", &[]), Some(0.0));
    // Its owner reads it by the command line; of what is not the app's nothing is shown.
    let logs = |arguments: &[&str]| platform.cli(&[&["logs", "shop", "--access"], arguments].concat());
    let shown = logs(&[]).expect(0).stdout;
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(shown.contains(" shop-1-i1 200 POST /a%20b ") && shown.contains(" to 127.0.0.1 (probe/1 "), "{shown}");
    let newest: Value = serde_json::from_str(&logs(&["-n", "1", "--json"]).expect(0).stdout).expect("one object");
    assert!(newest["line"].as_str().is_some_and(|line| line.starts_with("503 GET / ")), "{newest}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).expect("the file").permissions());
    assert_eq!(mode & 0o077, 0, "{mode:o}");

    // What was asked last is written before the platform ends.
    platform.get("shop", "/last");
    platform.cli(&["down"]).expect(0);
    assert_eq!(platform.ended(Duration::from_secs(30)), Some(0));
    let text = std::fs::read_to_string(&file).expect("the log");
    assert!(text.lines().last().is_some_and(|line| line.contains("\"path\":\"/last\"")), "{text}");
}
