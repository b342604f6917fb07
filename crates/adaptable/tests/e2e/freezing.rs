//! Apps have the processor while they answer, and only then.

use std::time::{Duration, Instant};

use testkit::{Platform, wait_until};

use crate::{instances, plain, platform, settings, tell};

fn state(platform: &Platform) -> String {
    let instances = instances(platform);
    assert_eq!(instances.len(), 1, "{instances:?}");
    instances[0]["state"].as_str().expect("a word").to_owned()
}

fn cpu_seconds(platform: &Platform) -> f64 {
    instances(platform)[0]["cpu_seconds"].as_f64().expect("a number")
}

#[test]
fn the_clock_of_an_idle_app_stands_still_though_it_spins() {
    let platform = platform();
    let source = platform.source("shop", &[("app.py", &plain("awake"))]);
    platform.deploy(&source, &[]);
    assert_eq!(platform.get("shop", "/spin").text(), "spinning");
    wait_until("it is frozen", 10, || state(&platform) == "frozen");
    let before = cpu_seconds(&platform);
    std::thread::sleep(Duration::from_secs(10));
    let spent = cpu_seconds(&platform) - before;
    assert!(spent.abs() < 1e-6, "{spent} s of processor time without a request");

    let began = Instant::now();
    assert_eq!(platform.get("shop", "/").text(), "awake");
    tell(&format!("thawed, with a new connection: {:.1} ms", began.elapsed().as_secs_f64() * 1e3));
    assert!(cpu_seconds(&platform) > before, "it had the processor to answer");

    // A request in flight keeps it awake, and the thread that spins has its share again.
    let working = cpu_seconds(&platform);
    assert_eq!(platform.get("shop", "/slow?seconds=2").text(), "awake");
    assert!(cpu_seconds(&platform) - working > 0.3, "it ran while it had a request");
    wait_until("it is frozen again", 10, || state(&platform) == "frozen");
}

#[test]
fn freezing_can_be_turned_off_and_on_without_a_build() {
    let platform = platform();
    let source = platform.source("shop", &[("app.py", &plain("busy"))]);
    let off = settings(&platform, "serving:\n  freeze: false\n");
    platform.deploy(&source, &["--settings", &off]);
    platform.get("shop", "/spin");
    std::thread::sleep(Duration::from_secs(1));
    let before = cpu_seconds(&platform);
    wait_until("it has the processor", 10, || cpu_seconds(&platform) > before + 0.05);
    assert_eq!(state(&platform), "ready");
    let on = settings(&platform, "serving:\n  freezeAfter: 300\n");
    platform.cli(&["settings", "shop", "apply", "-f", &on]).expect(0);
    wait_until("the new revision is frozen", 30, || instances(&platform).len() == 1 && state(&platform) == "frozen");
    assert_eq!(platform.get("shop", "/").text(), "busy");
}

#[test]
fn an_open_stream_is_a_request_and_a_frozen_app_hears_the_signal() {
    let platform = platform();
    let source = platform.source("shop", &[("app.py", &plain("here"))]);
    platform.deploy(&source, &[]);
    wait_until("it is frozen", 10, || state(&platform) == "frozen");
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| platform.get("shop", "/slow?seconds=2"));
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(state(&platform), "ready", "frozen under a request");
        assert_eq!(slow.join().expect("a visitor").text(), "here");
    });
    wait_until("it is frozen again", 10, || state(&platform) == "frozen");
    platform.cli(&["pause", "shop"]).expect(0);
    let log = platform.cli(&["logs", "shop"]).expect(0).stdout;
    assert!(log.contains("told to end"), "it was thawed before the signal: {log}");
}

#[test]
fn a_request_that_comes_at_any_moment_is_answered() {
    let platform = platform();
    let source = platform.source("shop", &[("app.py", &plain("always"))]);
    let quick = settings(&platform, "serving:\n  freezeAfter: 1\n");
    platform.deploy(&source, &["--settings", &quick]);
    let mut slowest = Duration::ZERO;
    for round in 0..150_u64 {
        // Before, in, and after the moment of freezing.
        std::thread::sleep(Duration::from_micros(round * 37 % 4_000));
        let began = Instant::now();
        let answer = platform.get("shop", "/");
        assert_eq!((answer.status, answer.text().as_str()), (200, "always"), "round {round}");
        slowest = slowest.max(began.elapsed());
    }
    tell(&format!("the slowest of 150, each with a new connection: {:.1} ms", slowest.as_secs_f64() * 1e3));
}
