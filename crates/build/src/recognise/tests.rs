//! Scenario trees and the plans they must give.

use super::*;
use crate::plan::{PyVersion, Server, Template};
use crate::tree::MemoryTree;

mod dependencies;
mod entries;
mod fixtures;
mod refused;

pub(super) const FLASK: &str = "from flask import Flask\napp = Flask(__name__)\n";
const FACTORY: &str = "from flask import Flask\ndef create_app(config=None):\n    app = Flask(__name__)\n    return app\n";
pub(super) const FASTAPI: &str = "from fastapi import FastAPI\napp = FastAPI()\n";

fn available() -> Available {
    Available { pythons: vec![PyVersion::new(3, 9), PyVersion::new(3, 11), PyVersion::new(3, 13)] }
}

fn tree(files: &[(&str, &str)]) -> MemoryTree {
    files.iter().map(|(path, text)| (*path, *text)).collect()
}

fn plan_with(files: &[(&str, &str)], request: &PlanRequest) -> Plan {
    match plan(&tree(files), request, &available()) {
        Ok(plan) => plan,
        Err(error) => panic!("{error:?}\n{:?}", files.iter().map(|(path, _)| path).collect::<Vec<_>>()),
    }
}

pub(super) fn plan_of(files: &[(&str, &str)]) -> Plan {
    plan_with(files, &PlanRequest::default())
}

fn error_of(files: &[(&str, &str)]) -> PlanError {
    plan(&tree(files), &PlanRequest::default(), &available()).expect_err("this tree gives no plan")
}

/// The start command's line.
fn line(files: &[(&str, &str)]) -> String {
    plan_of(files).start.command.line
}

/// A generated file's text.
fn generated<'a>(plan: &'a Plan, name: &str) -> &'a str {
    plan.dependencies.generated.iter().find(|file| file.name == name).map_or("", |file| file.contents.as_str())
}

fn requirements(plan: &Plan) -> Vec<&str> {
    generated(plan, "requirements.txt").lines().collect()
}

const GUNICORN: &str = "gunicorn --bind=0.0.0.0:$PORT --threads=4";
const UVICORN: &str = "uvicorn --host=0.0.0.0 --port=$PORT";

#[test]
fn the_guides_app() {
    let files = [
        (
            "myapp.py",
            "from flask import Flask\n\ndef start_app():\n    app = Flask(__name__)\n\n    @app.route('/')\n    def hello():\n        return 'Hello'\n\n    return app\n",
        ),
        ("requirements.txt", "flask\ngunicorn\n"),
    ];
    let inferred = plan_of(&files);
    assert_eq!(inferred.template, Template::Flask);
    assert_eq!(inferred.start.command.line, format!("{GUNICORN} 'myapp:start_app()'"));
    assert_eq!(inferred.start.origin, Origin::Inferred);
    assert_eq!(inferred.start.added_server, None);
    assert_eq!(inferred.python.version, PyVersion::new(3, 11));
    assert_eq!(requirements(&inferred), ["flask", "gunicorn", "setuptools<81"]);
    assert!(!inferred.dependencies.needs_whole_tree && inferred.dependencies.key_files.is_empty());
    assert!(inferred.finish.is_empty() && inferred.system.run.is_empty());

    let request = PlanRequest {
        start_command: Some("gunicorn --bind=0.0.0.0:$PORT --threads=4 myapp:start_app()".to_owned()),
        ..PlanRequest::default()
    };
    let set = plan_with(&files, &request);
    assert_eq!(set.start.origin, Origin::Settings);
    assert_eq!(set.template, Template::Flask);
    assert_eq!(set.start.command.args[2], format!("exec {GUNICORN} 'myapp:start_app()'"));
}

#[test]
fn start_commands_come_in_order() {
    let files = [
        ("app.py", FLASK),
        ("requirements.txt", "flask"),
        ("Procfile", "web: gunicorn app:app\nrelease: flask db upgrade\nworker: w\n"),
    ];
    let from_procfile = plan_of(&files);
    assert_eq!(from_procfile.start.origin, Origin::Procfile);
    assert_eq!(from_procfile.start.command.line, "gunicorn app:app");
    assert_eq!(from_procfile.start.added_server, Some(Server::Gunicorn));
    assert!(requirements(&from_procfile).contains(&"gunicorn"));
    assert_eq!(from_procfile.release.as_ref().unwrap().line, "flask db upgrade");
    assert!(from_procfile.notes.iter().any(|note| note.contains("worker")));

    let request = PlanRequest { start_command: Some("python app.py".to_owned()), ..PlanRequest::default() };
    let set = plan_with(&files, &request);
    assert_eq!((set.start.origin, set.start.added_server), (Origin::Settings, None));
}

#[test]
fn commands_of_the_settings_are_steps() {
    let request = PlanRequest {
        install_command: Some("pip install -r requirements.txt".to_owned()),
        build_command: Some("python build.py && echo done".to_owned()),
        ..PlanRequest::default()
    };
    let plan = plan_with(&[("app.py", FLASK), ("requirements.txt", "flask")], &request);
    assert_eq!(plan.dependencies.steps[1].args[2], "exec pip install -r requirements.txt");
    assert!(plan.dependencies.needs_whole_tree);
    assert_eq!(plan.finish[0].args[2], "python build.py && exec echo done");
}

#[test]
fn a_change_of_source_keeps_the_key() {
    let key = |files: &[(&str, &str)]| {
        let tree = tree(files);
        crate::key::dependencies_key(&plan(&tree, &PlanRequest::default(), &available()).unwrap(), &tree, "s").unwrap()
    };
    let before = key(&[("app.py", FLASK), ("requirements.txt", "flask==2.0\n")]);
    let changed = format!("{FLASK}# changed\n");
    assert_eq!(before, key(&[("app.py", &changed), ("requirements.txt", "# comment\nflask==2.0")]));
    assert_ne!(before, key(&[("app.py", FLASK), ("requirements.txt", "flask==2.1\n")]));
    let project = "[project]\nname='x'\nversion='1'\ndependencies=['flask']\n";
    let before = key(&[("setup.py", "setup(install_requires=['flask'])"), ("app.py", FLASK), ("x/__init__.py", "")]);
    assert_eq!(before, key(&[("setup.py", "setup(install_requires=['flask'])"), ("app.py", &changed), ("x/__init__.py", "1")]));
    assert_ne!(
        before,
        key(&[("setup.py", "setup(install_requires=['flask', 'redis'])"), ("app.py", FLASK), ("x/__init__.py", "")])
    );
    assert_eq!(key(&[("pyproject.toml", project), ("app.py", FLASK)]), key(&[("pyproject.toml", project), ("app.py", &changed)]));
}

#[test]
fn ten_times_the_files_take_about_ten_times_as_long() {
    let module = "import os\nimport sys\n\nclass A:\n    def f(self, x):\n        return [y for y in x]\n".repeat(20);
    let took = |count: usize| {
        let files = (0..count).map(|n| (format!("pkg{}/sub{}/m{n}.py", n % 40, n % 7), module.clone()));
        let own = [("app.py", FLASK), ("requirements.txt", "flask")].map(|(path, text)| (path.to_owned(), text.to_owned()));
        let tree: MemoryTree = files.chain(own).collect();
        let begun = std::time::Instant::now();
        plan(&tree, &PlanRequest::default(), &available()).unwrap();
        begun.elapsed()
    };
    let few = took(1_000);
    let many = took(10_000);
    // Beside other work either may be slowed down; something that compares every file with every other would be a hundred times.
    assert!(many < few * 50, "{few:?} for a thousand, {many:?} for ten thousand");
}
