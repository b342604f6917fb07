//! A database is made, used, asleep, awake again.

use std::time::Instant;

use database::{Database, Kind, Secret};
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

pub(crate) async fn databases_are_made_quickly_and_sleep(world: &World) {
    world.postgres.prepare_template().await.expect("a template");
    let (mut times, mut databases) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let begun = Instant::now();
        databases.push(world.made(&DatabaseSettings::default()).await);
        times.push(begun.elapsed());
    }
    times.sort();
    println!("  ten made: median {:?}, longest {:?}", times[times.len() / 2], times[times.len() - 1]);
    world.asleep().await;
    let volume = world.data.join(format!("volumes/postgres-{}", databases[0].app));
    let size = std::process::Command::new("du").arg("-sm").arg(volume).output().expect("du");
    println!("  each takes {} MB", String::from_utf8_lossy(&size.stdout).split_whitespace().next().unwrap_or_default());
    let mut times = Vec::new();
    for database in &databases {
        let begun = Instant::now();
        let awake = world.postgres.awake(database).await.expect("awake");
        times.push(begun.elapsed());
        drop(awake);
    }
    times.sort();
    println!("  awake from cold: median {:?}, longest {:?}", times[times.len() / 2], times[times.len() - 1]);
    world.asleep().await;
    let processes = crate::world::processes(&world.data);
    assert!(processes.is_empty(), "{processes:?}");
    let volumes = world.engine.volumes().await.expect("volumes");
    assert!(databases.iter().all(|database| volumes.iter().any(|it| it.as_str() == format!("postgres-{}", database.app))));
}

pub(crate) async fn a_password_is_changed_while_sessions_go_on(world: &World) {
    let database = world.made(&DatabaseSettings::default()).await;
    let awake = world.postgres.awake(&database).await.expect("awake");
    let script = "SELECT 1; SELECT pg_sleep(0.1) FROM generate_series(1, 30); SELECT 'still here'";
    let open = world.run(world.app(&database, awake.links.clone(), &["psql", "-XAtc", script]));
    let changed = Database { password: Secret::new("a'b\"c\\d$e %@:/#é"), ..database.clone() };
    let rotate = async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        world.postgres.rotate(&database, &changed.password).await.expect("changed");
    };
    let ((exit, text), ()) = tokio::join!(open, rotate);
    assert!(exit.code == Some(0) && text.ends_with("still here\n"), "{text}");
    let (exit, text) = world.psql(&database, "SELECT 1").await;
    assert!(exit.code == Some(2) && text.contains("password authentication failed"), "{text}");
    assert_eq!(world.ask(&changed, "SELECT 1").await, "1");
    let url =
        world.run(world.app(&changed, awake.links.clone(), &["sh", "-c", "exec psql -XAtc 'SELECT 2' \"$DATABASE_URL\""])).await;
    assert_eq!(url.1, "2\n", "the URL has it encoded");
    // Again, as after an interruption.
    world.postgres.rotate(&changed, &changed.password).await.expect("changed");
}

pub(crate) async fn what_is_dropped_is_gone_and_can_be_made_again(world: &World) {
    let database = world.made(&DatabaseSettings::default()).await;
    world.ask(&database, "CREATE TABLE t ()").await;
    let _held = world.postgres.awake(&database).await.expect("awake");
    world.postgres.drop(&database).await.expect("dropped");
    world.postgres.drop(&database).await.expect("fine where it is gone");
    assert!(!world.data.join(format!("volumes/postgres-{}", database.app)).exists());
    let again = Database { password: Secret::generate(), kept: world.postgres.prepare().await.expect("prepared"), ..database };
    world.postgres.create(&again, &DatabaseSettings::default()).await.expect("made");
    assert_eq!(world.ask(&again, "SELECT count(*) FROM pg_tables WHERE tablename = 't'").await, "0");
}

pub(crate) async fn an_interrupted_creation_is_begun_again(world: &World) {
    let database = world.unmade().await;
    let volume = world.data.join(format!("volumes/postgres-{}/fs/new/base", database.app));
    std::fs::create_dir_all(&volume).expect("made");
    std::fs::write(volume.join("rubbish"), "x").expect("written");
    let files = volume.parent().and_then(std::path::Path::parent).expect("a parent");
    let owned = std::process::Command::new("chown").arg("-R").arg("999:999").arg(files).status().expect("chown");
    assert!(owned.success());
    world.postgres.create(&database, &DatabaseSettings::default()).await.expect("made");
    world.ask(&database, "CREATE TABLE t ()").await;
    // Once it is there, it stays.
    world.postgres.create(&database, &DatabaseSettings::default()).await.expect("made");
    assert_eq!(world.ask(&database, "SELECT count(*) FROM pg_tables WHERE tablename = 't'").await, "1");
}

pub(crate) async fn a_version_that_is_not_installed_is_named(world: &World) {
    let mut database = world.unmade().await;
    database.kept.major = Some(99);
    let error = world.postgres.awake(&database).await.expect_err("not installed");
    assert!(error.to_string().contains("PostgreSQL 99") && error.to_string().contains("installed: "), "{error}");
    assert_eq!(error.help(), "install it: apt install postgresql-99");
    // An app without a database yet: a server has nothing to serve.
    let error = world.postgres.awake(&world.unmade().await).await.expect_err("not made");
    assert!(matches!(&error, database::DatabaseError::Server(_)), "{error}");
}
