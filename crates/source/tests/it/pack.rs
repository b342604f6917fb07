//! Directories as people have them, packed and received.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use source::{Limits, PackError, Packed, TreePath, pack};
use tempfile::TempDir;

use crate::tars::receive_in;

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), files);
    directory
}

fn write(directory: &Path, files: &[(&str, &str)]) {
    for (path, contents) in files {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }
}

fn names(packed: &Packed) -> Vec<String> {
    packed.paths().map(TreePath::to_string).collect()
}

fn refused(directory: &Path, limits: &Limits) -> String {
    pack(directory, limits).expect_err("it should be refused").to_string()
}

fn tar(packed: &Packed) -> Vec<u8> {
    let mut tar = Vec::new();
    packed.write_to(&mut tar).unwrap();
    tar
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]);
    let output = command.arg("-C").arg(directory).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn what_gitignore_leaves() {
    let files = [
        ("app.py", ""),
        (".gitignore", "*.log\n/instance/\nbuild\n!keep.log\n"),
        (".env.example", ""),
        ("x.log", ""),
        ("keep.log", ""),
        ("instance/db.sqlite", ""),
        ("sub/instance/kept", ""),
        ("sub/.gitignore", "local\n"),
        ("sub/local", ""),
        ("local", ""),
        ("build/out", ""),
        (".adaptableignore", "docs/\n!wanted.log\n"),
        ("docs/index.md", ""),
        ("wanted.log", ""),
    ];
    let expected = [
        ".adaptableignore",
        ".env.example",
        ".gitignore",
        "app.py",
        "keep.log",
        "local",
        "sub",
        "sub/.gitignore",
        "sub/instance",
        "sub/instance/kept",
        "wanted.log",
    ];
    let directory = directory(&files);
    assert_eq!(names(&pack(directory.path(), &Limits::default()).unwrap()), expected, "without a repository");
    git(directory.path(), &["init", "-q"]);
    fs::write(directory.path().join(".git/info/exclude"), "local\n").unwrap();
    let packed = pack(directory.path(), &Limits::default()).unwrap();
    assert_eq!(names(&packed), expected.iter().filter(|&&name| name != "local").copied().collect::<Vec<_>>(), "with one");
    assert_eq!(packed.skipped.iter().map(|skipped| skipped.path.to_string()).collect::<Vec<_>>(), [".git"]);
}

#[test]
fn a_directory_of_a_repository_obeys_the_files_above_but_a_home_directory_does_not() {
    let outer = directory(&[(".gitignore", "*.secret\n"), ("app/app.py", ""), ("app/x.secret", "")]);
    let app = outer.path().join("app");
    assert_eq!(names(&pack(&app, &Limits::default()).unwrap()), ["app.py", "x.secret"]);
    git(outer.path(), &["init", "-q"]);
    assert_eq!(names(&pack(&app, &Limits::default()).unwrap()), ["app.py"]);
}

#[test]
fn junk_is_skipped_and_said() {
    let directory = directory(&[
        ("app.py", ""),
        ("__pycache__/app.pyc", ""),
        ("pkg/__pycache__/x.pyc", ""),
        ("node_modules/left-pad/index.js", ""),
        (".venv/pyvenv.cfg", ""),
        (".venv/lib/x.py", ""),
        ("env-of-mine/pyvenv.cfg", ""),
        ("venv/kept.py", ""),
        (".DS_Store", ""),
        ("sub/.git", "gitdir: ../.git/modules/sub"),
    ]);
    symlink("/usr/bin/python3", directory.path().join(".venv/python")).unwrap();
    let packed = pack(directory.path(), &Limits::default()).unwrap();
    assert_eq!(names(&packed), ["app.py", "pkg", "sub", "venv", "venv/kept.py"]);
    let skipped: Vec<_> = packed.skipped.iter().map(|skipped| skipped.path.to_string()).collect();
    assert_eq!(skipped, [".DS_Store", ".venv", "__pycache__", "env-of-mine", "node_modules", "pkg/__pycache__", "sub/.git"]);
}

#[test]
fn it_is_deterministic_and_received_whole() {
    let files = [("app.py", "print()"), ("run.sh", "#!/bin/sh"), ("a/b/c.txt", "c"), ("ünï/ß", "u")];
    let trees: Vec<_> = (0..2)
        .map(|_| {
            let directory = directory(&files);
            fs::set_permissions(directory.path().join("run.sh"), fs::Permissions::from_mode(0o777)).unwrap();
            fs::create_dir(directory.path().join("empty")).unwrap();
            symlink("a/b", directory.path().join("link")).unwrap();
            directory
        })
        .collect();
    let packed: Vec<_> = trees.iter().map(|tree| pack(tree.path(), &Limits::default()).unwrap()).collect();
    assert_eq!(tar(&packed[0]), tar(&packed[1]));
    let dest = tempfile::tempdir().unwrap();
    let plain = receive_in(dest.path(), &tar(&packed[0]), &Limits::default()).unwrap();
    let mut compressed = Vec::new();
    packed[0].write_zstd(&mut compressed).unwrap();
    assert_eq!(receive_in(dest.path(), &compressed, &Limits::default()).unwrap().digest, plain.digest);
    assert_eq!((plain.files, plain.bytes), (packed[0].files, packed[0].bytes));
    let out = dest.path().join("out");
    fs::create_dir(&out).unwrap();
    assert!(Command::new("tar").arg("-xf").arg(dest.path().join("tree.tar")).arg("-C").arg(&out).status().unwrap().success());
    assert!(Command::new("diff").arg("-r").arg(&out).arg(trees[0].path()).status().unwrap().success());
    assert_eq!(fs::read_link(out.join("link")).unwrap(), Path::new("a/b"));
    let mode = |name: &str| fs::metadata(out.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("run.sh"), mode("app.py"), mode("empty")), (0o755, 0o644, 0o755));
}

#[test]
fn links_and_special_files() {
    let limits = Limits::default();
    for (target, because) in
        [("/etc/passwd", "absolute path `/etc/passwd`"), ("../..", "out of the tree"), ("a/../../x", "out of the tree")]
    {
        let directory = directory(&[("a/app.py", "")]);
        symlink(target, directory.path().join("bad")).unwrap();
        let text = refused(directory.path(), &limits);
        assert!(text.contains("`bad`") && text.contains(because), "{text}");
        // What is ignored is nobody's concern.
        fs::write(directory.path().join(".adaptableignore"), "bad").unwrap();
        pack(directory.path(), &limits).unwrap();
    }
    let fifo = directory(&[("app.py", "")]);
    nix::unistd::mkfifo(&fifo.path().join("queue"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(refused(fifo.path(), &limits).contains("`queue` is a FIFO"));
    let socket = directory(&[("app.py", "")]);
    let _listener = std::os::unix::net::UnixListener::bind(socket.path().join("app.sock")).unwrap();
    assert!(refused(socket.path(), &limits).contains("`app.sock` is a socket"));
}

#[test]
fn limits_name_what_is_large() {
    let directory = directory(&[("app.py", ""), ("data/models/big.bin", ""), ("data/small", "12345")]);
    let file = fs::File::create(directory.path().join("data/models/big.bin")).unwrap();
    // Sparse: it takes no room here, but would there.
    file.set_len(600_000_000).unwrap();
    let text = refused(directory.path(), &Limits::default());
    assert!(
        text.contains("the source has 600.0 MB, the limit is 512.0 MB; most of it lies in `data/models` (600.0 MB), `data`"),
        "{text}"
    );
    for n in 0..60 {
        fs::write(directory.path().join(format!("data/models/{n}")), "").unwrap();
    }
    let text = refused(directory.path(), &Limits { bytes: 1 << 40, files: 50 });
    assert!(text.contains("63 files, the limit is 50; most of them lie in `data/models` (61 files)"), "{text}");
}

#[test]
fn a_file_that_changes_meanwhile_is_an_error() {
    let directory = directory(&[("a", "some text"), ("b", "more text")]);
    let packed = pack(directory.path(), &Limits::default()).unwrap();
    fs::remove_file(directory.path().join("b")).unwrap();
    assert!(matches!(packed.write_to(std::io::sink()), Err(PackError::Changed(path)) if path.to_string() == "b"));
    nix::unistd::mkfifo(&directory.path().join("b"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(matches!(packed.write_to(std::io::sink()), Err(PackError::Changed(_))), "a FIFO must not hang");
    fs::remove_file(directory.path().join("b")).unwrap();
    symlink("/etc/passwd", directory.path().join("b")).unwrap();
    assert!(packed.write_to(std::io::sink()).is_err(), "a link must not be followed");
}

/// Shrinks a file once the first of its bytes have been taken.
struct Shrinking<'a>(&'a Path, Vec<u8>);

impl std::io::Write for Shrinking<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.1.len() >= 512 {
            fs::File::options().write(true).open(self.0).unwrap().set_len(10).unwrap();
        }
        self.1.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_an_error_and_no_tree() {
    let directory = directory(&[("a", "")]);
    let file = directory.path().join("a");
    fs::write(&file, vec![b'x'; 4 << 20]).unwrap();
    let packed = pack(directory.path(), &Limits::default()).unwrap();
    let mut to = Shrinking(&file, Vec::new());
    assert!(matches!(packed.write_to(&mut to), Err(PackError::Changed(_))));
    let dest = tempfile::tempdir().unwrap();
    assert!(receive_in(dest.path(), &to.1, &Limits::default()).unwrap_err().to_string().contains("cut off"));
}

#[test]
fn nothing_to_send() {
    let limits = Limits::default();
    let directory = directory(&[(".gitignore", "*")]);
    assert!(refused(directory.path(), &limits).contains("all are ignored"));
    assert!(matches!(pack(&directory.path().join("none"), &limits), Err(PackError::Open(..))));
    assert!(matches!(pack(&directory.path().join(".gitignore"), &limits), Err(PackError::Open(..))));
}

#[test]
fn the_commit_is_told() {
    let directory = directory(&[("app.py", "1")]);
    assert_eq!(pack(directory.path(), &Limits::default()).unwrap().commit, None);
    git(directory.path(), &["init", "-q", "-b", "trunk"]);
    assert_eq!(pack(directory.path(), &Limits::default()).unwrap().commit, None, "no commit yet");
    git(directory.path(), &["add", "."]);
    git(directory.path(), &["commit", "-q", "-m", "Say hello\n\nAnd more."]);
    let commit = pack(directory.path(), &Limits::default()).unwrap().commit.unwrap();
    assert_eq!(commit.id, git(directory.path(), &["rev-parse", "HEAD"]));
    assert_eq!((&*commit.subject, &*commit.branch, commit.dirty), ("Say hello", "trunk", false));
    fs::write(directory.path().join("app.py"), "2").unwrap();
    git(directory.path(), &["checkout", "-q", "--detach"]);
    let commit = pack(directory.path(), &Limits::default()).unwrap().commit.unwrap();
    assert_eq!((&*commit.branch, commit.dirty), ("", true));
}

#[test]
fn a_small_tree_takes_no_time() {
    let files: Vec<_> = (0..40).map(|n| (format!("pkg{}/m{n}.py", n % 4), "x = 1\n".repeat(50))).collect();
    let files: Vec<_> = files.iter().map(|(path, text)| (&**path, &**text)).collect();
    let directory = directory(&files);
    let fastest = (0..10)
        .map(|_| {
            let started = std::time::Instant::now();
            tar(&pack(directory.path(), &Limits::default()).unwrap());
            started.elapsed()
        })
        .min()
        .unwrap();
    // The goal is 10 ms when optimised; this machine is shared and the code here isn't.
    assert!(fastest.as_millis() < 50, "{fastest:?}");
    eprintln!("packing 40 files: {fastest:?}");
}
