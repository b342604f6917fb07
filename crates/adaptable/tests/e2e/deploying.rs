//! Deployments among visitors, among each other, and called off; and what happens to an app that wants too much.

use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use testkit::wait_until;

use crate::{after_a_crash, plain, platform, settings};

#[test]
fn visitors_notice_nothing_of_a_deployment() {
    let platform = platform();
    let source = platform.source("shop", &[("app.py", &plain("0"))]);
    platform.deploy(&source, &[]);
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut newest = 0;
                while !over.load(Ordering::Relaxed) {
                    let answer = platform.get("shop", "/slow?seconds=0.02");
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    let number: u32 = answer.text().parse().expect("a number");
                    assert!(number >= newest, "{number} after {newest}: visitors never go back");
                    newest = number;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for number in 1..=3 {
            fs::write(source.join("app.py"), plain(&number.to_string())).expect("a file");
            platform.deploy(&source, &[]);
            assert_eq!(platform.get("shop", "/").text(), number.to_string(), "once a deployment is live, its text is served");
        }
        platform.cli(&["env", "shop", "set", "A=1"]).expect(0);
        platform.cli(&["rollback", "shop", "--to", "4"]).expect(0);
        over.store(true, Ordering::Relaxed);
    });
    let answered = answered.into_inner();
    assert!(answered > 50, "{answered} answers");
}

#[test]
fn a_deployment_can_be_called_off() {
    let platform = platform();
    let source = platform.source("shop", &[("app.py", &plain("before"))]);
    platform.deploy(&source, &[]);
    fs::write(source.join("Procfile"), "release: echo migrating && sleep 300\nweb: python app.py\n").expect("a file");
    let mut command = platform.command(&["deploy", source.to_str().expect("a path")]);
    let client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    wait_until("the release command runs", 20, || {
        platform.api("GET", "/apps/shop/logs?deployment=2", b"").is_ok_and(|answer| answer.text().contains("migrating"))
    });
    // Another app is not kept waiting.
    let other = platform.source("other", &[("app.py", &plain("other"))]);
    platform.deploy(&other, &[]);
    let cancelled = platform.api("POST", "/apps/shop/deployments/2/cancel", b"").expect("an answer");
    assert_eq!((cancelled.status, cancelled.json()["state"].as_str()), (200, Some("cancelled")), "{}", cancelled.text());
    let client = client.wait_with_output().expect("it ends");
    assert_eq!(client.status.code(), Some(1), "{}", String::from_utf8_lossy(&client.stderr));
    assert_eq!(platform.get("shop", "/").text(), "before");
    let again = platform.api("POST", "/apps/shop/deployments/2/cancel", b"").expect("an answer");
    assert_eq!(again.json()["code"], "conflict");
}

#[test]
fn memory_has_a_limit_and_files_count() {
    let platform = platform();
    let hungry = plain("hungry").replace(
        "    def on_boot",
        "    def on_eat(self, query):\n        eaten = bytearray(int(query['bytes']))\n        return len(eaten)\n\n    def on_write(self, query):\n        with open('/tmp/large', 'wb') as file:\n            for _ in range(int(query['bytes']) >> 20):\n                file.write(bytes(1 << 20))\n        return 'written'\n\n    def on_boot",
    );
    let source = platform.source("shop", &[("app.py", &hungry)]);
    platform.deploy(&source, &[]);
    platform.cli(&["scale", "shop", "--memory", "256"]).expect(0);
    assert_eq!(platform.get("shop", &format!("/eat?bytes={}", 64 << 20)).text(), (64 << 20).to_string());
    for path in [format!("/eat?bytes={}", 400 << 20), format!("/write?bytes={}", 400 << 20)] {
        let answer = platform.get("shop", &path);
        assert_eq!(answer.status, 502, "{path}: {}", answer.text());
        assert_eq!(after_a_crash(&platform).text(), "hungry", "a new instance answers");
    }
    let told = "the instance ended: killed, because it needed more memory than its limit";
    wait_until("the log tells why", 5, || platform.cli(&["logs", "shop"]).expect(0).stdout.contains(told));
}

#[test]
fn a_revision_takes_visitors_once_the_probed_path_is_answered_well() {
    let platform = platform();
    // Until it has warmed up, the path breaks off; everything else is answered from the start.
    let warming = |text: &str, seconds: u32| {
        plain(text).replace(
            "    def on_boot",
            &format!("    def on_ready(self, query):\n        if time.time() < STARTED + {seconds}:\n            raise RuntimeError('warming up')\n        return 'ready'\n\n    def on_boot"),
        ) .replace("TEXT = ", "STARTED = time.time()\nTEXT = ")
    };
    let source = platform.source("shop", &[("app.py", &warming("old", 0))]);
    let probed = settings(&platform, "serving:\n  probePath: /ready\n");
    platform.deploy(&source, &["--settings", &probed]);
    fs::write(source.join("app.py"), warming("new", 3)).expect("a file");
    let began = Instant::now();
    std::thread::scope(|scope| {
        let deployment = scope.spawn(|| platform.deploy(&source, &[]));
        while !deployment.is_finished() {
            let answer = platform.get("shop", "/");
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(answer.text() == "old" || began.elapsed() > Duration::from_secs(3), "served before it was ready");
            std::thread::sleep(Duration::from_millis(50));
        }
        deployment.join().expect("it becomes live");
    });
    assert!(began.elapsed() > Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(platform.get("shop", "/").text(), "new");

    let bad = settings(&platform, "serving:\n  probePath: ready\n");
    let refused = platform.cli(&["settings", "shop", "apply", "-f", &bad]).expect(2);
    assert!(refused.stderr.contains("serving.probePath: must be a path that begins with '/'"), "{}", refused.stderr);
}
