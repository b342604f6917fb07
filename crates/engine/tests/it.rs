//! The local engine with real containers. Needs root, and a base system in the stack directory (`adaptable stack`).
//!
//! No test harness: the launcher must be forked while the process has one thread.

#![expect(clippy::print_stdout, reason = "this is the test runner")]

#[path = "it/layers.rs"]
mod layers;
#[path = "it/memory.rs"]
mod memory;
#[path = "it/servers.rs"]
mod servers;
#[path = "it/volume.rs"]
mod volume;

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use engine::local::LocalEngine;
use engine::{Container, ContainerId, ContainerSpec, Engine, LayerRef, Limits, Profile, StackId, Upper};
use sandbox::{Launcher, LauncherConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use layers::{a_written_layer_is_sealed_pruned_packed_and_shared, hostile_archives_stay_inside};
use memory::{a_weight_is_changed_while_it_runs, memory_is_pushed_out_where_there_is_swap};
use servers::{a_launcher_is_taken_over_with_its_containers, a_server_is_reached_by_those_that_have_a_link};
use volume::{
    a_link_leads_to_one_port_and_no_further, a_volume_outlives_its_containers_and_is_one_containers_at_a_time,
    an_address_is_kept_for_its_name, an_exchange_is_changed_by_several_at_once,
    the_machines_programs_run_without_its_settings_and_data,
};

/// A platform's user id, as the launcher is told; the tests are root, which the rules keep away from containers otherwise.
const PLATFORM: u32 = 0;
const DAEMON: u32 = 1;

type Test = for<'a> fn(&'a World) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        const TESTS: &[(&str, Test)] = &[$((stringify!($name), |world| Box::pin($name(world)))),*];
    };
}

tests![
    output_and_exit_codes_come_through,
    a_program_finds_what_it_finds_elsewhere,
    ipv6_leads_nowhere,
    it_answers_at_its_address_and_a_stop_ends_it,
    root_inside_is_nobody_outside,
    an_app_has_no_capability_and_can_gain_none,
    what_only_administers_a_machine_is_refused,
    memory_is_limited_and_said_to_be_the_cause,
    files_are_limited_and_gone_with_the_container,
    processes_are_limited,
    a_deaf_process_is_killed_after_the_grace,
    the_whole_process_tree_ends,
    containers_reach_neither_each_other_nor_the_host,
    the_internet_and_the_hosts_resolver_serve_inside,
    listeners_are_told,
    a_freezer_stops_the_processor,
    memory_is_pushed_out_where_there_is_swap,
    a_weight_is_changed_while_it_runs,
    a_volume_outlives_its_containers_and_is_one_containers_at_a_time,
    an_exchange_is_changed_by_several_at_once,
    the_machines_programs_run_without_its_settings_and_data,
    a_link_leads_to_one_port_and_no_further,
    an_address_is_kept_for_its_name,
    a_server_is_reached_by_those_that_have_a_link,
    twenty_start_at_once,
    a_written_layer_is_sealed_pruned_packed_and_shared,
    hostile_archives_stay_inside,
    a_launcher_is_taken_over_with_its_containers,
];

struct World {
    engine: LocalEngine,
    /// That of servers.
    servers: LocalEngine,
    stack: StackId,
    data: PathBuf,
}

impl World {
    fn spec(&self, id: &str, args: &[&str]) -> ContainerSpec {
        ContainerSpec {
            id: ContainerId::parse(id).expect("an id"),
            slot: 7,
            layers: vec![LayerRef::Stack(self.stack.clone())],
            upper: Upper::Memory { bytes: 64 << 20 },
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: vec![("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin".to_owned())],
            cwd: "/".to_owned(),
            hostname: id.to_owned(),
            profile: Profile::App,
            limits: Limits { memory_bytes: 256 << 20, cpu_millis: 1000, cpu_weight: 100, pids: 64 },
            mounts: Vec::new(),
            stdin: false,
            user: 0,
            links: Vec::new(),
            keeps_address: false,
        }
    }

    fn sh(&self, id: &str, script: &str) -> ContainerSpec {
        self.spec(id, &["/bin/sh", "-c", script])
    }

    /// Runs a container to its end: exit code, output.
    async fn run(&self, spec: ContainerSpec) -> (engine::Exit, String) {
        let mut container = self.engine.create(spec).await.expect("created");
        let text = read(&mut container).await;
        (container.exited().await, text)
    }
}

async fn read(container: &mut Container) -> String {
    let (mut stdout, mut stderr) = container.take_output().expect("not taken yet");
    let (mut out, mut err) = (String::new(), String::new());
    let (first, second) = tokio::join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut err));
    first.expect("read");
    second.expect("read");
    out + &err
}

async fn wait_for(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !check().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what} did not come true");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const SERVER: &str = "exec python3 -m http.server 8080";

async fn output_and_exit_codes_come_through(world: &World) {
    let (exit, text) = world.run(world.sh("out", "echo out; echo err >&2; exit 3")).await;
    assert_eq!((exit.code, exit.signal, exit.oom_killed), (Some(3), None, false));
    assert_eq!(text, "out\nerr\n");
    let (exit, _) = world.run(world.sh("sig", "kill -9 $$ ; sleep 1; exit 5")).await;
    assert_eq!(exit.code, Some(5), "the first process of a process namespace can't be killed from inside");
    let missing = world.engine.create(world.spec("none", &["/no/such/program"])).await;
    match missing {
        Err(error) => assert!(error.to_string().contains("/no/such/program"), "{error}"),
        Ok(container) => assert_ne!(container.exited().await.code, Some(0)),
    }
}

async fn a_program_finds_what_it_finds_elsewhere(world: &World) {
    let (_, text) = world.run(world.sh("reopen", "echo a > /dev/stdout; echo b > /dev/stderr; echo c > /proc/self/fd/1")).await;
    assert_eq!(text, "a\nc\nb\n");
    let (exit, text) = world.run(world.sh("devices", "head -c 8 /dev/urandom > /dev/shm/x && cat /dev/shm/x > /dev/null && test -p /dev/fd/1 && touch /tmp/x /var/tmp/x && mktemp && tty")).await;
    assert!(exit.code == Some(1) && text.contains("not a tty"), "{exit:?} {text}");
    // SIGPIPE is not ignored, no signal is blocked.
    let (_, text) = world.run(world.sh("signals", "grep -E '^Sig(Blk|Ign)' /proc/self/status")).await;
    let masks: Vec<u64> = text.lines().filter_map(|line| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok()).collect();
    assert!(masks.len() == 2 && masks[0] == 0 && masks[1] & (1 << 12) == 0, "{text}");
    let (_, text) = world.run(world.sh("names", "hostname; getent hosts names | cut -d' ' -f1; getent hosts localhost | wc -l; pwd; echo $HOME; ls /proc/self/fd | wc -w")).await;
    assert_eq!(text, "names\n127.0.1.1\n1\n/\n/root\n4\n");
    // A privileged port, and ICMP need no capability either.
    let listen = "import socket; socket.create_server(('0.0.0.0', 80)); print('listens')";
    let (_, text) = world.run(world.spec("port", &["python3", "-c", listen])).await;
    assert_eq!(text, "listens\n");
}

async fn ipv6_leads_nowhere(world: &World) {
    let probe = "import socket\nfor line in open('/proc/net/if_inet6'): print(line.split()[-1], line.split()[0][-4:])\ns=socket.socket(socket.AF_INET6); s.settimeout(1)\ntry:\n  s.connect(('fe80::1', 22, 0, socket.if_nametoindex('eth0'))); print('reached')\nexcept OSError as e: print('not', e.errno)";
    let (_, text) = world.run(world.spec("six", &["python3", "-c", probe])).await;
    assert!(text.starts_with("lo 0001\nnot "), "{text}");
}

async fn it_answers_at_its_address_and_a_stop_ends_it(world: &World) {
    let container = world.engine.create(world.sh("srv", SERVER)).await.expect("created");
    let address = SocketAddr::new(container.address, 8080);
    wait_for("a connection", async || TcpStream::connect(address).await.is_ok()).await;
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("answered");
    assert!(text.starts_with("HTTP/1.0 200"), "{text}");
    let usage = world.engine.usage(&container.id).await.expect("usage");
    assert!(usage.memory_bytes > 1 << 20 && usage.cpu_seconds > 0.0, "{usage:?}");
    world.engine.stop(&container.id, Duration::from_secs(5)).await.expect("stopped");
    assert!(TcpStream::connect(address).await.is_err());
    world.engine.stop(&container.id, Duration::from_secs(5)).await.expect("fine twice");
}

async fn root_inside_is_nobody_outside(world: &World) {
    let container = world.engine.create(world.sh("ids", "id -u; touch /x; stat -c %u /x /; sleep 60")).await.expect("created");
    let pids = outside_pids("sleep 60");
    assert!(!pids.is_empty());
    for pid in pids {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")).expect("ids");
        let first: u32 = uid.split_whitespace().next().expect("an id").parse().expect("a number");
        assert_eq!(first, 1_000_000_000 + 7 * 65_536);
    }
    world.engine.stop(&container.id, Duration::ZERO).await.expect("stopped");
    let (_, text) = world.run(world.sh("ids2", "id -u; touch /x; stat -c %u /x /etc/passwd /")).await;
    assert_eq!(text, "0\n0\n0\n0\n");
}

/// Processes of this machine whose command line holds a text.
fn outside_pids(text: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("proc").flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ").contains(text)
        })
        .collect()
}

async fn an_app_has_no_capability_and_can_gain_none(world: &World) {
    let script = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status";
    let (_, text) = world.run(world.sh("caps", script)).await;
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(text.contains(&format!("{name}:\t0000000000000000")), "{text}");
    }
    assert!(text.contains("NoNewPrivs:\t1") && text.contains("Seccomp:\t2"), "{text}");
}

async fn what_only_administers_a_machine_is_refused(world: &World) {
    for (name, script) in [
        ("mount", "mount -t tmpfs none /mnt"),
        ("userns", "unshare --user true"),
        ("netns", "unshare --net true"),
        ("chroot", "chroot / true"),
        ("mknod", "mknod /tmp/null c 1 3"),
        ("sysctl", "echo 1 > /proc/sys/kernel/panic"),
        ("trigger", "echo b > /proc/sysrq-trigger"),
        ("keys", "cat /proc/kcore | head -c 1 | grep ."),
        ("hostname", "hostname x"),
    ] {
        let (exit, text) = world.run(world.sh(name, script)).await;
        assert_ne!(exit.code, Some(0), "{name}: {text}");
    }
    let (exit, text) =
        world.run(world.sh("see", "test $(ls -d /proc/[0-9]* | wc -l) -lt 6 && ! grep -q /var/lib /proc/mounts")).await;
    assert_eq!(exit.code, Some(0), "{text}");
}

async fn memory_is_limited_and_said_to_be_the_cause(world: &World) {
    let mut spec = world.spec("mem", &["python3", "-c", "x = bytearray(200 << 20)"]);
    spec.limits.memory_bytes = 64 << 20;
    let (exit, text) = world.run(spec).await;
    assert!(exit.oom_killed && exit.code != Some(0), "{exit:?} {text}");
    // Files are memory, too.
    let mut spec = world.sh("memfs", "head -c 200M /dev/zero > /tmp/x");
    spec.limits.memory_bytes = 64 << 20;
    spec.upper = Upper::Memory { bytes: 512 << 20 };
    let (exit, text) = world.run(spec).await;
    assert!(exit.oom_killed || exit.code != Some(0), "{exit:?} {text}");
}

async fn files_are_limited_and_gone_with_the_container(world: &World) {
    let (exit, text) = world.run(world.sh("full", "head -c 100M /dev/zero > /tmp/x")).await;
    assert!(exit.code == Some(1) && text.contains("No space left"), "{exit:?} {text}");
    let (exit, _) = world.run(world.sh("empty", "test ! -e /tmp/x")).await;
    assert_eq!(exit.code, Some(0));
}

async fn processes_are_limited(world: &World) {
    let (_, text) = world.run(world.sh("pids", "for i in $(seq 100); do sleep 5 & done; echo survived")).await;
    assert!(text.contains("fork") || text.contains("Resource temporarily unavailable"), "{text}");
}

async fn a_deaf_process_is_killed_after_the_grace(world: &World) {
    let mut container =
        world.engine.create(world.sh("deaf", "trap '' TERM; echo up; while :; do sleep 1; done")).await.expect("created");
    // Before its first word it is not deaf yet.
    let (mut stdout, _stderr) = container.take_output().expect("not taken yet");
    stdout.read_exact(&mut [0_u8; 3]).await.expect("up");
    let begun = Instant::now();
    world.engine.stop(&container.id, Duration::from_millis(700)).await.expect("stopped");
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(700), "{took:?}");
    let exit = container.exited().await;
    assert_eq!(exit.signal, Some(9));
    let mut kind = world
        .engine
        .create(world.sh("kind", "trap 'exit 4' TERM; echo up; while :; do sleep 0.05; done"))
        .await
        .expect("created");
    let (mut stdout, _stderr) = kind.take_output().expect("not taken yet");
    stdout.read_exact(&mut [0_u8; 3]).await.expect("up");
    world.engine.stop(&kind.id, Duration::from_secs(10)).await.expect("stopped");
    assert_eq!(kind.exited().await.code, Some(4));
}

async fn the_whole_process_tree_ends(world: &World) {
    let marker = "sleep 4242";
    let container = world.engine.create(world.sh("tree", "setsid sleep 4242 & setsid sleep 4242 & wait")).await.expect("created");
    wait_for("the tree", async || outside_pids(marker).len() >= 2).await;
    world.engine.stop(&container.id, Duration::ZERO).await.expect("stopped");
    wait_for("the end of the tree", async || outside_pids(marker).is_empty()).await;
}

async fn containers_reach_neither_each_other_nor_the_host(world: &World) {
    let server = world.engine.create(world.sh("a", SERVER)).await.expect("created");
    let address = server.address;
    wait_for("a connection", async || TcpStream::connect((address, 8080)).await.is_ok()).await;
    let host = tokio::net::TcpListener::bind("0.0.0.0:0").await.expect("a listener");
    let port = host.local_addr().expect("bound").port();
    let probe = "import socket,sys\nfor target in sys.argv[1:]:\n  host,port=target.rsplit(':',1)\n  s=socket.socket(); s.settimeout(1.5)\n  try:\n    s.connect((host,int(port))); print('reached',target)\n  except OSError as e: print('not',target,e)";
    let std::net::IpAddr::V4(v4) = address else { panic!("an address of version 4") };
    let gateway = std::net::Ipv4Addr::from((u32::from(v4) & !4095) + 1);
    let mut targets = vec![format!("{address}:8080"), format!("{gateway}:{port}"), "169.254.169.254:80".to_owned()];
    targets.extend(host_addresses().into_iter().map(|own| format!("{own}:{port}")));
    let mut args = vec!["python3", "-c", probe];
    args.extend(targets.iter().map(String::as_str));
    let (_, text) = world.run(world.spec("b", &args)).await;
    assert!(!text.contains("reached") && text.contains("not "), "{text}");
    // Another user of this machine does not reach a container either; the platform's does.
    let reached = Command::new("setpriv")
        .args(["--reuid", &DAEMON.to_string(), "--clear-groups", "python3", "-c", probe, &format!("{address}:8080")])
        .output()
        .expect("setpriv");
    assert!(!String::from_utf8_lossy(&reached.stdout).contains("reached"), "{reached:?}");
    world.engine.stop(&server.id, Duration::ZERO).await.expect("stopped");
}

fn host_addresses() -> Vec<String> {
    let output = Command::new("hostname").arg("-I").output().expect("hostname");
    String::from_utf8_lossy(&output.stdout).split_whitespace().filter(|word| word.contains('.')).map(str::to_owned).collect()
}

async fn the_internet_and_the_hosts_resolver_serve_inside(world: &World) {
    // The mirror that this machine itself uses: its name is not ours to write down.
    let policy = Command::new("apt-cache").arg("policy").output().expect("apt-cache");
    let text = String::from_utf8_lossy(&policy.stdout).into_owned();
    let host = text.split_whitespace().find_map(|word| word.strip_prefix("http://")).and_then(|rest| rest.split('/').next());
    let Some(host) = host.map(str::to_owned) else {
        println!("  (this machine's apt has no mirror over HTTP: nothing to reach)");
        return;
    };
    let script = "import socket,sys\ns=socket.create_connection((sys.argv[1],80),10); s.sendall(b'HEAD / HTTP/1.0\\r\\nHost: '+sys.argv[1].encode()+b'\\r\\n\\r\\n'); print(s.recv(9))";
    let (exit, text) = world.run(world.spec("net", &["python3", "-c", script, &host])).await;
    assert!(exit.code == Some(0) && text.contains("HTTP/1."), "{text}");
    let (_, bundle) =
        world.run(world.sh("ca", "head -c 27 /etc/ssl/certs/ca-certificates.crt; ! echo x >> /etc/resolv.conf")).await;
    assert!(bundle.contains("BEGIN CERTIFICATE"), "{bundle}");
}

async fn listeners_are_told(world: &World) {
    let script = "import socket,time\na=socket.create_server(('127.0.0.1',5000)); b=socket.create_server(('::',6000),family=socket.AF_INET6)\ntime.sleep(60)";
    let container = world.engine.create(world.spec("lis", &["python3", "-c", script])).await.expect("created");
    let wanted: Vec<SocketAddr> = vec!["127.0.0.1:5000".parse().expect("address"), "[::]:6000".parse().expect("address")];
    wait_for("both listeners", async || world.engine.listeners(&container.id).await.expect("listeners") == wanted).await;
    world.engine.stop(&container.id, Duration::ZERO).await.expect("stopped");
    assert!(world.engine.listeners(&container.id).await.is_err());
}

async fn a_freezer_stops_the_processor(world: &World) {
    let container = world.engine.create(world.spec("spin", &["python3", "-c", "while True: pass"])).await.expect("created");
    let Some(freezer) = &container.freezer else { panic!("this machine has no freezer of version 2") };
    tokio::time::sleep(Duration::from_millis(300)).await;
    freezer.freeze().expect("frozen");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = world.engine.usage(&container.id).await.expect("usage").cpu_seconds;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let after = world.engine.usage(&container.id).await.expect("usage").cpu_seconds;
    assert!(before > 0.05 && (after - before).abs() < 0.005, "{before} {after}");
    freezer.thaw().expect("thawed");
    wait_for("time to go on", async || world.engine.usage(&container.id).await.expect("usage").cpu_seconds > after + 0.05).await;
    freezer.freeze().expect("frozen");
    // A frozen container is stopped all the same.
    world.engine.stop(&container.id, Duration::from_secs(1)).await.expect("stopped");
}

async fn twenty_start_at_once(world: &World) {
    let begun = Instant::now();
    let one = world.engine.create(world.sh("one", "exec sleep 60")).await.expect("created");
    let single = begun.elapsed();
    let begun = Instant::now();
    let starts = (0..20).map(|number| world.engine.create(world.sh(&format!("many-{number}"), "exec sleep 60")));
    let all: Vec<Container> = futures(starts).await.into_iter().map(|result| result.expect("created")).collect();
    println!("  create and start: one {single:?}, twenty {:?}", begun.elapsed());
    let mut addresses: Vec<_> = all.iter().chain([&one]).map(|container| container.address).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 21);
    futures(all.iter().chain([&one]).map(|container| world.engine.stop(&container.id, Duration::ZERO))).await;
}

async fn futures<F: Future + Send>(list: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut list: Vec<_> = list.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut pending = false;
        for (future, output) in &mut list {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    list.into_iter().map(|(_, output)| output.expect("ready")).collect()
}

fn newest_stack(directory: &Path) -> Option<StackId> {
    let names = std::fs::read_dir(directory).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with("bookworm-") && !name.ends_with("-build")).find_map(|name| StackId::parse(&name).ok())
}

fn main() -> ExitCode {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if std::env::args().any(|argument| argument == "--list") {
        for (name, _) in TESTS {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let stacks = PathBuf::from(std::env::var_os("ADAPTABLE_STACK_DIR").unwrap_or_else(|| "/var/cache/adaptable".into()));
    let Some(stack) = newest_stack(&stacks) else {
        println!("no base system in {}: run `adaptable stack` first", stacks.display());
        return ExitCode::FAILURE;
    };
    let data = tempfile::tempdir().expect("a data directory");
    std::fs::create_dir_all(data.path().join("layers")).expect("made");
    std::fs::create_dir_all(data.path().join("cache")).expect("made");
    let launcher = Launcher::start(LauncherConfig::new(data.path(), &stacks, PLATFORM)).expect("a launcher");
    let servers = LauncherConfig::new(data.path(), &stacks, PLATFORM).servers();
    let servers = Launcher::start(servers).expect("a launcher of servers");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let (mut passed, mut failed) = (0, 0);
    runtime.block_on(async {
        let (engine, gone) = LocalEngine::start(launcher).expect("an engine");
        let (servers, servers_gone) = LocalEngine::start_kept(servers).expect("an engine of servers");
        let world = World { engine, servers, stack, data: data.path().to_owned() };
        for (name, test) in TESTS.iter().filter(|(name, _)| filter.as_deref().is_none_or(|filter| name.contains(filter))) {
            let outcome = std::panic::AssertUnwindSafe(test(&world));
            let ok = futures_util::FutureExt::catch_unwind(outcome).await.is_ok();
            println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
            if ok { passed += 1 } else { failed += 1 }
        }
        world.engine.shutdown().await;
        gone.await;
        if world.servers.volumes().await.is_ok() {
            // The last test hands it on.
            world.servers.shutdown().await;
            servers_gone.await;
        }
    });
    let rules = Command::new("nft").args(["list", "tables"]).output().expect("nft");
    let tag = data.path().display().to_string();
    println!("tables left: {}", String::from_utf8_lossy(&rules.stdout).trim().replace('\n', ", "));
    println!(
        "\ntest result: {}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out ({tag})\n",
        if failed == 0 { "ok" } else { "FAILED" }
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
