//! A builder over the real engine, and what it built, tried.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use build::plan::{Plan, PlanRequest};
use build::run::{BuildError, BuildLimits, BuildLog, BuildRequest, Builder, Built};
use build::stack::Stacks;
use build::tree::{DirTree, MemoryTree, SourceTree};
use engine::{ContainerId, ContainerSpec, Engine, Limits, Profile, Upper};
use image::{Digest, ImageRef, Layout};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::machine;

/// A value of a variable for builds.
pub(crate) const SECRET: &str = "hunter2-hunter2";

#[derive(Default)]
pub(crate) struct Log(pub Mutex<Vec<String>>);

impl Log {
    pub(crate) fn has(&self, text: &str) -> bool {
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
    pub builder: Builder,
}

impl Bench {
    pub(crate) fn new(data: &Path, engine: Arc<dyn Engine>) -> Self {
        let stacks = Stacks::new(&machine::stack_dir());
        let builder = Builder::open(data, Arc::clone(&engine), stacks, machine::host()).unwrap();
        Self { data: data.to_owned(), engine, builder }
    }

    /// Another builder over the same engine and images, with limits of its own.
    pub(crate) fn with(&self, limits: BuildLimits) -> Self {
        let layout = Arc::new(Layout::open(&self.data.join("limited")).unwrap());
        let stacks = Stacks::new(&machine::stack_dir());
        let builder = Builder::new(Arc::clone(&self.engine), layout, stacks, machine::host(), limits);
        Self { data: self.data.clone(), engine: Arc::clone(&self.engine), builder }
    }

    pub(crate) async fn build(&self, plan: &Plan, tree: &MemoryTree, name: &str, log: &Log) -> Result<Built, BuildError> {
        self.build_from(plan, tree, tar_of(tree), name, log).await
    }

    pub(crate) async fn build_from(
        &self,
        plan: &Plan,
        tree: &(dyn SourceTree + Sync),
        mut source: File,
        name: &str,
        log: &Log,
    ) -> Result<Built, BuildError> {
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes).unwrap();
        source.rewind().unwrap();
        let name = ImageRef::parse(name).unwrap();
        let build_env = BTreeMap::from([("TOKEN_FOR_BUILD".to_owned(), SECRET.to_owned())]);
        let request = BuildRequest {
            app: "shop",
            slot: 3,
            plan,
            tree,
            source,
            source_digest: &Digest::of(&bytes).hex(),
            build_env: &build_env,
            name: &name,
            labels: BTreeMap::new(),
        };
        let begun = Instant::now();
        let built = self.builder.build(&request, log).await;
        println!("-- {name} in {:?}", begun.elapsed());
        built
    }

    /// Plans and builds a directory.
    pub(crate) async fn build_dir(&self, dir: &Path, name: &str, log: &Log) -> (Plan, Built) {
        let tree = DirTree::open(dir).unwrap();
        let available = self.builder.stacks().available().unwrap();
        let plan = build::plan(&tree, &PlanRequest::default(), &available).unwrap();
        println!("{:?}: {}", plan.template, plan.start.command.line);
        let tar = tempfile::tempfile().unwrap();
        let packed =
            std::process::Command::new("tar").arg("-c").arg("-C").arg(dir).arg(".").stdout(tar.try_clone().unwrap()).status();
        assert!(packed.unwrap().success());
        let mut tar = tar;
        tar.rewind().unwrap();
        let built = self.build_from(&plan, &tree, tar, name, log).await.unwrap();
        (plan, built)
    }

    /// The answer of an instance of an image to `GET /`, and how long its start took.
    pub(crate) async fn answer(&self, built: &Built) -> (String, Duration) {
        let begun = Instant::now();
        let mut spec = Self::spec(built, built.start.args.clone());
        spec.env.push(("PORT".to_owned(), "8080".to_owned()));
        let mut container = self.engine.create(spec).await.unwrap();
        let address = std::net::SocketAddr::new(container.address, 8080);
        let mut stream = loop {
            match tokio::net::TcpStream::connect(address).await {
                Ok(stream) => break stream,
                Err(error) => {
                    if begun.elapsed() > Duration::from_secs(20) {
                        self.engine.stop(&container.id, Duration::ZERO).await.unwrap();
                        let (mut out, mut err) = container.take_output().unwrap();
                        let mut text = String::new();
                        out.read_to_string(&mut text).await.unwrap();
                        err.read_to_string(&mut text).await.unwrap();
                        panic!("{error}: {text}");
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        };
        stream.write_all(b"GET / HTTP/1.0\r\nHost: shop\r\n\r\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let took = begun.elapsed();
        self.engine.stop(&container.id, Duration::from_secs(5)).await.unwrap();
        (text, took)
    }

    fn spec(built: &Built, args: Vec<String>) -> ContainerSpec {
        ContainerSpec {
            id: ContainerId::parse(&format!("try-{}", rand::random::<u32>())).unwrap(),
            slot: 3,
            layers: built.layers.clone(),
            upper: Upper::Memory { bytes: 64 << 20 },
            args,
            env: built.env.clone(),
            cwd: "/app".to_owned(),
            hostname: "try".to_owned(),
            profile: Profile::App,
            limits: Limits { memory_bytes: 256 << 20, cpu_millis: 1000, cpu_weight: 100, pids: 64 },
            mounts: Vec::new(),
            stdin: false,
            user: 0,
            links: Vec::new(),
            keeps_address: false,
        }
    }

    /// The layers' directories, whole or not.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = self.data.join("layers").read_dir().unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with('.')).collect()
    }

    /// What a program prints that runs as an app over an image's layers.
    pub(crate) async fn run_over(&self, built: &Built, args: &[&str]) -> String {
        let spec = Self::spec(built, args.iter().map(|&arg| arg.to_owned()).collect());
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
