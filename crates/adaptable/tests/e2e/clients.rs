//! Clients of PostgreSQL inside an instance: the variables work as they stand, and each client verifies whom it talks to.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use testkit::{Options, Platform, wait_until};

use crate::databases::{example, prompt, psql};
use crate::{platform, settings, tell};

/// Clients that have an app's variables, its URL, or both apart, and what they say when the host has another name, and when the
/// certificate is of another authority.
const CLIENTS: [(&str, &str, &str); 17] = [
    ("psql", "does not match host name", "certificate verify failed"),
    ("psql-url", "does not match host name", "certificate verify failed"),
    ("psycopg2", "does not match host name", "certificate verify failed"),
    ("psycopg2-url", "does not match host name", "certificate verify failed"),
    ("psycopg3", "does not match host name", "certificate verify failed"),
    ("psycopg3-url", "does not match host name", "certificate verify failed"),
    ("asyncpg", "IP address mismatch", "unable to get local issuer certificate"),
    ("asyncpg-url", "IP address mismatch", "unable to get local issuer certificate"),
    ("sqlalchemy-psycopg2", "does not match host name", "certificate verify failed"),
    ("sqlalchemy-psycopg3", "does not match host name", "certificate verify failed"),
    ("sqlalchemy-asyncpg", "IP address mismatch", "unable to get local issuer certificate"),
    ("sqlalchemy-async-psycopg3", "does not match host name", "certificate verify failed"),
    ("django", "does not match host name", "certificate verify failed"),
    ("django-url", "does not match host name", "certificate verify failed"),
    ("node-pg", "does not match certificate's altnames", "unable to verify the first certificate"),
    ("node-pg-url", "does not match certificate's altnames", "unable to verify the first certificate"),
    ("node-sequelize", "does not match certificate's altnames", "unable to verify the first certificate"),
];

/// `psql` of the newest PostgreSQL on the machine.
fn newest_psql() -> PathBuf {
    let majors = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed").flatten();
    let numbered = majors.filter_map(|entry| {
        let program = entry.path().join("bin/psql");
        let major: u32 = entry.file_name().to_str()?.parse().ok()?;
        program.exists().then_some((major, program))
    });
    numbered.max().expect("a psql").1
}

/// The machine's `psql` with all libraries that it needs, for an app that has none of its own.
fn carry_psql(to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    let program = newest_psql();
    let listed = Command::new("ldd").arg(&program).output().expect("ldd");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let libraries = listed.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
    let files: Vec<_> = std::iter::once(program).chain(libraries).collect();
    assert!(files.len() > 3, "psql and its libraries: {listed}");
    for file in files {
        let name = file.file_name().expect("a file's name");
        std::fs::copy(&file, to.join(name)).expect("a copy");
    }
}

#[test]
fn clients_connect_with_the_variables_as_they_stand_and_verify_the_server() {
    let platform = platform();
    let other = rcgen::generate_simple_self_signed(["other".to_owned()]).expect("one").cert.pem();
    let source = platform.source(
        "clients",
        &[
            ("app.py", include_str!("clients/app.py")),
            ("python.py", include_str!("clients/python.py")),
            ("clients.mjs", include_str!("clients/clients.mjs")),
            ("package.json", include_str!("clients/package.json")),
            ("requirements.txt", include_str!("clients/requirements.txt")),
            ("Procfile", include_str!("clients/Procfile")),
            ("other.pem", &other),
        ],
    );
    carry_psql(&source.join("psql"));
    // What npm installs is in the memory of one instance.
    let file = settings(&platform, "databaseType: postgres\nresourceConfig: {memory: 768, maxInstances: 1}\n");
    let began = Instant::now();
    platform.deploy(&source, &["--settings", &file]);
    tell(&format!("deployed after {:.1} s", began.elapsed().as_secs_f64()));
    let ask = |client: &str, case: &str| {
        let answer = platform.get("clients", &format!("/{client}?case={case}"));
        assert_eq!(answer.status, 200, "{client} {case}: {}", answer.text());
        let document = answer.json();
        document["told"].as_str().map(str::to_owned).ok_or_else(|| document["refused"].as_str().unwrap_or_default().to_owned())
    };
    ask("install", "").expect("npm installs the clients in JavaScript");
    for (client, name, authority) in CLIENTS {
        let told = ask(client, "").unwrap_or_else(|refused| panic!("{client}: {refused}"));
        assert!(told.starts_with("app_clients TLS TLSv1."), "{client}: {told}");
        tell(&format!("{client}: {told}"));
        for (case, refusal) in [("host", name), ("authority", authority)] {
            let refused = ask(client, case).expect_err(&format!("{client} does not verify: {case}"));
            assert!(refused.contains(refusal), "{client} {case}: {refused}");
        }
    }
    // It is the check that refuses: without it, the server is reached under the other name.
    for (client, case) in [("psql", "host,unchecked"), ("asyncpg", "host,unchecked"), ("node-pg", "node,host,unchecked")] {
        assert!(ask(client, case).expect("not checked").starts_with("app_clients TLS"), "{client}");
    }
    tell(&format!("all of it after {:.1} s", began.elapsed().as_secs_f64()));
}

/// Opens connections and holds them until it is told to let go.
const HOLDING: &str = r#"
import json, os, threading
import psycopg2

held, lock = [], threading.Lock()


def application(environ, start_response):
    path, _, number = environ["PATH_INFO"].strip("/").partition("/")
    document = {"held": 0, "refused": []}
    with lock:
        if path == "hold":
            for _ in range(int(number)):
                try:
                    held.append(psycopg2.connect(""))
                except psycopg2.OperationalError as error:
                    document["refused"].append(str(error))
        if path == "let-go":
            while held:
                held.pop().close()
        for connection in held:
            with connection.cursor() as cursor:
                cursor.execute("select 1")
        document["held"] = len(held)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(document).encode()]
"#;

#[test]
fn the_limit_of_connections_is_told_and_is_nobody_elses() {
    let platform = Platform::start(crate::program(), Options::default());
    let requirements = "gunicorn\npsycopg2-binary\n";
    let procfile = "web: gunicorn --bind=0.0.0.0:$PORT --threads=4 app:application\n";
    let greedy = platform.source("greedy", &[("app.py", HOLDING), ("requirements.txt", requirements), ("Procfile", procfile)]);
    let document = "databaseType: postgres\ndatabase: {maxConnections: 10}\nresourceConfig: {maxInstances: 1}\n";
    platform.deploy(&greedy, &["--settings", &settings(&platform, document)]);
    platform.deploy(&greedy, &["--app", "modest", "--database", "postgres"]);

    let answer = platform.get("greedy", "/hold/25").json();
    assert_eq!(answer["held"], 10, "{answer}");
    let refused = answer["refused"].as_array().expect("a list");
    assert_eq!(refused.len(), 15);
    for error in refused {
        assert!(error.as_str().is_some_and(|it| it.contains("too many connections for role \"app_greedy\"")), "{error}");
    }
    // Its neighbour has its own, and the platform looks after a database whose connections are all taken.
    assert_eq!(platform.get("modest", "/hold/10").json()["held"], 10);
    let info = platform.cli(&["db", "greedy", "info", "--json"]).expect(0).json();
    assert_eq!((&info["connections"], &info["max_connections"]), (&10.into(), &10.into()), "{info}");
    let refused = prompt(&platform, "greedy", &["-XAtqc", "select 1"]).expect(1);
    assert!(refused.stderr.contains("too many connections for role"), "{}", refused.stderr);

    // Those that it has go on working, and one that is let go is there for the next.
    assert_eq!(platform.get("greedy", "/hold/1").json()["held"], 10);
    assert_eq!(platform.get("greedy", "/let-go").json()["held"], 0);
    wait_until("the server has noticed", 10, || psql(&platform, "greedy", "select 1").code == 0);
    assert_eq!(platform.get("greedy", "/hold/1").json()["held"], 1);
}

#[test]
fn djangos_migrations_run_before_the_traffic_and_notes_stay() {
    let platform = platform();
    let source = example("django-notes");
    let deployed = platform.deploy(&source, &["--database", "postgres"]);
    assert_eq!(crate::step(&deployed, "release"), Some("done"), "{deployed}");
    let page = platform.get("django-notes", "/");
    assert!(page.text().contains("None yet."), "{}", page.text());
    let (_, rest) = page
        .text()
        .split_once("name=\"csrfmiddlewaretoken\" value=\"")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .expect("a form");
    let token = rest.split('"').next().expect("a token").to_owned();
    let cookie = page.header("set-cookie").and_then(|it| it.split(';').next()).expect("a cookie").to_owned();
    let referer = format!("https://django-notes.localhost:{}/", platform.https().port());
    let headers =
        [("content-type", "application/x-www-form-urlencoded"), ("cookie", cookie.as_str()), ("referer", referer.as_str())];
    let body = format!("csrfmiddlewaretoken={token}&text=bread");
    let kept = platform.request("POST", "django-notes", "/", &headers, body.as_bytes()).expect("an answer");
    assert_eq!(kept.status, 302, "{}", kept.text());
    assert!(platform.get("django-notes", "/").text().contains("<li>bread</li>"));
    // Migrations that have run already are no reason to fail, nor to lose anything.
    platform.deploy(&source, &[]);
    assert!(platform.get("django-notes", "/").text().contains("<li>bread</li>"));
    let applied = psql(&platform, "django-notes", "select count(*) from django_migrations where app = 'notes'").expect(0);
    assert_eq!(applied.stdout.trim(), "1");
}
