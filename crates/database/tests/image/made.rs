//! Images made by umoci: PostgreSQL as a vendor ships it, of this machine's own files; and some that nobody should ship.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use image::Digest;
use image::oci::{Config, Index, Manifest};

/// Where Debian has PostgreSQL's programs.
const PROGRAMS: &str = "/usr/lib/postgresql";

/// What the vendor's start script does, as far as it matters: a cluster where there is none, then the server in its place.
const START: &str = r#"#!/bin/sh
set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    printf '%s\n' "$POSTGRES_PASSWORD" > /tmp/password
    initdb --pgdata="$PGDATA" --username=postgres --pwfile=/tmp/password --auth-host=scram-sha-256 --auth-local=trust --locale=C --encoding=UTF8
    rm /tmp/password
    echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
fi
exec "$@"
"#;

/// An image in a layout of its own.
pub(crate) struct Made {
    dir: tempfile::TempDir,
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

impl Made {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("adaptable-made").tempdir_in("/var/tmp").expect("a directory");
        let made = Self { dir };
        run("umoci", &["init", "--layout", &made.layout()]);
        run("umoci", &["new", "--image", &made.path()]);
        made
    }

    fn layout(&self) -> String {
        self.dir.path().join("layout").display().to_string()
    }

    /// As skopeo and umoci name it.
    pub(crate) fn path(&self) -> String {
        format!("{}:it", self.layout())
    }

    /// Adds a layer: what lies below a directory, at the root.
    fn insert(&self, source: &Path) {
        run("umoci", &["insert", "--image", &self.path(), &source.display().to_string(), "/"]);
    }

    fn configure(&self, options: &[&str]) {
        run("umoci", &[&["config", "--image", &self.path()], options].concat());
    }
}

/// The newest PostgreSQL of this machine as an image of three layers and a whiteout.
pub(crate) fn postgresql() -> Made {
    let made = Made::new();
    let newest = fs::read_dir(PROGRAMS).expect("PostgreSQL is installed").flatten().map(|entry| entry.file_name());
    let major = newest.filter_map(|name| name.to_str()?.parse::<u32>().ok()).max().expect("a version");
    let programs = format!("{PROGRAMS}/{major}");
    let (system, server, start) = (made.dir.path().join("system"), made.dir.path().join("server"), made.dir.path().join("start"));

    for directory in ["dev", "proc", "sys", "tmp", "etc", "opt", "run", "usr/bin", "usr/lib", "usr/lib64", "var/lib"] {
        fs::create_dir_all(system.join(directory)).expect("made");
    }
    fs::set_permissions(system.join("tmp"), PermissionsExt::from_mode(0o1777)).expect("changed");
    for name in ["bin", "lib", "lib64"] {
        symlink(format!("usr/{name}"), system.join(name)).expect("linked");
    }
    fs::write(system.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\npostgres:x:999:999::/var/lib/postgresql:/bin/sh\n")
        .expect("written");
    fs::write(system.join("etc/group"), "root:x:0:\npostgres:x:999:\n").expect("written");
    fs::write(system.join("opt/removed"), "not in the image").expect("written");
    let mut files = BTreeSet::from([PathBuf::from("/usr/bin/dash"), PathBuf::from("/usr/bin/rm")]);
    for program in ["postgres", "initdb"] {
        files.extend(libraries(&Path::new(&programs).join("bin").join(program)));
    }
    for program in files.clone() {
        files.extend(libraries(&program));
    }
    for file in &files {
        copy(file, &system);
    }
    symlink("dash", system.join("usr/bin/sh")).expect("linked");
    made.insert(&system);

    for directory in [programs.as_str(), &format!("/usr/share/postgresql/{major}"), "/usr/share/zoneinfo"] {
        let to = server.join(directory.trim_start_matches('/'));
        fs::create_dir_all(to.parent().expect("a parent")).expect("made");
        run("cp", &["--archive", directory, &to.display().to_string()]);
    }
    made.insert(&server);

    let script = start.join("usr/local/bin/start");
    fs::create_dir_all(script.parent().expect("a parent")).expect("made");
    fs::write(&script, START).expect("written");
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).expect("changed");
    made.insert(&start);
    run("umoci", &["insert", "--image", &made.path(), "--whiteout", "/opt/removed"]);
    made.configure(&[
        "--config.user=postgres",
        &format!("--config.env=PATH=/usr/local/bin:{programs}/bin:/usr/bin:/bin"),
        "--config.env=PGDATA=/var/lib/postgresql/data",
        "--config.entrypoint=start",
        "--config.cmd=postgres",
        "--config.cmd=--listen_addresses=*",
        "--config.cmd=--unix_socket_directories=/tmp",
        "--config.volume=/var/lib/postgresql/data",
        "--config.exposedports=5432/tcp",
        "--config.stopsignal=SIGINT",
    ]);
    made
}

/// A shell and a script that is run by it, in an image that would start something else.
pub(crate) fn script(at: &str, text: &str) -> Made {
    let made = Made::new();
    let root = made.dir.path().join("root");
    for directory in ["dev", "proc", "sys", "tmp", "etc", "run", "usr/bin", "usr/lib", "usr/lib64", "var/opt/mssql", "data"] {
        fs::create_dir_all(root.join(directory)).expect("made");
    }
    for name in ["bin", "lib", "lib64"] {
        symlink(format!("usr/{name}"), root.join(name)).expect("linked");
    }
    let shell = PathBuf::from("/usr/bin/dash");
    for file in libraries(&shell).iter().chain([&shell]) {
        copy(file, &root);
    }
    symlink("dash", root.join("usr/bin/sh")).expect("linked");
    let script = root.join(at);
    fs::create_dir_all(script.parent().expect("a parent")).expect("made");
    fs::write(&script, text).expect("written");
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).expect("changed");
    made.insert(&root);
    made.configure(&[
        "--config.env=PATH=/usr/local/bin:/usr/bin:/bin",
        "--config.env=FROM_IMAGE=yes",
        "--config.entrypoint=docker-entrypoint.sh",
        "--config.cmd=other",
    ]);
    made
}

/// The libraries that a program is loaded with, the loader among them.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let text = String::from_utf8(run("ldd", &[&program.display().to_string()])).expect("text");
    text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

/// Copies a file with what its links stand for, to where it lies below another root (where `/lib` is `/usr/lib`).
fn copy(file: &Path, root: &Path) {
    let relative = file.strip_prefix("/").expect("absolute");
    let relative = if relative.starts_with("usr") { relative.to_owned() } else { Path::new("usr").join(relative) };
    let to = root.join(relative);
    fs::create_dir_all(to.parent().expect("a parent")).expect("made");
    fs::copy(file, to).expect("copied");
}

/// Images whose archives are not what they should be, by a word, with what is said of them.
pub(crate) fn hostile() -> Vec<(&'static str, Made, &'static str)> {
    let mut evil = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..12].copy_from_slice(b"../../escape");
    for number in [tar::Header::set_uid, tar::Header::set_gid] {
        number(&mut header, 0);
    }
    header.set_mode(0o644);
    header.set_size(1);
    header.set_cksum();
    evil.append(&header, &b"x"[..]).expect("written");
    let evil = evil.into_inner().expect("finished");
    let mut fine = tar::Builder::new(Vec::new());
    header.as_old_mut().name[..12].copy_from_slice(b"fine\0\0\0\0\0\0\0\0");
    header.set_cksum();
    fine.append(&header, &b"x"[..]).expect("written");
    let fine = fine.into_inner().expect("finished");
    let digest = Digest::of(&evil);
    vec![
        ("escape", with_layer(&evil, digest), "an absolute path, or one with `..`"),
        ("other", with_layer(&fine, Digest::of(b"another")), "gives other bytes"),
        ("noise", with_layer(b"no archive at all", Digest::of(b"no archive at all")), "unpack the image"),
    ]
}

/// An image of one layer, announced with this digest of its archive.
fn with_layer(archive: &[u8], announced: Digest) -> Made {
    let made = Made::new();
    let empty = made.dir.path().join("empty");
    fs::create_dir(&empty).expect("made");
    made.insert(&empty);
    made.configure(&["--config.cmd=/x"]);
    let blobs = Path::new(&made.layout()).join("blobs/sha256");
    let put = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).expect("written");
        (digest, bytes.len() as u64)
    };
    let get = |digest: &Digest| fs::read(blobs.join(digest.hex())).expect("a blob");
    let list = Path::new(&made.layout()).join("index.json");
    let mut index: Index = serde_json::from_slice(&fs::read(&list).expect("an index")).expect("an index");
    let mut manifest: Manifest = serde_json::from_slice(&get(&index.manifests[0].digest)).expect("a manifest");
    let mut config: Config = serde_json::from_slice(&get(&manifest.config.digest)).expect("a configuration");
    config.rootfs.diff_ids = vec![announced];
    (manifest.config.digest, manifest.config.size) = put(&serde_json::to_vec(&config).expect("a document"));
    (manifest.layers[0].digest, manifest.layers[0].size) = put(archive);
    "application/vnd.oci.image.layer.v1.tar".clone_into(&mut manifest.layers[0].media_type);
    image::oci::MANIFEST.clone_into(&mut manifest.media_type);
    (index.manifests[0].digest, index.manifests[0].size) = put(&serde_json::to_vec(&manifest).expect("a document"));
    fs::write(list, serde_json::to_vec(&index).expect("a document")).expect("written");
    made
}
