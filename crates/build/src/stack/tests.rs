//! Tests of descriptions and choice of stacks.

use super::*;

fn stack(release: &str, python: u8, made_at: i64) -> Stack {
    let digest = Digest::of(release.as_bytes());
    Stack {
        format: FORMAT,
        id: format!("{release}-{made_at}"),
        release: Release::parse(release).unwrap(),
        pythons: vec![PyVersion::new(3, python)],
        blob: LayerBlob { digest, diff_id: digest, size: 1 },
        made_at,
        packages: BTreeMap::from([("libpq5".to_owned(), "15".to_owned())]),
        build_packages: BTreeMap::from([("gcc".to_owned(), "12".to_owned())]),
        uv: String::new(),
    }
}

fn lay(dir: &Path, stack: &Stack) {
    let home = dir.join(&stack.id);
    fs::create_dir_all(home.join("fs")).unwrap();
    fs::create_dir_all(dir.join(stack.build_id()).join("fs")).unwrap();
    fs::write(home.join(BLOB), b"blob").unwrap();
    fs::write(home.join("meta.json"), serde_json::to_vec(stack).unwrap()).unwrap();
}

#[test]
fn finds_the_newest_whole_stack_of_each_release() {
    let dir = tempfile::tempdir().unwrap();
    let stacks = Stacks::new(dir.path());
    assert_eq!(stacks.all().unwrap(), []);
    let (old, new, other) = (stack("bookworm", 11, 1), stack("bookworm", 11, 2), stack("trixie", 13, 1));
    for stack in [&old, &new, &other] {
        lay(dir.path(), stack);
    }
    assert_eq!(stacks.all().unwrap(), [new.clone(), other.clone()]);
    assert_eq!(stacks.with_python(PyVersion::new(3, 13)).unwrap(), Some(other));
    assert_eq!(stacks.with_python(PyVersion::new(3, 9)).unwrap(), None);
    assert_eq!(stacks.available().unwrap().pythons, [PyVersion::new(3, 11), PyVersion::new(3, 13)]);
    // What lost a part, or was copied to another name, doesn't count.
    fs::remove_dir_all(dir.path().join(new.build_id())).unwrap();
    assert_eq!(stacks.all().unwrap()[0], old);
    fs::rename(dir.path().join(&old.id), dir.path().join("bookworm-3")).unwrap();
    assert_eq!(stacks.all().unwrap().len(), 1);
}

#[test]
fn tells_which_packages_are_missing() {
    let stack = stack("bookworm", 11, 1);
    let packages = [DebianPackage::parse("libpq5").unwrap(), DebianPackage::parse("ffmpeg").unwrap()];
    assert_eq!(stack.missing(&packages), [&packages[1]]);
}

#[test]
fn releases_are_plain_words() {
    for bad in ["", "x", "--help", "Bookworm", "a/b", "bookworm; rm"] {
        assert!(Release::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn reads_dpkg_status() {
    let status = "Package: a\nStatus: install ok installed\nVersion: 1\nDescription: x\n more\n\n\
                  Package: b\nStatus: deinstall ok config-files\nVersion: 2\n\nPackage: c\nVersion: 3-1\nStatus: install ok installed\n";
    let installed = make::parse_status(status);
    assert_eq!(installed, BTreeMap::from([("a".to_owned(), "1".to_owned()), ("c".to_owned(), "3-1".to_owned())]));
}

#[test]
fn a_machine_that_cannot_make_a_stack_goes_on_with_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    lay(dir.path(), &stack("bookworm", 11, 1));
    // A directory where the lock's file belongs stands for whatever may keep the other from being made.
    fs::create_dir(dir.path().join(".trixie.lock")).unwrap();
    let mut lines = Vec::new();
    let stacks = ensure(dir.path(), &crate::host::HostSettings::default(), &mut |line| lines.push(line.to_owned())).unwrap();
    assert_eq!(stacks.all().unwrap().len(), 1);
    assert!(lines.iter().any(|line| line.contains("the others serve")), "{lines:?}");
}
