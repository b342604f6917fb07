//! The platform is upgraded while visitors come: none is refused, none fails, and what was there is there afterwards.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testkit::{Platform, Visitors, Way, wait_until};

use crate::{plain, platform, sleepy, tell};

/// What a visitor waits between two requests.
const PAUSE: Duration = Duration::from_millis(10);
const ALL_WAYS: [Way; 6] = [Way::KeptAlive, Way::KeptAlive, Way::Anew, Way::Anew, Way::Http2, Way::Http2];

/// A slow request, from its own thread; what it is answered with.
fn slow(platform: &Platform, seconds: u32) -> std::thread::JoinHandle<(u16, String, Duration)> {
    let (host, connection) =
        (format!("shop.localhost:{}", platform.https().port()), platform.connect("shop").expect("a connection"));
    std::thread::spawn(move || {
        let began = Instant::now();
        let answer =
            testkit::exchange(connection, "GET", &host, &format!("/slow?seconds={seconds}"), &[], b"").expect("an answer");
        (answer.status, answer.text(), began.elapsed())
    })
}

#[test]
fn no_visitor_notices_that_the_platform_is_upgraded() {
    const HANDOVERS: usize = 3;
    let mut platform = platform();
    let source = platform.source("shop", &[("app.py", &plain("here"))]);
    platform.deploy(&source, &["--env", "LEVEL=1"]);
    platform.cli(&["env", "shop", "set", "LEVEL=2"]).expect(0);
    let token = platform.cli(&["token", "create", "laptop", "--json"]).expect(0).json();
    let settings = fs::read_to_string(platform.data().join("ca.pem")).expect("the authority");
    assert_eq!(platform.get("shop", "/").text(), "here");

    let quiet = Visitors::come(&platform, "shop", "here", &ALL_WAYS, PAUSE);
    std::thread::sleep(Duration::from_secs(3));
    let quiet = quiet.leave();
    assert_eq!(quiet.failures, Vec::<String>::new(), "without an upgrade");

    let followed = platform.scratch().join("followed");
    let mut follower = platform.command(&["logs", "shop", "--follow"]);
    let mut follower = follower.stdout(fs::File::create(&followed).expect("a file")).spawn().expect("the client starts");
    let visitors = Visitors::come(&platform, "shop", "here", &ALL_WAYS, PAUSE);
    let mut took = Vec::new();
    for _ in 0..HANDOVERS {
        let long = slow(&platform, 3);
        std::thread::sleep(Duration::from_millis(500));
        let (before, began) = (platform.pid(), Instant::now());
        platform.take_over();
        took.push(began.elapsed());
        assert_ne!(platform.pid(), before);
        let (status, text, time) = long.join().expect("no panic");
        assert_eq!((status, text.as_str()), (200, "here"), "a request that was in flight: after {time:?}");
        assert!(time >= Duration::from_secs(3));
        // Some answers of the new one alone.
        let answers = visitors.answers();
        wait_until("visitors are answered", 20, || visitors.answers() > answers + 50);
    }
    let report = visitors.leave();
    let longest = |list: &[(Way, Duration)]| {
        list.iter().map(|(way, took)| format!("{way:?} {:.0} ms", took.as_secs_f64() * 1000.0)).collect::<Vec<_>>().join(", ")
    };
    tell(&format!(
        "{HANDOVERS} hand-overs ({}) under {} answers on {} connections: {} failures; the longest wait {} (median {:.1} ms), the longest time without any answer {:.0} ms; without a hand-over {} (median {:.1} ms)",
        took.iter().map(|took| format!("{:.2} s", took.as_secs_f64())).collect::<Vec<_>>().join(", "),
        report.answers,
        report.connections,
        report.failures.len(),
        longest(&report.longest),
        report.median.as_secs_f64() * 1000.0,
        report.gap.as_secs_f64() * 1000.0,
        longest(&quiet.longest),
        quiet.median.as_secs_f64() * 1000.0,
    ));
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(report.longest.len(), 3, "each way was answered");

    assert_eq!(fs::read_to_string(platform.data().join("ca.pem")).expect("the authority"), settings);
    assert_eq!(platform.get("shop", "/env").json()["LEVEL"], "2");
    assert_eq!(platform.cli(&["revisions", "shop", "--json"]).expect(0).json().as_array().map(Vec::len), Some(2));
    let bearer = format!("Bearer {}", token["token"].as_str().expect("a token"));
    let answer = platform.request("GET", "", "/api/v1/apps", &[("Authorization", &bearer)], b"").expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(platform.get("shop", "/print?text=after-it-all").text(), "printed");
    wait_until("who follows the log finds the successor", 20, || {
        fs::read_to_string(&followed).is_ok_and(|text| text.contains(" after-it-all"))
    });
    follower.kill().expect("a child of ours");
    follower.wait().expect("a child of ours");
    fs::write(source.join("app.py"), plain("there")).expect("a file");
    platform.deploy(&source, &[]);
    assert_eq!(platform.get("shop", "/").text(), "there");
    wait_until("the platforms of before have ended", 60, || !platform.is_leaving());
}

/// Whatever a successor dies of, and whenever, the platform goes on.
#[test]
fn a_successor_that_is_killed_leaves_all_as_it_was() {
    const KILLS: u32 = 6;
    let mut platform = sleepy("7m");
    let source = platform.source("shop", &[("app.py", &plain("here"))]);
    platform.deploy(&source, &[]);
    let visitors = Visitors::come(&platform, "shop", "here", &[Way::KeptAlive, Way::Anew, Way::Http2], PAUSE);
    // How long a whole one takes, until it asks for the lock and from there.
    let begun = "an upgrade begins";
    let before = platform.pid();
    for kill in 0..KILLS {
        let count = platform.log().matches(begun).count();
        let mut successor = platform.successor();
        if kill > 0 {
            wait_until("it asks", 30, || platform.log().matches(begun).count() > count);
            std::thread::sleep(Duration::from_millis(u64::from(kill - 1) * 20));
        }
        successor.kill().expect("a child of ours");
        successor.wait().expect("a child of ours");
        if kill > 0 {
            wait_until("the platform takes changes again", 20, || {
                platform.log().matches("the upgrade did not come about").count() == usize::try_from(kill).expect("few")
                    || platform.answering() != Some(before)
            });
        }
        assert_eq!(platform.answering(), Some(before), "kill {kill}: {}", platform.log());
        platform.cli(&["env", "shop", "set", &format!("KILL={kill}")]).expect(0);
    }
    let report = visitors.leave();
    assert_eq!(report.failures, Vec::<String>::new());
    tell(&format!("{KILLS} successors killed under {} answers: no failure", report.answers));
    assert_eq!(platform.get("shop", "/env").json()["KILL"], (KILLS - 1).to_string());
    platform.take_over();
    assert_eq!(platform.get("shop", "/").text(), "here");
}

/// A hand-over waits for deployments that have begun, refuses new changes meanwhile, and never what only looks.
#[test]
fn deployments_end_before_and_changes_wait_until_after() {
    let mut platform = platform();
    let source = platform.source("shop", &[("app.py", &plain("one")), ("Procfile", "web: python app.py\n")]);
    platform.deploy(&source, &[]);
    fs::write(source.join("Procfile"), "release: sleep 6\nweb: python app.py\n").expect("a file");
    fs::write(source.join("app.py"), plain("two")).expect("a file");
    let mut deploy = platform.command(&["deploy", source.to_str().expect("a path"), "--json"]);
    let deploy = deploy.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the client starts");
    wait_until("the deployment runs", 60, || {
        platform.api("GET", "/apps/shop/deployments/2", b"").is_ok_and(|answer| answer.text().contains("release"))
    });
    let before = platform.pid();
    let successor = std::thread::scope(|scope| {
        let refused = scope.spawn(|| {
            wait_until("the upgrade begins", 30, || platform.log().contains("an upgrade begins"));
            let refused = platform.cli(&["env", "shop", "set", "LEVEL=1"]).expect(3);
            assert!(refused.stderr.contains("the platform is being upgraded"), "{}", refused.stderr);
            let shown = platform.cli(&["apps", "--json"]).expect(0).json();
            assert_eq!(shown[0]["app"], "shop");
            assert_eq!(platform.answering(), Some(before), "it waits for the deployment");
        });
        let successor = platform.successor();
        refused.join().expect("no panic");
        successor
    });
    let pid = successor.id();
    let output = deploy.wait_with_output().expect("the client ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    wait_until("the successor answers", 60, || platform.answering() == Some(pid));
    platform.adopt(successor);
    assert!(platform.log().contains("deployments have not ended: shop"), "{}", platform.log());
    assert_eq!(platform.get("shop", "/").text(), "two");
    platform.cli(&["env", "shop", "set", "LEVEL=1"]).expect(0);
    assert_eq!(platform.get("shop", "/env").json()["LEVEL"], "1");
}

/// `up` of another build upgrades; of the same, it does not.
#[test]
fn up_upgrades_a_platform_of_another_build() {
    let mut platform = sleepy("11m");
    let source = platform.source("shop", &[("app.py", &plain("here"))]);
    let path = source.to_str().expect("a path");
    platform.cli(&["up", path]).expect(0);
    let before = platform.answering().expect("it runs");
    assert_eq!(before, platform.pid(), "the same build is no upgrade");
    // Another file of the same program.
    let other = platform.scratch().join("adaptable");
    fs::copy(crate::program(), &other).expect("a copy");
    let mut up = Command::new(&other);
    up.args(["up", path, "--data-dir"]).arg(platform.data()).stdin(Stdio::null());
    let output = testkit::Output::from(&mut up).expect(0);
    assert!(output.stderr.contains("the platform was upgraded"), "{}", output.stderr);
    assert!(output.stdout.contains("answer: here"), "{}", output.stdout);
    let after = platform.answering().expect("it runs");
    assert_ne!(after, before);
    platform.taken_over_by_another();
    let arguments = fs::read(format!("/proc/{after}/cmdline")).expect("it runs");
    assert!(!String::from_utf8_lossy(&arguments).contains("--https"), "only what `up` was given is given again");
    let document = platform.api("GET", "/platform", b"").expect("an answer").json();
    assert_eq!(document["https"], platform.https().to_string(), "the addresses are those of before");
    // And back again: the first program is another one now.
    let output = platform.cli(&["up", path]).expect(0);
    assert!(output.stderr.contains("the platform was upgraded"), "{}", output.stderr);
    assert_eq!(platform.cli(&["down"]).expect(0).stderr.matches("is stopped").count(), 1);
}

/// Servers listen before they have read their app: the successor's instances have answered once before visitors come to them.
#[test]
fn visitors_do_not_wait_for_a_slow_app_to_start_again() {
    const SLOW: Duration = Duration::from_secs(4);
    let mut platform = platform();
    let source = platform.source("shop", &[("app.py", &plain("here"))]);
    platform.deploy(&source, &["--env", &format!("SLOW_START={}", SLOW.as_secs())]);
    let visitors = Visitors::come(&platform, "shop", "here", &ALL_WAYS, PAUSE);
    wait_until("visitors are answered", 20, || visitors.answers() > 20);
    let began = Instant::now();
    platform.take_over();
    assert!(began.elapsed() >= SLOW, "it did not wait for the app: {:?}", began.elapsed());
    let answers = visitors.answers();
    wait_until("visitors are answered", 20, || visitors.answers() > answers + 50);
    let report = visitors.leave();
    assert_eq!(report.failures, Vec::<String>::new());
    let longest = report.longest.iter().map(|(_, took)| *took).max().expect("answers");
    assert!(longest < SLOW / 2, "a visitor waited for {longest:?}");
}

/// As many instances as the load needed are there before the successor takes its first visitor.
#[test]
fn a_successor_begins_with_as_many_instances_as_were_in_use() {
    const COUNT: usize = 3;
    let mut platform = platform();
    let source = platform.source("shop", &[("app.py", &plain("here"))]);
    platform.deploy(&source, &[]);
    platform.cli(&["scale", "shop", "--concurrency", "1", "--max", "3"]).expect(0);
    let asleep = platform.source("asleep", &[("app.py", &plain("asleep"))]);
    platform.deploy(&asleep, &[]);
    platform.api("POST", "/apps/asleep/sleep", b"").expect("an answer");
    let instances = |platform: &Platform, app: &str| {
        let status = platform.cli(&["status", app, "--json"]).expect(0).json();
        let list = status["instances"].as_array().expect("a list").clone();
        list.iter().filter(|it| it["state"] == "ready" || it["state"] == "frozen").count()
    };
    let long: Vec<_> = (0..COUNT).map(|_| slow(&platform, 8)).collect();
    wait_until("each has an instance", 30, || instances(&platform, "shop") == COUNT);
    platform.take_over();
    assert_eq!(instances(&platform, "shop"), COUNT);
    assert_eq!(instances(&platform, "asleep"), 0, "who slept sleeps on");
    for long in long {
        let (status, text, _) = long.join().expect("no panic");
        assert_eq!((status, text.as_str()), (200, "here"));
    }
}

/// A WebSocket goes on beside the successor, a silent visitor does not hold it up, and `down` ends both platforms at once.
#[test]
fn websockets_go_on_and_down_ends_whoever_is_left() {
    let mut platform = platform();
    let source = platform.source("shop", &[("app.py", &plain("here"))]);
    platform.deploy(&source, &[]);
    let mut socket = BufReader::new(platform.connect("shop").expect("a connection"));
    let silent = platform.connect("shop").expect("a connection");
    let head = "GET /echo HTTP/1.1\r\nHost: shop.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.get_mut().write_all(head.as_bytes()).expect("written");
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\n") {
        assert_ne!(socket.read_line(&mut answer).expect("an answer"), 0, "{answer}");
    }
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    let mut echo = |text: &[u8]| {
        socket.get_mut().write_all(text).expect("written");
        let mut back = vec![0; text.len()];
        socket.read_exact(&mut back).expect("it comes back");
        assert_eq!(back, text);
    };
    echo(b"before");
    platform.take_over();
    echo(b"after");
    assert_eq!(platform.get("shop", "/").text(), "here");
    std::thread::sleep(Duration::from_secs(1));
    echo(b"still");
    assert!(platform.is_leaving(), "it has a WebSocket");
    drop(socket);
    assert!(platform.is_leaving(), "a silent visitor may be about to ask");
    let began = Instant::now();
    platform.cli(&["down"]).expect(0);
    assert!(began.elapsed() < Duration::from_secs(8), "it took {:?}", began.elapsed());
    assert!(!platform.is_leaving());
    drop(silent);
}

/// A successor that dies right after it has taken over is a platform that was killed: the next start waits for the one before it.
#[test]
fn a_successor_that_is_killed_later_is_started_again() {
    let mut platform = platform();
    let source = platform.source("shop", &[("app.py", &plain("here"))]);
    platform.deploy(&source, &[]);
    let silent = platform.connect("shop").expect("a connection");
    platform.take_over();
    platform.kill9();
    platform.restart();
    assert_eq!(platform.get("shop", "/").text(), "here");
    assert!(!platform.is_leaving(), "two platforms of one directory");
    drop(silent);
}

#[test]
fn where_none_runs_taking_over_is_starting() {
    let mut platform = platform();
    platform.kill9();
    let successor = platform.successor_of_none();
    let pid = successor.id();
    wait_until("it answers", 60, || platform.answering() == Some(pid));
    platform.adopt(successor);
}
