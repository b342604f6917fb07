//! Decisions one by one, and whole histories of an app in simulated time.

use super::*;

mod histories;

const BOUNDS: Bounds = Bounds { min: 0, max: 10, concurrency: 10 };

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn load(in_flight: u32, waiting: u32, ready: u32, starting: u32) -> Load {
    Load { in_flight, waiting, ready, starting, idle: false }
}

#[test]
fn those_that_wait_get_instances_at_once_and_never_above_the_limit() {
    let decide = |load| Scaler::default().decide(at(0), load, BOUNDS);
    assert_eq!(decide(load(0, 1, 0, 0)), Decision::Start(1));
    assert_eq!(decide(load(0, 1, 0, 1)), Decision::Keep);
    assert_eq!(decide(load(0, 25, 0, 0)), Decision::Start(3));
    assert_eq!(decide(load(10, 1, 1, 0)), Decision::Start(1));
    assert_eq!(decide(load(20, 25, 2, 1)), Decision::Start(2));
    assert_eq!(decide(load(10, 1000, 1, 2)), Decision::Start(7));
    assert_eq!(decide(load(100, 1000, 10, 0)), Decision::Keep);
}

#[test]
fn the_floor_is_kept_and_an_idle_app_goes_down_to_it() {
    let idle = |ready| Load { ready, idle: true, ..Load::default() };
    let floor = Bounds { min: 2, ..BOUNDS };
    assert_eq!(Scaler::default().decide(at(0), Load::default(), floor), Decision::Start(2));
    assert_eq!(Scaler::default().decide(at(900), idle(3), floor), Decision::Stop(1));
    assert_eq!(Scaler::default().decide(at(900), idle(1), BOUNDS), Decision::Stop(1));
    assert_eq!(Scaler::default().decide(at(10), load(0, 0, 1, 0), BOUNDS), Decision::Keep, "quiet, but not idle");
}

#[test]
fn a_load_that_lasts_gets_room_to_spare_and_loses_it_a_minute_later() {
    let mut scaler = Scaler::default();
    for second in 0..10 {
        scaler.observe(at(second), 9_000);
    }
    // Nine of ten places taken all the time: above the part that is to be in use.
    assert_eq!(scaler.decide(at(10), load(9, 0, 1, 0), BOUNDS), Decision::Start(1));
    for second in 10..100 {
        scaler.observe(at(second), 0);
        let decision = scaler.decide(at(second), load(0, 0, 2, 0), BOUNDS);
        let expected = if second < 70 { None } else { Some(Decision::Stop(1)) };
        if let Some(expected) = expected {
            assert_eq!(decision, expected, "second {second}");
        } else {
            assert!(matches!(decision, Decision::Keep | Decision::Stop(1)), "second {second}: {decision:?}");
        }
    }
    assert!(scaler.is_quiet(at(100)));
}

#[test]
fn a_burst_holds_what_it_asked_for_for_a_minute() {
    let mut scaler = Scaler::default();
    scaler.observe(at(0), 5_000);
    assert_eq!(scaler.decide(at(0), load(10, 40, 1, 0), BOUNDS), Decision::Start(4));
    for second in 1..60 {
        scaler.observe(at(second), 0);
        assert_eq!(scaler.decide(at(second), load(0, 0, 5, 0), BOUNDS), Decision::Keep, "second {second}");
        assert!(!scaler.is_quiet(at(second)));
    }
    assert_eq!(scaler.decide(at(60), load(0, 0, 5, 0), BOUNDS), Decision::Stop(4));
}

#[test]
fn seconds_that_nobody_told_of_were_quiet() {
    let mut scaler = Scaler::default();
    scaler.observe(at(5), 60_000);
    scaler.observe(at(5), 30_000);
    assert_eq!(scaler.average(STEADY), 60_000, "the same second keeps its peak");
    scaler.observe(at(11), 0);
    assert_eq!(scaler.average(BURST), 0);
    assert_eq!(scaler.average(STEADY), 60_000_u64.div_ceil(7));
    scaler.observe(at(500), 6_000);
    assert_eq!(scaler.average(STEADY), 100);
}
