//! The fixture apps and the examples on disk, planned as they lie there.

use std::path::Path;

use super::*;
use crate::tree::DirTree;

fn plan_dir(dir: &str) -> Result<Plan, PlanError> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(dir);
    plan(&DirTree::open(&root).unwrap(), &PlanRequest::default(), &available())
}

#[test]
fn fixtures_that_can_be_built() {
    for (name, want) in [
        ("fixtures/apps/fastapi-factory", "uvicorn --host=0.0.0.0 --port=$PORT --factory service.main:create_app"),
        ("fixtures/apps/flask-aptfile", "gunicorn --bind=0.0.0.0:$PORT --threads=4 app:app"),
        ("fixtures/apps/flask-factory-package", "gunicorn --bind=0.0.0.0:$PORT --threads=4 'flaskr:create_app()'"),
        ("fixtures/apps/flask-object", "gunicorn --bind=0.0.0.0:$PORT --threads=4 app:app"),
        ("fixtures/apps/flask-pipfile-lock", "gunicorn --bind=0.0.0.0:$PORT --threads=4 app:app"),
        ("fixtures/apps/flask-poetry-lock", "gunicorn --bind=0.0.0.0:$PORT --threads=4 app:app"),
        ("fixtures/apps/flask-postgres", "gunicorn --bind=0.0.0.0:$PORT --threads=4 app:app"),
        ("fixtures/apps/flask-release", "LEVEL=2 gunicorn --bind 0.0.0.0:$PORT app:app"),
        ("fixtures/apps/flask-setup-py", "gunicorn --bind=0.0.0.0:$PORT --threads=4 app:app"),
        ("fixtures/apps/flask-src-layout", "gunicorn --bind=0.0.0.0:$PORT --threads=4 --pythonpath=src 'shop.web:make_app()'"),
        ("fixtures/apps/flask-uv-lock", "gunicorn --bind=0.0.0.0:$PORT --threads=4 app:app"),
        ("fixtures/apps/flask-windows", "gunicorn app:app"),
        ("fixtures/apps/monorepo", "cd backend && uvicorn --host=0.0.0.0 --port=$PORT main:app"),
        ("fixtures/apps/no-manifest", "gunicorn --bind=0.0.0.0:$PORT --threads=4 app:app"),
        ("fixtures/apps/plain-server", "python app.py"),
        ("examples/flask", "gunicorn --bind=0.0.0.0:$PORT --threads=4 'myapp:start_app()'"),
        ("examples/fastapi", "uvicorn --host=0.0.0.0 --port=$PORT main:app"),
        ("examples/django", "gunicorn --bind=0.0.0.0:$PORT --threads=4 mysite.wsgi:application"),
    ] {
        match plan_dir(name) {
            Ok(plan) => assert_eq!(plan.start.command.line, want, "{name}"),
            Err(error) => panic!("{name}: {error}"),
        }
    }
    // All three locks hold the same, and so do the requirements made from them.
    let locked = ["poetry", "pipfile", "uv"].map(|tool| plan_dir(&format!("fixtures/apps/flask-{tool}-lock")).unwrap());
    assert!(requirements(&locked[0]) == requirements(&locked[2]), "the locks of Poetry and uv give different requirements");
    assert!(requirements(&locked[2]).iter().any(|line| line.starts_with("flask==3.0.3 --hash=sha256:")));
    assert!(!requirements(&locked[2]).iter().any(|line| line.starts_with("colorama")));
}

#[test]
fn fixtures_that_are_refused() {
    assert!(matches!(plan_dir("fixtures/apps/broken-python"), Err(PlanError::PythonUnavailable { .. })));
    assert!(matches!(plan_dir("fixtures/apps/broken-requirement"), Err(PlanError::Manifest { line: Some(2), .. })));
    assert!(matches!(plan_dir("fixtures/apps/not-python"), Err(PlanError::NothingRecognised { .. })));
    // Broken only when run: these give a plan.
    for name in ["exits", "import", "loopback", "name", "port", "syntax", "variable"] {
        plan_dir(&format!("fixtures/apps/broken-{name}")).unwrap();
    }
}

#[test]
fn hostile_trees_are_refused_or_inert() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("app.py"), FLASK).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", at("requirements.txt")).unwrap();
    std::os::unix::fs::symlink("/etc", at("etc")).unwrap();
    std::os::unix::fs::symlink(".", at("loop")).unwrap();
    let read = || plan(&DirTree::open(dir.path()).unwrap(), &PlanRequest::default(), &available());
    assert!(matches!(read(), Err(PlanError::Tree(crate::tree::TreeError::Outside(path))) if path == "requirements.txt"));
    // A symlink inside of the tree is followed.
    std::fs::remove_file(at("requirements.txt")).unwrap();
    std::fs::create_dir(at("deps")).unwrap();
    std::fs::write(at("deps/prod.txt"), "flask").unwrap();
    std::os::unix::fs::symlink("deps/prod.txt", at("requirements.txt")).unwrap();
    assert_eq!(requirements(&read().unwrap())[0], "flask");
    // A pipe must not make the planner wait; it is not listed.
    std::fs::remove_file(at("requirements.txt")).unwrap();
    nix::unistd::mkfifo(&at("requirements.txt"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::fs::write(at("Pipfile"), "[packages]\nflask='*'\n").unwrap();
    assert!(read().is_ok());
}
