//! What failing apps printed when they were deployed here (gunicorn 27, uvicorn, uv, `CPython` 3.11), and what is said of each.

use super::*;

/// Starts: the file, the kind, a part of the title, a part of what to change.
const STARTS: &[(&str, &str, &str, &str, &str)] = &[
    ("missing-package", include_str!("real/missing-package.txt"), "missing-package", "`requests`", "Add `requests`"),
    ("missing-package-renamed", include_str!("real/missing-package-renamed.txt"), "missing-package", "`PIL`", "Add `pillow`"),
    ("wrong-module", include_str!("real/wrong-module.txt"), "wrong-module", "no module `myap`", "Start Command"),
    ("wrong-module-package", include_str!("real/wrong-module-package.txt"), "wrong-module", "`shop.wsgi`", "shop/wsgi.py"),
    ("flask-app-not-found", include_str!("real/flask-app-not-found.txt"), "wrong-module", "module was not found", "gunicorn"),
    ("no-file", include_str!("real/no-file.txt"), "wrong-module", "no file server.py", "server.py"),
    ("python-dash-m", include_str!("real/python-dash-m.txt"), "wrong-module", "`uwsgi`", "requirements.txt"),
    ("wrong-object", include_str!("real/wrong-object.txt"), "wrong-object", "no `application` in `app`", "`app:app`"),
    (
        "wrong-function",
        include_str!("real/wrong-function.txt"),
        "wrong-object",
        "no `create_app` in `myapp`",
        "`myapp:create_app()`",
    ),
    (
        "wrong-object-uvicorn",
        include_str!("real/wrong-object-uvicorn.txt"),
        "wrong-object",
        "no `app` in `app`",
        "after the colon",
    ),
    ("factory-arguments", include_str!("real/factory-arguments.txt"), "not-an-app", "`start_app`", "defaults"),
    ("not-callable", include_str!("real/not-callable.txt"), "not-an-app", "no application", "Start Command"),
    ("factory-not-called", include_str!("real/factory-not-called.txt"), "not-an-app", "`start_app` is no app", "parentheses"),
    ("factory-called-twice", include_str!("real/factory-called-twice.txt"), "not-an-app", "no application", "parentheses"),
    ("syntax", include_str!("real/syntax.txt"), "syntax-error", "app.py:7", "Correct the line"),
    ("indentation", include_str!("real/indentation.txt"), "syntax-error", "app.py:8", "Correct the line"),
    ("circular", include_str!("real/circular.txt"), "circular-import", "`app` is not in `app`", "Move the import"),
    ("variable", include_str!("real/variable.txt"), "missing-variable", "STRIPE_API_KEY", "STRIPE_API_KEY"),
    ("no-server", include_str!("real/no-server.txt"), "missing-program", "`waitress-serve`", "Add `waitress-serve`"),
    ("permission", include_str!("real/permission.txt"), "missing-program", "`./run.sh`", "chmod +x"),
    ("bind-no-host", include_str!("real/bind-no-host.txt"), "bad-address", "can't listen", "--bind=0.0.0.0:$PORT"),
    ("bind-no-dollar", include_str!("real/bind-no-dollar.txt"), "bad-address", "no number", "dollar"),
    ("bad-option", include_str!("real/bad-option.txt"), "start-command", "option", "Start Command"),
    ("database-refused", include_str!("real/database-refused.txt"), "database", "could not reach", "DATABASE_URL"),
    ("database-host", include_str!("real/database-host.txt"), "database", "could not reach", "DATABASE_URL"),
    ("database-url-unset", include_str!("real/database-url-unset.txt"), "database", "no database address", "DATABASE_URL"),
    (
        "flask-sqlalchemy-unset",
        include_str!("real/flask-sqlalchemy-unset.txt"),
        "database",
        "no database address",
        "SQLALCHEMY_DATABASE_URI",
    ),
    ("dialect", include_str!("real/dialect.txt"), "database-dialect", "`postgres://`", "'postgresql://'"),
    ("driver", include_str!("real/driver.txt"), "database-driver", "`psycopg`", "`psycopg[binary]`"),
    ("driver-mysql", include_str!("real/driver-mysql.txt"), "database-driver", "`MySQLdb`", "`mysqlclient`"),
    ("no-table", include_str!("real/no-table.txt"), "missing-table", "`notes`", "flask db upgrade"),
    ("exits", include_str!("real/exits.txt"), "exits-at-once", "ends as soon", "sys.exit"),
];

#[test]
fn starts_that_failed_here_are_recognised() {
    for (name, log, id, title, fix) in STARTS {
        let found = start_failure(log, &[], 8080).unwrap_or_else(|| panic!("{name}: nothing is said of it"));
        assert_eq!(found.id, *id, "{name}: {found:?}");
        assert!(found.title.contains(title) && found.fix.contains(fix), "{name}: {found:?}");
        assert!(!format!("{found:?}").contains("secret-word"), "{name}: a password is told: {found:?}");
    }
}

#[test]
fn an_application_that_fails_is_an_application() {
    for log in [include_str!("real/factory-not-called.txt"), include_str!("real/factory-called-twice.txt")] {
        assert!(never_answers(log).is_some(), "{log}");
        // The same, raised by the app's own code, or by a package that the app uses.
        for place in ["/app/app.py", "/opt/packages/flask/app.py"] {
            let own = log.replacen("TypeError: ", &format!("  File \"{place}\", line 3, in view\n    x()\nTypeError: "), 1);
            assert_eq!(never_answers(&own), None, "{own}");
        }
        assert_eq!(never_answers(&log.replace("TypeError: ", "ValueError: ")), None);
    }
    assert_eq!(never_answers("TypeError: x() takes 0 positional arguments but 2 were given"), None);
}

#[test]
fn installations_that_failed_here_are_recognised() {
    for (log, id, title, cause) in [
        (include_str!("real/conflict.txt"), "dependency-conflict", "contradict", "werkzeug==2.0.0"),
        (include_str!("real/not-found.txt"), "package-not-found", "`flask-sqlalchemyy`", "index"),
        (include_str!("real/no-version.txt"), "release-not-found", "does not exist", "flask==99.0.0"),
    ] {
        let found = build_failure(log).unwrap_or_else(|| panic!("nothing is said of {log}"));
        assert_eq!(found.id, id, "{found:?}");
        assert!(found.title.contains(title) && found.cause.contains(cause), "{found:?}");
    }
}

#[test]
fn what_listens_elsewhere_is_recognised_by_its_address() {
    let at = |text: &str| vec![text.parse::<std::net::SocketAddr>().expect("an address")];
    for (log, address) in [
        (include_str!("real/fixed-port.txt"), "0.0.0.0:5000"),
        (include_str!("real/loopback.txt"), "127.0.0.1:8080"),
        (include_str!("real/development-server.txt"), "127.0.0.1:5000"),
    ] {
        let found = start_failure(log, &at(address), 8080).expect("it is recognised");
        assert_eq!(found.id, "wrong-port");
        assert!(found.title.contains(address) && found.fix.contains("--bind=0.0.0.0:$PORT"), "{found:?}");
    }
}

#[test]
fn an_end_without_words_is_told_by_how_it_ended() {
    let plainly = include_str!("real/exits-plainly.txt");
    assert_eq!(start_failure(plainly, &[], 8080), None);
    let said = by_end(&End::Exited("exit code 0".to_owned()), plainly, 8080);
    assert_eq!((said.id, said.title.as_str()), ("exits-at-once", "The app ended by itself, without an error"));
    let said = by_end(&End::Exited("exit code 7".to_owned()), "one\ntwo\n\n", 8080);
    assert!(said.title.contains("exit code 7") && said.cause.contains("two"), "{said:?}");
    assert_eq!(by_end(&End::OutOfMemory, "", 1).setting(), Some("resourceConfig.memory"));
    let said = release_failure("exit code 2", include_str!("real/release.txt"));
    assert!(said.id == "release-command" && said.cause.contains("No such command 'db'"), "{said:?}");
}

#[test]
fn workers_that_are_ended_are_recognised() {
    // gunicorn's own words, which a deployment's log shows when the time-out is shorter than the wait for a first answer.
    let log = "[2026-11-24 16:13:00 +0000] [1] [CRITICAL] WORKER TIMEOUT (pid:2)\n[2026-11-24 16:13:00 +0000] [2] [ERROR] Error handling request /\n";
    assert_eq!(start_failure(log, &[], 8080).map(|found| found.id), Some("worker-timeout"));
    let log = "[2026-11-24 16:13:00 +0000] [1] [ERROR] Worker (pid:2) was sent SIGKILL! Perhaps out of memory?\n";
    assert_eq!(start_failure(log, &[], 8080).map(|found| found.id), Some("out-of-memory"));
}

#[test]
fn every_kind_has_a_section_of_its_own_in_the_documentation() {
    let page = include_str!("../../../../../docs/failures.md");
    let sections: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let kinds: Vec<&str> = KINDS.iter().map(|(id, _)| *id).collect();
    assert_eq!(sections, kinds, "docs/failures.md has the kinds in their order");
    let said = KINDS.iter().filter(|(id, _)| !source().contains(&format!("\"{id}\""))).collect::<Vec<_>>();
    assert!(said.is_empty(), "kinds that nothing ends in: {said:?}");
}

/// The code that gives explanations.
fn source() -> String {
    [
        include_str!("../../explain.rs").split("];").skip(1).collect::<String>(),
        include_str!("../build.rs").to_owned(),
        include_str!("../databases.rs").to_owned(),
        include_str!("../end.rs").to_owned(),
        include_str!("../server.rs").to_owned(),
        include_str!("../start.rs").to_owned(),
        include_str!("../trace.rs").to_owned(),
    ]
    .concat()
}
