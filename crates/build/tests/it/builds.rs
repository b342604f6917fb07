//! Whole builds: from a plan to an image, and again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Seek as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use build::plan::{Command, Dependencies, Origin, Plan, PyVersion, PythonChoice, Start, Step, SystemPackages, Template};
use build::run::{BuildError, BuildLog, BuildRequest, Builder, Built};
use build::stack::Stacks;
use build::tree::{MemoryTree, SourceTree as _};
use engine::{ContainerId, ContainerSpec, Engine, LayerRef, Limits, Profile, Upper};
use image::{Digest, ImageRef};
use tokio::io::AsyncReadExt as _;

use crate::machine;

#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Log {
    fn has(&self, text: &str) -> bool {
        self.0.lock().unwrap().iter().any(|line| line.contains(text))
    }
}

impl BuildLog for Log {
    fn activity(&self, name: &str) {
        println!("== {name}");
        self.0.lock().unwrap().push(format!("== {name}"));
    }

    fn line(&self, line: &str) {
        println!("   {line}");
        self.0.lock().unwrap().push(line.to_owned());
    }
}

/// A builder over the real engine.
pub(crate) struct Bench {
    pub data: PathBuf,
    pub engine: Arc<dyn Engine>,
    builder: Builder,
}

impl Bench {
    pub(crate) fn new(data: &Path, engine: Arc<dyn Engine>) -> Self {
        let stacks = Stacks::new(&machine::stack_dir());
        let builder = Builder::open(data, Arc::clone(&engine), stacks, machine::host()).unwrap();
        Self { data: data.to_owned(), engine, builder }
    }

    async fn build(&self, plan: &Plan, tree: &MemoryTree, name: &str, log: &Log) -> Result<Built, BuildError> {
        let source = tar_of(tree);
        let digest = Digest::of(&std::io::read_to_string(&source).unwrap().into_bytes()).hex();
        let mut source = source;
        source.rewind().unwrap();
        let name = ImageRef::parse(name).unwrap();
        let build_env = BTreeMap::new();
        let request = BuildRequest {
            app: "shop",
            slot: 0,
            plan,
            tree,
            source,
            source_digest: &digest,
            build_env: &build_env,
            name: &name,
            labels: BTreeMap::new(),
        };
        let begun = Instant::now();
        let built = self.builder.build(&request, log).await;
        println!("-- {name} in {:?}", begun.elapsed());
        built
    }

    /// The layers' directories, whole or not.
    fn names(&self) -> Vec<String> {
        let entries = self.data.join("layers").read_dir().unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with('.')).collect()
    }

    /// What a program prints that runs as an app over an image's layers.
    async fn run_over(&self, built: &Built, args: &[&str]) -> String {
        let spec = ContainerSpec {
            id: ContainerId::parse(&format!("try-{}", rand::random::<u32>())).unwrap(),
            slot: 3,
            layers: built.layers.clone(),
            upper: Upper::Memory { bytes: 64 << 20 },
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            env: built.env.clone(),
            cwd: "/app".to_owned(),
            hostname: "try".to_owned(),
            profile: Profile::App,
            limits: Limits { memory_bytes: 256 << 20, cpu_millis: 1000, cpu_weight: 100, pids: 64 },
            mounts: Vec::new(),
            stdin: false,
        };
        let mut container = self.engine.create(spec).await.unwrap();
        let (mut out, mut err) = container.take_output().unwrap();
        let (mut text, mut errors) = (String::new(), String::new());
        let (first, second) = tokio::join!(out.read_to_string(&mut text), err.read_to_string(&mut errors));
        first.and(second).unwrap();
        container.exited().await;
        println!("{args:?}: {text}{errors}");
        text + &errors
    }
}

fn tar_of(tree: &MemoryTree) -> File {
    let mut builder = tar::Builder::new(tempfile::tempfile().unwrap());
    for entry in tree.entries() {
        let bytes = tree.read(&entry.path, u64::MAX).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, &entry.path, bytes.as_slice()).unwrap();
    }
    let mut file = builder.into_inner().unwrap();
    file.rewind().unwrap();
    file
}

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
