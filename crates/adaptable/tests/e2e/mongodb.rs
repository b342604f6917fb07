//! MongoDB beside an app, on a server that the operator has: FerretDB, on a host of its own.

use std::path::{Path, PathBuf};

use testkit::{Ferret, Options, Output, Platform};

use crate::program;

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pymongo")
}

/// Leaves a link; the answer's status.
fn add(platform: &Platform, url: &str) -> u16 {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let answer = platform.request("POST", "links", "/", &headers, format!("url={url}&title=a").as_bytes());
    answer.expect("an answer").status
}

#[test]
fn an_app_keeps_its_links_on_the_operators_server() {
    let Some(ferret) = Ferret::start() else { return };
    let config = format!("mongodb = '{}'\nmongodb-unseparated = true\n", ferret.url());
    let options = Options { idle_timeout: "2s".to_owned(), config, ..Options::default() };
    let mut platform = Platform::start(program(), options);
    let source = example();
    let path = source.to_str().expect("a path");
    let up = Output::from(&mut platform.command(&["up", path, "--app", "links", "--database", "mongodb", "--json"]));
    assert_eq!(up.expect(0).json()["state"], "live");
    assert_eq!(add(&platform, "https%3A//one.example"), 201);
    assert!(platform.get("links", "/").text().contains("https://one.example"));

    platform.deploy(&source, &["--app", "links"]);
    assert!(platform.get("links", "/").text().contains("https://one.example"), "after a redeployment");
    platform.kill9();
    platform.restart();
    assert!(platform.get("links", "/").text().contains("https://one.example"), "after a crash");
    assert_eq!(add(&platform, "https%3A//two.example"), 201);

    let info = platform.cli(&["db", "links", "info"]).expect(0).stdout;
    assert!(info.contains("app_links") && !info.contains("p@ss") && !info.contains("p%40ss"), "{info}");
    assert!(!platform.log().contains("p%40ss"), "the administrator's password is in no log");
}

#[test]
fn an_app_is_told_why_there_is_no_server_for_it() {
    let Some(ferret) = Ferret::start() else { return };
    // It does not keep users apart, and nobody has said that it need not.
    let options = Options { config: format!("mongodb = '{}'\n", ferret.url()), ..Options::default() };
    let platform = Platform::start(program(), options);
    let source = platform.source("links", &[("app.py", "app = None\n"), ("requirements.txt", "flask\ngunicorn\n")]);
    for (app, kind, why) in [("links", "mongodb", "does not keep users apart"), ("sales", "mssql", "there is no SQL Server")] {
        let told = platform.try_deploy(&source, &["--app", app, "--database", kind]);
        assert_ne!(told.code, 0);
        assert!(format!("{}{}", told.stdout, told.stderr).contains(why), "{kind}: {}{}", told.stdout, told.stderr);
    }
}
