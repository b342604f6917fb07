//! Deployments, rollbacks and an upgrade of the platform while visitors come without a pause: none of them notices.

use std::fs;
use std::time::{Duration, Instant};

use testkit::{Report, Visitors, Way};

use crate::{plain, platform, tell};

/// About a thousand requests a second, where the machine carries them.
const WAYS: [Way; 12] = [
    Way::KeptAlive,
    Way::KeptAlive,
    Way::KeptAlive,
    Way::KeptAlive,
    Way::KeptAlive,
    Way::KeptAlive,
    Way::KeptAlive,
    Way::Http2,
    Way::Http2,
    Way::Http2,
    Way::Http2,
    Way::Anew,
];
const PAUSE: Duration = Duration::from_millis(10);

fn said(what: &str, report: &Report) {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    tell(&format!(
        "{what}: {} answers, {:.0} a second, median {:.1} ms, p99 {:.1} ms, the longest time without any {:.0} ms, {} failures",
        report.answers,
        report.rate,
        ms(report.median),
        ms(report.p99),
        ms(report.gap),
        report.failures.len()
    ));
}

#[test]
fn ten_deployments_ten_rollbacks_and_an_upgrade_drop_no_request() {
    let mut platform = platform();
    let source = platform.source("shop", &[("app.py", &plain("here"))]);
    platform.deploy(&source, &[]);
    let quiet = Visitors::come(&platform, "shop", "here", &WAYS, PAUSE);
    std::thread::sleep(Duration::from_secs(5));
    let quiet = quiet.leave();
    said("quiet", &quiet);
    assert_eq!(quiet.failures, Vec::<String>::new());

    let visitors = Visitors::come(&platform, "shop", "here", &WAYS, PAUSE);
    let began = Instant::now();
    let mut done = Vec::new();
    for number in 0..10 {
        let changed = plain("here") + &format!("# change {number}\n");
        fs::write(source.join("app.py"), changed).expect("a file");
        platform.deploy(&source, &[]);
        done.push(("deployment", Instant::now()));
        if number == 5 {
            platform.take_over();
            done.push(("upgrade", Instant::now()));
        }
    }
    for _ in 0..10 {
        platform.cli(&["rollback", "shop", "--json"]).expect(0);
        done.push(("rollback", Instant::now()));
    }
    let took = began.elapsed();
    let report = visitors.leave();
    said(&format!("ten deployments, ten rollbacks and an upgrade in {:.1} s", took.as_secs_f64()), &report);
    let after = done.iter().rev().find(|(_, at)| report.gap_ended.is_some_and(|ended| ended >= *at));
    let at = report.gap_ended.map_or(0.0, |ended| ended.duration_since(began).as_secs_f64());
    tell(&format!("the longest time without an answer ended {at:.2} s after the begin, after {:?}", after.map(|(what, _)| what)));
    assert_eq!(report.failures, Vec::<String>::new());
    assert!(report.answers > 100, "{} answers", report.answers);
}
