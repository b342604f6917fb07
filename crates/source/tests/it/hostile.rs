//! Archives that attack: each is refused, by name, and leaves nothing behind.

use proptest::prelude::*;
use source::{CheckedTree, Limits};

use crate::tars::{Tar, pax_record, receive_in, refused};

#[track_caller]
fn refuses(tar: Tar, because: &str) {
    let text = refused(&tar.end());
    assert!(text.contains(because), "{text:?} should say {because:?}");
}

#[test]
fn paths_out_of_the_tree() {
    refuses(Tar::default().file("/etc/passwd", "x"), "`/etc/passwd` is absolute");
    refuses(Tar::default().file("../x", "x"), "has `..` in it");
    refuses(Tar::default().file("a/../../x", "x"), "has `..` in it");
    refuses(Tar::default().entry(b'5', "..", "", b""), "has `..` in it");
    refuses(Tar::default().entry(b'5', "/", "", b""), "is absolute");
    refuses(Tar::default().pax("path", "../../x").file("innocent", "x"), "`../../x` has `..` in it");
    refuses(Tar::default().entry(b'L', "././@LongLink", "", b"../y\0").file("innocent", "x"), "`../y` has `..` in it");
    refuses(Tar::default().with(b'0', "x", "", 0, |block| block[345..350].copy_from_slice(b"/root")), "`/root/x` is absolute");
    refuses(Tar::default().with(b'0', "x", "", 0, |block| block[345..350].copy_from_slice(b"a/../")), "has `..` in it");
}

#[test]
fn names_that_cannot_be() {
    refuses(Tar::default().file("", "x"), "is empty");
    refuses(Tar::default().file(".", "x"), "is empty");
    refuses(Tar::default().file("a\x1b[2J", "x"), "control character");
    refuses(Tar::default().file("a\nb", "x"), "control character");
    refuses(Tar::default().pax("path", b"a\0b").file("innocent", "x"), "control character");
    refuses(Tar::default().pax("path", "n".repeat(256)).file("x", "x"), "longer than 255 bytes");
    refuses(Tar::default().pax("path", format!("{}f", "d/".repeat(129))).file("x", "x"), "more than 128 directories deep");
    refuses(Tar::default().pax("path", format!("{}f", "dir/".repeat(1000))).file("x", "x"), "longer than 3072 bytes");
}

#[test]
fn special_files() {
    for (kind, what) in [(b'3', "a device"), (b'4', "a device"), (b'6', "a FIFO"), (b'Z', "of an unknown kind")] {
        refuses(Tar::default().entry(kind, "dev/sda", "", b""), &format!("`dev/sda` is {what}"));
    }
    refuses(Tar::default().entry(b'S', "sparse", "", b""), "sparse");
    refuses(Tar::default().pax("GNU.sparse.major", "1").file("s", "x"), "sparse");
    refuses(Tar::default().entry(b'M', "volume", "", b""), "incremental");
    let global = pax_record("path", b"everywhere");
    refuses(Tar::default().entry(b'g', "pax", "", &global), "global header");
}

#[test]
fn links_out_of_the_tree() {
    refuses(Tar::default().symlink("a", "/etc/passwd"), "leads to the absolute path `/etc/passwd`");
    refuses(Tar::default().symlink("d/a", "../../etc"), "`d/a` leads out of the tree");
    refuses(Tar::default().symlink("d/e/up", "../..").symlink("out", "d/e/up/.."), "`out` leads out of the tree");
    // The other order: the link that makes it bad comes later.
    refuses(Tar::default().symlink("out", "d/..").symlink("d", "e/.."), "`out` leads out of the tree");
    refuses(Tar::default().symlink("a", ""), "no possible path");
    refuses(Tar::default().pax("linkpath", b"a\0/../..").symlink("a", "b"), "no possible path");
    refuses(Tar::default().entry(b'1', "hard", "/etc/shadow", b""), "is absolute");
    refuses(Tar::default().entry(b'1', "hard", "../x", b""), "has `..` in it");
    refuses(Tar::default().entry(b'1', "hard", "later", b"").file("later", "x"), "no file that came before it");
    refuses(Tar::default().symlink("s", "x").entry(b'1', "hard", "s", b""), "no file that came before it");
    refuses(Tar::default().entry(b'5', "d", "", b"").entry(b'1', "hard", "d", b""), "no file that came before it");
}

#[test]
fn one_name_for_two_things() {
    refuses(Tar::default().file("a", "1").file("a", "2"), "`a` is in the tree twice");
    refuses(Tar::default().file("a", "1").file("./a", "2"), "`a` is in the tree twice");
    refuses(Tar::default().file("a", "1").file("a/b", "2"), "`a` is a directory and something else at once");
    refuses(Tar::default().file("a/b", "1").file("a", "2"), "`a` is a directory and something else at once");
    refuses(Tar::default().file("a", "1").entry(b'5', "a", "", b""), "`a` is a directory and something else at once");
    // Written by a naive unpacker, the file would land where the link leads.
    refuses(Tar::default().symlink("a", "b").file("a/x", "2"), "`a` is a directory and something else at once");
    refuses(Tar::default().symlink("a", "b").file("a", "2"), "`a` is in the tree twice");
}

#[test]
fn too_much() {
    refuses(Tar::default().header(b'0', "large", "", (8 << 30) - 1), "larger than 1.0 MB");
    refuses(Tar::default().pax("size", "999999999999999999").file("large", ""), "larger than 1.0 MB");
    let many = (0..101).fold(Tar::default(), |tar, n| tar.file(format!("f{n}"), ""));
    refuses(many, "more than 100 files");
    let many = (0..101).fold(Tar::default(), |tar, n| tar.symlink(&format!("f{n}"), "x"));
    refuses(many, "more than 100 files");
    let deep = (0..3).fold(Tar::default(), |tar, n| tar.pax("path", format!("{n}/{}f", "d/".repeat(60))).file("x", ""));
    refuses(deep, "more than 100 files or directories");
    let copies = (0..3).fold(Tar::default().file("a", vec![0; 400_000]), |tar, n| tar.entry(b'1', format!("h{n}"), "a", b""));
    refuses(copies, "larger than 1.0 MB");
    refuses(Tar::default().header(b'L', "././@LongLink", "", 7 << 30), "longer than any name needs");
    refuses(Tar::default().header(b'x', "pax", "", 1 << 20), "longer than any name needs");
}

#[test]
fn a_bomb_is_given_up_at_the_limit() {
    let mut bomb = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    let header = Tar::default().header(b'0', "zeros", "", 7 << 30).0;
    std::io::copy(&mut std::io::Read::chain(&header[..], std::io::Read::take(std::io::repeat(0), 64 << 20)), &mut bomb).unwrap();
    let started = std::time::Instant::now();
    assert!(refused(&bomb.finish().unwrap()).contains("larger than 1.0 MB"));
    assert!(started.elapsed().as_secs() < 5);
}

#[test]
fn malformed_archives() {
    let good = Tar::default().file("a", "hello").end();
    assert!(refused(b"").contains("cut off"));
    assert!(refused(b"PK\x03\x04 no zip either").contains("no zip archive"));
    assert!(refused(&[b'x'; 2048]).contains("checksum"));
    for length in [1, 511, 512, 515, 1023, 1024, 1500] {
        assert!(refused(&good[..length]).contains("cut off"), "cut at {length}");
    }
    let mut changed = good.clone();
    changed[0] ^= 1;
    assert!(refused(&changed).contains("checksum"));
    let mut trailing = good.clone();
    trailing.extend_from_slice(b"more");
    assert!(refused(&trailing).contains("more after its end"));
    refuses(Tar::default().header(b'5', "d", "", 5), "no file has contents");
    refuses(Tar::default().header(b'2', "l", "x", 5), "no file has contents");
    let negative = |block: &mut [u8]| block[124..136].fill(0xff);
    refuses(Tar::default().with(b'0', "n", "", 0, negative), "no number in range");
    refuses(Tar::default().with(b'0', "n", "", 0, |block| block[124..135].copy_from_slice(b"-0000000001")), "no number in range");
    for record in [&b"5 a=b\n"[..], b"6 a=bX", b"99999999 a=b\n", b"a=b\n", b"0 a=b\n", b" a=b\n", b"3 \n", b"\0\0\0\0"] {
        refuses(Tar::default().entry(b'x', "pax", "", record).file("x", ""), "malformed");
    }
}

#[test]
fn what_other_programs_write_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    let long = format!("{}/{}", "directory".repeat(15), "file".repeat(40));
    std::fs::create_dir_all(tree.join(&long).parent().unwrap()).unwrap();
    std::fs::write(tree.join(&long), "long").unwrap();
    std::fs::write(tree.join("app.py"), "print('hello')").unwrap();
    std::os::unix::fs::symlink("app.py", tree.join("link")).unwrap();
    std::fs::hard_link(tree.join("app.py"), tree.join("hard")).unwrap();
    let mut digests = Vec::new();
    for format in ["gnu", "pax", "posix"] {
        for compression in ["--no-auto-compress", "--gzip"] {
            let archive = directory.path().join("a.tar");
            let mut tar = std::process::Command::new("tar");
            tar.args(["--format", format, compression, "-cf"]).arg(&archive).arg("-C").arg(&tree).arg(".");
            assert!(tar.status().unwrap().success());
            let received = receive_in(directory.path(), &std::fs::read(&archive).unwrap(), &Limits::default()).unwrap();
            assert_eq!((received.files, received.bytes), (4, 32));
            digests.push(received.digest);
        }
    }
    digests.dedup();
    assert_eq!(digests.len(), 1, "one tree, one digest, whoever packed it");
}

fn piece() -> impl Strategy<Value = Tar> {
    let name = "[ab./]{0,6}";
    (
        prop_oneof![Just(b'0'), Just(b'1'), Just(b'2'), Just(b'5'), Just(b'L'), Just(b'K'), Just(b'x'), any::<u8>()],
        name,
        name,
        any::<u16>(),
    )
        .prop_map(|(kind, name, link, noise)| {
            let contents = match kind {
                b'0' => vec![b'c'; usize::from(noise % 700)],
                b'L' | b'K' => link.clone().into_bytes(),
                b'x' => pax_record(if noise % 2 == 0 { "path" } else { "linkpath" }, link.as_bytes()),
                _ => Vec::new(),
            };
            Tar::default().entry(kind, name, &link, &contents)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever is taken, the tar program unpacks without leaving the directory, and a second reading gives the same.
    #[test]
    fn what_is_taken_is_sound(pieces in proptest::collection::vec(piece(), 0..8)) {
        let tar = pieces.into_iter().fold(Tar::default(), |mut tar, piece| { tar.0.extend(piece.0); tar }).end();
        let directory = tempfile::tempdir().unwrap();
        let Ok(received) = receive_in(directory.path(), &tar, &Limits { bytes: 1 << 20, files: 50 }) else { return Ok(()) };
        let dest = directory.path().join("tree.tar");
        let canonical = std::fs::read(&dest).unwrap();
        let again = receive_in(directory.path(), &canonical, &Limits { bytes: 1 << 20, files: 50 }).unwrap();
        prop_assert_eq!(received.digest, again.digest);
        prop_assert_eq!(&std::fs::read(&dest).unwrap(), &canonical);
        let opened = CheckedTree::open(&dest).unwrap();
        let entries: Vec<_> = opened.entries().map(|entry| format!("{entry:?}")).collect();
        prop_assert_eq!(entries, received.tree.entries().map(|entry| format!("{entry:?}")).collect::<Vec<_>>());
        let out = directory.path().join("out");
        tar::Archive::new(&canonical[..]).unpack(&out).unwrap();
        let root = out.canonicalize().unwrap();
        for entry in received.tree.entries() {
            // A link that leads nowhere or in circles has no end to look at.
            if let Ok(end) = out.join(entry.path.as_path()).canonicalize() {
                prop_assert!(end.starts_with(&root), "{:?} leads to {:?}", entry, end);
            }
        }
    }

    /// No bytes crash it.
    #[test]
    fn noise_is_refused(mut tar in proptest::collection::vec(piece(), 1..4), at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = tar.pop().unwrap().end();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let directory = tempfile::tempdir().unwrap();
        receive_in(directory.path(), &bytes, &Limits { bytes: 1 << 20, files: 50 }).ok();
    }
}
