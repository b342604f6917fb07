//! What is left when a platform ends: nothing, whether it is killed, loses its launcher, or stops in order. Needs root and a C compiler.
//!
//! The platform is this program in another role, a process of its own, so that it can be killed.

#![expect(clippy::print_stdout, reason = "this is the test runner")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::conformance::{Subject, echo};
use engine::local::LocalEngine;
use engine::{Engine, Exit, LayerId, LayerRef, Profile, StackId, Upper};
use sandbox::{Launcher, LauncherConfig};
use sha2::{Digest, Sha256};

/// Says that this process is to be a platform, and with which data directory.
const ROLE: &str = "ADAPTABLE_TEST_PLATFORM";
/// An address and port that a container of the platform is to try.
const REACH: &str = "ADAPTABLE_TEST_REACH";
/// Bytes that a build is to write to the disk.
const FILL: &str = "ADAPTABLE_TEST_FILL";
/// A range of user ids that no other test uses.
const SLOT: u16 = 4242;

/// Starts a launcher and three containers, says where they are, and waits: for `stop` on its standard input, or for its end.
fn platform(data: &Path) -> ExitCode {
    // What a platform has open at that time must not live on in its launcher.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("bound").port();
    let stacks = data.join("stacks");
    let launcher = Launcher::start(LauncherConfig::new(data, &stacks, 0)).expect("a launcher");
    drop(listener);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (engine, gone) = LocalEngine::start(launcher).expect("an engine");
        let engine: Arc<dyn Engine> = Arc::new(engine);
        let subject =
            Subject { engine: Arc::clone(&engine), layers: vec![LayerRef::Stack(StackId::parse("probe").expect("a name"))] };
        let mut containers = Vec::new();
        for words in ["listen 8080", "tree , listen 8080", "listen 8080"] {
            let mut spec = subject.spec("crash", words);
            spec.slot = SLOT;
            let container = subject.create(spec).await;
            echo(SocketAddr::new(container.address, 8080)).await;
            containers.push(container);
        }
        if let Some(freezer) = &containers[2].freezer {
            freezer.freeze().expect("frozen");
        }
        if let Ok(reach) = std::env::var(REACH) {
            let words = format!("connect {}", reach.replace(':', " "));
            let text = subject.run("reach", &words).await;
            println!("{}", text.trim().replace(' ', "-"));
        }
        if let Ok(bytes) = std::env::var(FILL) {
            let mut spec = subject.spec("fill", &format!("fill /file {bytes} , pause 3000"));
            spec.upper = Upper::Layer(LayerId::parse("filled").expect("a name"));
            spec.profile = Profile::Build;
            spec.limits.memory_bytes = 2 << 30;
            println!("{:?}", subject.create(spec).await.exited().await);
        }
        println!("{port} {} {}", containers[0].address, containers[1].address);
        let (stop, stopped) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            if std::io::stdin().read_line(&mut line).is_ok_and(|read| read > 0) {
                let _late = stop.send(());
            }
            std::thread::sleep(Duration::from_mins(1));
        });
        tokio::select! {
            _ = stopped => {
                engine.shutdown().await;
                println!("stopped");
            }
            () = gone => println!("the launcher is gone"),
        }
    });
    runtime.shutdown_background();
    ExitCode::SUCCESS
}

/// A platform that runs.
struct Platform {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    port: u16,
    addresses: Vec<IpAddr>,
}

impl Platform {
    fn start(data: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .env(ROLE, data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a platform");
        let mut output = BufReader::new(child.stdout.take().expect("its output"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        let mut words = line.split_whitespace();
        let port = words.next().and_then(|word| word.parse().ok()).expect("a port");
        let addresses = words.map(|word| word.parse().expect("an address")).collect();
        Self { child, output, port, addresses }
    }

    fn answers(&self) {
        for address in &self.addresses {
            let mut stream = TcpStream::connect((*address, 8080)).expect("connected");
            stream.write_all(b"hello").expect("sent");
            let mut buffer = [0; 5];
            stream.read_exact(&mut buffer).expect("answered");
        }
    }

    fn kill(self) {
        drop(self);
    }

    /// The launcher: the platform's only child.
    fn launcher(&self) -> i32 {
        let tasks = format!("/proc/{0}/task/{0}/children", self.child.id());
        let text = std::fs::read_to_string(tasks).expect("children");
        text.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a child")
    }

    /// What it says next; it must end after that.
    fn last_words(mut self) -> String {
        let mut text = String::new();
        self.output.read_to_string(&mut text).expect("its output");
        self.child.wait().expect("waited for");
        text
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The platform's name in groups, devices and tables.
fn tag(data: &Path) -> String {
    let digest = Sha256::digest(data.as_os_str().as_encoded_bytes());
    digest[..4].iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Everything on this machine that a platform with this data directory has made.
fn traces(data: &Path, swept_at_next_start: bool) -> Vec<String> {
    [processes(), named(data, swept_at_next_start)].concat()
}

/// All of that which bears its name.
fn named(data: &Path, swept_at_next_start: bool) -> Vec<String> {
    let mut found = Vec::new();
    let tag = tag(data);
    for (what, text) in [
        ("mount", std::fs::read_to_string("/proc/self/mountinfo").expect("mounts")),
        ("device", std::fs::read_to_string("/proc/net/dev").expect("devices")),
    ] {
        let marks = [data.to_str().expect("text").to_owned(), format!("ad{}-", &tag[..4])];
        found.extend(
            text.lines().filter(|line| marks.iter().any(|mark| line.contains(mark))).map(|line| format!("{what}: {line}")),
        );
    }
    if !swept_at_next_start {
        let tables = Command::new("nft").args(["list", "tables"]).output().expect("nft");
        let tables = String::from_utf8_lossy(&tables.stdout).into_owned();
        found.extend(tables.lines().filter(|line| line.contains(&tag)).map(str::to_owned));
        let groups =
            Command::new("find").args(["/sys/fs/cgroup", "-maxdepth", "3", "-name", &format!("*{tag}*")]).output().expect("find");
        found.extend(String::from_utf8_lossy(&groups.stdout).lines().map(|line| format!("group: {line}")));
    }
    found
}

/// Processes of containers of these tests.
fn processes() -> Vec<String> {
    let first = 1_000_000_000 + u32::from(SLOT) * 65_536;
    let entries = std::fs::read_dir("/proc").expect("proc").flatten();
    entries
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("status")).ok())
        .filter(|status| {
            let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next()?.parse::<u32>().ok());
            uid.is_some_and(|uid| (first..first + 65_536).contains(&uid))
        })
        .map(|status| status.lines().take(6).collect::<Vec<_>>().join(" "))
        .collect()
}

/// Waits until nothing is left.
fn clean(data: &Path, swept_at_next_start: bool) {
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let traces = traces(data, swept_at_next_start);
        if traces.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "left behind: {traces:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn a_killed_platform_leaves_nothing(data: &Path) {
    for round in 0..5_u64 {
        let platform = Platform::start(data);
        assert!(!processes().is_empty(), "there is something to look for");
        platform.answers();
        std::thread::sleep(Duration::from_millis(round * 7));
        platform.kill();
        clean(data, true);
    }
    stopped_in_order(data);
}

/// What needs no life of its own may stay until the next start, which sweeps it, or the next orderly end.
fn stopped_in_order(data: &Path) {
    let mut platform = Platform::start(data);
    writeln!(platform.child.stdin.as_ref().expect("its input"), "stop").expect("told");
    let _input = platform.child.stdin.take();
    assert_eq!(platform.last_words(), "stopped\n");
    clean(data, false);
}

fn a_platform_is_started_again_at_once(data: &Path) {
    let mut platform = Platform::start(data);
    for _ in 0..5 {
        platform.kill();
        platform = Platform::start(data);
        platform.answers();
    }
    platform.kill();
    stopped_in_order(data);
}

fn a_platform_hears_of_its_launchers_end(data: &Path) {
    let platform = Platform::start(data);
    let launcher = nix::unistd::Pid::from_raw(platform.launcher());
    nix::sys::signal::kill(launcher, nix::sys::signal::Signal::SIGKILL).expect("killed");
    assert_eq!(platform.last_words(), "the launcher is gone\n");
    clean(data, true);
    stopped_in_order(data);
}

fn a_launcher_keeps_nothing_of_the_platforms_open(data: &Path) {
    let platform = Platform::start(data);
    TcpListener::bind(("127.0.0.1", platform.port)).expect("the port is free: nobody else has the listener");
    let open = std::fs::read_dir(format!("/proc/{}/fd", platform.launcher())).expect("descriptors").count();
    assert!(open < 20, "{open} descriptors");
    platform.kill();
    stopped_in_order(data);
}

/// A network namespace that stands for a machine, with a way to this one.
struct Machine;

impl Machine {
    const NAME: &str = "adaptable-test";
    const HERE: &str = "198.18.7.1";

    fn make() -> Self {
        let made = Self;
        made.drop_all();
        run(&["ip", "netns", "add", Self::NAME]);
        run(&["ip", "link", "add", "adtest0", "type", "veth", "peer", "name", "adtest1", "netns", Self::NAME]);
        run(&["ip", "address", "add", "198.18.7.1/30", "dev", "adtest0"]);
        run(&["ip", "link", "set", "adtest0", "up"]);
        run(&["ip", "-n", Self::NAME, "address", "add", "198.18.7.2/30", "dev", "adtest1"]);
        run(&["ip", "-n", Self::NAME, "link", "set", "adtest1", "up"]);
        run(&["ip", "-n", Self::NAME, "link", "set", "lo", "up"]);
        run(&["ip", "-n", Self::NAME, "route", "add", "default", "via", Self::HERE]);
        made
    }

    /// A program that runs on it.
    #[expect(clippy::unused_self, reason = "it must have been made")]
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", Self::NAME)).arg(program);
        command
    }

    #[expect(clippy::unused_self, reason = "what has been made is removed")]
    fn drop_all(&self) {
        let _none = Command::new("ip").args(["netns", "delete", Self::NAME]).stderr(Stdio::null()).status();
        let _none = Command::new("ip").args(["link", "delete", "adtest0"]).stderr(Stdio::null()).status();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.drop_all();
    }
}

fn run(words: &[&str]) {
    let status = Command::new(words[0]).args(&words[1..]).status().expect("a program");
    assert!(status.success(), "{words:?}");
}

/// As a container engine on the same machine leaves it: what it does not know is not forwarded.
fn a_forward_policy_of_others_is_no_obstacle(data: &Path) {
    let machine = Machine::make();
    let listener = TcpListener::bind((Machine::HERE, 0)).expect("a listener");
    let address = listener.local_addr().expect("bound").to_string();
    let program = std::env::current_exe().expect("this program");
    for policy in ["ACCEPT", "DROP"] {
        let status = machine.command("iptables").args(["-P", "FORWARD", policy]).status().expect("iptables");
        assert!(status.success());
        let mut child = machine
            .command(program.to_str().expect("text"))
            .env(ROLE, data)
            .env(REACH, &address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a platform");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        child.kill().expect("killed");
        child.wait().expect("waited for");
        assert_eq!(line, "connect:-ok\n", "with the policy {policy}");
        let (_stream, from) = listener.accept().expect("connected");
        assert_eq!(from.ip().to_string(), "198.18.7.2", "nobody outside sees a container's address");
    }
    drop(machine);
    stopped_in_order(data);
}

fn a_build_can_not_fill_the_disk(data: &Path) {
    let disk = data.join("disk");
    std::fs::create_dir(&disk).expect("made");
    run(&["mount", "-t", "tmpfs", "-o", "size=600m", "adaptable-test", disk.to_str().expect("text")]);
    let outcome = std::panic::catch_unwind(|| {
        let data = &disk.join("data");
        prepare(data);
        for (megabytes, exit) in [(100, (Some(0), None)), (500, (None, Some(9)))] {
            let mut child = Command::new(std::env::current_exe().expect("this program"))
                .env(ROLE, data)
                .env(FILL, (megabytes << 20).to_string())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("a platform");
            let mut line = String::new();
            BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
            child.kill().expect("killed");
            child.wait().expect("waited for");
            let wanted = Exit { code: exit.0, signal: exit.1, oom_killed: false, cpu_micros: 0 };
            let told = line.split(" cpu_micros").next().unwrap_or_default();
            assert!(format!("{wanted:?}").starts_with(told) && !told.is_empty(), "{megabytes} MB: {line}");
            clean(data, true);
        }
        stopped_in_order(data);
    });
    run(&["umount", "-l", disk.to_str().expect("text")]);
    assert!(outcome.is_ok());
}

fn several_platforms_are_in_nobodys_way(data: &Path) {
    let others: Vec<PathBuf> = (0..3).map(|number| data.join(format!("other{number}"))).collect();
    let platforms: Vec<Platform> = others
        .iter()
        .map(|other| {
            prepare(other);
            Platform::start(other)
        })
        .collect();
    let addresses: BTreeSet<IpAddr> = platforms.iter().flat_map(|platform| platform.addresses.clone()).collect();
    assert_eq!(addresses.len(), 6);
    let mut platforms = platforms.into_iter();
    let first = platforms.next().expect("a platform");
    first.answers();
    first.kill();
    for platform in platforms {
        platform.answers();
        platform.kill();
    }
    for other in &others {
        stopped_in_order(other);
    }
}

fn a_platform_sweeps_what_another_left(data: &Path) {
    let other = data.join("other");
    prepare(&other);
    Platform::start(&other).kill();
    clean(&other, true);
    assert!(!named(&other, false).is_empty(), "there is something to sweep");
    let platform = Platform::start(data);
    assert_eq!(named(&other, false), Vec::<String>::new(), "the start has swept it");
    platform.answers();
    platform.kill();
    stopped_in_order(data);
}

type Test = fn(&Path);

const TESTS: &[(&str, Test)] = &[
    ("a_killed_platform_leaves_nothing", a_killed_platform_leaves_nothing),
    ("a_platform_is_started_again_at_once", a_platform_is_started_again_at_once),
    ("a_platform_hears_of_its_launchers_end", a_platform_hears_of_its_launchers_end),
    ("a_launcher_keeps_nothing_of_the_platforms_open", a_launcher_keeps_nothing_of_the_platforms_open),
    ("a_platform_sweeps_what_another_left", a_platform_sweeps_what_another_left),
    ("a_forward_policy_of_others_is_no_obstacle", a_forward_policy_of_others_is_no_obstacle),
    ("a_build_can_not_fill_the_disk", a_build_can_not_fill_the_disk),
    ("several_platforms_are_in_nobodys_way", several_platforms_are_in_nobodys_way),
];

/// Fills a data directory, with a base system of one program.
fn prepare(data: &Path) {
    let root = data.join("stacks/probe/fs");
    for directory in ["dev", "etc/ssl/certs", "proc", "sys", "tmp"] {
        std::fs::create_dir_all(root.join(directory)).expect("made");
    }
    for directory in ["layers", "cache"] {
        std::fs::create_dir_all(data.join(directory)).expect("made");
    }
    // As in earnest: the directory is the platform's user's alone.
    std::fs::set_permissions(data, PermissionsExt::from_mode(0o700)).expect("changed");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/probe.c");
    let status = Command::new("gcc").args(["-static", "-O1", "-o"]).arg(root.join("probe")).arg(source).status().expect("gcc");
    assert!(status.success(), "the program is compiled");
}

fn main() -> ExitCode {
    if let Some(data) = std::env::var_os(ROLE) {
        return platform(Path::new(&data));
    }
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if std::env::args().any(|argument| argument == "--list") {
        for (name, _) in TESTS {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in TESTS.iter().filter(|(name, _)| filter.as_deref().is_none_or(|filter| name.contains(filter))) {
        let data = tempfile::tempdir().expect("a data directory");
        prepare(data.path());
        let begun = Instant::now();
        let ok = std::panic::catch_unwind(|| test(data.path())).is_ok();
        println!("test {name} ... {} ({} ms)", if ok { "ok" } else { "FAILED" }, begun.elapsed().as_millis());
        if ok { passed += 1 } else { failed += 1 }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out\n");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
