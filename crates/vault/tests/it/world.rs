//! What the tests need: dumps, a small file system, an S3 server that checks signatures, a wire that is cut.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use model::backup::{Backup, BackupId, BackupKind, BackupState};
use model::{AppName, DatabaseType};
use rand::RngCore;
use vault::{Bucket, Keys, Measure, S3};

/// 2026-11-24T03:15:00Z.
pub(crate) const NOW: i64 = 1_795_490_100_000;
pub(crate) const MB: usize = 1024 * 1024;

pub(crate) fn app(text: &str) -> AppName {
    AppName::parse(text).expect("a name")
}

/// A dump of random bytes, and what is said of it.
pub(crate) fn dump(size: usize) -> (Backup, File) {
    let mut bytes = vec![0; size];
    rand::rng().fill_bytes(&mut bytes);
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&bytes).expect("written");
    let measure = Measure::of(&mut file).expect("measured");
    let backup = Backup {
        id: BackupId::new(NOW, rand::random()),
        app: app("shop"),
        database: DatabaseType::Postgres,
        kind: BackupKind::OnDemand,
        state: BackupState::Made,
        made_at: NOW,
        bytes: measure.bytes,
        sha256: measure.sha256,
        found: None,
        verified_at: None,
        problem: None,
        gone_at: None,
    };
    (backup, file)
}

pub(crate) fn content(file: &mut File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).expect("sought");
    file.read_to_end(&mut bytes).expect("read");
    bytes
}

/// Every file below a directory.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// An S3 server of its own, with one bucket, `backups`.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) root: tempfile::TempDir,
}

pub(crate) const KEY: &str = "AKIATESTS";
pub(crate) const SECRET: &str = "of-the-tests-alone";

impl Server {
    /// With so many bytes of room, where that is said. Its file system is seen by nobody else, and ends with it.
    pub(crate) fn start(room: Option<usize>) -> Self {
        let program = std::env::var("ADAPTABLE_TEST_TOOLS").unwrap_or_else(|_unset| "/var/cache/adaptable/test".to_owned());
        let program = format!("{program}/bin/s3s-fs");
        assert!(Path::new(&program).exists(), "{program} is missing: scripts/setup.sh installs it");
        let root = tempfile::tempdir().expect("a directory");
        // Free now, and hardly taken by another in the moment until the server has it; if it is, the server ends and we try again.
        for _attempt in 0..10 {
            let address = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port");
            let port = address.port().to_string();
            let own = ["--host", "127.0.0.1", "--port", &port, "--access-key", KEY, "--secret-key", SECRET];
            let mut command = match room {
                None => {
                    std::fs::create_dir_all(root.path().join("backups")).expect("a bucket");
                    let mut command = Command::new(&program);
                    command.args(own).arg(root.path());
                    command
                }
                Some(bytes) => {
                    let mut command = Command::new("unshare");
                    let script = "mount -t tmpfs -o size=\"$1\" none \"$2\" && mkdir \"$2/backups\" && root=\"$2\" && shift 2 && exec \"$@\" \"$root\"";
                    command
                        .args(["--mount", "sh", "-c", script, "sh", &bytes.to_string()])
                        .arg(root.path())
                        .arg(&program)
                        .args(own);
                    command
                }
            };
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a server");
            let begun = Instant::now();
            loop {
                if TcpStream::connect(address).is_ok() {
                    return Self { child, address, root };
                }
                if child.try_wait().expect("a state").is_some() {
                    break;
                }
                assert!(begun.elapsed() < Duration::from_mins(1), "the S3 server does not accept");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        panic!("the S3 server does not start");
    }

    pub(crate) fn vault(&self, notes: &Path) -> S3 {
        vault(self.address, "backups", SECRET, notes)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(crate) fn vault(address: SocketAddr, bucket: &str, secret: &str, notes: &Path) -> S3 {
    let bucket = Bucket::parse(&format!("s3://{bucket}/of/apps?endpoint=http://{address}&region=eu-test-1")).expect("an address");
    S3::new(bucket, &Keys::new(KEY, secret.to_owned().into()), notes).expect("a vault")
}

/// A wire to a server that passes so many bytes on their way there, and is cut then.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    /// What may still pass.
    pub(crate) left: Arc<AtomicI64>,
}

impl Wire {
    pub(crate) fn to(server: SocketAddr, bytes: i64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let left = Arc::new(AtomicI64::new(bytes));
        let counter = Arc::clone(&left);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(client), Ok(server), counter) = (stream, TcpStream::connect(server), Arc::clone(&counter)) else {
                    return;
                };
                std::thread::spawn(move || pass(&client, &server, &counter));
            }
        });
        Self { address, left }
    }
}

fn pass(client: &TcpStream, server: &TcpStream, left: &AtomicI64) {
    let (mut back, mut to_client) = (server.try_clone().expect("a stream"), client.try_clone().expect("a stream"));
    std::thread::spawn(move || {
        std::io::copy(&mut back, &mut to_client).ok();
        to_client.shutdown(std::net::Shutdown::Both).ok();
    });
    let mut piece = [0; 4096];
    while let Ok(read @ 1..) = (&*client).read(&mut piece) {
        if left.fetch_sub(i64::try_from(read).expect("4 kB"), Ordering::SeqCst) <= 0 {
            break;
        }
        if (&*server).write_all(&piece[..read]).is_err() {
            break;
        }
    }
    client.shutdown(std::net::Shutdown::Both).ok();
    server.shutdown(std::net::Shutdown::Both).ok();
}
