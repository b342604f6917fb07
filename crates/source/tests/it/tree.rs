//! What is done with a tree once it is checked.

use source::{CheckedTree, Kind, Limits, ReadError, SubdirectoryError, TreePath};

use crate::tars::{Tar, chain, receive_in};

fn path(text: &str) -> TreePath {
    TreePath::parse(text).unwrap()
}

fn monorepo() -> Vec<u8> {
    Tar::default()
        .file("README.md", "top")
        .file("apps/shop/app.py", "shop")
        .file("apps/shop/static/style.css", "css")
        .symlink("apps/shop/main.py", "app.py")
        .file("apps/shop-admin/app.py", "admin")
        .symlink("apps/broken/shared", "../shop")
        .file("apps/broken/app.py", "")
        .end()
}

#[test]
fn it_is_read_in_place() {
    let directory = tempfile::tempdir().unwrap();
    let received = receive_in(directory.path(), &monorepo(), &Limits::default()).unwrap();
    let opened = CheckedTree::open(&directory.path().join("tree.tar")).unwrap();
    for tree in [&received.tree, &opened] {
        assert_eq!(tree.read(&path("apps/shop/app.py"), 10).unwrap(), b"shop");
        assert_eq!(tree.read(&path("apps/shop/main.py"), 10).unwrap(), b"shop");
        assert_eq!(tree.read(&path("apps/broken/shared/main.py"), 10).unwrap(), b"shop");
        assert!(matches!(tree.read(&path("apps/shop/app.py"), 3), Err(ReadError::TooLarge { size: 4, max: 3, .. })));
        assert!(matches!(tree.read(&path("apps"), 3), Err(ReadError::NotAFile(_))));
        assert!(matches!(tree.read(&path("nothing"), 3), Err(ReadError::NotFound(_))));
        assert_eq!(tree.get(&path("apps/shop/main.py")), Some(Kind::Symlink { target: b"app.py" }));
        let names: Vec<_> = tree.entries().map(|entry| entry.path.to_string()).collect();
        assert_eq!(names[..4], ["README.md", "apps", "apps/broken", "apps/broken/app.py"]);
    }
}

#[test]
fn order_and_dates_make_no_difference_but_contents_do() {
    let directory = tempfile::tempdir().unwrap();
    let digest = |tar: Tar| receive_in(directory.path(), &tar.end(), &Limits::default()).unwrap().digest;
    let one = digest(Tar::default().file("a", "1").file("b/c", "2"));
    let dated = |block: &mut [u8]| block[136..147].copy_from_slice(b"14000000000");
    let other = digest(Tar::default().entry(b'5', "b/", "", b"").file("b/c", "2").with(b'0', "a", "", 1, dated).contents(b"1"));
    assert_eq!(one, other);
    assert_ne!(one, digest(Tar::default().file("a", "1").file("b/c", "3")));
}

/// Flask's `ETag` is made of time and size: a changed file of the same size must get another time, an unchanged one must not.
#[test]
fn a_files_time_follows_its_contents() {
    let directory = tempfile::tempdir().unwrap();
    let time = |contents: &str| {
        receive_in(directory.path(), &Tar::default().file("style.css", contents).end(), &Limits::default()).unwrap();
        let bytes = std::fs::read(directory.path().join("tree.tar")).unwrap();
        tar::Archive::new(&bytes[..]).entries().unwrap().next().unwrap().unwrap().header().mtime().unwrap()
    };
    assert_eq!(time("red"), time("red"));
    assert_ne!(time("red"), time("tan"));
    assert!((1_000_000_000..1_300_000_000).contains(&time("red")));
}

#[test]
fn a_base_directory_is_a_tree_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let tree = receive_in(directory.path(), &monorepo(), &Limits::default()).unwrap().tree;
    let dest = directory.path().join("base.tar");
    let base = tree.subdirectory(&path("apps/shop"), &dest).unwrap();
    let names: Vec<_> = base.tree.entries().map(|entry| entry.path.to_string()).collect();
    assert_eq!(names, ["app.py", "main.py", "static", "static/style.css"]);
    assert_eq!((base.files, base.bytes), (3, 7));
    assert_eq!(base.tree.read(&path("static/style.css"), 10).unwrap(), b"css");
    let same = Tar::default().file("app.py", "shop").file("static/style.css", "css").symlink("main.py", "app.py").end();
    assert_eq!(receive_in(directory.path(), &same, &Limits::default()).unwrap().digest_hex(), base.digest_hex());

    assert!(matches!(tree.subdirectory(&path("apps/blog"), &dest), Err(SubdirectoryError::NotFound(_))));
    assert!(matches!(tree.subdirectory(&path("README.md"), &dest), Err(SubdirectoryError::NotADirectory(_))));
    assert!(matches!(tree.subdirectory(&path("apps/broken/shared"), &dest), Err(SubdirectoryError::NotADirectory(_))));
    let text = chain(&tree.subdirectory(&path("apps/broken"), &dest).unwrap_err());
    assert!(
        text.starts_with(
            "the base directory `apps/broken` can't stand by itself: the symbolic link `shared` leads out of the tree"
        ),
        "{text}"
    );
}

#[test]
fn a_damaged_archive_is_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    receive_in(directory.path(), &monorepo(), &Limits::default()).unwrap();
    let dest = directory.path().join("tree.tar");
    let bytes = std::fs::read(&dest).unwrap();
    std::fs::write(&dest, &bytes[..bytes.len() / 2]).unwrap();
    assert!(chain(&CheckedTree::open(&dest).unwrap_err()).contains("damaged"));
    assert!(CheckedTree::open(&directory.path().join("none")).is_err());
}
