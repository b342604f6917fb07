//! Foreign images' layers, honest and hostile, applied by the real launcher. Needs root.
//!
//! No test harness: the launcher must be forked while the process has one thread.

#![expect(clippy::print_stdout, reason = "this is the test runner")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use engine::local::LocalEngine;
use engine::{Applied, Engine, EngineError, LayerId, LayerRoom};
use futures_util::FutureExt;
use sandbox::{Launcher, LauncherConfig};
use tar::EntryType;

struct World {
    engine: LocalEngine,
    data: PathBuf,
    /// What nothing here may touch; it lies beside the layers.
    outside: PathBuf,
}

/// An archive as somebody makes it who does not care what is allowed.
struct Archive(tar::Builder<Vec<u8>>);

impl Archive {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn header(kind: EntryType, path: &str, mode: u32) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(0);
        // The library refuses `..` and absolute paths; whoever is hostile does not ask it.
        let name = &mut header.as_old_mut().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        header
    }

    fn add(mut self, mut header: tar::Header, contents: &[u8]) -> Self {
        header.set_size(contents.len() as u64);
        header.set_cksum();
        self.0.append(&header, contents).expect("written");
        self
    }

    fn file(self, path: &str, text: &str) -> Self {
        self.add(Self::header(EntryType::Regular, path, 0o644), text.as_bytes())
    }

    fn dir(self, path: &str) -> Self {
        self.add(Self::header(EntryType::Directory, path, 0o755), b"")
    }

    fn link(self, kind: EntryType, path: &str, target: &str) -> Self {
        let mut header = Self::header(kind, path, 0o777);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        self.add(header, b"")
    }

    fn end(self) -> Vec<u8> {
        self.0.into_inner().expect("finished")
    }
}

const ROOM: LayerRoom = LayerRoom { bytes: 1 << 20, entries: 1000 };

impl World {
    async fn apply(&self, name: &str, layers: &[Vec<u8>]) -> Result<Applied, EngineError> {
        self.apply_within(name, layers, ROOM).await
    }

    async fn apply_within(&self, name: &str, layers: &[Vec<u8>], room: LayerRoom) -> Result<Applied, EngineError> {
        let layer = LayerId::parse(name).expect("a name");
        let mut last = Applied::default();
        for (number, bytes) in layers.iter().enumerate() {
            let (reader, mut writer) = std::io::pipe().expect("a pipe");
            let bytes = bytes.clone();
            // Whoever refuses reads no further.
            let feeder = std::thread::spawn(move || writer.write_all(&bytes).is_ok());
            let archive = fs::File::from(std::os::fd::OwnedFd::from(reader));
            let applied = self.engine.apply_layer(&layer, number == 0, room, archive).await;
            let fed = feeder.join().expect("fed");
            last = applied?;
            assert!(fed, "an archive is read to its end");
        }
        self.engine.seal_layer(&layer, &[]).await?;
        Ok(last)
    }

    /// It is refused for this reason, and nothing is left of it, nor changed outside.
    async fn refuses(&self, name: &str, layers: &[Vec<u8>], why: &str) {
        let outcome = self.apply(name, layers).await;
        let Err(error) = outcome else { panic!("{name} was taken") };
        assert!(error.to_string().contains(why), "{name}: {error}");
        assert!(!error.to_string().contains('\n'));
        self.untouched();
        assert!(!self.data.join(format!("layers/{name}.partial")).exists() && !self.root(name).exists(), "{name} left something");
    }

    fn root(&self, name: &str) -> PathBuf {
        self.data.join("layers").join(name).join("fs")
    }

    fn read(&self, name: &str, path: &str) -> String {
        fs::read_to_string(self.root(name).join(path)).unwrap_or_else(|error| format!("{error}"))
    }

    fn untouched(&self) {
        assert_eq!(fs::read_to_string(self.outside.join("secret")).expect("it is there"), "kept");
        assert_eq!(fs::read_dir(&self.outside).expect("listed").count(), 1);
        let metadata = fs::metadata(self.outside.join("secret")).expect("it is there");
        assert_eq!((metadata.mode() & 0o777, metadata.nlink()), (0o600, 1));
    }
}

async fn paths_that_lead_out_are_refused(world: &World) {
    let out = world.outside.join("x");
    let why = "an absolute path, or one with `..`";
    world.refuses("absolute", &[Archive::new().file(out.to_str().expect("text"), "x").end()], why).await;
    world.refuses("dots", &[Archive::new().file("../../outside/x", "x").end()], why).await;
    world.refuses("inner-dots", &[Archive::new().file("a/b/../../../x", "x").end()], why).await;
    let pair = |target: &str| [Archive::new().file("a", "x").link(EntryType::Link, "b", target).end()];
    world.refuses("hard-absolute", &pair(world.outside.join("secret").to_str().expect("text")), why).await;
    world.refuses("hard-dots", &pair("../../outside/secret"), why).await;
    world.refuses("hard-missing", &pair("nowhere/at/all"), "a hard link to what is not there").await;
}

async fn links_lead_nowhere_but_into_the_image(world: &World) {
    let outside = world.outside.to_str().expect("text").to_owned();
    let up = "../".repeat(20) + outside.trim_start_matches('/');
    for (name, target) in [("link-absolute", &outside), ("link-dots", &up)] {
        // A file, a directory, a hard link and whiteouts through it; in one layer, and in the next.
        let first = Archive::new().link(EntryType::Symlink, "way", target);
        let attack = |archive: Archive| {
            archive.dir("way/sub").file("way/secret", "changed").file("way/.wh.secret", "").file("way/.wh..wh..opq", "").end()
        };
        // The target is not in the image: it can't be entered, and is not made.
        let result = world.apply(name, &[attack(first)]).await;
        assert!(result.is_err(), "{result:?}");
        world.untouched();
        let first = Archive::new().link(EntryType::Symlink, "way", target).end();
        let gone = Archive::new().file("way/.wh.secret", "").file("way/.wh..wh..opq", "").end();
        world.apply(name, &[first.clone(), gone]).await.expect("there is nothing to hide");
        world.untouched();
        let hard = Archive::new().link(EntryType::Link, "stolen", "way/secret").end();
        world.refuses(&format!("{name}-hard"), &[first, hard], "a hard link to what is not there").await;
    }
    // Where the image has such a place of its own, that is what is meant.
    let first = Archive::new().dir("usr/lib").link(EntryType::Symlink, "lib", "/usr/lib").file("lib/one", "1").end();
    world.apply("merged", &[first, Archive::new().file("lib/two", "2").end()]).await.expect("taken");
    assert_eq!((world.read("merged", "usr/lib/one"), world.read("merged", "usr/lib/two")), ("1".to_owned(), "2".to_owned()));
    assert!(world.root("merged").join("lib").is_symlink());
}

async fn a_link_in_a_files_place_is_replaced_and_not_followed(world: &World) {
    let secret = world.outside.join("secret");
    let first = Archive::new()
        .file("target", "old")
        .link(EntryType::Symlink, "one", "target")
        .link(EntryType::Symlink, "two", secret.to_str().expect("text"))
        .link(EntryType::Symlink, "three", "/target")
        .end();
    let second = Archive::new().file("one", "new").file("two", "new").dir("three").end();
    world.apply("replaced", &[first, second]).await.expect("taken");
    assert_eq!((world.read("replaced", "target"), world.read("replaced", "one")), ("old".to_owned(), "new".to_owned()));
    assert!(world.root("replaced").join("three").is_dir() && !world.root("replaced").join("three").is_symlink());
    world.untouched();
    // A hard link to a link is a link.
    let layer =
        Archive::new().link(EntryType::Symlink, "a", secret.to_str().expect("text")).link(EntryType::Link, "b", "a").end();
    world.apply("hard-to-link", &[layer, Archive::new().file("b", "mine").end()]).await.expect("taken");
    assert_eq!(world.read("hard-to-link", "b"), "mine");
    world.untouched();
}

async fn whiteouts_hide_what_lies_below_and_only_that(world: &World) {
    let first = Archive::new()
        .file("d/a", "a")
        .file("d/b", "b")
        .file("d/sub/c", "c")
        .file("e/x", "x")
        .file("f", "f")
        .file("g/h/i", "i")
        .end();
    let second = Archive::new()
        .file("d/.wh..wh..opq", "")
        .file("d/new", "new")
        .file("d/sub/fresh", "fresh")
        .file("e/y", "y")
        // What came with this layer stays, whichever comes first.
        .file("e/.wh.y", "")
        .file("e/.wh..wh..opq", "")
        .file(".wh.f", "")
        .file(".wh.g", "")
        .file("g/own", "own")
        .file("nowhere/.wh.x", "")
        .file(".wh..wh.plnk", "")
        .end();
    world.apply("white", &[first.clone(), second]).await.expect("taken");
    let there = |path: &str| world.root("white").join(path).exists();
    for path in ["d/new", "d/sub/fresh", "e/y", "g/own"] {
        assert!(there(path), "{path}");
    }
    for path in ["d/a", "d/b", "d/sub/c", "e/x", "f", "g/h", "nowhere", ".wh.f", "d/.wh..wh..opq"] {
        assert!(!there(path), "{path}");
    }
    // A directory in place of a file, and a file in place of a directory.
    let second = Archive::new().file("d", "a file").dir("f").file("f/in", "in").end();
    world.apply("kinds", &[first.clone(), second]).await.expect("taken");
    assert_eq!((world.read("kinds", "d"), world.read("kinds", "f/in")), ("a file".to_owned(), "in".to_owned()));
    for name in [".wh.", ".wh..", ".wh...", "d/.wh..."] {
        world.refuses("bad-white", &[first.clone(), Archive::new().file(name, "").end()], "a whiteout of no name").await;
    }
}

async fn a_whiteout_of_a_link_hides_the_link(world: &World) {
    let outside = world.outside.to_str().expect("text");
    let first = Archive::new()
        .file("real/kept", "kept")
        .link(EntryType::Symlink, "inner", "/real")
        .link(EntryType::Symlink, "outer", outside)
        .end();
    let second = Archive::new().file(".wh.inner", "").file(".wh.outer", "").end();
    world.apply("white-link", &[first.clone(), second]).await.expect("taken");
    let root = world.root("white-link");
    assert!(!root.join("inner").is_symlink() && !root.join("outer").is_symlink());
    assert_eq!(world.read("white-link", "real/kept"), "kept");
    world.untouched();
    // Through a link, what is meant lies in the image.
    let second = Archive::new().file("inner/.wh.kept", "").file("outer/.wh.secret", "").file("outer/.wh..wh..opq", "").end();
    world.apply("white-through", &[first, second]).await.expect("taken");
    assert!(!world.root("white-through").join("real/kept").exists());
    world.untouched();
}

async fn owners_and_rights_are_those_that_a_container_can_have(world: &World) {
    let with = |kind, path: &str, mode, uid: u64, gid: u64| {
        let mut header = Archive::header(kind, path, mode);
        header.set_uid(uid);
        header.set_gid(gid);
        header
    };
    let layer = Archive::new()
        .add(with(EntryType::Regular, "su", 0o6755, 0, 0), b"x")
        .add(with(EntryType::Directory, "shared", 0o7770, 999, 65_535), b"")
        .add(with(EntryType::Regular, "mine", 0o640, 999, 999), b"x")
        .add(with(EntryType::Char, "null", 0o666, 0, 0), b"")
        .add(with(EntryType::Block, "disk", 0o666, 0, 0), b"")
        .add(with(EntryType::Fifo, "pipe", 0o666, 0, 0), b"")
        .end();
    let applied = world.apply("rights", &[layer]).await.expect("taken");
    assert_eq!(applied.skipped, 3);
    let look =
        |path: &str| fs::symlink_metadata(world.root("rights").join(path)).map(|it| (it.mode() & 0o7777, it.uid(), it.gid()));
    assert_eq!(look("su").expect("there"), (0o755, 0, 0));
    assert_eq!(look("shared").expect("there"), (0o3770, 999, 65_535));
    assert_eq!(look("mine").expect("there"), (0o640, 999, 999));
    assert!(["null", "disk", "pipe"].iter().all(|path| look(path).is_err()));
    let modified = fs::metadata(world.root("rights").join("mine")).expect("there").mtime();
    assert_eq!(modified, 1_000_000_000);
    for (uid, gid) in [(65_536, 0), (0, 1_000_000_000), (u64::from(u32::MAX) + 1, 0)] {
        let layer = Archive::new().add(with(EntryType::Regular, "x", 0o644, uid, gid), b"x").end();
        world.refuses("owner", &[layer], "none that a container can have").await;
    }
}

async fn bombs_end_with_an_error(world: &World) {
    let big = "x".repeat(2 << 20);
    world.refuses("big", &[Archive::new().file("a", &big).end()], "larger than 1048576 bytes").await;
    let many = (0..1001).fold(Archive::new(), |archive, number| archive.dir(&format!("d{number}"))).end();
    world.refuses("many", &[many], "more than 1000 files").await;
    // Directories that no entry names count, too.
    let deep = (0..60).fold(Archive::new(), |archive, number| archive.file(&format!("{number}/{}x", "d/".repeat(40)), "")).end();
    world.refuses("deep", &[deep], "more than 1000 files").await;
    // A name of megabytes, which a reader would keep in memory.
    let mut header = Archive::header(EntryType::GNULongName, "././@LongLink", 0o644);
    header.as_old_mut().mode.fill(b'0');
    world
        .refuses("long-name", &[Archive::new().add(header, &vec![b'a'; 4 << 20]).file("a", "").end()], "headers are larger")
        .await;
    let header = Archive::header(EntryType::XHeader, "pax", 0o644);
    world
        .refuses("long-note", &[Archive::new().add(header, &vec![b'a'; 4 << 20]).file("a", "").end()], "headers are larger")
        .await;
    // A sparse file of a terabyte in two blocks.
    let mut header = Archive::header(EntryType::GNUSparse, "sparse", 0o644);
    let gnu = header.as_gnu_mut().expect("GNU's format");
    gnu.realsize.copy_from_slice(b"10000000000\0");
    gnu.sparse[0].offset.copy_from_slice(b"07777777777\0");
    gnu.sparse[0].numbytes.copy_from_slice(b"00000000001\0");
    world.refuses("sparse", &[Archive::new().add(header, b"x").end()], "").await;
    // Notes that name an owner, or another format of sparse files.
    let note = |text: &str| {
        let mut length = text.len() + 3;
        while format!("{length} {text}\n").len() != length {
            length += 1;
        }
        let header = Archive::header(EntryType::XHeader, "pax", 0o644);
        Archive::new().add(header, format!("{length} {text}\n").as_bytes()).file("a", "x").end()
    };
    world.refuses("pax-sparse", &[note("GNU.sparse.major=1")], "sparse file").await;
    world.refuses("pax-owner", &[note("uid=100000")], "none that a container can have").await;
    world.refuses("pax-path", &[note("path=../../outside/x")], "absolute path").await;
    world.apply("pax-fine", &[note("SCHILY.xattr.security.capability=abc")]).await.expect("attributes are ignored");
    // Cut short, and no archive at all.
    let whole = Archive::new().file("a", &"x".repeat(5000)).end();
    world.refuses("cut", &[whole[..3000].to_vec()], "").await;
    world.refuses("noise", &[vec![7_u8; 4096]], "").await;
}

async fn the_second_layer_counts_its_own_and_a_failure_in_it_leaves_nothing(world: &World) {
    let first = Archive::new().file("a", "x").end();
    world.refuses("second", &[first, Archive::new().file("../b", "x").end()], "absolute path").await;
}

async fn an_archive_whose_last_block_is_not_full_is_whole(world: &World) {
    // As `umoci insert` writes it: no padding, and no end.
    let mut layer = Archive::new().file("a", "first").file("b", "last").end();
    layer.truncate(512 * 3 + 4);
    world.apply("unfilled", &[layer]).await.expect("taken");
    assert_eq!((world.read("unfilled", "a"), world.read("unfilled", "b")), ("first".to_owned(), "last".to_owned()));
}

async fn many_marks_take_no_time(world: &World) {
    let room = LayerRoom { bytes: 1 << 20, entries: 40_000 };
    let archive = (0..15_000).fold(Archive::new(), |archive, number| archive.file(&format!("d/{number}"), ""));
    let archive = (0..15_000).fold(archive, |archive, _| archive.file("d/.wh..wh..opq", "")).end();
    let begun = std::time::Instant::now();
    world.apply_within("marks", &[archive], room).await.expect("taken");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert!(world.root("marks").join("d/14999").exists());
}

/// Everything below a directory, in words: kind, rights, owner, size, where a link leads, how many names it has.
fn listing(root: &Path) -> Vec<String> {
    let (mut lines, mut turns) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(at) = turns.pop() {
        for entry in fs::read_dir(root.join(&at)).expect("listed").flatten() {
            let (path, metadata) = (at.join(entry.file_name()), entry.metadata().expect("there"));
            let kind = metadata.file_type();
            if !(kind.is_dir() || kind.is_file() || kind.is_symlink()) {
                continue;
            }
            let (rights, size, names) = match (kind.is_dir(), kind.is_file()) {
                (true, _) => (metadata.mode() & 0o3777, 0, 0),
                (_, true) => (metadata.mode() & 0o1777, metadata.len(), metadata.nlink()),
                _ => (0, metadata.len(), 0),
            };
            let target = fs::read_link(root.join(&path)).unwrap_or_default();
            let (user, group) = (metadata.uid(), metadata.gid());
            lines.push(format!("{} {rights:o} {user}:{group} {size} {names} {}", path.display(), target.display()));
            if kind.is_dir() {
                turns.push(path);
            }
        }
    }
    lines.sort();
    lines
}

async fn a_whole_system_comes_out_as_it_went_in(world: &World) {
    let stacks = PathBuf::from(std::env::var_os("ADAPTABLE_STACK_DIR").unwrap_or_else(|| "/var/cache/adaptable".into()));
    let systems = fs::read_dir(&stacks).map(|entries| entries.flatten().map(|entry| entry.path().join("fs")));
    let Some(system) = systems.ok().and_then(|mut systems| systems.find(|path| path.join("usr/bin").is_dir())) else {
        println!("  (no base system in {}: nothing to compare)", stacks.display());
        return;
    };
    for (format, options) in [("gnu", &["--format=gnu"][..]), ("pax", &["--format=pax", "--xattrs"])] {
        let mut tar = Command::new("tar")
            .args(["--create", "--file=-", "--numeric-owner"])
            .args(options)
            .arg("-C")
            .arg(&system)
            .arg(".")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("tar");
        let archive = fs::File::from(std::os::fd::OwnedFd::from(tar.stdout.take().expect("its output")));
        let layer = LayerId::parse(&format!("system-{format}")).expect("a name");
        let begun = std::time::Instant::now();
        let room = LayerRoom { bytes: 4 << 30, entries: 500_000 };
        let applied = world.engine.apply_layer(&layer, true, room, archive).await.expect("applied");
        println!("  {format}: {} files, {} MB in {:?}", applied.entries, applied.bytes >> 20, begun.elapsed());
        assert!(tar.wait().expect("it ends").success());
        world.engine.seal_layer(&layer, &[]).await.expect("sealed");
        let (there, here) = (listing(&system), listing(&world.root(layer.as_str())));
        let differing: Vec<_> = there.iter().zip(&here).filter(|(there, here)| there != here).take(5).collect();
        assert!(there.len() > 1000 && there.len() == here.len() && differing.is_empty(), "{differing:#?}");
        world.engine.remove_layer(&layer).await.expect("removed");
    }
}

async fn a_file_of_a_layer_is_read_as_the_container_sees_it(world: &World) {
    let secret = world.outside.join("secret");
    let layer = Archive::new()
        .file("etc/real", "users")
        .link(EntryType::Symlink, "etc/passwd", "/etc/real")
        .link(EntryType::Symlink, "etc/out", secret.to_str().expect("text"))
        .file("etc/large", &"x".repeat(300 << 10))
        .file("etc/most", &"\u{7f}".repeat(256 << 10))
        .end();
    world.apply("files", &[layer]).await.expect("taken");
    let id = LayerId::parse("files").expect("a name");
    assert_eq!(world.engine.layer_file(&id, "/etc/passwd").await.expect("a file"), b"users");
    assert_eq!(world.engine.layer_file(&id, "etc/most").await.expect("a file").len(), 256 << 10);
    for (path, missing) in [("/etc/out", true), ("/etc/none", true), ("/etc", false), ("/etc/large", false), ("/../x", false)] {
        let result = world.engine.layer_file(&id, path).await;
        assert!(result.is_err() && matches!(result, Err(EngineError::Missing(_))) == missing, "{path}: {result:?}");
    }
}

type Test = for<'a> fn(&'a World) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        const TESTS: &[(&str, Test)] = &[$((stringify!($name), |world| Box::pin($name(world)))),*];
    };
}

tests![
    paths_that_lead_out_are_refused,
    links_lead_nowhere_but_into_the_image,
    a_link_in_a_files_place_is_replaced_and_not_followed,
    whiteouts_hide_what_lies_below_and_only_that,
    a_whiteout_of_a_link_hides_the_link,
    owners_and_rights_are_those_that_a_container_can_have,
    bombs_end_with_an_error,
    the_second_layer_counts_its_own_and_a_failure_in_it_leaves_nothing,
    an_archive_whose_last_block_is_not_full_is_whole,
    many_marks_take_no_time,
    a_whole_system_comes_out_as_it_went_in,
    a_file_of_a_layer_is_read_as_the_container_sees_it,
];

fn main() -> ExitCode {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if std::env::args().any(|argument| argument == "--list") {
        for (name, _) in TESTS {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let (data, outside) = (directory.path().join("data"), directory.path().join("outside"));
    fs::create_dir_all(data.join("layers")).expect("made");
    fs::create_dir(&outside).expect("made");
    fs::write(outside.join("secret"), "kept").expect("written");
    fs::set_permissions(outside.join("secret"), PermissionsExt::from_mode(0o600)).expect("changed");
    let launcher = Launcher::start(LauncherConfig::new(&data, Path::new("/nonexistent"), 0)).expect("a launcher");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let (mut passed, mut failed) = (0, 0);
    runtime.block_on(async {
        let (engine, gone) = LocalEngine::start(launcher).expect("an engine");
        let world = World { engine, data, outside };
        for (name, test) in TESTS.iter().filter(|(name, _)| filter.as_deref().is_none_or(|filter| name.contains(filter))) {
            let ok = std::panic::AssertUnwindSafe(test(&world)).catch_unwind().await.is_ok();
            println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
            if ok { passed += 1 } else { failed += 1 }
        }
        world.engine.shutdown().await;
        gone.await;
    });
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out\n");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
