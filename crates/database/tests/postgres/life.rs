//! A database is made, used, asleep, awake again.

use std::time::Instant;

use database::Kind;
use model::database::DatabaseSettings;

use crate::world::World;

pub(crate) async fn a_client_connects_with_the_apps_own_variables(world: &World) {
    let begun = Instant::now();
    world.postgres.prepare_template().await.expect("a template");
    println!("  template {:?}", begun.elapsed());
    let begun = Instant::now();
    let database = world.made(&DatabaseSettings::default()).await;
    println!("  created {:?}", begun.elapsed());
    let begun = Instant::now();
    let awake = world.postgres.awake(&database).await.expect("awake");
    println!("  awake {:?}", begun.elapsed());
    assert_eq!(
        world.ask(&database, "CREATE TABLE t (x int); INSERT INTO t VALUES (42); SELECT x FROM t").await,
        "CREATE TABLE\nINSERT 0 1\n42"
    );
    let tls = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(world.ask(&database, tls).await, "t|TLSv1.3");
    let (exit, text) =
        world.run(world.app(&database, awake.links.clone(), &["sh", "-c", "exec psql -XAtc 'SELECT 1' \"$DATABASE_URL\""])).await;
    assert_eq!((exit.code, text.as_str()), (Some(0), "1\n"));
    drop(awake);
    let begun = Instant::now();
    while !world.servers.running().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    println!("  stopped {:?}", begun.elapsed());
    let begun = Instant::now();
    let _awake = world.postgres.awake(&database).await.expect("awake");
    println!("  cold {:?}", begun.elapsed());
    assert_eq!(world.ask(&database, "SELECT x FROM t").await, "42");
}
