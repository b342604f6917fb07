//! What is typed, and what it is read as.

use std::time::Duration;

use clap::{CommandFactory, Parser};
use proptest::prelude::*;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("adaptable").chain(line.split_whitespace()))
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_line_of_the_contract_is_read() {
    for line in [
        "serve --data-dir /d --http 127.0.0.1:1 --https 127.0.0.1:2 --domain x.example --acme-directory https://a.example/d --acme-email a@b.example",
        "up",
        "up examples/flask --app shop --data-dir /d --https 127.0.0.1:8443 --env A=1 --env B=2 --database none",
        "down --data-dir /d",
        "deploy",
        "deploy . --app a --template flask --start-command x --base-directory d --database postgres --env A=b=c --build-env C= --settings f.yaml --json",
        "check",
        "check . --template flask --start-command x --base-directory d --database postgres --env A=1 --env B= --settings f.yaml --strict --json",
        "apps --json",
        "status shop --url https://x.example --token t",
        "revisions shop",
        "deployments shop",
        "logs shop --follow --since 10m",
        "logs shop --deployment 3",
        "env shop list",
        "env shop set A=1 B=2 --build",
        "env shop --build unset A",
        "settings shop get",
        "settings shop apply -f s.yaml",
        "scale shop --min 0 --max 3 --concurrency 80 --memory 512 --vcpus 0.5",
        "rollback shop",
        "rollback shop --to 3",
        "delete shop --yes",
        "pause shop",
        "resume shop",
        "token create laptop",
        "token list",
        "token revoke abc",
        "users list",
        "users invite --role operator --note Ada --app shop --app-role viewer",
        "users uninvite 3",
        "users role ada operator",
        "users disable ada",
        "users delete ada",
        "members shop set ada developer",
        "members shop remove ada",
        "audit --app shop -n 10",
        "sign-in-link --user ada",
        "login https://x.example",
        "doctor",
    ] {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).expect_err("it was not read"));
    }
}

#[test]
fn bad_usage_is_refused_with_exit_code_2() {
    for line in [
        "",
        "frobnicate",
        "status",
        "status Shop",
        "status www",
        "deploy . --env A",
        "deploy . --env 1A=b",
        "deploy . --database oracle",
        "deploy . --app a_b",
        "check . --database oracle",
        "check a b",
        "env shop set",
        "logs shop --since yesterday",
        "logs shop --deployment 0",
        "apps --url https://x.example --data-dir /d",
        "rollback shop --to 0",
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
    let rule = parse("deploy . --app My_App").expect_err("a name that breaks the rule").to_string();
    assert!(rule.contains("a-z, 0-9 and '-'"), "{rule}");
}

#[test]
fn every_command_says_what_it_does() {
    for command in Cli::command().get_subcommands() {
        let about = command.get_about().unwrap_or_default().to_string();
        assert!(about.len() > 10 && !about.ends_with('.'), "{}: {about:?}", command.get_name());
    }
}

proptest! {
    #[test]
    fn no_text_is_too_strange_for_a_value(text in any::<String>()) {
        // Refused or read, but never a panic; and what is read has a name that the platform takes.
        let _ = (duration(&text).is_ok(), Since::parse(&text).is_ok());
        if let Ok((name, value)) = variable(&text) {
            prop_assert_eq!(format!("{name}={value}"), text);
        }
    }
}

#[test]
fn durations_have_units() {
    let seconds = |text| duration(text).map(|duration| duration.as_secs());
    assert_eq!(seconds("90"), Ok(90));
    assert_eq!(seconds("10m"), Ok(600));
    assert_eq!(seconds("1h30m"), Ok(5400));
    assert_eq!(seconds("2d"), Ok(172_800));
    for bad in ["", "m", "1x", "-5", "1h30", "1.5h", "99999999999999999999", "9999999999999999d", "٣s"] {
        assert!(duration(bad).is_err(), "{bad}");
    }
    assert_eq!(Since::parse("10m"), Ok(Since::Ago(Duration::from_mins(10))));
    assert_eq!(Since::parse("2026-01-31T12:00:00Z").map(Since::to_query), Ok("2026-01-31T12:00:00Z".to_owned()));
    assert!(Since::parse("yesterday").is_err());
}
