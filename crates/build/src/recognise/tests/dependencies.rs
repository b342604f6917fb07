//! What is installed, and with which Python.

use super::*;

fn install_args(plan: &Plan) -> String {
    plan.dependencies.steps[1].args.join(" ")
}

#[test]
fn requirements_files_of_every_kind() {
    let nested = plan_of(&[
        ("app.py", FLASK),
        ("requirements.txt", "-r requirements/prod.txt"),
        ("requirements/prod.txt", "flask\npsycopg2==2.9.9\n"),
    ]);
    assert_eq!(requirements(&nested), ["flask", "psycopg2==2.9.9", "gunicorn", "setuptools<81"]);
    assert_eq!(nested.system.run[0].as_str(), "libpq5");
    assert!(nested.system.build.iter().any(|package| package.as_str() == "libpq-dev"));

    let elsewhere = plan_of(&[("app.py", FLASK), ("requirements/base.txt", "flask\ngunicorn")]);
    assert_eq!(requirements(&elsewhere)[..2], ["flask", "gunicorn"]);
    assert!(elsewhere.notes.iter().any(|note| note.contains("requirements/base.txt")));

    let named = plan_of(&[("app.py", FLASK), ("Requirements.txt", "flask")]);
    assert!(requirements(&named).contains(&"flask"));

    let windows =
        plan_of(&[("app.py", FLASK), ("requirements.txt", "\u{feff}flask==2.0\r\npywin32==306\r\npkg-resources==0.0.0\r\n")]);
    assert_eq!(requirements(&windows)[0], "flask==2.0");
    assert!(
        windows.notes.iter().any(|note| note.contains("pywin32"))
            && windows.notes.iter().any(|note| note.contains("pkg-resources"))
    );

    let strict = plan_of(&[("app.py", FLASK), ("requirements.txt", "--require-hashes\nflask==2.0 --hash=sha256:aa\n")]);
    assert_eq!(requirements(&strict), ["flask==2.0 --hash=sha256:aa"]);
    assert_eq!(generated(&strict, "added.txt"), "gunicorn\nsetuptools<81\n");
    assert_eq!(generated(&strict, "pinned.txt"), "flask==2.0\n");
    assert!(install_args(&strict).contains("--require-hashes"));
}

#[test]
fn requirements_beside_settings_of_tools() {
    let tools = plan_of(&[
        ("app.py", FLASK),
        ("requirements.txt", "flask\ngunicorn"),
        ("pyproject.toml", "[tool.black]\nline-length = 80\n"),
    ]);
    assert_eq!(requirements(&tools)[..2], ["flask", "gunicorn"]);
    let empty = plan_of(&[
        ("app.py", FLASK),
        ("requirements.txt", "# see pyproject\n"),
        ("pyproject.toml", "[project]\nname='x'\nversion='1'\ndependencies=['flask>=2']\n"),
    ]);
    assert_eq!(requirements(&empty)[0], "flask>=2");
}

#[test]
fn projects() {
    let pep621 = plan_of(&[
        ("app.py", FLASK),
        (
            "pyproject.toml",
            "[project]\nname='x'\nversion='1'\nrequires-python='>=3.12'\ndependencies=['flask>=2', 'gunicorn', 'x; sys_platform == \"win32\"']\n",
        ),
    ]);
    assert_eq!(pep621.python.version, PyVersion::new(3, 13));
    assert_eq!(requirements(&pep621), ["flask>=2", "gunicorn", "x ; sys_platform == 'win32'"]);
    assert!(!pep621.dependencies.needs_whole_tree);

    let poetry = plan_of(&[
        ("app.py", FLASK),
        (
            "pyproject.toml",
            "[tool.poetry]\nname='x'\n[tool.poetry.dependencies]\npython='^3.8'\nflask='^2.0'\nredis={version='~4.1', extras=['hiredis']}\nold={version='*', python='<3.9'}\nextra={version='1', optional=true}\n[tool.poetry.dev-dependencies]\npytest='*'\n",
        ),
    ]);
    assert_eq!(poetry.python.version, PyVersion::new(3, 11));
    assert_eq!(requirements(&poetry)[..3], ["flask>=2.0,<3", "old ; python_full_version < '3.9'", "redis[hiredis]>=4.1,<4.2"]);
    assert_eq!(requirements(&poetry)[3], "gunicorn");

    let dynamic = plan_of(&[
        ("app.py", FLASK),
        ("deps.txt", "flask"),
        (
            "pyproject.toml",
            "[project]\nname='x'\ndynamic=['dependencies']\n[tool.setuptools.dynamic]\ndependencies={file=['deps.txt']}\n",
        ),
    ]);
    assert_eq!(requirements(&dynamic)[0], "flask");

    let setup = plan_of(&[
        ("app.py", FLASK),
        ("setup.py", "from setuptools import setup\nsetup(name='x', install_requires=['flask'])\n"),
    ]);
    assert_eq!(requirements(&setup)[..2], ["-e /app", "gunicorn"]);
    assert!(setup.dependencies.needs_whole_tree);
    assert_eq!(setup.dependencies.key_files, ["setup.py"]);

    let editable = plan_of(&[
        ("src/shop/__init__.py", FACTORY),
        ("requirements.txt", "-e .\ngunicorn"),
        ("setup.py", "setup()"),
        ("README.md", ""),
    ]);
    assert_eq!(requirements(&editable)[..2], ["gunicorn", "-e /app"]);
    assert_eq!(editable.dependencies.key_files, ["README.md", "requirements.txt", "setup.py"]);

    let compiled = plan_of(&[("app.py", FLASK), ("setup.py", "setup(ext_modules=[Extension('a', ['a.c'])])"), ("a.c", "")]);
    assert_eq!(requirements(&compiled)[0], "/app");
    assert_eq!(compiled.dependencies.key_files, ["a.c", "app.py", "setup.py"]);
}

#[test]
fn own_commands_need_the_project_installed() {
    let pyproject = "[project]\nname='x'\nversion='1'\ndependencies=['flask']\nscripts={serve='x:main'}\n[build-system]\nrequires=['hatchling']\nbuild-backend='hatchling.build'\n";
    let files =
        [("x/__init__.py", "def main():\n    pass\n"), ("pyproject.toml", pyproject), ("Procfile", "web: serve --port $PORT")];
    let plan = plan_of(&files);
    assert!(requirements(&plan).contains(&"-e /app"));
    let without = [("app.py", FLASK), ("pyproject.toml", pyproject)];
    assert!(!requirements(&plan_of(&without)).contains(&"-e /app"));
}

const PYPROJECT: &str = "[project]\nname='x'\nversion='1'\nrequires-python='>=3.10'\ndependencies=['flask']\n";
const UV: &str = "version = 1\n[[package]]\nname='x'\nversion='1'\nsource={virtual='.'}\ndependencies=[{name='flask'}]\n[package.metadata]\nrequires-dist=[{name='flask'}]\n\
    [[package]]\nname='flask'\nversion='3.0.0'\nsource={registry='https://i.example/simple'}\ndependencies=[{name='click'},{name='colorama', marker=\"sys_platform == 'win32'\"}]\nsdist={url='u', hash='sha256:aa', size=1}\nwheels=[{url='u', hash='sha256:bb', size=1}]\n\
    [[package]]\nname='click'\nversion='8.1'\nsource={registry='r'}\n[[package]]\nname='colorama'\nversion='0.4'\nsource={registry='r'}\n[[package]]\nname='pytest'\nversion='8'\nsource={registry='r'}\n";
const POETRY: &str = "[[package]]\nname='flask'\nversion='2.3'\noptional=false\npython-versions='>=3.8'\nfiles=[{file='f', hash='sha256:cc'}]\n[package.dependencies]\nclick='>=8'\nimportlib-metadata={version='>=3.6', markers=\"python_version < '3.10'\"}\nasgiref={version='*', optional=true}\n[package.extras]\nasync=['asgiref (>=3.2)']\n\
    [[package]]\nname='click'\nversion='8.1'\n[[package]]\nname='importlib-metadata'\nversion='6'\n[[package]]\nname='asgiref'\nversion='3'\n[[package]]\nname='pytest'\nversion='7'\n[metadata]\ncontent-hash='x'\n";
const PIPFILE: &str = "[packages]\nflask='*'\n[requires]\npython_version='3.9'\n";
const PIPLOCK: &str = r#"{"_meta":{}, "default":{"flask":{"version":"==2.0","hashes":["sha256:dd"],"markers":"python_version >= '3'"},"w":{"version":"==1","markers":"sys_platform == 'win32'"}},"develop":{"pytest":{"version":"==7"}}}"#;
const PDM: &str = "[[package]]\nname='flask'\nversion='2'\ngroups=['default']\ndependencies=['click>=8', 'typing; python_version < \"3.8\"']\nfiles=[{file='f', hash='sha256:ee'}]\n[[package]]\nname='click'\nversion='8'\n";

#[test]
fn locks() {
    let uv = plan_of(&[("app.py", FLASK), ("pyproject.toml", PYPROJECT), ("uv.lock", UV)]);
    assert_eq!(requirements(&uv), ["click==8.1", "flask==3.0.0 --hash=sha256:aa --hash=sha256:bb"]);
    assert!(install_args(&uv).contains("--no-deps"));
    assert_eq!(generated(&uv, "added.txt"), "gunicorn\nsetuptools<81\n");
    assert_eq!(generated(&uv, "pinned.txt"), "click==8.1\nflask==3.0.0\n");

    let poetry = |dependency: &str| {
        let pyproject = format!("[tool.poetry]\nname='x'\n[tool.poetry.dependencies]\npython='^3.8'\n{dependency}\n");
        let plan = plan_of(&[("app.py", FLASK), ("pyproject.toml", &pyproject), ("poetry.lock", POETRY)]);
        requirements(&plan).join("|")
    };
    assert_eq!(poetry("flask='^2.0'"), "click==8.1|flask==2.3 --hash=sha256:cc");
    assert_eq!(poetry("flask={version='^2.0', extras=['async']}"), "asgiref==3|click==8.1|flask==2.3 --hash=sha256:cc");

    let locked = plan_of(&[("app.py", FLASK), ("Pipfile", PIPFILE), ("Pipfile.lock", PIPLOCK)]);
    assert_eq!(requirements(&locked), ["flask==2.0 --hash=sha256:dd"]);
    assert_eq!(locked.python.version, PyVersion::new(3, 9));
    let unlocked = plan_of(&[("app.py", FLASK), ("Pipfile", PIPFILE)]);
    assert_eq!(requirements(&unlocked)[..2], ["flask", "gunicorn"]);

    let pdm = plan_of(&[("app.py", FLASK), ("pyproject.toml", PYPROJECT), ("pdm.lock", PDM)]);
    assert_eq!(requirements(&pdm), ["click==8", "flask==2 --hash=sha256:ee"]);
}

#[test]
fn the_version_of_python() {
    let version = |files: &[(&str, &str)]| {
        let mut all = files.to_vec();
        all.extend([("app.py", FLASK), ("requirements.txt", "flask")]);
        let plan = plan_of(&all);
        format!("{} {}", plan.python.version, plan.python.why)
    };
    assert_eq!(version(&[]), "3.11 the default");
    assert_eq!(version(&[(".python-version", "3.13\n")]), "3.13 from .python-version");
    assert_eq!(version(&[("runtime.txt", "python-3.9.7\n")]), "3.9 from runtime.txt");
    assert_eq!(
        version(&[("runtime.txt", "python-3.9.7\n"), (".python-version", "# ours\n3.13.1\n")]),
        "3.13 from .python-version"
    );
    assert_eq!(version(&[(".tool-versions", "nodejs 20\npython 3.9.1\n")]), "3.9 from .tool-versions");
    assert_eq!(version(&[(".python-version", "my-venv\n")]), "3.11 the default");
    assert_eq!(
        version(&[("pyproject.toml", "[project]\nname='x'\nversion='1'\nrequires-python='<3.11'\n")]),
        "3.9 requires-python in pyproject.toml says <3.11"
    );
    let request = PlanRequest { python_version: Some("3.13".to_owned()), ..PlanRequest::default() };
    let set = plan_with(&[("app.py", FLASK), ("requirements.txt", "flask"), (".python-version", "3.9")], &request);
    assert_eq!(set.python.version, PyVersion::new(3, 13));
    assert!(!requirements(&set).contains(&"setuptools<81"));
    // Pins that neither build nor have wheels for the default.
    let old = plan_of(&[("app.py", FLASK), ("requirements.txt", "flask\nnumpy==1.19.5\n")]);
    assert_eq!(old.python.version, PyVersion::new(3, 9));
    assert!(requirements(&old).contains(&"numpy==1.19.5"));
    // Where no older one is to be had, the nearest releases that suit; unless the app names its Python itself.
    let newer = Available { pythons: vec![PyVersion::new(3, 11), PyVersion::new(3, 13)] };
    let planned = |more: (&str, &str)| {
        let files = tree(&[("app.py", FLASK), ("requirements.txt", "flask\nnumpy==1.19.5\n"), more]);
        plan(&files, &PlanRequest::default(), &newer).unwrap()
    };
    let lifted = planned(("README", ""));
    assert!(
        requirements(&lifted).contains(&"numpy>=1.23.5,<2") && lifted.notes.iter().any(|note| note.contains("numpy==1.19.5"))
    );
    assert!(requirements(&planned(("runtime.txt", "python-3.11.2"))).contains(&"numpy==1.19.5"));
}

#[test]
fn apps_that_list_nothing() {
    let plan = plan_of(&[
        ("app.py", "import os\nfrom flask import Flask\nimport helper\nimport obscure_thing\nimport yaml\napp = Flask(__name__)"),
        ("helper.py", ""),
    ]);
    assert_eq!(requirements(&plan)[..3], ["flask", "pyyaml", "gunicorn"]);
    assert!(plan.notes.iter().any(|note| note.contains("obscure_thing")));
    let bare = plan_of(&[("main.py", "from http.server import HTTPServer\nHTTPServer(('', 1), None)")]);
    assert_eq!(bare.start.added_server, None);
    assert_eq!(bare.dependencies.steps.len(), 2);
}

#[test]
fn conda_and_aptfile() {
    let conda = "name: x\nchannels:\n  - defaults\ndependencies:\n  - python=3.9\n  - flask=2.0\n  - conda-forge::numpy\n  - libpq\n  - pip:\n    - gunicorn==20.1.0\n";
    let plan = plan_of(&[("app.py", FLASK), ("environment.yml", conda), ("Aptfile", "libpq5\n")]);
    assert_eq!(requirements(&plan)[..3], ["flask==2.0", "numpy", "gunicorn==20.1.0"]);
    assert_eq!(plan.python.version, PyVersion::new(3, 9));
    assert_eq!(plan.system.run[0].as_str(), "libpq5");
}

#[test]
fn modules_are_found_from_everywhere_unless_they_hide_pythons_own() {
    let plain = plan_of(&[("app.py", FLASK), ("requirements.txt", "flask"), ("src/lib/x.py", "")]);
    assert_eq!(plain.env["PYTHONPATH"], "/app:/app/src");
    let hiding = plan_of(&[("app.py", FLASK), ("requirements.txt", "flask"), ("types.py", "")]);
    assert_eq!(hiding.env.get("PYTHONPATH"), None);
}

#[test]
fn old_pins_keep_their_companions() {
    let old = plan_of(&[("app.py", FLASK), ("requirements.txt", "flask==1.1.2\nwerkzeug==1.0.1\n")]);
    let bounds: Vec<&str> = generated(&old, "constraints.txt").lines().collect();
    assert_eq!(bounds, ["itsdangerous<2.1", "jinja2<3.1", "markupsafe<2.1", "setuptools<81"]);
    assert!(old.notes.iter().any(|note| note.contains("flask==1.1.2") && note.contains("jinja2<3.1")), "{:?}", old.notes);
    let project = plan_of(&[
        ("app.py", FLASK),
        ("pyproject.toml", "[tool.poetry]\nname='x'\nversion='1'\n[tool.poetry.dependencies]\npython='^3.8'\nflask='^1.1'\n"),
    ]);
    assert!(generated(&project, "constraints.txt").contains("jinja2<3.1"));
    let strict = plan_of(&[("app.py", FLASK), ("requirements.txt", "--require-hashes\nflask==1.1.2 --hash=sha256:aa\n")]);
    assert!(!generated(&strict, "constraints.txt").contains("jinja2"));
}

#[test]
fn libraries_are_named_as_their_release_names_them() {
    let old = plan_of(&[("app.py", FLASK), (".python-version", "3.9"), ("requirements.txt", "flask\npillow==8.3.1\n")]);
    let names: Vec<&str> = old.system.run.iter().map(DebianPackage::as_str).collect();
    assert!(names.contains(&"libwebp6") && names.contains(&"libtiff5") && !names.contains(&"libwebp7"), "{names:?}");
}

#[test]
fn builds_get_the_setuptools_they_were_made_with() {
    let build = |text: &str| {
        let plan = plan_of(&[("app.py", FLASK), (".python-version", "3.11"), ("requirements.txt", text)]);
        generated(&plan, "build-constraints.txt").to_owned()
    };
    assert_eq!(build("flask\n"), "setuptools<81\n");
    assert_eq!(build("flask\njsmin==2.2.1\n"), "setuptools<58\n");
    assert_eq!(build("flask\njsmin\n"), "setuptools<81\n");
    assert_eq!(build("flask\npsycopg[c]\n"), "");
}

#[test]
fn a_version_that_is_only_preferred_has_a_successor() {
    let python = |version: &str| {
        let pipfile = format!("[packages]\nflask = \"*\"\n[requires]\npython_version = \"{version}\"\n");
        plan_of(&[("app.py", FLASK), ("Pipfile", &pipfile)]).python.version
    };
    assert_eq!(python("3.8"), PyVersion::new(3, 9));
    assert_eq!(python("3.11"), PyVersion::new(3, 11));
    assert_eq!(python("3.12"), PyVersion::new(3, 13));
}

#[test]
fn a_project_in_a_directory_of_its_packages_name_is_found() {
    let plan = plan_of(&[
        ("app.py", FLASK),
        ("requirements.txt", "flask\n-e ./helper\n"),
        ("helper/setup.py", "from setuptools import setup\nsetup(name='helper')\n"),
        ("helper/helper/__init__.py", ""),
    ]);
    assert_eq!(plan.env["PYTHONPATH"], "/app:/app/helper");
}

fn without_old_pythons() -> Available {
    Available { pythons: vec![PyVersion::new(3, 11), PyVersion::new(3, 13)] }
}

#[test]
fn pins_of_older_pythons_get_their_names_back() {
    let plan_of = |files: &[(&str, &str)]| plan(&tree(files), &PlanRequest::default(), &without_old_pythons()).unwrap();
    let old = plan_of(&[("app.py", FLASK), ("requirements.txt", "flask==1.0.2\ndjango==1.11.29\n")]);
    let two: Vec<&str> =
        old.dependencies.generated.iter().map(|file| file.name.as_str()).filter(|n| n.contains("older")).collect();
    assert_eq!(two, ["adaptable_older.py", "adaptable_older.pth"]);
    assert!(generated(&old, "adaptable_older.py").contains("getargspec"));
    let new = plan_of(&[("app.py", FLASK), ("requirements.txt", "flask==3.0.0\n")]);
    assert!(!new.dependencies.generated.iter().any(|file| file.name.contains("older")));
}

#[test]
fn pins_of_condas_builds_that_the_index_lacks_get_stand_ins() {
    let conda = "name: x\ndependencies:\n- python=3.7.6\n- numpy=1.18.1=py37h7241aed_0\n- pip:\n  - flask==1.1.2\n";
    let files = tree(&[("app.py", FLASK), ("environment.yml", conda)]);
    let plan = plan(&files, &PlanRequest::default(), &without_old_pythons()).unwrap();
    assert!(requirements(&plan).contains(&"numpy>=1.23.5,<2"), "{:?}", requirements(&plan));
}

#[test]
fn locks_for_pythons_that_cannot_be_had_get_stand_ins() {
    let pin = |name: &str, version: &str| format!("\"{name}\": {{\"version\": \"=={version}\", \"hashes\": [\"sha256:aa\"]}}");
    let lock = format!(
        "{{\"_meta\": {{\"hash\": {{\"sha256\": \"x\"}}}}, \"default\": {{{}, {}}}, \"develop\": {{}}}}",
        pin("flask", "1.0.3"),
        pin("numpy", "1.16.4")
    );
    let files = [("app.py", FLASK), ("Pipfile.lock", lock.as_str())];
    let old = plan(&tree(&files), &PlanRequest::default(), &without_old_pythons()).unwrap();
    assert!(requirements(&old).contains(&"numpy>=1.23.5,<2"), "{:?}", requirements(&old));
    assert!(!requirements(&old).iter().any(|line| line.contains("--hash")), "{:?}", requirements(&old));
    assert!(!old.dependencies.steps.iter().any(|step| step.args.contains(&"--no-deps".to_owned())));
}

#[test]
fn a_range_that_begins_with_a_release_for_newer_pythons_takes_one() {
    let files = tree(&[("app.py", FLASK), ("requirements.txt", "flask\nDjango>=6.1,<6.2\n")]);
    assert_eq!(plan(&files, &PlanRequest::default(), &without_old_pythons()).unwrap().python.version, PyVersion::new(3, 13));
}
