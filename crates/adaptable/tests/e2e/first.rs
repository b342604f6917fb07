//! The main job: a Flask app's source becomes an HTTPS address, and a changed line becomes live without an installation.

use std::fs;
use std::process::Command;

use testkit::{Output, exchange};

use crate::{flask, platform, tell};

const GUIDE: &str = "gunicorn --bind=0.0.0.0:$PORT --threads=4 myapp:start_app()";

#[test]
fn the_guides_app_answers_over_https() {
    let platform = platform();
    let source = platform.source("hello", &[("myapp.py", &flask("Hello World!")), ("requirements.txt", "flask\ngunicorn\n")]);
    let up = Output::from(&mut platform.command(&["up", source.to_str().expect("a path"), "--json"])).expect(0);
    let document = up.json();
    assert_eq!(document["app"], "hello");
    assert_eq!(document["url"], format!("https://hello.localhost:{}", platform.https().port()));
    assert_eq!((&document["revision"], &document["deployment"]), (&1.into(), &1.into()));
    assert_eq!(document["state"], "live");
    assert_eq!(document["template"], "flask");
    assert!(document.get("error").is_none(), "{document}");
    let steps = document["steps"].as_array().expect("a list");
    let names: Vec<_> = steps.iter().map(|step| step["name"].as_str().expect("a name")).collect();
    for name in ["source", "plan", "dependencies", "start", "switch"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    for step in steps {
        assert_eq!(step["state"], "done", "{step}");
        assert!(step["seconds"].as_f64().is_some_and(|seconds| seconds >= 0.0), "{step}");
    }
    let first = &document["first"];
    assert_eq!((first["status"].as_u64(), first["answer"].as_str()), (Some(200), Some("Hello World!")));
    let (cold, warm) = (first["cold_seconds"].as_f64().expect("a time"), first["warm_seconds"].as_f64().expect("a time"));
    assert!(cold > warm && warm > 0.0, "cold {cold}, warm {warm}");
    tell(&format!("cold request {cold:.3} s, warm request {:.1} ms", warm * 1000.0));

    let answer = platform.get("hello", "/");
    assert_eq!((answer.status, answer.text().as_str()), (200, "Hello World!"));

    let text = Output::from(&mut platform.command(&["up", source.to_str().expect("a path")])).expect(0);
    for part in ["https://hello.localhost:", "cold request: ", "warm request: ", "answer: Hello World!"] {
        assert!(text.stdout.contains(part), "{part:?} is not in {}", text.stdout);
    }
    the_edge_speaks_as_browsers_expect(&platform);
}

fn the_edge_speaks_as_browsers_expect(platform: &testkit::Platform) {
    let port = platform.https().port();
    let plain = std::net::TcpStream::connect(platform.http()).expect("the HTTP port is open");
    let redirect = exchange(plain, "GET", "hello.localhost", "/a?b=c", &[], b"").expect("an answer");
    assert!(matches!(redirect.status, 301 | 307 | 308), "{redirect:?}");
    assert_eq!(redirect.header("location"), Some(format!("https://hello.localhost:{port}/a?b=c").as_str()));

    let curl = Output::from(
        Command::new("curl")
            .args(["-sS", "--http2", "--cacert"])
            .arg(platform.data().join("ca.pem"))
            .args(["--resolve", &format!("hello.localhost:{port}:127.0.0.1"), "-w", "\n%{http_version} %{http_code}"])
            .arg(format!("https://hello.localhost:{port}/")),
    )
    .expect(0);
    assert_eq!(curl.stdout, "Hello World!\n2 200");

    // A name without an app has a certificate all the same: without, nobody would see the page.
    let authority = platform.data().join("ca.pem").display().to_string();
    let insist = |accept: &str| {
        let output = Output::from(
            Command::new("curl")
                .args([
                    "-sS",
                    "--cacert",
                    &authority,
                    "--resolve",
                    &format!("nobody.localhost:{port}:127.0.0.1"),
                    "-H",
                    &format!("Accept: {accept}"),
                ])
                .args(["-w", "\n%{http_code} %{content_type}", &format!("https://nobody.localhost:{port}/")]),
        );
        output.expect(0).stdout
    };
    let page = insist("text/html");
    assert!(page.contains("There is no app at nobody.localhost"), "{page}");
    assert!(page.rsplit('\n').next().is_some_and(|end| end.starts_with("404 text/html")), "{page}");
    let document = insist("application/json");
    assert!(document.contains("\"unknown_host\"") && document.ends_with("404 application/problem+json"), "{document}");
}

#[test]
fn a_changed_line_is_served_without_an_installation() {
    let platform = platform();
    let source = platform.source("shop", &[("myapp.py", &flask("one")), ("requirements.txt", "flask\ngunicorn\n")]);
    platform.deploy(&source, &["--start-command", GUIDE]);
    assert_eq!(platform.get("shop", "/").text(), "one");

    fs::write(source.join("myapp.py"), flask("two")).expect("a file");
    let second = platform.deploy(&source, &[]);
    assert_eq!(platform.get("shop", "/").text(), "two");
    assert_eq!(second["revision"], 2);
    let steps = second["steps"].as_array().expect("a list");
    let dependencies = steps.iter().find(|step| step["name"] == "dependencies").expect("the step");
    assert_eq!(dependencies["state"], "cached", "{second}");

    let first = platform.cli(&["logs", "shop", "--deployment", "1"]).expect(0).stdout;
    assert!(first.contains("flask=="), "the first deployment installs: {first}");
    let log = platform.cli(&["logs", "shop", "--deployment", "2"]).expect(0).stdout;
    for word in ["Installed", "Resolved", "Downloading", "flask=="] {
        assert!(!log.contains(word), "{word} is in the second deployment's log: {log}");
    }
}
