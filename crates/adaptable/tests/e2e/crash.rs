//! The platform is killed at any moment, and its launcher, too: what was acknowledged is there, and what was interrupted says so.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testkit::{Output, Platform};

use crate::{plain, platform, tell};

const KILLS: u32 = 20;

#[test]
fn killed_at_any_moment_of_a_deployment() {
    let mut platform = platform();
    let source = platform.source("shop", &[("app.py", &plain("0")), ("requirements.txt", "six\n")]);
    platform.deploy(&source, &[]);
    fs::write(source.join("app.py"), plain("00")).expect("a file");
    let whole = Instant::now();
    platform.deploy(&source, &[]);
    let whole = whole.elapsed().as_secs_f64();
    let mut texts = BTreeMap::from([(1_u64, "0".to_owned()), (2, "00".to_owned())]);
    let mut seed = u64::from(std::process::id()) | 1;
    let (mut interrupted, mut finished) = (0, 0);
    let mut acknowledged = None;
    for kill in 1..=KILLS {
        if kill % 4 == 0 {
            // A change of settings that is acknowledged, its deployment perhaps not ended, when the platform is killed.
            let body = format!("{{\"kind\":\"run\",\"set\":{{\"LEVEL\":\"{kill}\"}}}}");
            let answer = platform.api("PATCH", "/apps/shop/env", body.as_bytes()).expect("an answer");
            assert_eq!(answer.status, 200, "{}", answer.text());
            acknowledged = Some(kill.to_string());
        }
        let text = format!("text-{kill}");
        fs::write(source.join("app.py"), plain(&text)).expect("a file");
        // Most find their dependencies built; some are killed while they install them.
        let requirements = if kill % 5 == 2 { format!("six>=1.{kill}\n") } else { "six\n".to_owned() };
        fs::write(source.join("requirements.txt"), requirements).expect("a file");
        let before = newest(&platform);
        let mut command = platform.command(&["deploy", source.to_str().expect("a path")]);
        let client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the client starts");
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Spread over the whole deployment, and a little beyond.
        let share = (f64::from(kill - 1) + f64::from(u32::try_from(seed >> 33).expect("31 bits")) / f64::from(u32::MAX / 2))
            / f64::from(KILLS);
        std::thread::sleep(Duration::from_secs_f64(whole * 1.2 * share));
        platform.kill9();
        platform.restart();
        let output = client.wait_with_output().expect("the client ends");
        let deployments = deployments(&platform);
        if let Some(number) =
            deployments.iter().filter_map(|it| it["deployment"].as_u64()).max().filter(|number| *number > before)
        {
            texts.insert(number, text);
            let document = deployments.iter().find(|it| it["deployment"] == number).expect("it is listed");
            let live = document["state"] == "live";
            // Killed between writing the order down and answering it: then the client can't know that it was accepted.
            let unanswered = output.status.code() == Some(3) && document["steps"].as_array().is_some_and(Vec::is_empty);
            assert!(
                unanswered || output.status.code() == Some(i32::from(!live)),
                "the client tells the end: {:?} {document}\n{}",
                output.status.code(),
                String::from_utf8_lossy(&output.stderr)
            );
            if live { finished += 1 } else { interrupted += 1 }
        } else {
            assert!(!output.status.success(), "nothing was accepted, so nothing succeeded");
        }
        check(&platform, &deployments, &texts, acknowledged.as_deref());
    }
    tell(&format!("{interrupted} deployments interrupted, {finished} finished before the kill, whole deployment {whole:.2} s"));
    assert!(interrupted >= 5, "the kills missed the deployments: only {interrupted} of {KILLS} were interrupted");
    fs::write(source.join("app.py"), plain("at last")).expect("a file");
    platform.deploy(&source, &[]);
    assert_eq!(platform.get("shop", "/").text(), "at last");
    for (directory, what) in [("images/tmp", ""), ("uploads", ".part")] {
        let left: Vec<_> =
            fs::read_dir(platform.data().join(directory)).expect("a directory").flatten().map(|it| it.file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(what)), "{directory} holds {left:?}");
    }
    if let Some(level) = acknowledged {
        assert_eq!(platform.get("shop", "/env").json()["LEVEL"], level);
    }
}

fn deployments(platform: &Platform) -> Vec<serde_json::Value> {
    platform.cli(&["deployments", "shop", "--json"]).expect(0).json().as_array().expect("a list").clone()
}

fn newest(platform: &Platform) -> u64 {
    deployments(platform).iter().filter_map(|it| it["deployment"].as_u64()).max().expect("there are some")
}

/// Every deployment has ended, for a reason; the last live one is served; acknowledged settings are there.
fn check(platform: &Platform, deployments: &[serde_json::Value], texts: &BTreeMap<u64, String>, level: Option<&str>) {
    let mut served = None;
    for deployment in deployments.iter().rev() {
        let number = deployment["deployment"].as_u64().expect("a number");
        match deployment["state"].as_str().expect("a state") {
            // A deployment of settings alone serves the text from before.
            "live" => served = texts.get(&number).or(served),
            "failed" => assert_eq!(deployment["error"]["code"], "interrupted", "{deployment}"),
            state => panic!("deployment {number} is {state} after the restart: {deployment}"),
        }
    }
    assert_eq!(platform.get("shop", "/").text(), *served.expect("one is live"), "the last live revision is served");
    if let Some(level) = level {
        let listed = platform.cli(&["env", "shop", "list", "--reveal", "--json"]).expect(0).json();
        assert_eq!(listed["variables"]["LEVEL"], level, "acknowledged variables stay");
    }
}

#[test]
fn without_its_launcher_the_platform_ends_with_an_error() {
    let mut platform = platform();
    let source = platform.source("shop", &[("app.py", &plain("here"))]);
    platform.deploy(&source, &[]);
    let launcher = launcher_of(platform.pid());
    Output::from(Command::new("kill").args(["-9", &launcher.to_string()])).expect(0);
    let code = platform.ended(Duration::from_secs(20));
    assert!(code.is_some_and(|code| code != 0), "it ends, and not with success: {code:?}\n{}", platform.log());
    assert!(platform.log().contains("the launcher has ended"), "{}", platform.log());
    platform.restart();
    assert_eq!(platform.get("shop", "/").text(), "here");
}

/// The child of the platform that runs the same program.
fn launcher_of(platform: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{platform}/task/{platform}/children")).expect("the platform's children");
    let same = |pid: &&str| fs::read(format!("/proc/{pid}/cmdline")).ok() == fs::read(format!("/proc/{platform}/cmdline")).ok();
    let launcher = children.split_whitespace().find(same).expect("the launcher is a child of the platform");
    launcher.parse().expect("a number")
}
