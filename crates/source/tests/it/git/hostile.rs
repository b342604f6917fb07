//! What pushes do that nobody should make: refused or inert, each.

use source::Limits;

use super::server::{Copy, Platform};

/// A commit of a tree made entry by entry, written by git without a look at it.
fn craft(copy: &Copy, entries: &[(&str, &str, &str)]) -> String {
    let mut tree = Vec::new();
    for (mode, name, id) in entries {
        tree.extend_from_slice(format!("{mode} {name}\0").as_bytes());
        tree.extend((0..20).map(|n| u8::from_str_radix(&id[2 * n..2 * n + 2], 16).unwrap()));
    }
    let tree = copy.git_with(&["hash-object", "-w", "--stdin", "--literally", "-t", "tree"], &tree);
    let commit = copy.git_with(&["commit-tree", &tree], b"crafted");
    copy.git(&["update-ref", "refs/heads/crafted", &commit]);
    tree
}

fn blob(copy: &Copy, contents: &str) -> String {
    copy.git_with(&["hash-object", "-w", "--stdin"], contents.as_bytes())
}

#[test]
fn names_that_lead_out() {
    let (platform, copy) = (Platform::start(), Copy::with_app());
    let file = blob(&copy, "x");
    craft(&copy, &[("100644", "app.py", &file)]);
    let inner = copy.git(&["rev-parse", "crafted^{tree}"]);
    copy.pushes(&platform, &["main"]);
    for (mode, name, id, because) in [
        ("40000", "..", &inner, "hasDotdot"),
        ("100644", "..", &file, "hasDotdot"),
        ("40000", ".git", &inner, "hasDotgit"),
        ("40000", ".GIT", &inner, "hasDotgit"),
        ("40000", ".", &inner, "hasDot"),
        ("100644", "a/../../b", &file, "fullPathname"),
        ("100644", "/etc/passwd", &file, "fullPathname"),
        ("120000", ".gitmodules", &file, "gitmodulesSymlink"),
    ] {
        craft(&copy, &[(mode, name, id)]);
        let text = copy.is_refused(&platform, &["crafted:main", "--force"]);
        assert!(text.contains(because), "{name}: {text}");
    }
    craft(&copy, &[("100644", "a", &file), ("100644", "a", &file)]);
    assert!(copy.is_refused(&platform, &["crafted:main", "--force"]).contains("duplicateEntries"));
    craft(&copy, &[("100644", "a\x1b[2J", &file)]);
    assert!(copy.is_refused(&platform, &["crafted:main", "--force"]).contains("control character"));
    for mode in ["100666", "60000", "10000", "140000", "0"] {
        craft(&copy, &[(mode, "dev", &file)]);
        let (success, text) = copy.push(&platform, &["crafted:main", "--force"]);
        // git itself takes the first for a plain file; the others are nothing it knows.
        assert!(!success || platform.last().names == ["dev"], "{mode}: {text}");
    }
}

#[test]
fn links_that_lead_out() {
    let (platform, copy) = (Platform::start(), Copy::with_app());
    copy.pushes(&platform, &["main"]);
    for (target, because) in [
        ("/etc/passwd", "leads to the absolute path"),
        ("../../secret", "leads out of the tree"),
        ("sub/../..", "leads out of the tree"),
    ] {
        let link = copy.path().join("link");
        std::fs::remove_file(&link).ok();
        std::os::unix::fs::symlink(target, &link).unwrap();
        copy.commit("a link", &[]);
        let text = copy.is_refused(&platform, &["main"]);
        assert!(text.contains("remote: error: the symbolic link `link`") && text.contains(because), "{text}");
    }
    // Ignored, it is nobody's concern.
    copy.commit("ignored", &[(".adaptableignore", "link\n")]);
    copy.pushes(&platform, &["main"]);
    let file = blob(&copy, "x\0y");
    craft(&copy, &[("120000", "nul", &file)]);
    assert!(copy.is_refused(&platform, &["crafted:main", "--force"]).contains("no possible path"));
}

#[test]
fn submodules_are_inert() {
    let (platform, copy) = (Platform::start(), Copy::with_app());
    let marker = platform.directory.path().join("owned");
    let owned = marker.display();
    let head = copy.git(&["rev-parse", "HEAD"]);
    copy.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{head},vendor/lib")]);
    std::fs::write(
        copy.path().join(".gitmodules"),
        "[submodule \"lib\"]\n\tpath = vendor/lib\n\turl = https://example.org/lib.git\n",
    )
    .unwrap();
    copy.git(&["add", ".gitmodules"]);
    copy.git(&["commit", "-q", "-m", "submodule"]);
    let text = copy.pushes(&platform, &["main"]);
    assert!(text.contains("remote: note: vendor/lib is a submodule, which is not deployed"), "{text}");
    assert_eq!(platform.last().names, [".gitmodules", "app.py", "vendor", "vendor/lib"]);
    for (name, path, url) in [
        ("lib", "vendor/lib", &*format!("ext::sh -c touch% {owned}")),
        ("lib", "vendor/lib", &format!("-u./touch {owned}")),
        ("lib", "vendor/lib", &format!("file://{owned}")),
        ("../../x", "vendor/lib", "https://example.org/lib.git"),
        ("lib", "-u", "https://example.org/lib.git"),
        ("lib", "vendor/lib", "https://example.org\\n\\nhost: x/lib.git"),
    ] {
        let text = format!("[submodule \"{name}\"]\n\tpath = {path}\n\turl = \"{url}\"\n\tupdate = !touch {owned}\n");
        std::fs::write(copy.path().join(".gitmodules"), text).unwrap();
        copy.git(&["add", ".gitmodules"]);
        copy.git(&["commit", "-q", "-m", "hostile"]);
        // git's own check refuses most; whatever it takes does nothing.
        let (success, text) = copy.push(&platform, &["main"]);
        assert!(success || text.contains("gitmodules"), "{text}");
        assert!(!marker.exists(), "{url} was run");
        copy.git(&["reset", "-q", "--hard", "HEAD~1"]);
    }
}

#[test]
fn settings_and_hooks_in_a_tree_are_files_like_others() {
    let (platform, copy) = (Platform::start(), Copy::with_app());
    let marker = platform.directory.path().join("owned");
    let hook = format!("#!/bin/sh\ntouch {}\n", marker.display());
    copy.commit(
        "bare",
        &[
            ("HEAD", "ref: refs/heads/main\n"),
            ("config", "[core]\n\tfsmonitor = touch\n"),
            ("hooks/pre-receive", &hook),
            ("refs/x", ""),
        ],
    );
    copy.pushes(&platform, &["main"]);
    assert!(platform.last().names.contains(&"hooks/pre-receive".to_owned()));
    assert!(!marker.exists());
}

#[test]
fn wrong_refs_are_refused() {
    let (platform, copy) = (Platform::start(), Copy::with_app());
    copy.pushes(&platform, &["main"]);
    for name in
        ["refs/notes/x", "refs/replace/x", "refs/x", "refs/heads/a$(id)", "refs/heads/a`b`", "refs/heads/a;b", "refs/heads/-x"]
    {
        let text = copy.is_refused(&platform, &[&format!("main:{name}")]);
        assert!(text.contains("can't be pushed") || text.contains("rejected"), "{name}: {text}");
    }
    // Those that git's own client wouldn't send.
    for name in ["refs/heads/../../../x", "refs/heads/a b", "HEAD", "../config", "refs/heads/x.lock"] {
        let id = copy.git(&["rev-parse", "HEAD"]);
        let line = format!("{} {id} {name}\0report-status", "0".repeat(40));
        let body = format!("{:04x}{line}0000", line.len() + 4).into_bytes();
        // An empty pack: the objects are there already.
        let pack = [
            &b"PACK\0\0\0\x02\0\0\0\0"[..],
            &[
                0x02, 0x9d, 0x08, 0x82, 0x3b, 0xd8, 0xa8, 0xea, 0xb5, 0x10, 0xad, 0x6a, 0xc7, 0x5c, 0x82, 0x3c, 0xfd, 0x3e, 0xd3,
                0x1e,
            ],
        ]
        .concat();
        let file = copy.path().join("request");
        std::fs::write(&file, [body, pack].concat()).unwrap();
        let before = platform.refs("shop");
        let mut curl = std::process::Command::new("curl");
        curl.args(["-s", "-m", "20", "-H", "Content-Type: application/x-git-receive-pack-request", "--data-binary"]);
        curl.arg(format!("@{}", file.display())).arg(format!("{}/git-receive-pack", platform.url("shop")));
        let answer = String::from_utf8_lossy(&curl.output().unwrap().stdout).into_owned();
        assert!(!answer.contains("ok refs") && !answer.contains(&format!("ok {name}")), "{name}: {answer}");
        assert_eq!(platform.refs("shop"), before, "{name}");
    }
}

#[test]
fn too_much_is_refused() {
    let (platform, copy) = (Platform::start(), Copy::with_app());
    *platform.deployer.limits.lock().unwrap() = Limits { bytes: 100_000, files: 50 };
    copy.pushes(&platform, &["main"]);
    copy.commit("large", &[("large", &"x".repeat(100_001))]);
    assert!(copy.is_refused(&platform, &["main"]).contains("remote: error: the tree is larger than 0.1 MB"));
    copy.git(&["reset", "-q", "--hard", "HEAD~1"]);
    let many: Vec<_> = (0..51).map(|n| (format!("f{n}"), "")).collect();
    copy.commit("many", &many.iter().map(|(name, text)| (&**name, *text)).collect::<Vec<_>>());
    assert!(copy.is_refused(&platform, &["main"]).contains("remote: error: the tree has more than 50 files"));
}

#[test]
fn a_bomb_of_trees_is_given_up_early() {
    let (platform, copy) = (Platform::start(), Copy::with_app());
    let mut entry = ("100644", blob(&copy, "boom"));
    for _ in 0..12 {
        let names: Vec<_> = (0..10).map(|n| format!("d{n}")).collect();
        let entries: Vec<_> = names.iter().map(|name| (entry.0, &**name, &*entry.1)).collect();
        entry = ("40000", craft(&copy, &entries));
    }
    let started = std::time::Instant::now();
    assert!(copy.is_refused(&platform, &["crafted:main"]).contains("more than 100000 files"));
    assert!(started.elapsed().as_secs() < 60);
}

#[test]
fn a_push_above_the_limit_says_so() {
    let (platform, copy) = (Platform::start(), Copy::with_app());
    // Not compressed, a file without contents is as large as any.
    std::fs::File::create(copy.path().join("huge")).unwrap().set_len(513_000_000).unwrap();
    copy.git(&["config", "core.compression", "0"]);
    copy.commit("huge", &[]);
    let text = copy.is_refused(&platform, &["main"]);
    assert!(text.contains("pack exceeds maximum allowed size"), "{text}");
}
