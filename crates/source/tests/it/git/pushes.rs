//! What pushes do that people make.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use source::git::Service;

use super::server::{Copy, Platform};

#[test]
fn a_push_deploys_and_tells() {
    let (platform, copy) = (Platform::start(), Copy::with_app());
    let text = copy.pushes(&platform, &["main"]);
    assert!(text.contains("remote: deploying hello of shop"), "{text}");
    assert!(text.contains("remote: live at https://shop.localhost:8443"), "{text}");
    let deployed = platform.last();
    assert_eq!((&*deployed.subject, &*deployed.branch, &*deployed.app_py), ("hello", "main", "print('hello')"));
    assert_eq!(deployed.id, copy.git(&["rev-parse", "HEAD"]));
    copy.commit("again", &[("app.py", "print('again')"), ("static/x.css", "x")]);
    copy.pushes(&platform, &["main"]);
    assert_eq!(platform.last().app_py, "print('again')");
    assert_eq!(platform.last().names, ["app.py", "static", "static/x.css"]);
    assert!(copy.pushes(&platform, &["main"]).contains("up-to-date"));
    assert_eq!(platform.deployed().len(), 2);
    let clone = Copy::new();
    clone.git(&["fetch", "-q", &platform.url("shop"), "main"]);
    assert_eq!(clone.git(&["rev-parse", "FETCH_HEAD"]), platform.last().id);
    clone.git(&["-c", "protocol.version=0", "fetch", "-q", &platform.url("shop"), "main"]);
}

#[test]
fn a_failed_deployment_fails_the_push_and_moves_nothing() {
    let (platform, copy) = (Platform::start(), Copy::with_app());
    copy.pushes(&platform, &["main"]);
    copy.commit("fail please", &[("app.py", "print(")]);
    let text = copy.is_refused(&platform, &["main"]);
    assert!(text.contains("remote:   [31mSyntaxError[0m"), "{text:?}");
    assert!(text.contains("remote: error: the build failed"), "{text}");
    assert!(text.contains("[remote rejected] main -> main (pre-receive hook declined)"), "{text}");
    copy.commit("mended", &[("app.py", "print()")]);
    copy.pushes(&platform, &["main"]);
    assert_eq!(platform.last().subject, "mended");
}

#[test]
fn progress_arrives_while_it_happens() {
    let (platform, copy) = (Platform::start(), Copy::with_app());
    copy.commit("slow", &[]);
    let url = platform.url("shop");
    let mut push = copy.command(&["push", "--no-progress", &url, "main"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(push.stderr.take().unwrap()).lines();
    let first = lines.find(|line| line.as_ref().unwrap().contains("deploying slow")).unwrap().unwrap();
    let at = Instant::now();
    assert!(first.starts_with("remote: "));
    assert!(lines.any(|line| line.unwrap().contains("live at")));
    assert!(at.elapsed() > Duration::from_secs(1), "the first line came only with the last one");
    assert!(push.wait().unwrap().success());
}

#[test]
fn much_output_is_no_trouble() {
    let (platform, copy) = (Platform::start(), Copy::with_app());
    copy.commit("chatty", &[]);
    let text = copy.pushes(&platform, &["main"]);
    let lines = text.lines().filter(|line| line.starts_with("remote: line ")).count();
    let lost: usize = text.lines().find_map(|line| line.strip_prefix("remote: (")?.split(' ').next()?.parse().ok()).unwrap_or(0);
    assert!(lines + lost >= 20_000, "{lines} shown, {lost} said to be lost");
}

#[test]
fn a_log_that_is_followed_on_holds_nothing_up() {
    let (platform, copy) = (Platform::start(), Copy::with_app());
    copy.commit("keeps", &[]);
    let started = Instant::now();
    copy.pushes(&platform, &["main"]);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_compressed_request_is_understood() {
    let (platform, copy) = (Platform::start(), Copy::with_app());
    copy.pushes(&platform, &["main"]);
    for version in ["protocol.version=0", "protocol.version=2"] {
        // A clone with much that the platform doesn't have has much to tell, which git compresses.
        let clone = Copy::new();
        clone.git(&["fetch", "-q", &platform.url("shop"), "main"]);
        clone.git(&["checkout", "-q", "-B", "main", "FETCH_HEAD"]);
        (0..80).for_each(|n| clone.commit(&format!("c{n}"), &[]));
        copy.commit("news", &[("app.py", version)]);
        copy.pushes(&platform, &["main"]);
        let url = platform.url("shop");
        let mut fetch = clone.command(&["-c", version, "fetch", "-q", &url, "main:news"]);
        let output = fetch.env("GIT_TRACE_CURL", "1").output().unwrap();
        let trace = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{trace}");
        assert!(
            trace.to_ascii_lowercase().contains("content-encoding: gzip"),
            "git no longer compresses, and this test shows nothing: {trace}"
        );
        assert_eq!(clone.git(&["show", "news:app.py"]), version);
    }
}

#[test]
fn a_bomb_of_gzip_ends() {
    use std::io::Write;
    let platform = Platform::start();
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    // pkt-lines that a server reads and forgets: flushes.
    let zeros = vec![b'0'; 1_000_000];
    (0..200).for_each(|_| bomb.write_all(&zeros).unwrap());
    let file = platform.directory.path().join("bomb");
    std::fs::write(&file, bomb.finish().unwrap()).unwrap();
    let mut curl = std::process::Command::new("curl");
    curl.args(["-s", "-m", "50", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Content-Encoding: gzip"]);
    curl.args(["-H", "Content-Type: application/x-git-upload-pack-request", "--data-binary"]).arg(format!("@{}", file.display()));
    let output = curl.arg(format!("{}/git-upload-pack", platform.url("shop"))).output().unwrap();
    assert_ne!(output.status.code(), Some(28), "it hung");
    platform.block_on(async {
        tokio::time::timeout(Duration::from_secs(20), platform.remote.close()).await.expect("git has ended");
    });
}

#[test]
fn only_one_branch_is_deployed() {
    let (platform, copy) = (Platform::start(), Copy::with_app());
    copy.git(&["branch", "one"]);
    copy.git(&["branch", "two"]);
    assert!(copy.is_refused(&platform, &["one", "two"]).contains("remote: error: which branch shall be deployed?"));
    copy.pushes(&platform, &["main", "one"]);
    assert_eq!(platform.last().branch, "main");
    copy.git(&["checkout", "-q", "two"]);
    copy.commit("on two", &[("app.py", "two")]);
    let text = copy.pushes(&platform, &["two"]);
    assert!(text.contains("remote: two is kept, but not deployed: only main is (git push … two:main)"), "{text}");
    copy.git(&["tag", "v1"]);
    assert!(copy.pushes(&platform, &["v1"]).contains("tags are not deployed"));
    assert_eq!(platform.deployed().len(), 1);
    assert!(copy.is_refused(&platform, &[":main"]).contains("can't be deleted"));
    copy.pushes(&platform, &[":one", ":v1"]);
    copy.pushes(&platform, &["two:main"]);
    assert_eq!(platform.last().app_py, "two");
    // History may be rewritten, where git's own user insists.
    assert!(copy.is_refused(&platform, &["one:main"]).contains("non-fast-forward"));
    copy.pushes(&platform, &["--force", "one:main"]);
    assert_eq!(platform.last().app_py, "print('hello')");
}

#[test]
fn the_first_branch_pushed_becomes_the_one() {
    let (platform, copy) = (Platform::start(), Copy::with_app());
    copy.git(&["branch", "-m", "trunk"]);
    copy.pushes(&platform, &["trunk"]);
    assert_eq!(platform.last().branch, "trunk");
    assert!(copy.pushes(&platform, &["trunk:main"]).contains("only trunk is"));
    assert!(copy.is_refused(&platform, &[":trunk"]).contains("can't be deleted"));
    let clone = tempfile::tempdir().unwrap();
    copy.git(&["clone", "-q", &platform.url("shop"), clone.path().to_str().unwrap()]);
    assert!(clone.path().join("app.py").exists(), "a clone has it checked out");
}

#[test]
fn all_that_is_committed_counts_and_attributes_do_not() {
    let (platform, copy) = (Platform::start(), Copy::new());
    let attributes = "secret.txt export-ignore\nversion.txt export-subst\n* text eol=crlf\n*.py filter=evil\n";
    copy.commit(
        "x",
        &[
            (".gitattributes", attributes),
            ("secret.txt", "kept"),
            ("version.txt", "$Format:%H$"),
            ("app.py", "a\nb\n"),
            ("ünï", ""),
        ],
    );
    std::os::unix::fs::symlink("app.py", copy.path().join("link.py")).unwrap();
    copy.commit("y", &[]);
    copy.pushes(&platform, &["main"]);
    assert_eq!(platform.last().names, [".gitattributes", "app.py", "link.py", "secret.txt", "version.txt", "ünï"]);
    assert_eq!(platform.last().app_py, "a\nb\n");
    copy.commit("z", &[(".adaptableignore", "*.txt\n")]);
    copy.pushes(&platform, &["main"]);
    assert_eq!(platform.last().names, [".adaptableignore", ".gitattributes", "app.py", "link.py", "ünï"]);
    // What is ignored counts for no limit.
    *platform.deployer.limits.lock().unwrap() = source::Limits { bytes: 1000, files: 100 };
    copy.commit("large", &[("data.txt", &"x".repeat(2000))]);
    copy.pushes(&platform, &["main"]);
}

#[test]
fn large_files_are_noted() {
    let (platform, copy) = (Platform::start(), Copy::with_app());
    let pointer = format!("version https://git-lfs.example/spec/v1\noid sha256:{}\nsize 12345\n", "4d".repeat(32));
    copy.commit("model", &[("model.bin", &pointer)]);
    assert!(copy.pushes(&platform, &["main"]).contains("remote: note: model.bin is a pointer of git LFS"));
}

#[test]
fn a_shallow_clone_can_be_pushed() {
    let (platform, origin) = (Platform::start(), Copy::with_app());
    origin.commit("second", &[("app.py", "2")]);
    let copy = Copy::new();
    copy.git(&["fetch", "-q", "--depth=1", &format!("file://{}", origin.path().display()), "main"]);
    copy.git(&["checkout", "-q", "-B", "main", "FETCH_HEAD"]);
    copy.pushes(&platform, &["main"]);
    assert_eq!(platform.last().app_py, "2");
    copy.commit("third", &[("app.py", "3")]);
    copy.pushes(&platform, &["main"]);
    assert_eq!(platform.last().app_py, "3");
}

#[test]
fn pushes_to_one_app_take_turns() {
    let (platform, one, other) = (Platform::start(), Copy::with_app(), Copy::with_app());
    one.commit("slow one", &[("app.py", "1")]);
    other.commit("slow other", &[("app.py", "2")]);
    let results: Vec<_> = std::thread::scope(|scope| {
        let pushes: Vec<_> = [&one, &other].map(|copy| scope.spawn(|| copy.push(&platform, &["main"]))).into_iter().collect();
        pushes.into_iter().map(|push| push.join().unwrap()).collect()
    });
    assert_eq!(platform.deployer.most_at_once.load(Ordering::SeqCst), 1);
    let (winners, losers): (Vec<_>, Vec<_>) = results.iter().partition(|(success, _)| *success);
    assert_eq!((winners.len(), losers.len()), (1, 1), "{results:?}");
    assert_eq!(platform.deployed().len(), 1, "the second was never live");
    assert!(losers[0].1.contains("somebody else has pushed meanwhile") || losers[0].1.contains("fetch first"), "{losers:?}");
    assert!(platform.refs("shop").contains(&platform.last().id));
}

#[test]
fn a_pusher_who_goes_away_leaves_ref_and_deployment_agreed() {
    let (platform, copy) = (Platform::start(), Copy::with_app());
    copy.commit("slow", &[]);
    let url = platform.url("shop");
    let mut push = copy.command(&["push", "--no-progress", &url, "main"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(push.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("deploying slow")));
    push.kill().unwrap();
    push.wait().unwrap();
    platform.block_on(platform.remote.close());
    assert_eq!(platform.deployed().len(), 1);
    assert!(platform.refs("shop").contains(&platform.last().id), "what is live is what the branch says");
}

#[test]
fn an_upload_broken_off_leaves_nothing() {
    let (platform, copy) = (Platform::start(), Copy::with_app());
    copy.pushes(&platform, &["main"]);
    let before = platform.refs("shop");
    platform.block_on(async {
        use tokio::io::AsyncWriteExt;
        let mut stream = tokio::net::TcpStream::connect(platform.address).await.unwrap();
        let head = "POST /git/shop.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-git-receive-pack-request\r\nContent-Length: 100000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let line = format!("{} {} refs/heads/main\0report-status", "0".repeat(40), "1".repeat(40));
        stream.write_all(format!("{:04x}{line}0000PACK", line.len() + 4).as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        drop(stream);
        tokio::time::timeout(Duration::from_secs(20), platform.remote.close()).await.expect("git ends when its client is gone");
    });
    assert_eq!(platform.refs("shop"), before);
    let objects = platform.directory.path().join("git/shop.git/objects");
    let left = std::fs::read_dir(objects)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("tmp_objdir"));
    assert!(left.count() <= 1, "at most the quarantine of a git that was killed; gc removes it");
}

#[test]
fn a_forgotten_app_begins_anew() {
    let (platform, copy) = (Platform::start(), Copy::with_app());
    copy.pushes(&platform, &["main"]);
    let app = model::AppName::parse("shop").unwrap();
    platform.block_on(platform.remote.forget(&app)).unwrap();
    assert_eq!(platform.refs("shop"), "");
    copy.pushes(&platform, &["main"]);
    assert_eq!(platform.deployed().len(), 2);
}

#[test]
fn what_is_not_git_gets_an_answer() {
    assert_eq!(Service::of("info/refs", Some("service=git-receive-pack")), Some(Service::Push));
    assert_eq!(Service::of("git-upload-pack", None), Some(Service::Fetch));
    for (rest, query) in [
        ("info/refs", None),
        ("info/refs", Some("service=git-upload-archive")),
        ("HEAD", None),
        ("objects/info/packs", None),
        ("../x", None),
    ] {
        assert_eq!(Service::of(rest, query), None);
    }
    let platform = Platform::start();
    for (arguments, status) in [
        (&["info/refs"][..], "404"),
        (&["git-receive-pack"], "405"),
        (&["git-receive-pack", "--data", "x"], "415"),
        (
            &[
                "git-upload-pack",
                "--data",
                "x",
                "-H",
                "Content-Type: application/x-git-upload-pack-request",
                "-H",
                "Content-Encoding: br",
            ],
            "415",
        ),
        (&["info/refs?service=git-receive-pack", "--data", "x"], "405"),
    ] {
        let mut curl = std::process::Command::new("curl");
        curl.args(["-s", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}"])
            .arg(format!("{}/{}", platform.url("shop"), arguments[0]))
            .args(&arguments[1..]);
        assert_eq!(String::from_utf8(curl.output().unwrap().stdout).unwrap(), status, "{arguments:?}");
    }
}
