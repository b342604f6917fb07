//! Variables, databases, secrets, Base Directories: what is found, and where.

use super::*;

#[test]
fn variables_that_nobody_sets() {
    let unset = |more: &str, request: &Request| {
        let text = format!("import os\nfrom os import environ, getenv\n{FLASK}{more}\n");
        get(&report(&[("app.py", &text), LISTED], request), "variables").clone()
    };
    let none = Request::default();
    for more in [
        "key = os.environ['API_KEY']",
        "key = environ['API_KEY']",
        "key = os.getenv('API_KEY')",
        "key = getenv('API_KEY')",
        "client = connect(os.environ.get('API_KEY'))",
        "def f():\n    return os.environ['API_KEY']",
        "from decouple import config\nkey = config('API_KEY')",
    ] {
        let check = unset(more, &none);
        assert_eq!((check.state, check.file.as_deref()), (State::Warning, Some("app.py")), "{more}");
        assert!(check.reason.contains("API_KEY (app.py:"), "{more}: {}", check.reason);
        assert_eq!(unset(more, &with(&["API_KEY"])).state, State::Ok, "{more}");
    }
    for more in [
        "port = os.environ['PORT']",
        "url = os.environ['EXTERNAL_URL']",
        "key = os.environ.get('API_KEY', 'none')",
        "key = os.getenv('API_KEY', default='none')",
        "key = os.environ.get('API_KEY') or 'none'",
        "debug = os.environ.get('DEBUG') == '1'",
        "if os.environ.get('SENTRY'):\n    pass",
        "key = os.environ.get('API_KEY')\nif key:\n    pass",
        "try:\n    key = os.environ['API_KEY']\nexcept KeyError:\n    key = None",
        "if 'API_KEY' in os.environ:\n    key = os.environ['API_KEY']",
        "os.environ['API_KEY'] = 'x'\nkey = os.environ['API_KEY']",
        "os.environ.setdefault('API_KEY', 'x')\nkey = os.environ['API_KEY']",
        "key = {}['API_KEY']",
    ] {
        assert_eq!(unset(more, &none).state, State::Ok, "{more}");
    }
    let url = "url = os.environ['DATABASE_URL']";
    assert!(unset(url, &none).help.contains("--database postgres"), "{:?}", unset(url, &none));
    assert_eq!(unset(url, &database(DatabaseType::Postgres)).state, State::Ok);
    let tests = report(&[("app.py", FLASK), ("tests/test_app.py", "import os\nos.environ['X_KEY']\n"), LISTED], &none);
    assert_eq!(get(&tests, "variables").state, State::Ok);
}

#[test]
fn a_driver_fits_the_database() {
    let state = |listed: &str, request: &Request| {
        get(&report(&[("app.py", FLASK), ("requirements.txt", listed)], request), "database").clone()
    };
    let (none, postgres) = (Request::default(), database(DatabaseType::Postgres));
    assert_eq!(state("flask\n", &none).state, State::Ok);
    assert_eq!(state("flask\npsycopg[binary]\n", &postgres).state, State::Ok);
    assert_eq!(state("flask\npsycopg2-binary==2.9.9\n", &postgres).state, State::Ok);
    let wrong = state("flask\npymongo\n", &postgres);
    assert_eq!((wrong.state, wrong.file.as_deref(), wrong.line), (State::Warning, Some("requirements.txt"), Some(2)));
    assert!(wrong.help.contains("--database mongodb"), "{}", wrong.help);
    assert_eq!(state("flask\n", &postgres).state, State::Warning);
    let unchosen = state("flask\npsycopg2\n", &none);
    assert!(unchosen.state == State::Warning && unchosen.help.contains("--database postgres"), "{unchosen:?}");
    assert_eq!(state("flask\npsycopg2\n", &with(&["DATABASE_URL"])).state, State::Ok);
    assert!(state("flask\npymysql\n", &none).help.contains("no MySQL"));
}

#[test]
fn secrets_are_named_and_never_shown() {
    // Put together here, so that nobody who looks through this source finds one.
    let tokens = [
        ("an AWS access key", format!("AKIA{}", "Q3EGRIJ4PLZ7XK2M")),
        ("a GitHub token", format!("ghp_{}", "a1B2".repeat(9))),
        ("a GitHub token", format!("github_pat_{}", "11AAB_2c".repeat(8))),
        ("a Slack token", format!("xoxb-{}", "123456789012-abcdefGHIJ")),
        ("a Stripe key", format!("sk_live_{}", "4eC39HqLyjWDarjtT1zdp7dc")),
        ("a Google API key", format!("AIza{}", "SyD4-9tRk_aB3c".repeat(3))),
    ];
    for (what, token) in &tokens {
        let text = format!("{FLASK}# one\nKEY = \"{token}\"\n");
        let report = report(&[("app.py", &text), LISTED], &Request::default());
        let check = get(&report, "secrets");
        assert_eq!((check.state, check.file.as_deref(), check.line), (State::Warning, Some("app.py"), Some(4)), "{what}");
        assert!(check.reason.contains(what), "{}", check.reason);
        let all = serde_json::to_string(&report).unwrap();
        assert!(!all.contains(&token[6..]), "{all}");
    }
    let key = format!("-----BEGIN RSA {} KEY-----\n{}\n", "PRIVATE", "MIIEpAIBAAKCAQEAx".repeat(5));
    let env = "# ours\nFLASK_APP=app\nSECRET_KEY=hunter2hunter2\nEMPTY=\nexport DB_PASSWORD='swordfish'\n";
    for (path, text, line, said) in [
        ("deploy/server.pem", key.as_str(), Some(1), "a private key"),
        (".env", env, Some(3), "sets SECRET_KEY, DB_PASSWORD"),
        ("config/.env.production", env, Some(3), "sets SECRET_KEY"),
        ("id_rsa", "x", None, "SSH"),
    ] {
        let report = report(&[("app.py", FLASK), LISTED, (path, text)], &Request::default());
        let check = get(&report, "secrets");
        assert_eq!((check.state, check.file.as_deref(), check.line), (State::Warning, Some(path), line), "{path}");
        assert!(check.reason.contains(said), "{}", check.reason);
        let all = serde_json::to_string(&report).unwrap();
        assert!(!all.contains("hunter2") && !all.contains("swordfish") && !all.contains("MIIE"), "{all}");
    }
    for (path, text) in [
        (".env.example", env),
        (".env", "FLASK_APP=app\nDEBUG=1\nSECRET_KEY=\n"),
        ("notes.md", "use AKIAIOSFODNN7EXAMPLE, ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n-----BEGIN PRIVATE KEY-----\n"),
        ("cert.pem", "-----BEGIN CERTIFICATE-----\nMIIEpAIBAAKCAQEAxMIIEpAIBAAKCAQEAx\n"),
    ] {
        let report = report(&[("app.py", FLASK), LISTED, (path, text)], &Request::default());
        assert_eq!(get(&report, "secrets").state, State::Ok, "{path}: {:?}", get(&report, "secrets"));
    }
}

#[test]
fn a_base_directory() {
    let files: &[(&str, &str)] = &[
        ("README.md", "two apps"),
        ("web/app.py", "import os\nfrom flask import Flask\napp = Flask(__name__)\nkey = os.environ['API_KEY']\n"),
        ("web/requirements.txt", "flask\n"),
        ("web-old/app.py", FLASK),
    ];
    let base = |dir: &str| Request { base_directory: Some(dir.to_owned()), ..Request::default() };
    for dir in ["web", "./web/", "web//."] {
        let report = report(files, &base(dir));
        assert_eq!(wrong(&report), ["variables=warning"], "{dir}: {:#?}", report.checks);
        assert_eq!(get(&report, "variables").file.as_deref(), Some("web/app.py"));
        assert_eq!(get(&report, "dependencies").file.as_deref(), Some("web/requirements.txt"));
    }
    for dir in ["api", "we", "../web", "README.md", "web/app.py"] {
        let report = report(files, &base(dir));
        assert_eq!(get(&report, "base-directory").state, State::Failed, "{dir}");
        assert_eq!(report.count(State::Failed), 1, "{dir}");
    }
    assert!(get(&report(files, &base("api")), "base-directory").help.contains("`web`"));
}

#[test]
fn a_template_that_is_set() {
    let wish = Request { plan: PlanRequest { template: Some(Template::Django), ..PlanRequest::default() }, ..Request::default() };
    let report = report(&[("app.py", FLASK), LISTED], &wish);
    assert_eq!(wrong(&report), ["template=warning"]);
}
