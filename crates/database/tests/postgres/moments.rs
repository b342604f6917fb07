//! Recovery to a moment: exactly what was there, and nothing that came later.

use std::fs::File;
use std::io::Seek;
use std::time::{Duration, SystemTime};

use database::{Database, DatabaseError, Kind};
use model::database::DatabaseSettings;

use crate::world::World;

/// The server's time.
async fn now(world: &World, database: &Database) -> SystemTime {
    let millis = world.ask(database, "SELECT ceil(extract(epoch FROM clock_timestamp()) * 1000)::bigint + 1").await;
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis.parse().expect("a number"))
}

async fn at(world: &World, database: &Database, moment: SystemTime) -> Result<File, DatabaseError> {
    let mut file = tempfile::tempfile_in(&world.data).expect("a file");
    world.postgres.at(database, moment, file.try_clone().expect("a file")).await?;
    file.rewind().expect("rewound");
    Ok(file)
}

pub(crate) async fn a_database_is_restored_to_a_moment(world: &World) {
    let settings = DatabaseSettings { point_in_time: true, ..DatabaseSettings::default() };
    let before = SystemTime::now();
    let database = world.made(&settings).await;
    assert_eq!(world.postgres.covered(&database).await.expect("an answer"), None);
    let error = at(world, &database, before).await.expect_err("off");
    assert!(error.to_string().contains("pointInTime is off"), "{error}");
    // Somebody has it all the time: the server is started anew for them, too.
    let held = world.postgres.awake(&database).await.expect("awake");
    world.postgres.apply(&database, &settings).await.expect("applied");
    assert_eq!(world.ask(&database, "SHOW archive_mode").await, "on");
    let covered = world.postgres.covered(&database).await.expect("an answer").expect("covered");
    world.ask(&database, "CREATE TABLE t (x text); INSERT INTO t SELECT 'first' || i FROM generate_series(1, 3000) i").await;
    let first = now(world, &database).await;
    world.ask(&database, "INSERT INTO t VALUES ('second'); DELETE FROM t WHERE x = 'first7'").await;
    let second = now(world, &database).await;
    world.ask(&database, "INSERT INTO t VALUES ('third'); CREATE TABLE later ()").await;
    // Another copy, from which the moments before can't be recovered: the older one is still there.
    world.postgres.base(&database).await.expect("another copy");
    world.ask(&database, "DROP TABLE t").await;
    drop(held);

    for bad in [before, SystemTime::now() + Duration::from_hours(1)] {
        let error = at(world, &database, bad).await.expect_err("not covered");
        assert!(matches!(&error, DatabaseError::Refused(why) if why.contains("it must be from 20")), "{error}");
    }
    let begun = std::time::Instant::now();
    let dump = at(world, &database, second).await.expect("recovered");
    println!("  recovered {:?}", begun.elapsed());
    world.postgres.restore(&database, dump).await.expect("restored");
    let rows = "SELECT count(*), count(*) FILTER (WHERE x = 'second'), count(*) FILTER (WHERE x IN ('third', 'first7')) FROM t";
    assert_eq!(world.ask(&database, rows).await, "3000|1|0");
    assert_eq!(world.ask(&database, "SELECT to_regclass('later') IS NULL").await, "t");
    // The log goes on: an earlier moment can be had after that, and one of after the restoring.
    world.ask(&database, "INSERT INTO t VALUES ('fourth')").await;
    let fourth = now(world, &database).await;
    world.ask(&database, "TRUNCATE t").await;
    let dump = at(world, &database, first).await.expect("recovered");
    world.postgres.restore(&database, dump).await.expect("restored");
    assert_eq!(world.ask(&database, "SELECT count(*), count(*) FILTER (WHERE x = 'first7') FROM t").await, "3000|1");
    let dump = at(world, &database, fourth).await.expect("recovered");
    assert_eq!(world.postgres.verify(&database, dump).await.expect("whole").rows, 3001);
    let volumes = world.engine.volumes().await.expect("volumes");
    assert!(!volumes.iter().any(|name| name.to_string().contains("recovery")), "{volumes:?}");

    // A third copy takes the first one's place, and what was covered by that alone is refused.
    world.postgres.base(&database).await.expect("another copy");
    let later = world.postgres.covered(&database).await.expect("an answer").expect("covered");
    assert!(later > second && covered < first, "{covered:?} {later:?}");
    assert!(matches!(at(world, &database, second).await, Err(DatabaseError::Refused(_))));
    at(world, &database, fourth).await.expect("the log since the second copy is there");
    // Without the setting nothing of it is left, and a second time begins anew.
    world.postgres.apply(&database, &DatabaseSettings::default()).await.expect("applied");
    assert_eq!(world.ask(&database, "SHOW archive_mode").await, "off");
    assert_eq!(world.postgres.covered(&database).await.expect("an answer"), None);
    world.postgres.apply(&database, &settings).await.expect("applied");
    assert!(world.postgres.covered(&database).await.expect("an answer").expect("covered") > later);
}
