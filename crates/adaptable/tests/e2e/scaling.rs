//! Instances come with the load and go with it; limits hold, and the machine's memory is shared.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::{Answer, Options, Platform, wait_until};

use crate::{instances, plain, program, settings, sleepy, tell};

/// So many visitors at once, each of whom is busy for so long.
fn crowd(platform: &Platform, count: usize, seconds: f64) -> Vec<Answer> {
    let path = format!("/work?seconds={seconds}");
    std::thread::scope(|scope| {
        let visitors: Vec<_> = (0..count).map(|_| scope.spawn(|| platform.get("shop", &path))).collect();
        visitors.into_iter().map(|visitor| visitor.join().expect("a visitor")).collect()
    })
}

fn boots(answers: &[Answer]) -> BTreeSet<String> {
    answers.iter().map(|answer| answer.json()["boot"].as_str().expect("a text").to_owned()).collect()
}

fn ready(platform: &Platform) -> usize {
    instances(platform).iter().filter(|it| it["state"] != "draining" && it["state"] != "starting").count()
}

#[test]
fn from_zero_to_a_crowd_and_back_many_times_without_an_error() {
    let platform = sleepy("1s");
    let source = platform.source("shop", &[("app.py", &plain("up"))]);
    let document = "resourceConfig:\n  maxConcurrentRequestsPerInstance: 3\n  maxInstances: 4\n  memory: 256\n";
    platform.deploy(&source, &["--settings", &settings(&platform, document)]);
    for (count, seconds) in [(1, 0.1), (14, 0.3), (30, 0.1), (5, 0.5), (24, 0.2)] {
        let began = Instant::now();
        let answers = crowd(&platform, count, seconds);
        for answer in &answers {
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(answer.json()["peak"].as_u64().expect("a number") <= 3, "more than the limit: {}", answer.text());
        }
        let used = boots(&answers).len();
        assert!(used <= 4, "{used} instances");
        tell(&format!("{count} visitors from zero: {used} instances, {:.2} s", began.elapsed().as_secs_f64()));
        wait_until("it sleeps again", 30, || instances(&platform).is_empty());
    }
}

#[test]
fn those_who_wait_in_vain_get_429_and_the_floor_is_kept() {
    let platform = sleepy("1s");
    let source = platform.source("shop", &[("app.py", &plain("up"))]);
    platform.deploy(&source, &[]);
    platform.cli(&["scale", "shop", "--min", "1", "--max", "1", "--concurrency", "1"]).expect(0);
    wait_until("the new limits are live", 30, || ready(&platform) == 1);
    std::thread::scope(|scope| {
        let long = scope.spawn(|| platform.get("shop", "/slow?seconds=13"));
        std::thread::sleep(Duration::from_millis(500));
        let began = Instant::now();
        let turned_away = platform.get("shop", "/");
        assert_eq!(turned_away.status, 429, "{}", turned_away.text());
        assert!(turned_away.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
        assert!((9.5..12.0).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
        assert_eq!(long.join().expect("a visitor").status, 200);
    });
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(ready(&platform), 1, "the floor stays, however quiet it is");
    platform.cli(&["scale", "shop", "--min", "2", "--max", "3"]).expect(0);
    wait_until("the higher floor", 30, || ready(&platform) == 2);
    wait_until("both are frozen", 30, || instances(&platform).iter().all(|it| it["state"] == "frozen"));
    platform.cli(&["scale", "shop", "--min", "0"]).expect(0);
    wait_until("no floor, no instance", 30, || instances(&platform).is_empty());
}

#[test]
fn an_instance_without_room_is_refused_with_503_and_a_line() {
    let environment = vec![("ADAPTABLE_MEMORY_RESERVE".to_owned(), "4000G".to_owned())];
    let platform = Platform::start(program(), Options { environment, ..Options::default() });
    let source = platform.source("shop", &[("app.py", &plain("up"))]);
    let failed = platform.try_deploy(&source, &[]).expect(1).json();
    let message = failed["error"]["message"].as_str().expect("words");
    assert!(message.contains("no room for another instance") && message.contains("MB"), "{message}");
}

#[test]
fn memory_that_lacks_is_taken_from_what_sleeps_longest() {
    const MB: u64 = 1024 * 1024;
    let text = std::fs::read_to_string("/proc/meminfo").expect("the kernel tells");
    let available = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).expect("a line");
    let available = available.split_whitespace().next().expect("a number").parse::<u64>().expect("a number") / 1024;
    let reserve = (available - 2_500).to_string();
    let environment = vec![("ADAPTABLE_MEMORY_RESERVE".to_owned(), reserve)];
    let platform = Platform::start(program(), Options { environment, ..Options::default() });
    let source = platform.source("shop", &[("app.py", &plain("large"))]);
    let large = settings(&platform, "resourceConfig:\n  memory: 4608\n");
    platform.deploy(&source, &["--settings", &large]);
    assert_eq!(platform.get("shop", "/").status, 200);
    assert_eq!(platform.get("shop", "/take?mb=4000").text(), "taken");
    let memory = |it: &Value| it["memory_bytes"].as_u64().unwrap_or(0);
    let held = instances(&platform).first().map(memory);
    assert!(held.is_none_or(|bytes| bytes > 3_900 * MB), "{held:?}");
    wait_until("it makes room", 30, || instances(&platform).is_empty());
    let log = platform.cli(&["logs", "shop"]).expect(0).stdout;
    assert!(log.contains("the machine lacks memory"), "{log}");
    // What it needs has been seen: it does not come back into memory that is not there.
    let refused = platform.request("GET", "shop", "/", &[("Accept", "application/json")], b"").expect("an answer");
    assert_eq!((refused.status, refused.json()["error"]["code"].as_str()), (503, Some("no_capacity")), "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
}
