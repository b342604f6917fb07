//! Dumps: written, verified, restored; damaged ones, hostile ones.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use database::{Database, DatabaseError, Kind};
use model::database::DatabaseSettings;

use crate::world::World;

/// Checksums of every table, with owners, sequences, extensions, comments, large objects.
const SUMS: &str = "SELECT relname, pg_get_userbyid(relowner),
    (xpath('//s/text()', query_to_xml(format('SELECT md5(string_agg(t::text, chr(10) ORDER BY t::text)) AS s FROM %s t', c.oid::regclass), false, false, '')))[1]
    FROM pg_class c WHERE relkind IN ('r', 'm') AND relnamespace = 'public'::regnamespace ORDER BY relname;
    SELECT nextval('a_id_seq'), obj_description('a'::regclass), encode(lo_get(4711), 'hex');
    SELECT extname FROM pg_extension ORDER BY extname";

const FILL: &str = "CREATE TABLE a (id serial PRIMARY KEY, name citext UNIQUE NOT NULL, note text, at timestamptz DEFAULT now(), body jsonb);
    INSERT INTO a (name, note, body) SELECT 'n' || i, repeat('é\"''', i % 50), jsonb_build_object('i', i) FROM generate_series(1, 2000) i;
    CREATE TABLE b (a int REFERENCES a (id), x bytea) PARTITION BY LIST (a);
    CREATE TABLE b1 PARTITION OF b DEFAULT; INSERT INTO b SELECT i, decode(md5(i::text), 'hex') FROM generate_series(1, 500) i;
    CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM a; CREATE VIEW v AS SELECT * FROM a;
    CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER tr BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f();
    CREATE TABLE \"Odd \"\" name\" (x int); INSERT INTO \"Odd \"\" name\" VALUES (1);
    COMMENT ON TABLE a IS 'a comment'; SELECT lo_from_bytea(4711, '\\xdeadbeef');
    ALTER TABLE a ENABLE ROW LEVEL SECURITY; ALTER TABLE a FORCE ROW LEVEL SECURITY; CREATE POLICY p ON a USING (true)";

async fn dump(world: &World, database: &Database) -> File {
    let file = tempfile::tempfile_in(&world.data).expect("a file");
    world.postgres.backup(database, file.try_clone().expect("a file")).await.expect("dumped");
    reread(file)
}

fn reread(mut file: File) -> File {
    file.rewind().expect("rewound");
    file
}

fn contents(file: &File) -> Vec<u8> {
    let mut bytes = Vec::new();
    reread(file.try_clone().expect("a file")).read_to_end(&mut bytes).expect("read");
    bytes
}

fn with(world: &World, bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile_in(&world.data).expect("a file");
    file.write_all(bytes).expect("written");
    reread(file)
}

pub(crate) async fn a_dump_restored_equals_the_original(world: &World) {
    let extensions = ["citext", "pgcrypto", "earthdistance"].map(str::to_owned).to_vec();
    let database = world.made(&DatabaseSettings { extensions, ..DatabaseSettings::default() }).await;
    world.ask(&database, FILL).await;
    world.ask(&database, &format!("ALTER DATABASE {} SET statement_timeout = '77s'", database.name)).await;
    let file = dump(world, &database).await;
    let before = world.ask(&database, SUMS).await;
    let begun = std::time::Instant::now();
    let found = world.postgres.verify(&database, file.try_clone().expect("a file")).await.expect("verified");
    println!("  verified {:?}", begun.elapsed());
    assert_eq!((found.tables, found.rows), (3, 2501));
    assert_eq!(world.ask(&database, "SELECT count(*) FROM pg_database").await, "3", "the scratch database is gone");
    // What came after the dump is gone by the restoring, sessions that are open are ended, and what was there is as it was.
    world.ask(&database, "DELETE FROM b; DELETE FROM a WHERE id > 10; CREATE TABLE later ()").await;
    let awake = world.postgres.awake(&database).await.expect("awake");
    let open = world.run(world.app(&database, awake.links.clone(), &["psql", "-XAtc", "SELECT pg_sleep(60)"]));
    let restore = async {
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        world.postgres.restore(&database, reread(file.try_clone().expect("a file"))).await.expect("restored");
    };
    let ((exit, text), ()) = tokio::join!(open, restore);
    assert!(exit.code == Some(2) && text.contains("terminating connection"), "{text}");
    let after = world.ask(&database, SUMS).await;
    assert_eq!(before.replace("2001|", "2002|"), after.replace("2001|", "2002|"));
    assert_eq!(
        world.ask(&database, "SELECT to_regclass('later') IS NULL, count(*) FROM pg_roles WHERE rolname !~ '^pg_'").await,
        "t|2"
    );
    assert_eq!(world.ask(&database, "SHOW statement_timeout").await, "77s");
    assert_eq!(world.ask(&database, "SELECT count(*) FROM pg_database").await, "3");
    world
        .ask(&database, "INSERT INTO a (name) VALUES ('after'); DROP TABLE b; DROP MATERIALIZED VIEW m; SELECT lo_unlink(4711)")
        .await;
    // On a bare cluster, of another app.
    let other = world.made(&DatabaseSettings::default()).await;
    world.postgres.restore(&other, reread(file)).await.expect("restored");
    let name = |text: &str| text.replace(database.name.as_str(), other.name.as_str());
    assert_eq!(name(&before).replace("2001|", "2002|"), world.ask(&other, SUMS).await.replace("2001|", "2002|"));
}

pub(crate) async fn a_damaged_dump_is_noticed_and_nothing_is_lost(world: &World) {
    let database = world.made(&DatabaseSettings::default()).await;
    world.ask(&database, "CREATE TABLE t (x text); INSERT INTO t SELECT md5(i::text) FROM generate_series(1, 5000) i").await;
    let file = dump(world, &database).await;
    let whole = contents(&file);
    let mut flipped = whole.clone();
    let middle = flipped.len() * 2 / 3;
    flipped[middle] ^= 0x55;
    for (what, bytes) in [
        ("cut", &whole[..whole.len() / 2]),
        ("flipped", &flipped[..]),
        ("empty", &[]),
        ("rubbish", b"no dump at all, but long enough"),
    ] {
        for restore in [false, true] {
            let dump = with(world, bytes);
            let error = if restore {
                world.postgres.restore(&database, dump).await.expect_err("damaged")
            } else {
                world.postgres.verify(&database, dump).await.expect_err("damaged")
            };
            assert!(matches!(error, DatabaseError::Damaged(_)), "{what}: {error}");
        }
    }
    assert_eq!(world.ask(&database, "SELECT count(*) FROM t").await, "5000");
    assert_eq!(world.ask(&database, "SELECT count(*) FROM pg_database").await, "3");
    let mut file = file;
    file.seek(SeekFrom::End(0)).expect("sought");
    assert_eq!(world.postgres.verify(&database, file).await.expect("whole").rows, 5000);
}

pub(crate) async fn functions_in_a_dump_are_nobody_when_it_is_read(world: &World) {
    let database = world.made(&DatabaseSettings::default()).await;
    // A check that runs for each row that is restored, and tries to become more than it is.
    let evil = "CREATE TABLE log (who text, super text);
        CREATE FUNCTION public.evil(x int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN
          BEGIN EXECUTE 'RESET ROLE'; EXECUTE 'RESET SESSION AUTHORIZATION'; EXECUTE 'ALTER ROLE CURRENT_USER SUPERUSER';
          EXCEPTION WHEN OTHERS THEN NULL; END;
          IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN EXECUTE 'ALTER ROLE ' || session_user || ' SUPERUSER'; END IF;
          RETURN true; END $$;
        CREATE TABLE t (x int CHECK (public.evil(x))); INSERT INTO t VALUES (1), (2);
        CREATE INDEX i ON t ((public.evil(x)::text))";
    let (_, text) = world.psql(&database, evil).await;
    assert!(text.contains("must be marked IMMUTABLE"), "{text}");
    world.ask(&database, &evil.replace("LANGUAGE plpgsql AS", "LANGUAGE plpgsql IMMUTABLE AS")).await;
    let file = dump(world, &database).await;
    assert_eq!(world.postgres.verify(&database, reread(file.try_clone().expect("a file"))).await.expect("verified").rows, 2);
    world.postgres.restore(&database, reread(file)).await.expect("restored");
    assert_eq!(world.ask(&database, "SELECT count(*) FROM pg_roles WHERE rolsuper").await, "1");
}
