//! A repository of 10,000 files, which is looked over while somebody waits.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use super::*;

/// What is promised for an optimised build, and what a test without optimisation may take on a busy machine.
const PROMISED: Duration = if cfg!(debug_assertions) { Duration::from_mins(1) } else { Duration::from_secs(2) };

/// 4,000 Python files of a hundred lines that read variables and import each other, 6,000 others of 4 kB.
fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::write(root.join("app.py"), FLASK).unwrap();
    fs::write(root.join("requirements.txt"), "flask\ngunicorn\n").unwrap();
    for package in 0..100 {
        let at = root.join(format!("pkg{package}"));
        fs::create_dir_all(at.join("static")).unwrap();
        for file in 0..40 {
            let mut text =
                format!("import os\nfrom flask import Blueprint\nfrom pkg{}.m{file} import load\n", (package + 1) % 100);
            for line in 0..25 {
                writeln!(text, "\n\ndef f{line}(a, b=None):\n    value = os.environ.get('KEY_{line}', 'x') + str(a)\n    return [value, b, {{'a': 1}}]").unwrap();
            }
            fs::write(at.join(format!("m{file}.py")), text).unwrap();
        }
        for file in 0..60 {
            fs::write(at.join(format!("static/s{file}.js")), "const x = { key: 'value-1234' }; // --- \n".repeat(100)).unwrap();
        }
    }
    dir
}

#[test]
fn ten_thousand_files_take_less_than_two_seconds() {
    let dir = tree();
    let begun = Instant::now();
    let tree = DirTree::open(dir.path()).unwrap();
    let files = tree.entries().len();
    assert!(files >= 10_000, "{files}");
    let report = check(&tree, &Repository::Read { files, bytes: 1 }, &Request::default());
    let took = begun.elapsed();
    println!("{files} files took {took:?}; {}; {}", get(&report, "disk").reason, get(&report, "secrets").reason);
    assert_eq!(wrong(&report), Vec::<String>::new(), "{:#?}", report.checks);
    assert!(took < PROMISED, "{took:?}");
}
