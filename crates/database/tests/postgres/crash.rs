//! What was acknowledged survives: servers that are killed in the middle of writes, and the platform with them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use database::{Database, Kind};
use model::database::DatabaseSettings;

use tokio::io::{AsyncBufReadExt, BufReader as AsyncBufReader};

use crate::world::{World, directory, processes, wait_for, with};

/// Inserts numbers, each in a transaction of its own, and says each that has been acknowledged.
const WRITER: &str = r"i=0; while i=$((i+1)); do printf 'INSERT INTO t VALUES (%d);\n\\echo %d\n' $i $i; done |
    psql -XAtq -v ON_ERROR_STOP=1 2>/dev/null";

pub(crate) async fn acknowledged_rows_survive_the_end_of_the_server(world: &World) {
    let database = world.made(&DatabaseSettings::default()).await;
    world.ask(&database, "CREATE TABLE t (x int)").await;
    let mut last = 0;
    for round in 0..3 {
        let awake = world.postgres.awake(&database).await.expect("awake");
        world.ask(&database, "TRUNCATE t").await;
        let writer = world.run(world.app(&database, awake.links.clone(), &["sh", "-c", WRITER]));
        let killer = async {
            wait_for("rows", async || world.ask(&database, "SELECT count(*) > 50 FROM t").await == "t").await;
            for pid in processes(&world.data) {
                let _ended = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
            }
        };
        let ((_, text), ()) = tokio::join!(writer, killer);
        let acknowledged: i64 = text.lines().last().and_then(|line| line.parse().ok()).expect("a number");
        assert!(acknowledged > 50, "{acknowledged}");
        // The lease is the same, and the server is back where it was.
        let present: i64 = wait_for_answer(world, &database, "SELECT count(*) FROM t").await.parse().expect("a number");
        assert!(
            present == acknowledged || present == acknowledged + 1,
            "round {round}: {acknowledged} acknowledged, {present} there"
        );
        last = present;
    }
    println!("  {last} rows in the last round");
}

async fn wait_for_answer(world: &World, database: &Database, statement: &str) -> String {
    let begun = Instant::now();
    loop {
        let (exit, text) = world.psql(database, statement).await;
        if exit.code == Some(0) {
            return text.trim().to_owned();
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Says that this process is a platform, and what it does: `write` or `count`.
pub(crate) const ROLE: &str = "ADAPTABLE_TEST_POSTGRES";
/// Its data directory.
const DATA: &str = "ADAPTABLE_TEST_DATA";

/// A platform: it says each row that its app was told to be stored, until it is killed; or how many there are.
pub(crate) fn platform(role: &str) -> ExitCode {
    let data = std::path::PathBuf::from(std::env::var_os(DATA).expect("a directory"));
    with(&data, async |world| {
        let kept = data.join("database.json");
        if role == "count" {
            let database: Database = serde_json::from_slice(&std::fs::read(&kept).expect("kept")).expect("read");
            println!("{}", world.ask(&database, "SELECT count(*) FROM t").await);
            return;
        }
        let database = world.made(&DatabaseSettings::default()).await;
        std::fs::write(&kept, serde_json::to_vec(&database).expect("written")).expect("kept");
        let awake = world.postgres.awake(&database).await.expect("awake");
        world.ask(&database, "CREATE TABLE t (x int)").await;
        let spec = world.app(&database, awake.links.clone(), &["sh", "-c", WRITER]);
        let mut container = world.engine.create(spec).await.expect("created");
        let (stdout, _stderr) = container.take_output().expect("not taken yet");
        let mut lines = AsyncBufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            println!("{line}");
        }
    });
    ExitCode::SUCCESS
}

fn start(role: &str, data: &Path) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    let mut child = command.env(ROLE, role).env(DATA, data).stdout(Stdio::piped()).spawn().expect("a platform");
    let output = BufReader::new(child.stdout.take().expect("its output"));
    (child, output)
}

pub(crate) async fn acknowledged_rows_survive_the_end_of_the_platform(_world: &World) {
    let data = directory();
    let (mut child, output) = start("write", data.path());
    let mut lines = output.lines().map_while(Result::ok).filter_map(|line| line.parse::<u64>().ok());
    let mut acknowledged = lines.by_ref().find(|number| *number > 100).expect("rows");
    child.kill().expect("killed");
    child.wait().expect("waited for");
    // What it had said before its end.
    acknowledged = lines.last().unwrap_or(acknowledged).max(acknowledged);
    wait_for("the end of its server", async || processes(data.path()).is_empty()).await;
    let (mut child, mut output) = start("count", data.path());
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    let present: u64 = line.trim().parse().expect("a number");
    println!("  {acknowledged} acknowledged, {present} there");
    assert!(present >= acknowledged, "{acknowledged} acknowledged, {present} there");
    child.wait().expect("waited for");
}

pub(crate) async fn a_server_that_crashed_is_back_at_its_address(world: &World) {
    let database = world.made(&DatabaseSettings::default()).await;
    let awake = world.postgres.awake(&database).await.expect("awake");
    let before = awake.address;
    let begun = Instant::now();
    for pid in processes(&world.data) {
        let _ended = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
    // A client with the links of before comes back by connecting again.
    let script = "until psql -XAtc 'SELECT 1' 2>/dev/null; do sleep 0.05; done";
    let (_, text) = world.run(world.app(&database, awake.links.clone(), &["sh", "-c", script])).await;
    assert_eq!(text, "1\n");
    println!("  back after {:?}", begun.elapsed());
    assert_eq!(world.postgres.awake(&database).await.expect("awake").address, before);
}
