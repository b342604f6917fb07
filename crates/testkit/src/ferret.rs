//! A server that speaks MongoDB's protocol, on a host of its own as seen from this machine: FerretDB in a network namespace.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where `scripts/ferretdb.sh` puts it.
const PROGRAM: &str = "/var/cache/adaptable/test/ferretdb-1.24.2-1";
const PORT: u16 = 27017;
/// Networks of four addresses in 198.18.0.0/15, which is for tests (RFC 2544).
const NETWORKS: u32 = 32_768;
/// The administrator's name and password; the password has characters that must be encoded in an address.
const ADMIN: (&str, &str) = ("root", "p@ss:w/rd");

/// Servers that this process has started.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A running FerretDB; it ends, with its network, when this is dropped.
#[derive(Debug)]
pub struct Ferret {
    child: Child,
    namespace: String,
    address: Ipv4Addr,
    _data: tempfile::TempDir,
}

impl Ferret {
    /// Starts one, with authentication; needs root. `None`, with a line that says so, where it has not been built: without Go.
    #[expect(clippy::print_stdout, reason = "whoever reads the tests' output must see that some were left out")]
    pub fn start() -> Option<Self> {
        let program = PathBuf::from(std::env::var_os("ADAPTABLE_TEST_FERRETDB").unwrap_or_else(|| PROGRAM.into()));
        if !program.is_file() {
            assert!(std::env::var_os("CI").is_none(), "{} is not there: scripts/ferretdb.sh builds it", program.display());
            println!("left out: {} is not there; scripts/ferretdb.sh builds it, where there is Go", program.display());
            return None;
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let tag = format!("{:x}-{count:x}", std::process::id());
        let first = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + (std::process::id() * 8 + count) % NETWORKS * 4;
        let (here, there) = (Ipv4Addr::from(first + 1), Ipv4Addr::from(first + 2));
        let (namespace, near, far) = (format!("adfdb-{tag}"), format!("adfn{tag}"), format!("adff{tag}"));
        ip(&["netns", "add", &namespace]);
        ip(&["link", "add", &near, "type", "veth", "peer", "name", &far, "netns", &namespace]);
        ip(&["addr", "add", &format!("{here}/30"), "dev", &near]);
        ip(&["link", "set", &near, "up"]);
        ip(&["-n", &namespace, "addr", "add", &format!("{there}/30"), "dev", &far]);
        ip(&["-n", &namespace, "link", "set", &far, "up"]);
        ip(&["-n", &namespace, "link", "set", "lo", "up"]);
        ip(&["-n", &namespace, "route", "add", "default", "via", &here.to_string()]);
        let data = tempfile::tempdir().expect("a directory");
        let child = serve(&program, &namespace, there, data.path());
        let ferret = Self { child, namespace, address: there, _data: data };
        ferret.wait();
        Some(ferret)
    }

    fn wait(&self) {
        let begun = Instant::now();
        let address = SocketAddr::from((self.address, PORT));
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            assert!(begun.elapsed() < Duration::from_mins(1), "FerretDB does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its address, for the setting `mongodb`.
    pub fn url(&self) -> String {
        format!("mongodb://{}:p%40ss%3Aw%2Frd@{}:{PORT}/", ADMIN.0, self.address)
    }
}

fn serve(program: &Path, namespace: &str, address: Ipv4Addr, data: &Path) -> Child {
    let flag = |name: &str, value: String| format!("--{name}={value}");
    // It ends with the test, however that ends.
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "ip", "netns", "exec", namespace])
        .arg(program)
        .args(["--handler=sqlite", "--telemetry=disable", "--debug-addr=-", "--log-level=error", "--test-enable-new-auth"])
        .arg(flag("sqlite-url", format!("file:{}/", data.display())))
        .arg(flag("state-dir", data.display().to_string()))
        .arg(flag("listen-addr", format!("{address}:{PORT}")))
        .args([flag("setup-database", "admin".to_owned()), flag("setup-username", ADMIN.0.to_owned())])
        .arg(flag("setup-password", ADMIN.1.to_owned()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("setpriv, of util-linux")
}

fn ip(arguments: &[&str]) {
    let done = Command::new("ip").args(arguments).output().expect("ip, of iproute2");
    assert!(done.status.success(), "ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&done.stderr));
}

impl Drop for Ferret {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _waited = self.child.wait();
        let _deleted = Command::new("ip").args(["netns", "del", &self.namespace]).output();
    }
}
