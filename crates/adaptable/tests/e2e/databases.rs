//! PostgreSQL beside an app, from one command to what is left after the worst.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use testkit::{Contained, Options, Output, Platform, Visitors, Way, wait_until};

use crate::{platform, settings, sleepy, tell};

/// An example of the repository.
pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

/// Signs the guestbook; whether that was acknowledged.
fn sign(platform: &Platform, app: &str, text: &str) -> bool {
    let body = format!("name=somebody&text={text}");
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    platform.request("POST", app, "/", &headers, body.as_bytes()).is_ok_and(|answer| answer.status == 303)
}

/// What a query answers, by the app's own variables and through the platform.
pub(crate) fn psql(platform: &Platform, app: &str, query: &str) -> Output {
    prompt(platform, app, &["-XAtqc", query])
}

/// The same, with arguments for psql.
pub(crate) fn prompt(platform: &Platform, app: &str, arguments: &[&str]) -> Output {
    let data = platform.data().to_str().expect("a plain path");
    let command = [&["--data-dir", data, "db", app, "psql", "--"], arguments].concat();
    Output::from(&mut platform.bare_command(&command))
}

/// Processes of PostgreSQL that run in the platform's containers.
fn postgres(platform: &Platform) -> Vec<Contained> {
    let mut found = testkit::contained(&testkit::tags(platform.data())[2]);
    found.retain(|process| process.name == "postgres");
    found
}

/// How many they are.
fn servers(platform: &Platform) -> usize {
    postgres(platform).len()
}

/// Says that it is the end, at its own.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The first process of the one server that runs.
fn postmaster(platform: &Platform) -> u32 {
    let mut found = postgres(platform);
    found.retain(|process| process.first);
    assert_eq!(found.len(), 1, "one server runs");
    found[0].pid
}

#[test]
fn a_guestbook_keeps_its_entries_through_the_worst() {
    let mut platform = sleepy("2s");
    let source = example("guestbook");
    let path = source.to_str().expect("a path");
    let up = Output::from(&mut platform.command(&["up", path, "--database", "postgres", "--json"])).expect(0).json();
    assert_eq!(up["state"], "live");
    let steps = up["steps"].as_array().expect("steps");
    assert!(steps.iter().any(|step| step["name"] == "database" && step["state"] == "done"), "{steps:?}");
    assert!(sign(&platform, "guestbook", "first"));
    assert!(platform.get("guestbook", "/").text().contains("<p>first</p>"));

    // A redeployment, and sleep.
    platform.deploy(&source, &[]);
    assert!(platform.get("guestbook", "/").text().contains("<p>first</p>"));
    wait_until("no server runs once the app sleeps", 30, || servers(&platform) == 0);
    let began = Instant::now();
    assert!(platform.get("guestbook", "/").text().contains("<p>first</p>"));
    tell(&format!("a cold start with its database: {:.3} s", began.elapsed().as_secs_f64()));

    // The platform, in the middle of writes.
    let mut kept: Vec<String> =
        (0..20).map(|n| format!("before-{n}")).filter(|text| sign(&platform, "guestbook", text)).collect();
    assert_eq!(kept.len(), 20);
    platform.kill9();
    platform.restart();
    kept.extend((0..5).map(|n| format!("after-{n}")).filter(|text| sign(&platform, "guestbook", text)));
    // The server, in the middle of writes: what was acknowledged is there.
    let stop = AtomicBool::new(false);
    let acknowledged = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let (platform, stop) = (&platform, &stop);
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    let mut number = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let text = format!("w{writer}-{number}");
                        number += 1;
                        if sign(platform, "guestbook", &text) {
                            kept.push(text);
                        }
                    }
                    kept
                })
            })
            .collect();
        // Also where something fails below: the writers must not be waited for in vain.
        let ends = Ends(&stop);
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(700));
            let killed = Command::new("kill").args(["-9", &postmaster(&platform).to_string()]).status().expect("kill");
            assert!(killed.success());
            wait_until("the server is back", 30, || psql(&platform, "guestbook", "select 1").code == 0);
        }
        std::thread::sleep(Duration::from_millis(500));
        drop(ends);
        writers.into_iter().flat_map(|writer| writer.join().expect("a writer")).collect::<Vec<_>>()
    });
    assert!(acknowledged.len() > 30, "only {} writes", acknowledged.len());
    kept.extend(acknowledged);
    let rows = psql(&platform, "guestbook", "select text from entries").expect(0).stdout;
    let rows: std::collections::HashSet<_> = rows.lines().collect();
    let lost: Vec<_> = kept.iter().filter(|text| !rows.contains(text.as_str())).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged entries are lost: {lost:?}", lost.len(), kept.len());
    assert!(sign(&platform, "guestbook", "at-last"), "the app has connected again by itself");
}

#[test]
fn the_apps_own_variables_connect_with_verify_full_and_others_do_not() {
    let platform = platform();
    platform.deploy(&example("guestbook"), &["--database", "postgres"]);
    let info = platform.cli(&["db", "guestbook", "info", "--json"]).expect(0).json();
    assert_eq!(info["variables"]["PGPASSWORD"], serde_json::Value::Null, "hidden: {info}");
    assert_eq!(info["variables"]["DATABASE_URL"], serde_json::Value::Null);
    assert_eq!(info["variables"]["PGSSLMODE"], "verify-full");
    assert_eq!(info["host"], "guestbook.postgres.localhost");
    let revealed = platform.cli(&["db", "guestbook", "info", "--reveal", "--json"]).expect(0).json();
    let password = revealed["variables"]["PGPASSWORD"].as_str().expect("revealed").to_owned();
    assert!(password.chars().any(|c| !c.is_ascii_alphanumeric()), "a special character");
    let url = revealed["variables"]["DATABASE_URL"].as_str().expect("revealed");
    assert!(
        url.starts_with("postgres://app_guestbook:") && url.ends_with("@guestbook.postgres.localhost:5432/app_guestbook"),
        "{url}"
    );
    assert!(!url.contains(&password), "it is encoded");
    let text = platform.cli(&["db", "guestbook", "info"]).expect(0).stdout;
    assert!(!text.contains(&password) && text.contains("PGPASSWORD=(hidden"), "{text}");

    let who = psql(&platform, "guestbook", "select current_user, ssl from pg_stat_ssl where pid = pg_backend_pid()").expect(0);
    assert_eq!(who.stdout.trim(), "app_guestbook|t");
    // Another authority's certificate, another host name, no TLS: refused by the client or by the server.
    let other = platform.scratch().join("other.pem");
    std::fs::write(&other, rcgen::generate_simple_self_signed(["other".to_owned()]).expect("one").cert.pem()).expect("a file");
    for (setting, told) in [
        (format!("sslrootcert={}", other.display()), "certificate verify failed"),
        ("host=other.postgres.localhost".to_owned(), "does not match host name"),
        ("sslmode=disable".to_owned(), "no encryption"),
    ] {
        let refused = prompt(&platform, "guestbook", &[&setting, "-XAtqc", "select 1"]).expect(1);
        assert!(refused.stderr.contains(told), "{setting}: {}", refused.stderr);
    }

    // Another password, and the app goes on.
    assert!(sign(&platform, "guestbook", "before"));
    platform.cli(&["db", "guestbook", "rotate"]).expect(0);
    let after = platform.cli(&["db", "guestbook", "info", "--reveal", "--json"]).expect(0).json();
    assert_ne!(after["variables"]["PGPASSWORD"].as_str(), Some(password.as_str()));
    assert!(sign(&platform, "guestbook", "after"));
    let rows = psql(&platform, "guestbook", "select text from entries order by id").expect(0).stdout;
    assert_eq!(rows, "before\nafter\n");
    let whole = platform.log();
    assert!(!whole.contains(&password), "a password in the platform's log");
}

#[test]
fn the_kind_is_fixed_and_nonsense_is_refused() {
    let platform = platform();
    let source = example("guestbook");
    platform.deploy(&source, &["--database", "postgres"]);
    for (kind, told) in [
        ("none", "guestbook has a postgres database, and keeps it"),
        ("mongodb", "guestbook has a postgres database; its kind can't be changed"),
    ] {
        let refused = platform.try_deploy(&source, &["--database", kind]).expect(2);
        assert!(refused.stderr.contains(told), "{kind}: {}", refused.stderr);
    }
    for (document, told) in [
        ("databaseType: postgres\ndatabase: {extensions: [\"plpython3u\"]}\n", "database.extensions[0]: there are"),
        ("databaseType: postgres\ndatabase: {extensions: [\"x; drop table entries\"]}\n", "database.extensions[0]"),
        ("databaseType: postgres\ndatabase: {maxConnections: 0}\n", "database.maxConnections: must be from 1 to 1000"),
        ("databaseType: postgres\ndatabase: {storage: 1}\n", "database.storage: must be"),
        ("databaseType: postgres\ndatabase: {allow: [\"everybody\"]}\n", "database.allow[0]: must be an address or a network"),
        ("databaseType: postgres\ndatabase: {superuser: true}\n", "superuser"),
    ] {
        let file = settings(&platform, document);
        let refused = platform.cli(&["settings", "guestbook", "apply", "-f", &file]).expect(2);
        assert!(refused.stderr.contains(told), "{document}: {}", refused.stderr);
    }
    assert!(sign(&platform, "guestbook", "still"), "nothing was changed");
    let plain = platform.source("plain", &[("app.py", &crate::plain("plain"))]);
    platform.deploy(&plain, &[]);
    let none = platform.cli(&["db", "plain", "info"]).expect(1);
    assert!(none.stderr.contains("plain has no database"), "{}", none.stderr);
    // None may become any kind, once.
    platform.deploy(&plain, &["--database", "postgres"]);
    assert_eq!(psql(&platform, "plain", "select 1").expect(0).stdout.trim(), "1");
    platform.cli(&["delete", "plain", "--yes"]).expect(0);
    assert!(!platform.cli(&["apps"]).expect(0).stdout.contains("plain"));
    let volumes = std::fs::read_dir(platform.data().join("volumes")).expect("a directory").flatten();
    let left: Vec<_> =
        volumes.map(|it| it.file_name().to_string_lossy().into_owned()).filter(|name| name.contains("plain")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn extensions_and_limits_follow_the_settings() {
    let platform = platform();
    platform.deploy(&example("guestbook"), &["--database", "postgres"]);
    let file = settings(&platform, "databaseType: postgres\ndatabase: {maxConnections: 7, extensions: [citext, pg_trgm]}\n");
    platform.cli(&["settings", "guestbook", "apply", "-f", &file]).expect(0);
    let extensions = psql(&platform, "guestbook", "select extname from pg_extension order by 1").expect(0).stdout;
    assert!(extensions.contains("citext\n") && extensions.contains("pg_trgm\n"), "{extensions}");
    let limit = psql(&platform, "guestbook", "select rolconnlimit from pg_roles where rolname = current_user").expect(0).stdout;
    assert_eq!(limit.trim(), "7");
}

#[test]
fn nobody_notices_that_the_platform_is_upgraded_below_a_database() {
    let mut platform = platform();
    // One connection for as long as the instance lives: where it broke, nothing would mend it.
    let app = "import psycopg2\nfrom flask import Flask\n\napp = Flask(__name__)\nconnection = psycopg2.connect('')\nconnection.autocommit = True\n\n\n@app.get('/')\ndef index():\n    with connection.cursor() as cursor:\n        cursor.execute(\"select 'kept'\")\n        return cursor.fetchone()[0]\n";
    let source = platform.source("shop", &[("app.py", app), ("requirements.txt", "flask\ngunicorn\npsycopg2-binary\n")]);
    platform.deploy(&source, &["--database", "postgres"]);
    let before = postmaster(&platform);
    let visitors = Visitors::come(&platform, "shop", "kept", &[Way::Anew, Way::KeptAlive], Duration::from_millis(20));
    wait_until("visitors are there", 20, || visitors.answers() > 20);
    platform.take_over();
    let taken = visitors.answers();
    wait_until("visitors come to the successor", 20, || visitors.answers() > taken + 40);
    let report = visitors.leave();
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert_eq!(postmaster(&platform), before, "the server is the same");
    // It is the successor's now: it stops with the app, and starts again.
    platform.cli(&["pause", "shop"]).expect(0);
    wait_until("it stops", 30, || servers(&platform) == 0);
    platform.cli(&["resume", "shop"]).expect(0);
    assert_eq!(platform.get("shop", "/").text(), "kept");
}

#[test]
fn from_outside_come_those_whom_the_settings_name() {
    let options =
        Options { environment: vec![("ADAPTABLE_POSTGRES".to_owned(), "127.0.0.1:0".to_owned())], ..Options::default() };
    let platform = Platform::start(crate::program(), options);
    platform.deploy(&example("guestbook"), &["--database", "postgres"]);
    assert!(sign(&platform, "guestbook", "inside"));
    let apply = |allow: &str| {
        let file = settings(&platform, &format!("databaseType: postgres\ndatabase: {{allow: [{allow}]}}\n"));
        platform.cli(&["settings", "guestbook", "apply", "-f", &file]).expect(0);
    };
    apply("127.0.0.0/8");
    let info = platform.cli(&["db", "guestbook", "info", "--reveal", "--json"]).expect(0).json();
    let port = info["outside"]["port"].as_u64().expect("a port").to_string();
    let variable = |name: &str| info["variables"][name].as_str().expect("a variable").to_owned();
    let outside = |more: &str| {
        let ca = platform.data().join("ca.pem");
        let target = format!(
            "host={} hostaddr=127.0.0.1 port={port} dbname={} user={} sslmode=verify-full sslrootcert={} connect_timeout=20 {more}",
            variable("PGHOST"),
            variable("PGDATABASE"),
            variable("PGUSER"),
            ca.display()
        );
        let mut psql = Command::new("psql");
        psql.args(["-XAtqc", "select text from entries", &target]).env("PGPASSWORD", variable("PGPASSWORD"));
        Output::from(&mut psql)
    };
    assert_eq!(outside("").expect(0).stdout, "inside\n");
    // The server is started for who comes, and stops again after.
    platform.cli(&["pause", "guestbook"]).expect(0);
    wait_until("it stops", 30, || servers(&platform) == 0);
    assert_eq!(outside("").expect(0).stdout, "inside\n");
    platform.cli(&["resume", "guestbook"]).expect(0);
    assert!(outside("sslmode=disable").expect(2).stderr.contains("TLS alone"));
    assert!(outside("host=nobody.postgres.localhost").expect(2).stderr.contains("connection to server at"));
    apply("198.51.100.0/24");
    assert!(outside("").expect(2).stderr.contains("connection to server at"));
    apply("");
    assert!(outside("").expect(2).stderr.contains("connection to server at"));
}
