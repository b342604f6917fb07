//! A platform for pushes: hyper in front of the remote, and a deployer that does what the commit says.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use model::AppName;
use source::git::{Progress, Push, Pushes, Remote};
use source::{Limits, TreePath};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// What a deployment left.
#[derive(Clone, Debug)]
pub(crate) struct Deployed {
    pub(crate) subject: String,
    pub(crate) branch: String,
    pub(crate) id: String,
    pub(crate) names: Vec<String>,
    pub(crate) app_py: String,
}

/// Deploys by taking the tree; `fail`, `slow` and `chatty` in a commit's subject say what happens then.
pub(crate) struct Deployer {
    directory: PathBuf,
    pub(crate) limits: Mutex<Limits>,
    pub(crate) deployed: Mutex<Vec<Deployed>>,
    pub(crate) running: AtomicUsize,
    pub(crate) most_at_once: AtomicUsize,
}

#[async_trait]
impl Pushes for Deployer {
    async fn deploy(&self, push: Push, progress: Progress) -> Result<(), String> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(running, Ordering::SeqCst);
        let result = self.attempt(push, &progress).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        result
    }
}

impl Deployer {
    async fn attempt(&self, push: Push, progress: &Progress) -> Result<(), String> {
        progress.line(format!("deploying {} of {}", push.commit.subject, push.app));
        let dest = self.directory.join(format!("{}.tar", push.commit.id));
        let limits = *self.limits.lock().unwrap();
        let received = push.tree.receive(limits, &dest, progress).await.map_err(|error| error.to_string())?;
        if push.commit.subject.contains("slow") {
            tokio::time::sleep(Duration::from_millis(1500)).await;
        }
        if push.commit.subject.contains("chatty") {
            for n in 0..20_000 {
                progress.line(format!("line {n} {}", "x".repeat(80)));
            }
        }
        if push.commit.subject.contains("keeps") {
            // A task that follows a log may outlive what it follows.
            let kept = progress.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_hours(1)).await;
                drop(kept);
            });
        }
        if push.commit.subject.contains("fail") {
            progress.line("Traceback\n  \x1b[31mSyntaxError\x1b[0m");
            return Err("the build failed".to_owned());
        }
        let app_py = received.tree.read(&TreePath::parse("app.py").unwrap(), 1000).unwrap_or_default();
        let deployed = Deployed {
            subject: push.commit.subject,
            branch: push.commit.branch,
            id: push.commit.id,
            names: received.tree.entries().map(|entry| entry.path.to_string()).collect(),
            app_py: String::from_utf8(app_py).unwrap(),
        };
        self.deployed.lock().unwrap().push(deployed);
        progress.line("live at https://shop.localhost:8443");
        Ok(())
    }
}

/// The whole of it; gone when dropped.
pub(crate) struct Platform {
    pub(crate) directory: TempDir,
    pub(crate) deployer: Arc<Deployer>,
    pub(crate) remote: Remote,
    pub(crate) address: std::net::SocketAddr,
    runtime: tokio::runtime::Runtime,
}

impl Platform {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let remote = Remote::open(&directory.path().join("git")).unwrap();
        let deployer = Arc::new(Deployer {
            directory: directory.path().to_owned(),
            limits: Mutex::default(),
            deployed: Mutex::default(),
            running: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
        });
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(accept(listener, remote.clone(), Arc::clone(&deployer)));
        Self { directory, deployer, remote, address, runtime }
    }

    pub(crate) fn url(&self, app: &str) -> String {
        format!("http://{}/git/{app}.git", self.address)
    }

    pub(crate) fn deployed(&self) -> Vec<Deployed> {
        self.deployer.deployed.lock().unwrap().clone()
    }

    pub(crate) fn last(&self) -> Deployed {
        self.deployed().pop().expect("nothing was deployed")
    }

    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The refs the platform has, by its own files.
    pub(crate) fn refs(&self, app: &str) -> String {
        let repository = self.directory.path().join(format!("git/{app}.git"));
        let output = Command::new("git")
            .arg("--git-dir")
            .arg(repository)
            .arg("for-each-ref")
            .arg("--format=%(refname) %(objectname)")
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

async fn accept(listener: TcpListener, remote: Remote, deployer: Arc<Deployer>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (remote, deployer) = (remote.clone(), Arc::clone(&deployer));
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (remote, deployer) = (remote.clone(), Arc::clone(&deployer));
            async move {
                let path = request.uri().path().strip_prefix("/git/").unwrap().to_owned();
                let (app, rest) = path.split_once(".git/").unwrap();
                let app = AppName::parse(app).unwrap();
                Ok::<_, Infallible>(remote.serve(&app, rest, request, deployer).await)
            }
        });
        tokio::spawn(async move {
            auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

/// Somebody's working copy.
pub(crate) struct Copy {
    pub(crate) directory: TempDir,
}

impl Copy {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let copy = Self { directory };
        copy.git(&["init", "-q", "-b", "main"]);
        copy
    }

    /// With a first commit.
    pub(crate) fn with_app() -> Self {
        let copy = Self::new();
        copy.commit("hello", &[("app.py", "print('hello')")]);
        copy
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn commit(&self, subject: &str, files: &[(&str, &str)]) {
        for (name, contents) in files {
            let path = self.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, contents).unwrap();
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", subject]);
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.path())
            .env("GIT_CONFIG_NOSYSTEM", "1");
        command.args(["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always"]);
        command.arg("-C").arg(self.path()).args(arguments);
        command
    }

    pub(crate) fn try_git(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = self.try_git(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// git's answer to input; for objects no git would make.
    pub(crate) fn git_with(&self, arguments: &[&str], input: &[u8]) -> String {
        use std::io::Write;
        use std::process::Stdio;
        let mut child = self.command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Pushes; whether it succeeded, and what was shown.
    pub(crate) fn push(&self, platform: &Platform, arguments: &[&str]) -> (bool, String) {
        let url = platform.url("shop");
        let mut all = vec!["push", "--no-progress", &url];
        all.extend(arguments);
        let output = self.try_git(&all);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    #[track_caller]
    pub(crate) fn pushes(&self, platform: &Platform, arguments: &[&str]) -> String {
        let (success, text) = self.push(platform, arguments);
        assert!(success, "{text}");
        text
    }

    #[track_caller]
    pub(crate) fn is_refused(&self, platform: &Platform, arguments: &[&str]) -> String {
        let before = platform.refs("shop");
        let deployed = platform.deployed().len();
        let (success, text) = self.push(platform, arguments);
        assert!(!success, "{text}");
        assert_eq!(platform.refs("shop"), before, "a refused push changes nothing");
        assert_eq!(platform.deployed().len(), deployed, "a refused push deploys nothing");
        text
    }
}
