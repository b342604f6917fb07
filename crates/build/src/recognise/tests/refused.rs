//! Trees that give no plan, and the reasons.

use super::*;

#[test]
fn nothing_of_python() {
    let PlanError::NothingRecognised { other, files } = error_of(&[("README.md", "hi")]) else { panic!() };
    assert_eq!((other, files), (None, 1));
    let PlanError::NothingRecognised { other, .. } = error_of(&[("package.json", "{}"), ("index.js", "")]) else { panic!() };
    assert_eq!(other, Some(("Node.js", "package.json".to_owned())));
    assert!(matches!(error_of(&[]), PlanError::NothingRecognised { .. }));
}

#[test]
fn nothing_to_start() {
    let PlanError::NoStart { looked_at, nearest } =
        error_of(&[("requirements.txt", "flask"), ("a.py", "x = 1"), ("b.py", "y = 2")])
    else {
        panic!()
    };
    assert_eq!(looked_at, ["a.py", "b.py"]);
    assert_eq!(nearest, None);
    let needy = "from flask import Flask\ndef create_app(config):\n    return Flask(config)\n";
    let PlanError::NoStart { nearest, .. } = error_of(&[("requirements.txt", "flask"), ("a.py", needy), ("b.py", "")]) else {
        panic!()
    };
    assert_eq!(nearest.as_deref(), Some("`create_app` in a.py makes the app, but needs config"));
}

#[test]
fn versions_that_cannot_be_had() {
    let PlanError::PythonUnavailable { asked, origin, available } =
        error_of(&[("app.py", FLASK), ("requirements.txt", "flask"), ("runtime.txt", "python-3.8.10")])
    else {
        panic!()
    };
    assert_eq!((asked.as_str(), origin.as_str()), ("python-3.8.10", "from runtime.txt"));
    assert_eq!(available.len(), 3);
    assert!(matches!(
        error_of(&[("app.py", FLASK), ("requirements.txt", "flask"), (".python-version", "3.1.x.y")]),
        PlanError::PythonMalformed { .. }
    ));
    assert!(matches!(
        error_of(&[("app.py", FLASK), ("pyproject.toml", "[project]\nname='x'\nversion='1'\nrequires-python='>=3.14'\n")]),
        PlanError::PythonUnavailable { .. }
    ));
}

#[test]
fn manifests_that_cannot_be_read() {
    let PlanError::Manifest { file, line, .. } = error_of(&[("app.py", FLASK), ("pyproject.toml", "[project]\nname = \n")])
    else {
        panic!()
    };
    assert_eq!((file.as_str(), line), ("pyproject.toml", Some(2)));
    assert!(matches!(
        error_of(&[("app.py", FLASK), ("requirements.txt", "flask\n<<<<<<< HEAD")]),
        PlanError::Manifest { line: Some(2), .. }
    ));
    assert!(matches!(error_of(&[("app.py", FLASK), ("Pipfile.lock", "{")]), PlanError::Manifest { .. }));
    assert!(matches!(error_of(&[("app.py", FLASK), ("requirements.txt", "-r nope.txt")]), PlanError::MissingFile { .. }));
    assert!(matches!(error_of(&[("app.py", FLASK), ("requirements.txt", "-r ../../etc/passwd")]), PlanError::OutsideTree { .. }));
    assert!(matches!(
        error_of(&[("app.py", FLASK), ("requirements.txt", "flask"), ("Procfile", "gunicorn app")]),
        PlanError::Procfile(_)
    ));
    assert!(matches!(
        error_of(&[("app.py", FLASK), ("requirements.txt", "flask"), ("Procfile", "web: echo 'a")]),
        PlanError::Command { what: "start", .. }
    ));
    assert!(matches!(
        error_of(&[("app.py", FLASK), ("requirements.txt", "flask"), ("Aptfile", "https://e.example/x.deb")]),
        PlanError::Aptfile { line: 1, .. }
    ));
}

#[test]
fn a_misspelled_name_is_told() {
    let PlanError::Misspelled { found, meant } = error_of(&[("app.py", FLASK), ("requirments.txt", "flask")]) else { panic!() };
    assert_eq!((found.as_str(), meant), ("requirments.txt", "requirements.txt"));
}

#[test]
fn a_stale_lock_is_told() {
    let lock = "[[package]]\nname='x'\nversion='1'\nsource={virtual='.'}\n[package.metadata]\nrequires-dist=[]\n";
    let PlanError::StaleLock { missing, .. } = error_of(&[
        ("app.py", FLASK),
        ("pyproject.toml", "[project]\nname='x'\nversion='1'\ndependencies=['flask']\n"),
        ("uv.lock", lock),
    ]) else {
        panic!()
    };
    assert_eq!(missing, ["flask"]);
}
