//! Connections, extensions and storage, as an app's owner sets them.

use database::{DatabaseError, Kind};
use model::database::{DatabaseSettings, EXTENSIONS};

use crate::world::{World, wait_for};

pub(crate) async fn connections_are_limited_with_a_clear_error(world: &World) {
    let settings = DatabaseSettings { max_connections: 5, ..DatabaseSettings::default() };
    let database = world.made(&settings).await;
    let awake = world.postgres.awake(&database).await.expect("awake");
    let script = "for i in 1 2 3 4 5 6; do psql -XAtc 'SELECT pg_sleep(4)' & done; wait";
    let (_, text) = world.run(world.app(&database, awake.links.clone(), &["sh", "-c", script])).await;
    assert_eq!(text.matches("too many connections for role").count(), 1, "{text}");
    // More of them: at once where the server has room, from its next start on in any case.
    let settings = DatabaseSettings { max_connections: 40, ..settings };
    world.postgres.apply(&database, &settings).await.expect("applied");
    assert_eq!(world.ask(&database, "SHOW max_connections").await, "13", "somebody holds the server");
    drop(awake);
    wait_for("the server's next start", async || world.ask(&database, "SHOW max_connections").await == "48").await;
    // Room for many: the server has memory for them, too.
    let many = DatabaseSettings { max_connections: 1000, ..settings };
    world.postgres.apply(&database, &many).await.expect("applied");
    wait_for("the server's next start", async || world.ask(&database, "SHOW max_connections").await == "1008").await;
    let usage = world.postgres.usage(&database).await.expect("usage");
    assert!(usage.connections == 0 && usage.bytes > 1 << 20, "{usage:?}");
}

pub(crate) async fn extensions_are_added(world: &World) {
    let there: Vec<String> = EXTENSIONS.iter().filter(|name| **name != "vector").map(|name| (*name).to_owned()).collect();
    let database = world.made(&DatabaseSettings { extensions: there.clone(), ..DatabaseSettings::default() }).await;
    let made =
        world.ask(&database, "SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY extname COLLATE \"C\"").await;
    let mut wanted = there.clone();
    wanted.sort();
    assert_eq!(made.lines().collect::<Vec<_>>(), wanted);
    assert_eq!(world.ask(&database, "SELECT 'A'::citext = 'a'::citext, length(gen_random_bytes(4)) ").await, "t|4");
    for bad in ["dblink", "x\"; DROP TABLE t; --", "../../x", ""] {
        let settings = DatabaseSettings { extensions: vec![bad.to_owned()], ..DatabaseSettings::default() };
        let error = world.postgres.apply(&database, &settings).await.expect_err("no such extension");
        assert!(matches!(error, DatabaseError::Refused(_)), "{bad}: {error}");
    }
    let settings = DatabaseSettings { extensions: vec!["vector".to_owned()], ..DatabaseSettings::default() };
    match world.postgres.apply(&database, &settings).await {
        Ok(()) => assert_eq!(world.ask(&database, "SELECT '[1,2]'::vector <-> '[1,2]'").await, "0"),
        Err(error) => assert!(error.help().ends_with("-pgvector"), "{error}"),
    }
}

pub(crate) async fn above_its_storage_a_database_is_read_only_until_it_is_cleaned(world: &World) {
    let settings = DatabaseSettings { storage: 20, ..DatabaseSettings::default() };
    let database = world.made(&settings).await;
    let before = world.postgres.enforce(&database, &settings).await.expect("enforced");
    assert!(!before.over, "{before:?}");
    world
        .ask(&database, "CREATE TABLE t (x text); INSERT INTO t SELECT repeat(md5(i::text), 30) FROM generate_series(1, 30000) i")
        .await;
    // A session that is open already is told, too.
    let awake = world.postgres.awake(&database).await.expect("awake");
    let script = "SELECT 1; SELECT pg_sleep(3); INSERT INTO t VALUES ('one more')";
    let words = ["psql", "-XAt", "-c", "SELECT 1", "-c", "SELECT pg_sleep(3)", "-c", "INSERT INTO t VALUES ('one more')"];
    assert!(script.ends_with("('one more')"));
    let open = world.run(world.app(&database, awake.links.clone(), &words));
    let enforce = async {
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        world.postgres.enforce(&database, &settings).await.expect("enforced")
    };
    let ((exit, text), after) = tokio::join!(open, enforce);
    assert!(after.over && after.bytes > 20 << 20, "{after:?}");
    assert!(exit.code == Some(1) && text.contains("cannot execute INSERT in a read-only transaction"), "{text}");
    assert_eq!(world.ask(&database, "SELECT count(*) FROM t").await, "30000");
    // Another start changes nothing.
    drop(awake);
    world.asleep().await;
    let (_, text) = world.psql(&database, "CREATE TABLE u ()").await;
    assert!(text.contains("read-only transaction"), "{text}");
    // Whoever cleans says so.
    let words = ["psql", "-XAt", "-c", "SET default_transaction_read_only = off", "-c", "DELETE FROM t", "-c", "VACUUM FULL t"];
    let awake = world.postgres.awake(&database).await.expect("awake");
    let (exit, text) = world.run(world.app(&database, awake.links.clone(), &words)).await;
    assert_eq!(exit.code, Some(0), "{text}");
    assert!(!world.postgres.enforce(&database, &settings).await.expect("enforced").over);
    wait_for("writes", async || world.psql(&database, "INSERT INTO t VALUES ('x')").await.0.code == Some(0)).await;
}
