//! Whole builds: from a plan to an image, and again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use build::plan::{Command, Dependencies, Origin, Plan, PyVersion, PythonChoice, Start, Step, SystemPackages, Template};
use build::run::{BuildError, BuildLimits};
use build::tree::MemoryTree;
use engine::LayerRef;

use crate::bench::{Bench, Log, SECRET};

fn step(name: &str, args: &[&str]) -> Step {
    Step { name: name.to_owned(), args: args.iter().map(|&arg| arg.to_owned()).collect(), env: BTreeMap::new(), fatal: true }
}

fn flask_plan() -> Plan {
    let python = "/opt/venv/bin/python";
    Plan {
        template: Template::Flask,
        python: PythonChoice { version: PyVersion::new(3, 11), why: "the default".to_owned() },
        system: SystemPackages::default(),
        dependencies: Dependencies {
            key_files: vec!["requirements.txt".to_owned()],
            steps: vec![
                step("make a virtual environment", &["uv", "venv", "--python", "/usr/bin/python3.11", "/opt/venv"]),
                step(
                    "install dependencies",
                    &["uv", "pip", "install", "--python", python, "--compile-bytecode", "-r", "requirements.txt"],
                ),
            ],
            ..Dependencies::default()
        },
        finish: Vec::new(),
        start: Start {
            command: Command { line: "gunicorn myapp:app".to_owned(), args: vec!["gunicorn".to_owned(), "myapp:app".to_owned()] },
            origin: Origin::Inferred,
            why: String::new(),
            added_server: None,
        },
        release: None,
        env: BTreeMap::new(),
        notes: Vec::new(),
    }
}

fn flask_tree(text: &str) -> MemoryTree {
    let app = format!("from flask import Flask\napp = Flask(__name__)\n@app.get('/')\ndef hello():\n    return '{text}'\n");
    MemoryTree::from_iter([("myapp.py", app.as_str()), ("requirements.txt", "flask\ngunicorn\n")])
}

pub(crate) async fn a_changed_line_installs_nothing_again(bench: &Bench) {
    let plan = flask_plan();
    let (first_log, second_log) = (Log::default(), Log::default());
    let first = bench.build(&plan, &flask_tree("one"), "shop:1", &first_log).await.unwrap();
    let second = bench.build(&plan, &flask_tree("two"), "shop:2", &second_log).await.unwrap();
    assert!(first_log.has("== install dependencies") && first_log.has("flask"));
    assert!(!first.dependencies_cached && second.dependencies_cached);
    assert!(second_log.0.lock().unwrap().is_empty(), "nothing ran: {:?}", second_log.0);
    assert_eq!(first.layers[..2], second.layers[..2]);
    assert_ne!(first.layers[2], second.layers[2]);
    assert_eq!(first.layers.len(), 3);
    assert!(bench.run_over(&first, &["python", "-c", "import myapp; print(myapp.hello())"]).await.contains("one"));
    assert!(bench.run_over(&second, &["python", "-c", "import myapp; print(myapp.hello())"]).await.contains("two"));
    // Only the virtual environment is in the dependencies' layer.
    let LayerRef::Layer(dependencies) = &second.layers[1] else { panic!("a layer") };
    let root = bench.data.join("layers").join(dependencies.as_str()).join("fs");
    let names = |dir: &Path| -> Vec<_> { dir.read_dir().unwrap().map(|e| e.unwrap().file_name()).collect() };
    assert_eq!(names(&root), ["opt"]);
    assert_eq!(names(&root.join("opt")), ["venv"]);
    assert_eq!(bench.builder.layout().images().unwrap().len(), 2);
}

pub(crate) async fn a_failed_installation_says_so_and_leaves_nothing(bench: &Bench) {
    let tree = MemoryTree::from_iter([("requirements.txt", "flask==99.99\n")]);
    let log = Log::default();
    let error = bench.build(&flask_plan(), &tree, "shop:1", &log).await.unwrap_err();
    assert_eq!(error.to_string(), "install dependencies failed: exit code 1");
    assert!(error.is_users());
    let BuildError::Step { tail, .. } = error else { panic!("{error}") };
    assert!(tail.iter().any(|line| line.contains("99.99")), "{tail:?}");
    assert_eq!(bench.builder.layout().images().unwrap(), []);
    // The source's layer is whole; nothing refers to it, so collection takes it.
    for _ in 0..100 {
        if bench.names().iter().all(|name| name.starts_with("src-")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(bench.names().len(), 1, "{:?}", bench.names());
    bench.builder.collection().keep(BTreeSet::new()).await.unwrap();
    assert!(bench.names().is_empty(), "{:?}", bench.names());
}

pub(crate) async fn packages_become_layers_and_are_found_again(bench: &Bench) {
    let mut plan = flask_plan();
    plan.dependencies = Dependencies::default();
    // libpq5 is in the stack: no job for it.
    plan.system.run = vec!["libpq5".to_owned().try_into().unwrap(), "figlet".to_owned().try_into().unwrap()];
    let (first_log, second_log) = (Log::default(), Log::default());
    let first = bench.build(&plan, &flask_tree("one"), "shop:1", &first_log).await.unwrap();
    assert!(first_log.has("== install figlet"));
    assert!(bench.run_over(&first, &["figlet", "-I", "2"]).await.contains("figlet"));
    let second = bench.build(&plan, &flask_tree("two"), "shop:2", &second_log).await.unwrap();
    assert!(!second_log.has("install"), "{:?}", second_log.0);
    assert_eq!(first.layers[1], second.layers[1]);
}

/// The workspace's examples, from the planner's plan to an answer.
pub(crate) async fn the_examples_answer(bench: &Bench) {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    for (number, name) in ["flask", "fastapi", "django"].into_iter().enumerate() {
        let log = Log::default();
        let (_, built) = bench.build_dir(&examples.join(name), &format!("shop:{}", number + 1), &log).await;
        let (text, took) = bench.answer(&built).await;
        println!("{name} answered after {took:?}: {text}");
        assert!(text.starts_with("HTTP/1.") && text.contains(" 200 ") && text.contains("Hello"), "{name}: {text}");
    }
}

/// Every fixture that is no broken one is planned, built, and answers.
pub(crate) async fn the_fixtures_answer(bench: &Bench) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/apps");
    let mut names: Vec<_> = fixtures.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    for (number, name) in names.iter().filter(|name| !refused(name)).enumerate() {
        let log = Log::default();
        let (_, built) = bench.build_dir(&fixtures.join(name), &format!("shop:f{number}"), &log).await;
        let (text, took) = bench.answer(&built).await;
        println!("{name} answered after {took:?}: {}", text.lines().next().unwrap_or_default());
        assert!(text.starts_with("HTTP/1.") && text.contains(" 200 "), "{name}: {text}");
    }
}

/// Fixtures that fail on purpose, or need a base directory to be named.
fn refused(name: &str) -> bool {
    name.starts_with("broken-") || ["monorepo", "no-manifest", "not-python"].contains(&name)
}

/// Other people's tools read the image and find every layer whole.
pub(crate) async fn skopeo_and_umoci_take_the_image(bench: &Bench) {
    let built = bench.build(&flask_plan(), &flask_tree("one"), "shop:1", &Log::default()).await.unwrap();
    let images = bench.data.join("images");
    let target = bench.data.join("elsewhere");
    let copied = std::process::Command::new("skopeo")
        .args([
            "copy",
            "--insecure-policy",
            &format!("oci:{}:shop:1", images.display()),
            &format!("oci:{}:shop", target.display()),
        ])
        .output()
        .unwrap();
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    let bundle = bench.data.join("bundle");
    let unpacked = std::process::Command::new("umoci")
        .args(["unpack", "--image", &format!("{}:shop", target.display())])
        .arg(&bundle)
        .output()
        .unwrap();
    assert!(unpacked.status.success(), "{}", String::from_utf8_lossy(&unpacked.stderr));
    let root = bundle.join("rootfs");
    assert!(root.join("app/myapp.py").is_file() && root.join("opt/venv/bin/gunicorn").is_file());
    let output = std::process::Command::new("chroot")
        .arg(&root)
        .args(["/opt/venv/bin/python", "-c", "import sys; sys.path.insert(0, '/app'); import myapp; print(myapp.hello())"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "one", "{}", String::from_utf8_lossy(&output.stderr));
    let manifest = bench.builder.layout().manifest(&built.image).unwrap();
    assert_eq!(manifest.layers.len(), built.layers.len());
}

/// A dropped build kills its job with all its processes, and deletes what it made.
pub(crate) async fn a_cancelled_build_ends_with_all_its_processes(bench: &Bench) {
    let mut plan = flask_plan();
    plan.dependencies.steps = vec![step("sleep", &["sh", "-c", "sleep 4321 & echo begun; sleep 4321"])];
    let log = Log::default();
    let tree = flask_tree("one");
    tokio::select! {
        built = bench.build(&plan, &tree, "shop:1", &log) => panic!("{built:?}"),
        () = until(|| log.has("begun")) => {}
    }
    until(|| !processes().contains("sleep 4321")).await;
    until(|| bench.names().iter().all(|name| name.starts_with("src-"))).await;
}

/// A job that wants too much memory or time is killed, and the error says which.
pub(crate) async fn jobs_are_limited_in_memory_and_time(bench: &Bench) {
    let limits = BuildLimits { memory: 128 << 20, time: Duration::from_secs(5), ..BuildLimits::default() };
    let bench = bench.with(limits);
    let mut plan = flask_plan();
    let eat = "import sys; print('eating', flush=True); x = [bytearray(1 << 20) for _ in range(1000)]";
    plan.dependencies.steps = vec![step("eat", &["/usr/bin/python3.11", "-c", eat])];
    let tree = flask_tree("one");
    let error = bench.build(&plan, &tree, "shop:1", &Log::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "eat failed: it needed more memory than the 128 MiB a build may have");
    plan.dependencies.steps = vec![step("dawdle", &["sleep", "1000"])];
    let begun = Instant::now();
    let error = bench.build(&plan, &tree, "shop:1", &Log::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "dawdle failed: it took longer than the 5 s a build may take");
    assert!(begun.elapsed() < Duration::from_secs(10));
    plan.dependencies.steps = vec![step("leak", &["sh", "-c", "echo it is $TOKEN_FOR_BUILD; env; exit 3"])];
    let log = Log::default();
    let error = bench.build(&plan, &tree, "shop:1", &log).await.unwrap_err();
    assert_eq!(error.to_string(), "leak failed: exit code 3");
    assert!(log.has("it is [hidden]") && !log.has(SECRET));
    assert!(!log.has("ADAPTABLE") && !log.has("CARGO"), "no variable of ours reaches a build");
}

/// A package with a C extension and no wheel is compiled in the build, and its compiler stays there.
pub(crate) async fn c_extensions_are_compiled_with_no_compiler_in_the_image(bench: &Bench) {
    let mut plan = flask_plan();
    plan.dependencies.steps[1].args.extend(["--no-binary", "markupsafe"].map(str::to_owned));
    let tree = MemoryTree::from_iter([("requirements.txt", "markupsafe\n"), ("myapp.py", "")]);
    let built = bench.build(&plan, &tree, "shop:1", &Log::default()).await.unwrap();
    let check = "import markupsafe._speedups, shutil; print(shutil.which('gcc'))";
    assert_eq!(bench.run_over(&built, &["python", "-c", check]).await.trim(), "None");
}

/// Compiled sources and a build command's results are a layer above the source's.
pub(crate) async fn last_steps_leave_their_results_above_the_source(bench: &Bench) {
    let mut plan = flask_plan();
    plan.dependencies = Dependencies::default();
    plan.finish =
        vec![step("collect", &["sh", "-c", "mkdir static && echo made > static/x && rm requirements.txt && touch /var/y"])];
    let source = format!("def hello():\n    return 1\n{}", "# filler\n".repeat(9000));
    let tree = MemoryTree::from_iter([("myapp.py", source.as_str()), ("requirements.txt", ""), ("old.py", "print 'two'\n")]);
    let built = bench.build(&plan, &tree, "shop:1", &Log::default()).await.unwrap();
    assert_eq!(built.layers.len(), 3);
    let text = bench.run_over(&built, &["sh", "-c", "cat static/x; ls . __pycache__; ls /var/y requirements.txt"]).await;
    assert!(text.contains("made") && text.contains("myapp.cpython-311.pyc"), "{text}");
    assert!(text.contains("'requirements.txt': No such file") && text.contains("'/var/y': No such file"), "{text}");
    let again = bench.build(&plan, &tree, "shop:2", &Log::default()).await.unwrap();
    assert_eq!(again.image, built.image, "the same source and plan are the same image");
}

async fn until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The command lines of all processes of this machine.
fn processes() -> String {
    let processes = Path::new("/proc").read_dir().unwrap();
    let lines = processes.filter_map(|process| std::fs::read(process.ok()?.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ") + "\n").collect()
}
