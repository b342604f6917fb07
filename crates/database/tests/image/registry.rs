//! A registry of Debian's (docker-registry) that asks for a name and a password.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::made::{Made, run};

/// A registry that ends with its owner.
pub(crate) struct Registry {
    _dir: tempfile::TempDir,
    port: u16,
    process: Child,
    user: String,
}

impl Registry {
    pub(crate) fn start(user: &str, password: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("adaptable-registry").tempdir_in("/var/tmp").expect("a directory");
        let root = dir.path().display();
        fs::write(dir.path().join("htpasswd"), run("htpasswd", &["-nbB", "-C", "5", user, password])).expect("written");
        // Somebody else may take a free port first.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
            let config = format!(
                "version: 0.1\nlog: {{level: warn}}\nstorage:\n  filesystem: {{rootdirectory: {root}/store}}\nhttp:\n  addr: 127.0.0.1:{port}\nauth:\n  htpasswd: {{realm: tests, path: {root}/htpasswd}}\n"
            );
            fs::write(dir.path().join("config.yml"), config).expect("written");
            let mut process = Command::new("docker-registry")
                .arg("serve")
                .arg(dir.path().join("config.yml"))
                .stdout(Stdio::null())
                .stderr(fs::File::create(dir.path().join("log")).expect("a log"))
                .spawn()
                .expect("docker-registry is installed (scripts/setup.sh)");
            let until = Instant::now() + Duration::from_secs(30);
            while process.try_wait().expect("asked").is_none() && Instant::now() < until {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self { _dir: dir, port, process, user: format!("{user}:{password}") };
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ended = process.kill();
            let _status = process.wait();
        }
        panic!("no registry comes up: {}", fs::read_to_string(dir.path().join("log")).unwrap_or_default());
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn push(&self, image: &Made, name: &str) {
        let (from, to) = (format!("oci:{}", image.path()), format!("docker://{}/{name}", self.host()));
        let options = ["copy", "--insecure-policy", "--quiet", "--dest-tls-verify=false", "--dest-creds", &self.user];
        run("skopeo", &[&options[..], &[&from, &to]].concat());
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}
