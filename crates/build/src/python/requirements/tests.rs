//! Requirements files as they are found in the wild.

use super::*;
use crate::tree::MemoryTree;

fn tree(files: &[(&str, &str)]) -> MemoryTree {
    files.iter().map(|(path, text)| (*path, *text)).collect()
}

fn lines(wanted: &Wanted) -> Vec<&str> {
    wanted.reqs.iter().map(|req| req.line.as_str()).collect()
}

fn root(files: &[(&str, &str)]) -> Wanted {
    read(&tree(files), "requirements.txt").unwrap()
}

#[test]
fn comments_continuations_and_hashes() {
    let got = root(&[(
        "requirements.txt",
        "# top\nflask==2.0 # why\r\n\r\nclick==8.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n    # via flask\n",
    )]);
    assert_eq!(lines(&got), ["flask==2.0", "click==8.0 --hash=sha256:aa --hash=sha256:bb"]);
}

#[test]
fn nested_files_are_flattened_from_where_they_lie() {
    let got = root(&[
        ("requirements.txt", "-r requirements/prod.txt\n-c constraints.txt"),
        ("requirements/prod.txt", "-r base.txt\n--requirement=../more.txt\ngunicorn"),
        ("requirements/base.txt", "flask\n-r prod.txt"),
        ("more.txt", "redis"),
        ("constraints.txt", "flask<3"),
    ]);
    assert_eq!(lines(&got), ["flask", "redis", "gunicorn"]);
    assert_eq!(got.constraints, ["flask<3"]);
}

#[test]
fn a_missing_or_outer_file_is_named() {
    let missing = read(&tree(&[("requirements.txt", "-r dev.txt")]), "requirements.txt").unwrap_err();
    assert!(matches!(missing, PlanError::MissingFile { file, .. } if file == "dev.txt"));
    for text in ["-r ../x.txt", "-r /etc/passwd", "-e ../lib", "../lib", "file:///etc"] {
        let outside = read(&tree(&[("requirements.txt", text)]), "requirements.txt").unwrap_err();
        assert!(matches!(outside, PlanError::OutsideTree { .. }), "{text}: {outside:?}");
    }
}

#[test]
fn options_go_where_the_installer_takes_them() {
    let got = root(&[(
        "requirements.txt",
        "--index-url https://i.example/simple\n--extra-index-url=https://e.example/simple\n--pre\n--trusted-host e.example\n--prefer-binary\n--no-binary :all:\nflask",
    )]);
    assert_eq!(
        got.options,
        ["--index-url https://i.example/simple", "--extra-index-url https://e.example/simple", "--no-binary :all:"]
    );
    assert_eq!(
        got.args,
        ["--index-strategy", "unsafe-best-match", "--prerelease", "allow", "--allow-insecure-host", "e.example"]
    );
}

#[test]
fn local_projects_wheels_and_urls() {
    let got = root(&[
        (
            "requirements.txt",
            "-e .\n-e ./libs/a[x]\nlibs/b\n./wheels/c-1.0-py3-none-any.whl\n-e git+https://g.example/o/d.git@main#egg=d\n\
             git+https://g.example/o/e.git#egg=e&subdirectory=py\nhttps://h.example/f-1.0.tar.gz\ngit+git@g.example:o/h.git#egg=h",
        ),
        ("setup.py", ""),
        ("libs/a/pyproject.toml", ""),
        ("libs/b/setup.py", ""),
        ("wheels/c-1.0-py3-none-any.whl", ""),
    ]);
    let dirs: Vec<&str> = got.projects.iter().map(|project| project.dir.as_str()).collect();
    assert_eq!(dirs, ["", "libs/a", "libs/b"]);
    assert_eq!(got.projects[1].extras, ["x"]);
    assert_eq!(
        lines(&got),
        [
            "/app/wheels/c-1.0-py3-none-any.whl",
            "d @ git+https://g.example/o/d.git@main",
            "e @ git+https://g.example/o/e.git#subdirectory=py",
            "https://h.example/f-1.0.tar.gz",
            "h @ git+https://g.example/o/h.git",
        ]
    );
    assert_eq!(got.files, ["wheels/c-1.0-py3-none-any.whl"]);
}

#[test]
fn powershell_wrote_it() {
    let bytes: Vec<u8> =
        [0xFF, 0xFE].into_iter().chain("Flask==2.0\r\npywin32==300\r\n".encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let tree: MemoryTree = [("requirements.txt", bytes)].into_iter().collect();
    let got = read(&tree, "requirements.txt").unwrap();
    assert_eq!(lines(&got), ["flask==2.0"]);
    assert!(got.notes[0].contains("pywin32"));
}

#[test]
fn a_bad_line_is_named_with_its_number() {
    let err = read(&tree(&[("requirements.txt", "flask\n\nnot a requirement\n")]), "requirements.txt").unwrap_err();
    let PlanError::Manifest { file, line, why } = err else { panic!("{err:?}") };
    assert_eq!((file.as_str(), line), ("requirements.txt", Some(3)));
    assert!(why.contains("`not a requirement`"), "{why}");
}
