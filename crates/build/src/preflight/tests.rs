//! Small trees and the state of every check that is not all right.

use std::path::{Path, PathBuf};

use super::*;
use crate::tree::{DirTree, MemoryTree};

mod hostile;
mod large;
mod places;

pub(super) const FLASK: &str = "from flask import Flask\napp = Flask(__name__)\n";
const FACTORY: &str = "from flask import Flask\n\ndef create_app():\n    app = Flask(__name__)\n    return app\n";
const FASTAPI: &str = "from fastapi import FastAPI\napp = FastAPI()\n";
const LISTED: (&str, &str) = ("requirements.txt", "flask==3.0.3\ngunicorn==22.0.0\n");

/// The checks of a tree in memory.
pub(super) fn report(files: &[(&str, &str)], request: &Request) -> Report {
    let tree: MemoryTree = files.iter().map(|(path, text)| (*path, *text)).collect();
    let bytes = files.iter().map(|(_, text)| text.len() as u64).sum();
    check(&tree, &Repository::Read { files: files.len(), bytes }, request)
}

pub(super) fn start(line: &str) -> Request {
    Request { plan: PlanRequest { start_command: Some(line.to_owned()), ..PlanRequest::default() }, ..Request::default() }
}

fn with(names: &[&str]) -> Request {
    Request { variables: names.iter().map(|name| (*name).to_owned()).collect(), ..Request::default() }
}

fn database(database: DatabaseType) -> Request {
    Request { database, ..Request::default() }
}

/// Everything that is not `ok`, as `id=state`.
pub(super) fn wrong(report: &Report) -> Vec<String> {
    let word = |state| match state {
        State::Ok => "ok",
        State::Warning => "warning",
        State::Failed => "failed",
        State::Skipped => "skipped",
    };
    report.checks.iter().filter(|c| c.state != State::Ok).map(|c| format!("{}={}", c.id, word(c.state))).collect()
}

pub(super) fn get<'a>(report: &'a Report, id: &str) -> &'a Check {
    report.checks.iter().find(|check| check.id == id).expect("every check is there")
}

#[track_caller]
fn expect(files: &[(&str, &str)], request: &Request, wanted: &[&str]) -> Report {
    let report = report(files, request);
    assert_eq!(wrong(&report), wanted, "{:#?}\n{files:?}", report.checks);
    report
}

#[test]
fn good_apps_are_all_right() {
    expect(&[("app.py", FLASK), LISTED], &Request::default(), &[]);
    expect(&[("app.py", FACTORY), LISTED], &Request::default(), &[]);
    expect(&[("app.py", FACTORY), LISTED], &start("gunicorn --bind=0.0.0.0:$PORT app:create_app()"), &[]);
    expect(&[("main.py", FASTAPI), ("requirements.txt", "fastapi\n")], &Request::default(), &[]);
    expect(
        &[("main.py", FASTAPI), ("requirements.txt", "fastapi\nuvicorn\n")],
        &start("uvicorn main:app --host 0.0.0.0 --port $PORT"),
        &[],
    );
    expect(&[("src/shop/__init__.py", ""), ("src/shop/web.py", FLASK), LISTED], &Request::default(), &[]);
    let script = "import os\nfrom flask import Flask\napp = Flask(__name__)\nif __name__ == '__main__':\n    app.run(host='0.0.0.0', port=int(os.environ.get('PORT', 5000)))\n";
    expect(&[("app.py", script), LISTED], &Request::default(), &[]);
    expect(&[("app.py", FLASK), LISTED, ("Procfile", "web: gunicorn app:app\n")], &Request::default(), &[]);
    expect(
        &[("app.py", FLASK), LISTED, ("Procfile", "web: gunicorn -w 4 -k gthread -b 0.0.0.0:$PORT app:app\n")],
        &Request::default(),
        &[],
    );
}

#[test]
fn every_check_is_there_in_its_order_and_has_its_page() {
    let ids: Vec<&str> = ALL.iter().map(|(id, _)| *id).collect();
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/checks.md")).unwrap();
    for report in [report(&[("app.py", FLASK), LISTED], &Request::default()), report(&[], &Request::default()), refused("x", "y")]
    {
        assert_eq!(report.checks.iter().map(|check| check.id).collect::<Vec<_>>(), ids);
    }
    let sections: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    for id in ids {
        assert!(sections.contains(&id), "docs/checks.md has no section {id}");
    }
}

#[test]
fn the_examples_are_all_right() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(&examples).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let listed: String = ["requirements.txt", "pyproject.toml"]
            .iter()
            .filter_map(|file| std::fs::read_to_string(path.join(file)).ok())
            .collect();
        let kind = match listed.as_str() {
            text if text.contains("psycopg") || text.contains("asyncpg") => DatabaseType::Postgres,
            text if text.contains("pymongo") => DatabaseType::Mongodb,
            text if text.contains("pymssql") || text.contains("python-tds") => DatabaseType::Mssql,
            _ => DatabaseType::None,
        };
        if listed.is_empty() {
            continue;
        }
        let tree = DirTree::open(&path).unwrap();
        let report = check(&tree, &Repository::Read { files: 1, bytes: 1 }, &database(kind));
        assert_eq!(wrong(&report), Vec::<String>::new(), "{name}: {:#?}", report.checks);
        seen += 1;
    }
    assert!(seen >= 4, "{seen} examples");
}

#[test]
fn nothing_to_start() {
    let none: &[&str] = &[
        "template=failed",
        "dependencies=skipped",
        "server=skipped",
        "runtime=skipped",
        "start-command=skipped",
        "start-target=skipped",
        "listens=skipped",
        "disk=skipped",
        "variables=skipped",
        "database=skipped",
    ];
    expect(&[("package.json", "{}")], &Request::default(), none);
    expect(&[("README.md", "hello")], &Request::default(), none);
    let needs = "from flask import Flask\ndef create_app(config):\n    return Flask(__name__)\n";
    let wanted = ["template=warning", "server=skipped", "start-command=failed", "start-target=skipped", "listens=skipped"];
    expect(&[("web/factory.py", needs), LISTED], &Request::default(), &wanted);
}

#[test]
fn what_the_start_command_names() {
    let files: &[(&str, &str)] = &[("app.py", FACTORY), LISTED];
    let bind = "gunicorn --bind=0.0.0.0:$PORT --threads=4";
    for (target, help) in [
        ("wrong:app", "app:create_app"),
        ("app:app", "app:create_app()"),
        ("app", "app:create_app()"),
        ("app:create_app", "app:create_app()"),
        ("web.app:create_app()", "app.py is there"),
    ] {
        let report = expect(files, &start(&format!("{bind} {target}")), &["start-target=failed"]);
        assert!(get(&report, "start-target").help.contains(help), "{:?}", get(&report, "start-target"));
    }
    expect(files, &start("python server.py"), &["start-target=failed", "listens=skipped"]);
    expect(files, &start("uvicorn --factory app:create_app --host=0.0.0.0 --port=$PORT"), &[]);
    let guarded = "from flask import Flask\nif __name__ == '__main__':\n    app = Flask(__name__)\n    app.run(host='0.0.0.0')\n";
    let told = report(&[("app.py", guarded), LISTED], &start(&format!("{bind} app:app")));
    assert_eq!(get(&told, "start-target").state, State::Failed);
    assert!(get(&told, "start-target").help.contains("__main__"));
    let broken = "from flask import Flask\nprint 'old'\napp == Flask(\n";
    let told = report(&[("app.py", broken), LISTED], &start(&format!("{bind} app:app")));
    assert_eq!(get(&told, "start-target").line, Some(2), "{:?}", get(&told, "start-target"));
    let told = report(&[("app.py", &format!("{FLASK}def f(:\n    pass\n")), LISTED], &Request::default());
    assert_eq!((get(&told, "start-target").state, get(&told, "start-target").line), (State::Failed, Some(3)));
    // What can't be told is not said to be wrong.
    expect(&[("app.py", "from other import *\n"), LISTED], &start(&format!("{bind} app:app")), &[]);
    expect(&[("web/app.py", FLASK), LISTED], &start(&format!("{bind} --chdir web app:app")), &[]);
    expect(&[("web/app.py", FLASK), LISTED], &start(&format!("cd web && {bind} app:app")), &[]);
    expect(
        &[("app.py", FLASK), ("requirements.txt", "flask\nmlflow\ngunicorn\n")],
        &start(&format!("{bind} mlflow.server:app")),
        &[],
    );
}

#[test]
fn a_function_that_no_server_can_call() {
    let bind = "gunicorn --bind=0.0.0.0:$PORT";
    let state = |app: &str, line: &str| {
        let files = [("app.py", app), ("wsgi.py", "from app import make\n"), LISTED];
        let check = get(&report(&files, &start(line)), "start-target").clone();
        (check.state, check.help)
    };
    // What they return can't be told, and it need not be.
    let factories = ["def make():\n    return build()\n", "def make(config=None):\n    return build(config)\n"];
    for factory in factories {
        for target in ["app:make", "wsgi:make"] {
            let (found, help) = state(factory, &format!("{bind} {target}"));
            assert_eq!(found, State::Failed, "{factory} {target}");
            assert!(help.contains(&format!("\"{target}()\"")), "{help}");
            assert_eq!(state(factory, &format!("{bind} '{target}()'")).0, State::Ok, "{factory} {target}");
        }
    }
    assert_eq!(state(factories[0], "waitress-serve --port=$PORT app:make").0, State::Failed);
    assert_eq!(state(factories[0], "waitress-serve --port=$PORT --call app:make").0, State::Ok);
    assert_eq!(state("def make(a, b, c):\n    return build()\n", &format!("{bind} app:make")).0, State::Failed);
    // It serves what a function returns that takes nothing.
    assert_eq!(state(factories[0], "uvicorn app:make --host=0.0.0.0 --port=$PORT").0, State::Ok);
    for application in [
        "def make(environ, respond):\n    return []\n",
        "def make(*args):\n    return []\n",
        "def make(environ, respond=None, more=3):\n    return []\n",
        "@wrapped\ndef make():\n    return []\n",
        "def make():\n    return []\nmake = wrapped(make)\n",
    ] {
        assert_eq!(state(application, &format!("{bind} app:make")).0, State::Ok, "{application}");
    }
    let asgi = "async def make(scope, receive, send):\n    pass\n";
    assert_eq!(state(asgi, "hypercorn --bind=0.0.0.0:$PORT app:make").0, State::Ok);
    assert_eq!(state(asgi, &format!("{bind} -k uvicorn.workers.UvicornWorker app:make")).0, State::Ok);
}

#[test]
fn where_it_listens() {
    let files: &[(&str, &str)] = &[("app.py", FLASK), LISTED];
    for line in [
        "gunicorn --bind 127.0.0.1:$PORT app:app",
        "gunicorn -b localhost:$PORT app:app",
        "gunicorn -b [::1]:$PORT app:app",
        "gunicorn -b 0.0.0.0:5000 app:app",
        "gunicorn -b :8000 app:app",
        "gunicorn --bind unix:/tmp/s.sock app:app",
        "gunicorn --bind 0.0.0.0 app:app",
        "uvicorn app:app",
        "uvicorn app:app --host 0.0.0.0",
        "uvicorn app:app --host 0.0.0.0 --port 8000",
        "uvicorn app:app --port $PORT",
    ] {
        let report = report(files, &start(line));
        assert_eq!(get(&report, "listens").state, State::Failed, "{line}: {:?}", get(&report, "listens"));
    }
    for line in [
        "gunicorn -b 0.0.0.0:$PORT app:app",
        "gunicorn app:app",
        "gunicorn -b [::]:${PORT} app:app",
        "gunicorn -b :$PORT app:app",
    ] {
        assert_eq!(get(&report(files, &start(line)), "listens").state, State::Ok, "{line}");
    }
    // The platform's PORT happens to be 8080; and a fixed port is right where PORT says the same.
    assert_eq!(get(&report(files, &start("gunicorn -b 0.0.0.0:8080 app:app")), "listens").state, State::Warning);
    let set = Request { port: Some("5000".to_owned()), ..start("gunicorn -b 0.0.0.0:5000 app:app") };
    assert_eq!(get(&report(files, &set), "listens").state, State::Ok);
    let conf = report(
        &[("app.py", FLASK), LISTED, ("gunicorn.conf.py", "workers = 2\nbind = '127.0.0.1:8000'\n")],
        &start("gunicorn app:app"),
    );
    let check = get(&conf, "listens");
    assert_eq!((check.state, check.file.as_deref(), check.line), (State::Failed, Some("gunicorn.conf.py"), Some(2)));
    let procfile = report(
        &[("app.py", FLASK), LISTED, ("Procfile", "# ours\nweb: gunicorn -b 127.0.0.1:5000 app:app\n")],
        &Request::default(),
    );
    let check = get(&procfile, "listens");
    assert_eq!((check.state, check.file.as_deref(), check.line), (State::Failed, Some("Procfile"), Some(2)));
}

#[test]
fn where_a_script_listens() {
    let script = |run: &str| {
        format!("import os\nfrom flask import Flask\napp = Flask(__name__)\nPORT = int(os.getenv('PORT', '5000'))\n{run}\n")
    };
    let state = |run: &str| {
        let text = script(run);
        let report = report(&[("app.py", &text), LISTED], &start("python app.py"));
        assert_eq!(get(&report, "server").state, State::Warning, "{run}: {:?}", get(&report, "server"));
        get(&report, "listens").clone()
    };
    for run in [
        "app.run()",
        "app.run(port=PORT)",
        "app.run(host='127.0.0.1', port=PORT)",
        "app.run('0.0.0.0', 5000)",
        "app.run(host='0.0.0.0')",
    ] {
        let check = state(run);
        assert_eq!((check.state, check.file.as_deref(), check.line), (State::Failed, Some("app.py"), Some(5)), "{run}");
    }
    for run in [
        "app.run(host='0.0.0.0', port=PORT)",
        "app.run('0.0.0.0', int(os.environ['PORT']))",
        "app.run(host='0.0.0.0', port=int(os.environ.get('PORT') or 5000))",
    ] {
        assert_eq!(state(run).state, State::Ok, "{run}");
    }
    // A server that imports the file never comes to it.
    let text = script("if __name__ == '__main__':\n    app.run()");
    expect(&[("app.py", &text), LISTED], &Request::default(), &[]);
    let own = "from http.server import HTTPServer, BaseHTTPRequestHandler\nHTTPServer(('localhost', 8000), BaseHTTPRequestHandler).serve_forever()\n";
    let report = report(&[("server.py", own)], &Request::default());
    assert_eq!(get(&report, "listens").state, State::Failed, "{:?}", report.checks);
}

#[test]
fn dependencies_and_versions() {
    let broken = expect(
        &[("app.py", FLASK), ("requirements.txt", "flask\nthis is not one\n")],
        &Request::default(),
        &["dependencies=failed"],
    );
    let check = get(&broken, "dependencies");
    assert_eq!((check.file.as_deref(), check.line), (Some("requirements.txt"), Some(2)));
    expect(&[("app.py", FLASK)], &Request::default(), &["dependencies=warning"]);
    expect(
        &[("app.py", FLASK), ("pyproject.toml", "[project\n")],
        &Request::default(),
        &["dependencies=failed", "runtime=skipped"],
    );
    expect(&[("app.py", FLASK), LISTED, (".python-version", "3.11.4\n")], &Request::default(), &[]);
    let old = expect(&[("app.py", FLASK), LISTED, (".python-version", "3.6\n")], &Request::default(), &["runtime=failed"]);
    assert_eq!(get(&old, "runtime").file.as_deref(), Some(".python-version"));
    let can_be_had =
        expect(&[("app.py", FLASK), LISTED, ("runtime.txt", "python-3.9.18\n")], &Request::default(), &["runtime=warning"]);
    assert!(get(&can_be_had, "runtime").help.contains("adaptable stack bullseye"));
    expect(&[("app.py", FLASK), LISTED, ("Aptfile", "libpq5; rm\n")], &Request::default(), &["dependencies=failed"]);
}

#[test]
fn servers_for_production() {
    let added = report(&[("app.py", FLASK), ("requirements.txt", "flask\n")], &Request::default());
    assert!(get(&added, "server").reason.contains("the platform adds gunicorn"), "{:?}", get(&added, "server"));
    let own = report(&[("app.py", FLASK), LISTED], &Request::default());
    assert_eq!((get(&own, "server").file.as_deref(), get(&own, "server").line), (Some("requirements.txt"), Some(2)));
    for line in ["flask --app app run --host 0.0.0.0 --port $PORT", "python -m flask run --host 0.0.0.0 --port $PORT"] {
        let report = report(&[("app.py", FLASK), LISTED], &start(line));
        assert_eq!(get(&report, "server").state, State::Warning, "{line}");
        assert_eq!(get(&report, "listens").state, State::Ok, "{line}");
    }
    let unlisted = report(&[("app.py", FLASK), LISTED], &start("waitress-serve --port=$PORT app:app"));
    assert_eq!(get(&unlisted, "server").state, State::Warning);
}

#[test]
fn state_on_disk() {
    let app = |more: &str| format!("import os, sqlite3\n{FLASK}{more}\n");
    let state = |more: &str, request: &Request| {
        let text = app(more);
        get(&report(&[("app.py", &text), LISTED], request), "disk").clone()
    };
    let none = Request::default();
    for more in [
        "db = sqlite3.connect('app.db')",
        "app.config['SQLALCHEMY_DATABASE_URI'] = 'sqlite:///app.db'",
        "uri = f'sqlite:///{app.root_path}/x.db'",
        "app.config['UPLOAD_FOLDER'] = 'uploads'",
        "def save(text):\n    with open('notes.txt', 'w') as file:\n        file.write(text)",
        "uri = os.environ.get('DATABASE_URL', 'sqlite:///app.db')",
        "uri = os.environ.get('DATABASE_URL') or 'sqlite:///app.db'",
    ] {
        let check = state(more, &none);
        assert_eq!((check.state, check.file.as_deref()), (State::Warning, Some("app.py")), "{more}");
        assert!(check.line.is_some_and(|line| line >= 4), "{more}: {:?}", check.line);
    }
    for more in
        ["db = sqlite3.connect(':memory:')", "text = open('notes.txt').read()", "open('/tmp/x', 'w')", "uri = 'sqlite://'"]
    {
        assert_eq!(state(more, &none).state, State::Ok, "{more}");
    }
    for more in
        ["uri = os.environ.get('DATABASE_URL', 'sqlite:///app.db')", "uri = os.environ.get('DATABASE_URL') or 'sqlite:///app.db'"]
    {
        assert_eq!(state(more, &database(DatabaseType::Postgres)).state, State::Ok, "{more}");
        assert_eq!(state(more, &with(&["DATABASE_URL"])).state, State::Ok, "{more}");
    }
}

#[test]
fn django_with_sqlite() {
    let files: &[(&str, &str)] = &[
        (
            "manage.py",
            "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site1.settings')\nfrom django.core.management import execute_from_command_line\n",
        ),
        ("site1/__init__.py", ""),
        (
            "site1/settings.py",
            "DATABASES = {\n    'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'db.sqlite3'},\n}\n",
        ),
        (
            "site1/wsgi.py",
            "import os\nfrom django.core.wsgi import get_wsgi_application\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site1.settings')\napplication = get_wsgi_application()\n",
        ),
        ("requirements.txt", "django==5.0\ngunicorn\n"),
    ];
    let report = expect(files, &Request::default(), &["disk=warning"]);
    assert_eq!(report.template, Some(Template::Django));
    assert_eq!((get(&report, "disk").file.as_deref(), get(&report, "disk").line), (Some("site1/settings.py"), Some(2)));
    let runserver = expect(files, &start("python manage.py runserver"), &["server=warning", "listens=failed", "disk=warning"]);
    assert_eq!(get(&runserver, "start-target").file.as_deref(), Some("manage.py"));
}
