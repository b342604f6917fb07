//! What an app can't do and can't see, through the whole stack.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use testkit::{Output, Platform, tags, wait_until};

use crate::{plain, platform};

fn connects(platform: &Platform, host: &str, port: u16) -> bool {
    let answer = platform.get("mine", &format!("/connect?host={host}&port={port}")).text();
    assert!(answer == "connected" || answer.starts_with("failed: "), "{answer}");
    answer == "connected"
}

#[test]
fn an_app_reaches_neither_its_neighbours_nor_the_machine() {
    let platform = platform();
    for name in ["mine", "theirs"] {
        let source = platform.source(name, &[("app.py", &plain(name))]);
        platform.deploy(&source, &[]);
    }
    let (mine, theirs) = (platform.get("mine", "/address").text(), platform.get("theirs", "/address").text());
    assert!(connects(&platform, &mine, 8080), "the way of asking works: an app reaches itself");
    assert!(!connects(&platform, &theirs, 8080), "another app");
    assert_eq!(platform.get("theirs", "/").text(), "theirs", "which does run");
    assert!(!connects(&platform, "169.254.169.254", 80), "the cloud's metadata");

    let listener = TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    for address in host_addresses(platform.data()) {
        drop(TcpStream::connect((address, port)).expect("the port is open to the machine itself"));
        listener.accept().expect("that connection");
        assert!(!connects(&platform, &address.to_string(), port), "{address}, an address of the machine");
    }
    listener.set_nonblocking(true).expect("a listener");
    assert!(listener.accept().is_err(), "nothing came through");
    for port in [platform.https().port(), platform.http().port(), 22] {
        assert!(!connects(&platform, "127.0.0.1", port), "port {port} of the machine");
    }
    // Nor does anybody else on the machine reach the app but through the edge.
    let stranger = Output::from(Command::new("setpriv").args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "curl",
        "-sS",
        "-m",
        "3",
        &format!("http://{mine}:8080/"),
    ]));
    assert_ne!(stranger.code, 0, "a stranger on the machine: {}", stranger.stdout);
    // The address of an app that sleeps leads nowhere: by the default route somebody else could answer for it.
    platform.cli(&["pause", "mine"]).expect(0);
    let address = SocketAddr::new(mine.parse().expect("an address"), 8080);
    wait_until("its network is gone", 5, || Output::from(Command::new("ip").args(["route", "show", &mine])).stdout.is_empty());
    let began = Instant::now();
    assert!(TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_err());
    assert!(began.elapsed() < Duration::from_secs(1), "it was refused at once, not lost: {:?}", began.elapsed());
}

/// The machine's addresses: its own, and the containers' gateway. Other platforms' come and go.
fn host_addresses(data: &Path) -> Vec<IpAddr> {
    let output = Output::from(Command::new("ip").args(["-4", "-o", "address"])).expect(0).stdout;
    let own = format!("ad{}-", &tags(data)[0][..4]);
    let theirs = |device: &str| device == "lo" || (device.starts_with("ad") && !device.starts_with(&own));
    let all = output.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next().filter(|device| !theirs(device))?;
        words.nth(1)?.split('/').next()?.parse::<IpAddr>().ok()
    });
    let mut addresses: Vec<_> = all.collect();
    addresses.sort();
    addresses.dedup();
    assert!(addresses.len() >= 2, "the gateway's and another: {output}");
    addresses
}

#[test]
fn root_inside_is_nobody_outside() {
    let platform = platform();
    let source = platform.source("mine", &[("app.py", &plain("mine"))]);
    platform.deploy(&source, &[]);
    let who = platform.get("mine", "/who").json();
    assert_eq!(who["uid"], 0);
    assert_eq!((who["cap_eff"].as_str(), who["cap_bnd"].as_str()), (Some("0000000000000000"), Some("0000000000000000")), "{who}");
    assert_eq!((who["no_new_privs"].as_str(), who["seccomp"].as_str()), (Some("1"), Some("2")), "{who}");
    assert_eq!(who["mknod"], "PermissionError", "{who}");
    assert_eq!(who["cwd"], "/app");
    assert!(who["pids"].as_array().is_some_and(|pids| pids.len() <= 4), "it sees its own processes alone: {who}");

    let group = format!("adaptable-{}", tags(platform.data())[0]);
    let mut seen = 0;
    for entry in fs::read_dir("/proc").expect("processes").flatten() {
        let groups = fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        // The launcher keeps a process of its own in the group of the next container.
        if groups.contains(&group)
            && String::from_utf8_lossy(&command).contains("app.py")
            && let Some(ids) = status.lines().find_map(|line| line.strip_prefix("Uid:"))
        {
            seen += 1;
            assert!(ids.split_whitespace().all(|id| id.parse::<u64>().is_ok_and(|id| id >= 1_000_000_000)), "{ids}: {status}");
        }
    }
    assert_eq!(seen, 1, "its process is in a group of the platform");
    for path in ["/proc/1/root/etc/shadow", platform.data().join("secret.key").to_str().expect("a path")] {
        let answer = platform.request("GET", "mine", &format!("/file?path={path}"), &[], b"");
        let host = fs::read_to_string("/etc/shadow").expect("the machine's own");
        assert!(answer.map_or(true, |answer| answer.status != 200 || answer.text() != host));
    }
}

#[test]
fn secrets_stay_where_they_belong() {
    let platform = platform();
    let source = platform.source("mine", &[("app.py", &plain("mine"))]);
    let file = platform.scratch().join("settings.yaml");
    fs::write(&file, "buildCommand: env > build.txt\nenvironment: {RUN_SECRET: run-s3cr3t-9d41}\nbuildEnvironment: {BUILD_SECRET: build-s3cr3t-77fa}\n")
        .expect("a file");
    platform.deploy(&source, &["--settings", file.to_str().expect("a path")]);
    fs::remove_file(&file).expect("the file");
    let run = platform.get("mine", "/env").json();
    assert_eq!(run["RUN_SECRET"], "run-s3cr3t-9d41");
    assert!(!run.to_string().contains("BUILD_SECRET"), "{run}");
    let build = platform.get("mine", "/file?path=/app/build.txt").text();
    assert!(build.contains("BUILD_SECRET=build-s3cr3t-77fa"), "{build}");
    assert!(!build.contains("RUN_SECRET"), "{build}");
    assert_eq!((run["HOME"].as_str(), run["PORT"].as_str()), (Some("/app"), Some("8080")));

    let token = platform.cli(&["token", "create", "ci"]).expect(0).stdout.trim().to_owned();
    for secret in ["run-s3cr3t-9d41", "build-s3cr3t-77fa", token.as_str()] {
        assert!(!platform.log().contains(secret), "in the platform's log");
        let mut found = Vec::new();
        for name in ["adaptable.db", "adaptable.db-wal", "adaptable.db-shm", "logs", "tls", "git", "uploads"] {
            search(&platform.data().join(name), secret.as_bytes(), &mut found);
        }
        assert!(found.is_empty(), "{secret} lies in the clear in {found:?}");
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(platform.data()).expect("the data").permissions());
    assert_eq!(mode & 0o777, 0o700);
}

fn search(path: &Path, secret: &[u8], found: &mut Vec<String>) {
    if path.is_dir() {
        fs::read_dir(path).expect("a directory").flatten().for_each(|entry| search(&entry.path(), secret, found));
    } else if let Ok(bytes) = fs::read(path)
        && bytes.windows(secret.len()).any(|window| window == secret)
    {
        found.push(path.display().to_string());
    }
}
