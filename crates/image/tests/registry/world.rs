//! A registry of Debian's (docker-registry) on a port of its own, images made by umoci and pushed by skopeo, and what is needed around.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use image::oci::MANIFEST;
use image::registry::{Client, Credentials, Freshness, Progress, Proxy, PullError, Pulled, Reference, Settings};
use image::{Digest, Layout};

/// The longest that anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port()
}

/// A registry that ends with its owner.
pub(crate) struct Registry {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) port: u16,
    process: Child,
    /// `user:password` for skopeo.
    user: Option<String>,
    tls: bool,
}

impl Registry {
    /// One that everybody may read and write.
    pub(crate) fn open() -> Self {
        Self::start("", None, false, |_| ())
    }

    /// One with these lines of settings; `prepare` writes the files that they name (`DIR` is its directory) beforehand.
    pub(crate) fn start(settings: &str, user: Option<&str>, tls: bool, prepare: impl Fn(&Path)) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        prepare(dir.path());
        let shown = dir.path().display().to_string();
        // Somebody else may take a free port first.
        for _ in 0..5 {
            let port = free_port();
            let config = format!(
                "version: 0.1\nlog: {{level: warn}}\nstorage:\n  filesystem: {{rootdirectory: {shown}/store}}\n  delete: {{enabled: true}}\nhttp:\n  addr: 127.0.0.1:{port}\n{}",
                settings.replace("DIR", &shown).replace("PORT", &port.to_string())
            );
            fs::write(dir.path().join("config.yml"), config).expect("written");
            let log = fs::File::create(dir.path().join("log")).expect("a log");
            let mut process = Command::new("docker-registry")
                .arg("serve")
                .arg(dir.path().join("config.yml"))
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .expect("docker-registry is installed (scripts/setup.sh)");
            let until = Instant::now() + PATIENCE;
            loop {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() && process.try_wait().expect("asked").is_none() {
                    return Self { dir, port, process, user: user.map(str::to_owned), tls };
                }
                if process.try_wait().expect("asked").is_some() || Instant::now() > until {
                    break;
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

    /// Pushes an image of a layout (`DIR:TAG`) as `name` (with its tag).
    pub(crate) fn push(&self, image: &str, name: &str, options: &[&str]) {
        let to = format!("docker://{}/{name}", self.host());
        let mut arguments = vec!["copy", "--insecure-policy", "--quiet", "--dest-tls-verify=false"];
        if let Some(user) = &self.user {
            arguments.extend(["--dest-creds", user]);
        }
        arguments.extend(options);
        let from = format!("oci:{image}");
        arguments.extend([from.as_str(), to.as_str()]);
        run("skopeo", &arguments);
    }

    /// Puts a document as a manifest; its digest.
    pub(crate) fn put_manifest(&self, name: &str, tag: &str, media_type: &str, document: &[u8]) -> Digest {
        let file = self.dir.path().join("manifest");
        fs::write(&file, document).expect("written");
        let address = format!("http{}://{}/v2/{name}/manifests/{tag}", if self.tls { "s" } else { "" }, self.host());
        let kind = format!("Content-Type: {media_type}");
        let data = format!("@{}", file.display());
        let mut arguments = vec!["-sSf", "-k", "--noproxy", "*", "-X", "PUT", "-H", &kind, "--data-binary", &data, &address];
        if let Some(user) = &self.user {
            arguments.extend(["-u", user]);
        }
        run("curl", &arguments);
        Digest::of(document)
    }

    /// A manifest as it lies in the store.
    pub(crate) fn manifest(&self, name: &str, tag: &str) -> Vec<u8> {
        let link =
            self.dir.path().join(format!("store/docker/registry/v2/repositories/{name}/_manifests/tags/{tag}/current/link"));
        let digest = Digest::parse(fs::read_to_string(link).expect("a tag").trim()).expect("a digest");
        fs::read(self.blob(&digest)).expect("a manifest")
    }

    /// Where a blob lies in the store.
    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.dir.path().join(format!("store/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]))
    }

    /// The digests of an image's layers.
    pub(crate) fn layers(&self, name: &str, tag: &str) -> Vec<Digest> {
        let manifest: image::Manifest = serde_json::from_slice(&self.manifest(name, tag)).expect("a manifest");
        manifest.layers.iter().map(|layer| layer.digest).collect()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

/// An image of two layers made by umoci: `/data/a`, `/data/b` in the first, `/data/c` in the second, which hides `/data/b`.
pub(crate) struct Made {
    _dir: tempfile::TempDir,
    pub(crate) path: String,
}

impl Made {
    pub(crate) fn new(config: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = format!("{}/layout:it", dir.path().display());
        let image = ["--image", path.as_str()];
        run("umoci", &["init", "--layout", path.trim_end_matches(":it")]);
        run("umoci", &[&["new"], &image[..]].concat());
        let source = dir.path().join("source");
        fs::create_dir(&source).expect("made");
        fs::write(source.join("a"), noise(200_000)).expect("written");
        fs::write(source.join("b"), "hidden").expect("written");
        run("umoci", &[&["insert"], &image[..], &[source.to_str().expect("text"), "/data"]].concat());
        fs::write(dir.path().join("c"), "third").expect("written");
        run("umoci", &[&["insert"], &image[..], &[dir.path().join("c").to_str().expect("text"), "/data/c"]].concat());
        run("umoci", &[&["insert"], &image[..], &["--whiteout", "/data/b"]].concat());
        if !config.is_empty() {
            run("umoci", &[&["config"], &image[..], config].concat());
        }
        Self { _dir: dir, path }
    }
}

impl Made {
    /// Compresses the layers with zstd, which umoci can't.
    pub(crate) fn compress_anew(&self) {
        let root = Path::new(self.path.trim_end_matches(":it"));
        let path = |digest: &Digest| root.join("blobs/sha256").join(digest.hex());
        let put = |bytes: &[u8]| {
            let digest = Digest::of(bytes);
            fs::write(path(&digest), bytes).expect("written");
            (digest, bytes.len() as u64)
        };
        let mut index: image::oci::Index =
            serde_json::from_slice(&fs::read(root.join("index.json")).expect("an index")).expect("one");
        let entry = &mut index.manifests[0];
        let mut manifest: image::Manifest =
            serde_json::from_slice(&fs::read(path(&entry.digest)).expect("there")).expect("a manifest");
        MANIFEST.clone_into(&mut manifest.media_type);
        for layer in &mut manifest.layers {
            let mut plain = Vec::new();
            let blob = fs::File::open(path(&layer.digest)).expect("a layer");
            flate2::read::GzDecoder::new(blob).read_to_end(&mut plain).expect("an archive");
            (layer.digest, layer.size) = put(&zstd::encode_all(plain.as_slice(), 3).expect("compressed"));
            layer.media_type = layer.media_type.replace("gzip", "zstd");
        }
        (entry.digest, entry.size) = put(&serde_json::to_vec(&manifest).expect("a document"));
        fs::write(root.join("index.json"), serde_json::to_vec(&index).expect("a document")).expect("written");
    }
}

/// Bytes that no compression makes smaller, the same each time.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

/// A layout, and a client that fetches into it.
pub(crate) struct Here {
    _dir: tempfile::TempDir,
    pub(crate) layout: Arc<Layout>,
}

impl Here {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Arc::new(Layout::open(&dir.path().join("images")).expect("a layout"));
        Self { _dir: dir, layout }
    }

    pub(crate) async fn pull(&self, settings: Settings, name: &str) -> Result<Pulled, PullError> {
        self.pull_as(settings, name, Freshness::Fresh).await
    }

    pub(crate) async fn pull_as(&self, settings: Settings, name: &str, freshness: Freshness) -> Result<Pulled, PullError> {
        let reference = Reference::parse(name).expect("a reference");
        let client = Client::new(Arc::clone(&self.layout), settings);
        let progress = Progress::default();
        let pulled = client.pull(&reference, freshness, &progress);
        let outcome = tokio::time::timeout(PATIENCE * 2, pulled).await.expect("a pull ends");
        if let Err(error) = &outcome {
            let text = error.to_string();
            assert!(!text.contains('\n') && !text.contains("secret"), "{text}");
        }
        outcome
    }

    /// Nothing that came half is left; who wrote it may notice the end a moment later.
    pub(crate) async fn has_nothing_half(&self) {
        let until = Instant::now() + PATIENCE;
        while fs::read_dir(self.layout.root().join("tmp")).expect("listed").count() > 0 {
            assert!(Instant::now() < until, "something is left");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Settings without a proxy, and without long pauses.
pub(crate) fn plain() -> Settings {
    Settings { proxy: Proxy::None, pause: Duration::from_millis(5), patience: Duration::from_secs(10), ..Settings::default() }
}

pub(crate) fn with_user(registry: &str, user: &str, password: &str) -> Settings {
    let credentials = Credentials { user: user.to_owned(), password: password.to_owned() };
    Settings { credentials: [(registry.to_owned(), credentials)].into(), ..plain() }
}

/// The names in all of an image's layers, as `tar` lists them.
pub(crate) fn names(pulled: &Pulled) -> Vec<String> {
    let mut names = Vec::new();
    for layer in 0..pulled.layers() {
        let mut archive = Vec::new();
        pulled.unpack(layer, 1 << 30, &mut archive).expect("the archive that was announced");
        // As `umoci insert` writes them, archives end with their last file.
        archive.resize(archive.len().next_multiple_of(512), 0);
        let mut archive = tar::Archive::new(archive.as_slice());
        for entry in archive.entries().expect("an archive") {
            names.push(entry.expect("an entry").path().expect("a path").display().to_string());
        }
    }
    names
}

/// What somebody between us and a registry makes of an answer.
pub(crate) enum Fate {
    /// It goes on as it is.
    Pass,
    /// These bytes go in its place, and the connection ends.
    Instead(Vec<u8>),
    /// It goes on, its body a byte at a time.
    Slowly(Vec<u8>),
}

/// The head of a request, as it came.
pub(crate) struct Asked {
    pub(crate) head: String,
}

impl Asked {
    pub(crate) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn has(&self, header: &str) -> bool {
        self.head.lines().any(|line| line.to_ascii_lowercase().starts_with(&format!("{}:", header.to_ascii_lowercase())))
    }

    pub(crate) fn is_blob(&self) -> bool {
        self.path().contains("/blobs/")
    }
}

/// Stands between a client and a registry: each request goes on, and `judge` sees it with its answer.
pub(crate) fn between(port: u16, judge: impl Fn(&Asked, &[u8]) -> Fate + Send + Sync + 'static) -> u16 {
    serve(move |asked, mut client| {
        let mut upstream = TcpStream::connect(("127.0.0.1", port)).expect("the registry");
        let (line, rest) = asked.head.split_once("\r\n").expect("a request");
        write!(upstream, "{line}\r\nConnection: close\r\n{rest}").expect("sent");
        let mut answer = Vec::new();
        upstream.read_to_end(&mut answer).expect("an answer");
        let bytes = match judge(&asked, &answer) {
            Fate::Pass => answer,
            Fate::Instead(bytes) => bytes,
            Fate::Slowly(bytes) => {
                let body = bytes.windows(4).position(|it| it == b"\r\n\r\n").expect("an answer") + 4;
                let mut sent = client.write_all(&bytes[..body]);
                let mut rest = bytes[body..].iter();
                while let (Ok(()), Some(byte)) = (&sent, rest.next()) {
                    std::thread::sleep(Duration::from_millis(20));
                    sent = client.write_all(&[*byte]);
                }
                return;
            }
        };
        let _client_gone = client.write_all(&bytes);
    })
}

/// Answers every request by itself.
pub(crate) fn serve(answer: impl Fn(Asked, TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || {
                if let Some((asked, client)) = head(client) {
                    answer(asked, client);
                }
            });
        }
    });
    port
}

/// Reads a request's head; none where it is not HTTP (somebody tries TLS).
fn head(mut client: TcpStream) -> Option<(Asked, TcpStream)> {
    let mut head = Vec::new();
    let mut byte = [0_u8; 1];
    while !head.ends_with(b"\r\n\r\n") {
        if client.read(&mut byte).ok()? == 0 || (head.is_empty() && !byte[0].is_ascii_uppercase()) {
            return None;
        }
        head.push(byte[0]);
    }
    Some((Asked { head: String::from_utf8(head).ok()? }, client))
}

/// An answer without anything special.
pub(crate) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}
