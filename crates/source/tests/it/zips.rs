//! Zip archives: as programs make them, and byte by byte as no well-behaved one would.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use proptest::prelude::*;
use source::{Kind, Limits};

use crate::tars::{chain, receive_in, refused};

/// One file of an archive.
#[derive(Clone, Default)]
struct File {
    name: Vec<u8>,
    contents: Vec<u8>,
    /// The size that is said of it, where it is another one.
    says: Option<u32>,
    crc: Option<u32>,
    /// On a Unix.
    mode: u32,
    host: u8,
    flags: u16,
    /// Stored, deflated, or what nobody has.
    method: u16,
}

fn file(name: impl AsRef<[u8]>, contents: impl AsRef<[u8]>) -> File {
    let (name, contents) = (name.as_ref().to_vec(), contents.as_ref().to_vec());
    File { name, contents, mode: 0o100_644, host: 3, ..File::default() }
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// An archive of them; `change` has its directory and its end before they are put behind the files.
fn zip_with(files: &[File], change: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>)) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for it in files {
        let packed = if it.method == 8 {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&it.contents).unwrap();
            encoder.finish().unwrap()
        } else {
            it.contents.clone()
        };
        let size = it.says.unwrap_or(u32::try_from(it.contents.len()).unwrap());
        let packed_size = u32::try_from(packed.len()).unwrap();
        let mut common = Vec::new();
        common.extend(20_u16.to_le_bytes());
        common.extend(it.flags.to_le_bytes());
        common.extend(it.method.to_le_bytes());
        common.extend([0; 4]);
        common.extend(it.crc.unwrap_or(crc(&it.contents)).to_le_bytes());
        common.extend(packed_size.to_le_bytes());
        common.extend(size.to_le_bytes());
        common.extend(u16::try_from(it.name.len()).unwrap().to_le_bytes());
        common.extend([0; 2]);
        let at = u32::try_from(out.len()).unwrap();
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(&it.name);
        out.extend(&packed);
        directory.extend(b"PK\x01\x02");
        directory.extend([20, it.host]);
        directory.extend(&common);
        directory.extend([0; 6]);
        directory.extend((it.mode << 16).to_le_bytes());
        directory.extend(at.to_le_bytes());
        directory.extend(&it.name);
    }
    let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
    let count = u16::try_from(files.len()).unwrap().to_le_bytes();
    end.extend(count.iter().chain(&count));
    end.extend(u32::try_from(directory.len()).unwrap().to_le_bytes());
    end.extend(u32::try_from(out.len()).unwrap().to_le_bytes());
    end.extend([0; 2]);
    change(&mut directory, &mut end);
    [out, directory, end].concat()
}

fn zip(files: &[File]) -> Vec<u8> {
    zip_with(files, |_, _| {})
}

#[track_caller]
fn refuses(archive: &[u8], because: &str) {
    let text = refused(archive);
    assert!(text.contains(because), "{text:?} should say {because:?}");
}

/// What was received: paths with contents, or what they are.
fn received(archive: &[u8]) -> Vec<(String, String)> {
    let directory = tempfile::tempdir().unwrap();
    let received = receive_in(directory.path(), archive, &Limits::default()).unwrap_or_else(|error| panic!("{}", chain(&error)));
    let entries = received.tree.entries().map(|entry| {
        let what = match &entry.kind {
            Kind::Directory => "/".to_owned(),
            Kind::File { executable, .. } => {
                let contents = received.tree.read(entry.path, 1 << 20).unwrap();
                format!("{}{}", String::from_utf8_lossy(&contents), if *executable { " (x)" } else { "" })
            }
            Kind::Symlink { target } => format!("-> {}", String::from_utf8_lossy(target)),
        };
        (entry.path.to_string(), what)
    });
    entries.collect()
}

#[test]
fn files_directories_and_links_come_as_they_are() {
    let long = "print(1)\n".repeat(100);
    let files = [
        file("app/", ""),
        file("app/main.py", &long),
        File { mode: 0o100_755, ..file("app/run.sh", "#!/bin/sh\n") },
        File { method: 8, ..file("deep/er/text", "text") },
        File { mode: 0o120_777, ..file("link", "app/main.py") },
        // From Windows, by a program that knows no better.
        File { host: 0, mode: 0, ..file("win\\dows.txt", "x") },
        file("__MACOSX/app/._main.py", "junk"),
        file("empty", ""),
    ];
    let expected = [
        ("app", "/"),
        ("app/main.py", long.as_str()),
        ("app/run.sh", "#!/bin/sh\n (x)"),
        ("deep", "/"),
        ("deep/er", "/"),
        ("deep/er/text", "text"),
        ("empty", ""),
        ("link", "-> app/main.py"),
        ("win", "/"),
        ("win/dows.txt", "x"),
    ];
    assert_eq!(received(&zip(&files)), expected.map(|(path, what)| (path.to_owned(), what.to_owned())));
    assert_eq!(received(&zip(&[])), []);
    let comment = zip_with(&files[1..2], |_, end| {
        end.truncate(20);
        end.extend([3, 0, b'P', b'K', 5]);
    });
    assert_eq!(received(&comment).len(), 2);
}

#[test]
fn the_same_tree_is_the_same_whatever_it_came_in() {
    let digest = |archive: &[u8]| {
        let directory = tempfile::tempdir().unwrap();
        receive_in(directory.path(), archive, &Limits::default()).unwrap().digest_hex()
    };
    let (stored, packed) = (file("a/b", "text"), File { method: 8, ..file("a/b", "text") });
    let tar = crate::tars::Tar::default().file("a/b", "text").end();
    assert_eq!(digest(&zip(&[stored])), digest(&tar));
    assert_eq!(digest(&zip(&[packed])), digest(&tar));
}

#[test]
fn names_and_links_out_of_the_tree() {
    refuses(&zip(&[file("../x", "x")]), "has `..` in it");
    refuses(&zip(&[file("a/../../x", "x")]), "has `..` in it");
    refuses(&zip(&[File { host: 0, ..file("..\\x", "x") }]), "has `..` in it");
    refuses(&zip(&[file("/etc/passwd", "x")]), "is absolute");
    refuses(&zip(&[file("a\0b", "x")]), "control character");
    refuses(&zip(&[file("", "x")]), "is empty");
    refuses(&zip(&[file("a", "x"), file("a", "y")]), "twice");
    refuses(&zip(&[file("a", "x"), file("a/b", "y")]), "directory and something else");
    let link = |target: &str| File { mode: 0o120_777, ..file("d/link", target) };
    refuses(&zip(&[link("/etc/passwd")]), "absolute");
    refuses(&zip(&[link("../../x")]), "leads out of the tree");
    refuses(&zip(&[link(&"x/".repeat(4000))]), "no possible path");
    refuses(&zip(&[File { mode: 0o020_666, ..file("dev", "") }]), "is no file, directory or link");
}

#[test]
fn bombs_and_lies() {
    // A megabyte is the limit here.
    let zeros = vec![0; 1 << 20];
    let small = File { method: 8, ..file("zeros", &zeros) };
    assert!(zip(std::slice::from_ref(&small)).len() < 3000);
    refuses(&zip(&[small.clone(), file("one", "x")]), "larger than");
    // It says that it is small, and is not.
    refuses(&zip(&[File { says: Some(10), ..small.clone() }]), "`zeros` is damaged");
    refuses(&zip(&[File { says: Some(20), ..file("short", "x") }]), "damaged");
    refuses(&zip(&[File { crc: Some(1), ..file("other", "x") }]), "`other` is damaged");
    refuses(&zip(&[File { flags: 1, ..file("secret", "x") }]), "`secret` is encrypted");
    refuses(&zip(&[File { method: 12, ..file("odd", "x") }]), "method 12");
    let many: Vec<_> = (0..201).map(|number| file(format!("d{number}/"), "")).collect();
    refuses(&zip(&many), "more than 100 files");
    // All files share the same bytes: what they hold together counts.
    let shared = zip_with(&vec![File { method: 8, ..file("a", &zeros[..1 << 19]) }; 3], |directory, _| {
        let each = directory.len() / 3;
        for number in 0..3 {
            let at = number * each;
            directory[at + 42..at + 46].fill(0);
            directory[at + 46] = b'a' + u8::try_from(number).unwrap();
        }
    });
    refuses(&shared, "larger than");
}

#[test]
fn archives_that_are_none() {
    let whole = zip(&[file("a", "text")]);
    for length in [4, 21, 30, 40, whole.len() - 1] {
        refuses(&whole[..length], "no zip archive");
    }
    refuses(&[&whole[..], b"more"].concat(), "something follows");
    refuses(&zip_with(&[file("a", "x")], |directory, _| directory[42..46].fill(0xEE)), "not where");
    refuses(&zip_with(&[file("a", "x")], |directory, _| directory[0] = 0), "something else in it");
    refuses(&zip_with(&[file("a", "x")], |_, end| end[16] = 1), "something else in it");
    refuses(&zip_with(&[file("a", "x")], |_, end| end[12..16].fill(0xFE)), "not where");
    refuses(&zip_with(&[file("a", "x")], |_, end| end[4] = 1), "one part of several");
    refuses(&zip_with(&[file("a", "x")], |directory, _| directory[24..28].fill(0xFF)), "a size is missing");
}

/// The same with the numbers that ZIP64 has, as Python writes them where more than 65,535 files come.
#[test]
fn zip64_is_read() {
    let archive = zip_with(&[file("a", "text")], |directory, end| {
        let (size, at) = (directory.len() as u64, 30 + 1 + 4_u64);
        directory[24..28].fill(0xFF);
        directory[30..32].copy_from_slice(&[12, 0]);
        directory.extend([1, 0, 8, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
        let mut large = b"PK\x06\x06".to_vec();
        large.extend(44_u64.to_le_bytes());
        large.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for number in [1, 1, size + 12, at] {
            large.extend(number.to_le_bytes());
        }
        large.extend(b"PK\x06\x07\0\0\0\0");
        large.extend((at + size + 12).to_le_bytes());
        large.extend(1_u32.to_le_bytes());
        end[8..20].fill(0xFF);
        *end = [&large[..], end].concat();
    });
    assert_eq!(received(&archive), [("a".to_owned(), "text".to_owned())]);
    let far = archive.len() - 22 - 20 + 8;
    let mut lost = archive;
    lost[far..far + 8].fill(0xFF);
    refuses(&lost, "leads nowhere");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0..200_usize, with in any::<u8>()) {
        let directory = tempfile::tempdir().unwrap();
        let limits = Limits { bytes: 1 << 16, files: 10 };
        let _any = receive_in(directory.path(), &[b"PK\x03\x04", &bytes[..]].concat(), &limits);
        // One byte of a good one is another.
        let mut archive = zip(&[File { method: 8, ..file("a/b", "some text of it") }, file("c", "more")]);
        let at = at % archive.len();
        archive[at] = with;
        let _any = receive_in(directory.path(), &archive, &limits);
    }
}
