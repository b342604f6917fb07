//! Tests of where settings come from, and which are refused.

use super::*;

fn nothing(_name: &str) -> Option<String> {
    None
}

#[test]
fn a_flag_wins_over_a_variable_and_that_over_the_file() {
    let data = tempfile::tempdir().expect("a directory");
    std::fs::write(
        data.path().join("config.toml"),
        "https = '1.1.1.1:1'\ndomain = 'file.example'\nidle_timeout = 60\nuser='x'\naccess-log = 'queries'\n",
    )
    .expect("write the file");
    let env = |name: &str| match name {
        "ADAPTABLE_HTTPS" => Some("2.2.2.2:2".to_owned()),
        "ADAPTABLE_DOMAIN" => Some("variable.example".to_owned()),
        _ => None,
    };
    let args = ServeArgs { https: Some("3.3.3.3:3".to_owned()), ..ServeArgs::default() };
    let config = resolve(&args, data.path().to_owned(), &env).expect("all is well");
    assert_eq!(config.https, SocketAddr::from(([3, 3, 3, 3], 3)));
    assert_eq!(config.domain, "variable.example");
    assert_eq!(config.idle_timeout, Duration::from_mins(1));
    assert_eq!(config.user, "x");
    assert_eq!(config.access_log, AccessLog::Queries);
    assert_eq!(config.http, SocketAddr::from(([0, 0, 0, 0], 8080)));
}

#[test]
fn what_the_running_platform_was_told_stays_until_it_is_told_otherwise() {
    let data = tempfile::tempdir().expect("a directory");
    std::fs::write(data.path().join("config.toml"), "domain = 'file.example'\nuser = 'file'\n").expect("write the file");
    let running = [("domain", "running.example"), ("idle-timeout", "3s"), ("https", "1.1.1.1:1")];
    let running = running.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
    let env = |name: &str| (name == "ADAPTABLE_HTTPS").then(|| "2.2.2.2:2".to_owned());
    let args = ServeArgs { idle_timeout: Some("5s".to_owned()), ..ServeArgs::default() };
    let config = resolve_after(&running, &args, data.path().to_owned(), &env).expect("all is well");
    assert_eq!((config.domain.as_str(), config.user.as_str()), ("running.example", "file"));
    assert_eq!((config.idle_timeout, config.https), (Duration::from_secs(5), SocketAddr::from(([2, 2, 2, 2], 2))));
    let told = [("domain", "running.example"), ("https", "2.2.2.2:2"), ("idle-timeout", "5s")];
    assert_eq!(config.told, told.map(|(key, text)| (key.to_owned(), text.to_owned())).into());
}

#[test]
fn every_problem_is_named_with_its_line() {
    let data = tempfile::tempdir().expect("a directory");
    std::fs::write(data.path().join("config.toml"), "# ports\nhttps = 'x'\n\nfrobnicate = 1\nhttp = [1]\naccess-log = 'yes'\n")
        .expect("write the file");
    let args = ServeArgs { domain: Some("Not A Host".to_owned()), plain_http: Some("maybe".to_owned()), ..ServeArgs::default() };
    let ConfigError(problems) = resolve(&args, data.path().to_owned(), &nothing).expect_err("it is full of problems");
    assert_eq!(problems.len(), 6, "{problems:#?}");
    let all = problems.join("\n");
    for part in [
        "config.toml line 2: https \"x\" must",
        "line 4: there is no key \"frobnicate\"",
        "line 5: http must be a text",
        "--domain \"Not A Host\" must",
        "--plain-http \"maybe\" must be redirect, or serve",
        "line 6: access-log \"yes\" must be off, on, or queries",
    ] {
        assert!(all.contains(part), "{part:?} in {all}");
    }
}

#[test]
fn servers_of_databases_are_told_by_the_file_alone_and_their_passwords_by_nobody() {
    use std::os::unix::fs::PermissionsExt;
    let data = tempfile::tempdir().expect("a directory");
    let file = data.path().join("config.toml");
    let written = |text: &str, mode: u32| {
        std::fs::write(&file, text).expect("write the file");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("its mode");
        resolve(&ServeArgs::default(), data.path().to_owned(), &nothing)
    };
    let good = "mongodb = 'mongodb://root:topsecret@192.0.2.1/'\nmssql = 'program'\nmssql-accept-eula = true\n";
    let config = written(good, 0o600).expect("all is well");
    assert!(
        config.databases.mongodb.server.is_some() && config.databases.mssql.accept_eula && !config.databases.mongodb.unseparated
    );
    assert!(config.told.is_empty() && !format!("{config:?}").contains("topsecret"));
    for (bad, mode, why) in [
        (good, 0o644, "config.toml line 1: the file holds a password"),
        (
            "mongodb = 'mongodb://root:topsecret@localhost/'\n",
            0o600,
            "line 1: mongodb: the address can't be used: instances can't reach",
        ),
        ("\nmssql = 'topsecret'\n", 0o600, "line 2: mssql: must be"),
        ("mssql-accept-eula = 'perhaps'\n", 0o600, "line 1: mssql-accept-eula must be true or false"),
        ("mssql-backups = 'here'\n", 0o600, "line 1: mssql-backups: must be two absolute paths"),
    ] {
        let ConfigError(problems) = written(bad, mode).expect_err(bad);
        assert!(problems.len() == 1 && problems[0].contains(why) && !problems[0].contains("topsecret"), "{bad}: {problems:?}");
    }
}

#[test]
fn a_broken_file_is_named_with_its_line() {
    let data = tempfile::tempdir().expect("a directory");
    std::fs::write(data.path().join("config.toml"), "http = '0.0.0.0:1'\nhttps = \n").expect("write the file");
    let ConfigError(problems) = resolve(&ServeArgs::default(), data.path().to_owned(), &nothing).expect_err("it can't be read");
    assert!(problems[0].contains("line 2"), "{problems:?}");
}

#[test]
fn hosts_and_users_are_checked() {
    for good in ["localhost", "cloud.example", "a-b.c1.example"] {
        assert!(is_host(good), "{good}");
    }
    for bad in ["", ".", "a..b", "Cloud.example", "1.2.3.4", "a_b", "-a.b", "a b"] {
        assert!(!is_host(bad), "{bad}");
    }
    assert!(is_user("adaptable") && !is_user("root;id") && !is_user("") && !is_user("-x"));
}

#[test]
fn only_given_flags_are_passed_on() {
    let args = ServeArgs { http: Some("127.0.0.1:0".to_owned()), stack_dir: Some("/x".to_owned()), ..ServeArgs::default() };
    assert_eq!(given(&args), ["--http=127.0.0.1:0", "--stack-dir=/x"]);
}

#[test]
fn github_is_elsewhere_where_it_is_said() {
    let data = tempfile::tempdir().expect("a directory");
    let file = data.path().join("config.toml");
    let of = |text: &str| {
        std::fs::write(&file, text).expect("write the file");
        let config = resolve(&ServeArgs::default(), data.path().to_owned(), &nothing);
        config.map(|config| (config.github.web().to_string(), config.github.api().to_string())).map_err(|error| error.to_string())
    };
    let pair = |web: &str, api: &str| Ok((web.to_owned(), api.to_owned()));
    assert_eq!(of(""), pair("https://github.com/", "https://api.github.com/"));
    assert_eq!(of("[github]\nweb = 'https://ghe.example'"), pair("https://ghe.example/", "https://ghe.example/api/v3/"));
    assert_eq!(of("github-web = 'https://ghe.example/'"), pair("https://ghe.example/", "https://ghe.example/api/v3/"));
    assert_eq!(
        of("github.web = 'https://a.example'\ngithub.api = 'https://b.example'"),
        pair("https://a.example/", "https://b.example/")
    );
    let insecure = of("[github]\nweb = 'http://ghe.example'").expect_err("whoever listens would see tokens");
    assert!(insecure.contains("line 2") && insecure.contains("https"), "{insecure}");
    let unknown = of("[github]\nwbe = 'https://ghe.example'").expect_err("there is no such key");
    assert!(unknown.contains("line 2") && unknown.contains("wbe"), "{unknown}");
}
