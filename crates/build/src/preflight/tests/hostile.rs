//! Trees made to hang, to exhaust or to confuse whoever reads them.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::time::Duration;

use proptest::prelude::*;

use super::{report as report_of, *};

/// How long a busy machine may take for what takes a second at most.
const PATIENCE: Duration = Duration::from_mins(1);

fn timely(root: &Path) -> Report {
    let tree = DirTree::open(root).unwrap();
    let begun = Instant::now();
    let report = check(&tree, &Repository::Read { files: tree.entries().len(), bytes: 1 }, &Request::default());
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    report
}

fn good() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("app.py"), FLASK).unwrap();
    fs::write(dir.path().join("requirements.txt"), "flask\ngunicorn\n").unwrap();
    dir
}

#[test]
fn links_that_go_in_circles_or_out() {
    let dir = good();
    let at = |name: &str| dir.path().join(name);
    symlink(".", at("self")).unwrap();
    symlink("b.py", at("a.py")).unwrap();
    symlink("a.py", at("b.py")).unwrap();
    symlink("/etc/passwd", at(".env")).unwrap();
    symlink("/etc/passwd", at("passwd.py")).unwrap();
    symlink("/dev/zero", at("zero.py")).unwrap();
    let report = timely(dir.path());
    assert_eq!(wrong(&report), Vec::<String>::new(), "{:#?}", report.checks);
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let dir = good();
    for name in ["pipe.py", ".env", "Procfile", "gunicorn.conf.py"] {
        nix::unistd::mkfifo(&dir.path().join(name), nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("server.py")).unwrap();
    assert_eq!(wrong(&timely(dir.path())), Vec::<String>::new());
    // It may also become one after it was listed.
    let tree = DirTree::of(dir.path(), ["app.py", "requirements.txt"]).unwrap();
    fs::remove_file(dir.path().join("app.py")).unwrap();
    nix::unistd::mkfifo(&dir.path().join("app.py"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let report = check(&tree, &Repository::Read { files: 2, bytes: 1 }, &Request::default());
    assert!(report.count(State::Failed) > 0, "{:#?}", report.checks);
}

#[test]
fn lines_without_end_and_bytes_without_sense() {
    let dir = good();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("long.py"), format!("from flask import Flask\nx = {}1\n", "1+".repeat(400_000))).unwrap();
    fs::write(at("attributes.py"), format!("import os, flask\nx = os.environ{}\n", ".a".repeat(400_000))).unwrap();
    fs::write(at("calls.py"), format!("import flask\nx = open{}\n", "()".repeat(400_000))).unwrap();
    fs::write(at("brackets.py"), format!("import flask, os\nx = os.getenv({}\n", "[".repeat(800_000))).unwrap();
    fs::write(at("dashes.txt"), "-".repeat(500_000)).unwrap();
    fs::write(at("keys.txt"), "-----BEGIN ".repeat(40_000)).unwrap();
    fs::write(at("tokens.txt"), "ghp_".repeat(120_000)).unwrap();
    fs::write(at("bytes.py"), [&b"import os\nos.environ['\xff\xfe']\nflask = '"[..], &[0xC3, 0x28, 0, 0xF0], b"'\n"].concat())
        .unwrap();
    fs::write(at("zeros.py"), vec![0_u8; 100_000]).unwrap();
    fs::write(at(".env"), [&b"A"[..], &b"=\xff".repeat(100_000)].concat()).unwrap();
    fs::write(at("Aptfile"), "").unwrap();
    fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"name\xff.py")), FLASK).unwrap();
    let report = timely(dir.path());
    assert_eq!(wrong(&report), ["secrets=warning"], "{:#?}", report.checks);
    // As the file that is started, it is said what is wrong with it.
    let endless = format!("x = {}1\n", "1+".repeat(100_000));
    let told = report_of(&[("app.py", endless.as_str()), ("requirements.txt", "flask\n")], &start("gunicorn app:app"));
    assert_eq!(get(&told, "start-target").state, State::Failed, "{:#?}", told.checks);
}

#[test]
fn directories_below_each_other() {
    let dir = good();
    let mut deep = dir.path().to_owned();
    for _ in 0..60 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("app.py"), FLASK).unwrap();
    assert_eq!(wrong(&timely(dir.path())), Vec::<String>::new());
    assert!(DirTree::open(dir.path()).is_ok());
    fs::create_dir_all(deep.join("d/d/d/d/d/d/d")).unwrap();
    assert!(DirTree::open(dir.path()).is_err());
}

#[test]
fn files_that_import_each_other_in_circles() {
    let names: Vec<String> = (0..40).map(|index| format!("m{index}")).collect();
    let imports: String = names.iter().flat_map(|name| ["from ", name, " import *\n"]).collect();
    let text = format!("import flask\n{imports}app = make()\napplication = other()\n");
    let mut files: Vec<(String, String)> = names.iter().map(|name| (format!("{name}.py"), text.clone())).collect();
    files.push(("requirements.txt".to_owned(), "flask\n".to_owned()));
    let tree: MemoryTree = files.into_iter().collect();
    let begun = Instant::now();
    check(&tree, &Repository::Read { files: 41, bytes: 1 }, &Request::default());
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}

#[test]
fn text_of_the_source_can_not_rewrite_a_terminal() {
    let report =
        report_of(&[("app.py", FLASK), ("requirements.txt", "flask\n\u{1b}]0;owned\u{7} not one\n")], &Request::default());
    let check = get(&report, "dependencies");
    assert!(check.state == State::Failed && !check.reason.chars().any(char::is_control), "{:?}", check.reason);
}

/// Pieces of Python, of command lines and of secrets, put together in ways that nobody would.
fn piece() -> impl Strategy<Value = String> {
    let known = [
        "import os\n",
        "os.environ[",
        "'A'",
        "]",
        "os.getenv(",
        ")",
        "(",
        "app.run(",
        "host=",
        "'127.0.0.1'",
        "port=",
        "1e9",
        ",",
        "\n",
        "    ",
        "open(",
        "'w'",
        "sqlite3.connect(",
        "f'sqlite:///{",
        "}'",
        "if ",
        ":",
        "try",
        "except KeyError",
        "from . import *",
        "=",
        "\"\"\"",
        "\\",
        "web: ",
        "gunicorn ",
        "--bind",
        "-b",
        " -",
        "app:",
        "cd ",
        "&& ",
        "$PORT",
        "-----BEGIN ",
        "PRIVATE KEY-----",
        "AKIA",
        "ghp_",
        "flask",
        "==",
        "Flask(__name__)",
        "app",
        "\0",
        "\u{feff}",
    ];
    prop_oneof![4 => proptest::sample::select(known.to_vec()).prop_map(ToOwned::to_owned), 1 => any::<String>()]
}

proptest! {
    #[test]
    fn no_text_is_too_strange(pieces in proptest::collection::vec(piece(), 0..40), line in proptest::collection::vec(piece(), 0..12)) {
        let text = pieces.concat();
        let line = line.concat();
        let files = [("app.py", text.as_str()), ("Procfile", &text), ("requirements.txt", &text), (".env", &text), ("gunicorn.conf.py", &text)];
        let requests = [Request::default(), Request { base_directory: Some(line.clone()), port: Some(text.clone()), ..start(&line) }];
        for request in &requests {
            let report = report_of(&files, request);
            prop_assert_eq!(report.checks.len(), ALL.len());
        }
        let alone = report_of(&[("app.py", FLASK), ("requirements.txt", "flask\n")], &start(&line));
        prop_assert!(alone.checks.iter().all(|check| !check.reason.chars().any(char::is_control)));
    }
}
