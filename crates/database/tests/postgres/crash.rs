//! What was acknowledged survives: servers that are killed in the middle of writes, and the platform with them.

use std::time::{Duration, Instant};

use database::Kind;
use model::database::DatabaseSettings;

use crate::world::{World, processes, wait_for};

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

async fn wait_for_answer(world: &World, database: &database::Database, statement: &str) -> String {
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
