//! Failures as programs print them, and what is said of them.

use super::*;

mod real;

#[test]
fn installations_that_fail() {
    for (log, title) in [
        (
            "      src/x.c:1:10: fatal error: libpq-fe.h: No such file or directory\n  compilation terminated.",
            "system library is missing",
        ),
        ("Error: pg_config executable not found.", "system library is missing"),
        (
            "  × No solution found when resolving dependencies:\n  ╰─▶ Because flaks was not found in the package registry and you require flaks, we can\n      conclude that your requirements are unsatisfiable.",
            "no package `flaks`",
        ),
        (
            "  × No solution found when resolving dependencies:\n  ╰─▶ Because there is no version of flask==99.0 and you require flask==99.0, we can conclude",
            "does not exist",
        ),
        (
            "  × No solution found when resolving dependencies:\n  ╰─▶ Because the current Python version (3.11.2) does not satisfy Python>=3.12 and django==6.0 depends on Python>=3.12",
            "another Python version",
        ),
        (
            "  × No solution found when resolving dependencies:\n  ╰─▶ Because flask==2.0 depends on werkzeug>=2.0 and you require werkzeug==1.0",
            "contradict",
        ),
        (
            "  × Failed to build `suds==0.4`\n      SyntaxError: Missing parentheses in call to 'print'. Did you mean print(...)?",
            "`suds==0.4` was made for Python 2",
        ),
        ("  × Failed to build `x==1`\n      ModuleNotFoundError: No module named 'numpy'", "`x==1` could not be built"),
        (
            "error: Failed to build `numpy==1.18.1`\n  cause: The build backend returned an error\n      NameError: name 'CCompiler' is not defined.",
            "`numpy==1.18.1` could not be built",
        ),
        ("error: Hash mismatch for `click==8.1`", "not the one that was pinned"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("x86_64-linux-gnu-gcc: fatal error: Killed signal terminated program cc1plus", "out of memory"),
        (
            "error: Failed to fetch: `https://i.example/simple/flask/`\n  Caused by: dns error: failed to lookup address information",
            "download failed",
        ),
        ("fatal: could not read Username for 'https://g.example': terminal prompts disabled", "git repository"),
        ("error: command '/usr/bin/gcc' failed with exit code 1", "could not be compiled"),
    ] {
        let got = build_failure(log).unwrap_or_else(|| panic!("nothing is said of {log}"));
        assert!(got.title.contains(title), "{log}: {got:?}");
    }
    let header = build_failure("fatal error: libpq-fe.h: No such file or directory").unwrap();
    assert!(header.fix.contains("`libpq-dev`") && header.cause.contains("libpq-fe.h"), "{header:?}");
    assert_eq!(build_failure("all went well"), None);
}

#[test]
fn starts_that_fail() {
    let trace = "Traceback (most recent call last):\n  File \"/app/app.py\", line 3, in <module>\n";
    for (log, title) in [
        (format!("{trace}ModuleNotFoundError: No module named 'yaml'"), "`yaml` is not installed"),
        (
            format!("{trace}  File \"/app/web/views.py\", line 12\n    def f(:\n          ^\nSyntaxError: invalid syntax"),
            "syntax error in web/views.py:12",
        ),
        ("Failed to find attribute 'app' in 'main'.".to_owned(), "no `app` in `main`"),
        ("ERROR:    Error loading ASGI app. Attribute \"app\" not found in module \"main\".".to_owned(), "no `app` in `main`"),
        (
            format!(
                "{trace}    k = os.environ['SECRET_KEY']\n  File \"<frozen os>\", line 679, in __getitem__\nKeyError: 'SECRET_KEY'"
            ),
            "SECRET_KEY is not set",
        ),
        (
            "decouple.UndefinedValueError: DATABASE_URL not found. Declare it as envvar or define a default value.".to_owned(),
            "DATABASE_URL is not set",
        ),
        (
            "ImportError: libGL.so.1: cannot open shared object file: No such file or directory".to_owned(),
            "libGL.so.1 is missing",
        ),
        ("/bin/sh: 1: exec: gunicorn: not found".to_owned(), "`gunicorn` was not found"),
        ("OSError: [Errno 98] Address already in use".to_owned(), "listens twice"),
        ("ImportError: cannot import name 'escape' from 'jinja2' (/opt/venv/lib/x.py)".to_owned(), "`escape` is not in `jinja2`"),
    ] {
        let got = start_failure(&log, &[], 8000).unwrap_or_else(|| panic!("nothing is said of {log}"));
        assert!(got.title.contains(title), "{log}: {got:?}");
    }
    let module = start_failure("ModuleNotFoundError: No module named 'yaml'", &[], 1).unwrap();
    assert!(module.fix.contains("`pyyaml`"), "{module:?}");
    let own = "raise KeyError('x')\nKeyError: 'SHOP'";
    assert_eq!(start_failure(own, &[], 1), None, "a KeyError that has nothing to do with the environment");
}

#[test]
fn workers_that_die_at_once() {
    let round = "[7] [INFO] Booting worker with pid: 7\n[7] [INFO] Worker exiting (pid: 7)\n";
    assert!(!is_crash_loop(&round.repeat(2)));
    assert!(is_crash_loop(&round.repeat(4)));
    assert!(start_failure(&round.repeat(4), &[], 1).unwrap().title.contains("ends as soon"));
}

#[test]
fn apps_that_listen_elsewhere() {
    let at = |listeners: &[&str]| {
        let listeners: Vec<std::net::SocketAddr> = listeners.iter().map(|text| text.parse().unwrap()).collect();
        start_failure("", &listeners, 8000).map(|explanation| explanation.title)
    };
    assert_eq!(at(&["127.0.0.1:5000"]).unwrap(), "The app listens on 127.0.0.1:5000 instead of port 8000");
    assert_eq!(at(&["127.0.0.1:8000"]).unwrap(), "The app listens on 127.0.0.1:8000 only");
    assert_eq!(at(&["[::1]:8000"]).unwrap(), "The app listens on [::1]:8000 only");
    assert_eq!(at(&["0.0.0.0:8000"]), None);
    assert_eq!(at(&[]), None);
}

#[test]
fn every_refusal_says_what_to_do() {
    let errors = [
        PlanError::NothingRecognised { other: Some(("Node.js", "package.json".into())), files: 3 },
        PlanError::NoStart { looked_at: vec!["a.py".into()], nearest: None },
        PlanError::PythonUnavailable {
            asked: "python-3.8.1".into(),
            origin: "from runtime.txt".into(),
            available: vec![crate::plan::PyVersion::new(3, 11)],
        },
        PlanError::StaleLock { lock: "poetry.lock".into(), manifest: "pyproject.toml".into(), missing: vec!["flask".into()] },
        PlanError::Misspelled { found: "requirments.txt".into(), meant: "requirements.txt" },
    ];
    for error in errors {
        let said = plan_error(&error);
        assert!(!said.title.is_empty() && said.cause.ends_with('.') && said.fix.ends_with('.'), "{said:?}");
    }
    let python = plan_error(&PlanError::PythonUnavailable {
        asked: "python-3.8.1".into(),
        origin: "from runtime.txt".into(),
        available: vec![crate::plan::PyVersion::new(3, 11), crate::plan::PyVersion::new(3, 13)],
    });
    assert_eq!(python.title, "Python 3.8.1 is not available");
    assert!(python.cause.contains("3.11, 3.13"));
}
