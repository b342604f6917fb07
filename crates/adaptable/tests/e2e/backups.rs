//! Backups of databases: what is restored is what was there, and what is damaged is noticed before it is needed.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use testkit::{Options, Output, Platform, wait_until};

use crate::{platform, program};

/// The guide's guestbook.
fn guestbook() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/guestbook")
}

fn sign(platform: &Platform, text: &str) -> bool {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let answer = platform.request("POST", "guestbook", "/", &headers, format!("name=somebody&text={text}").as_bytes());
    answer.is_ok_and(|answer| answer.status == 303)
}

/// Kills the platform while no instance runs: one that is killed together with the server that it talks to leaves a socket behind whose
/// end nobody acknowledges, and for a minute or two the kernel keeps that, its network, and the device that the tests would find.
fn kill(platform: &mut Platform) {
    let slept = platform.socket("POST", "/api/v1/apps/guestbook/sleep", b"").expect("an answer");
    assert_eq!(slept.status, 200, "{}", slept.text());
    platform.kill9();
}

fn entries(platform: &Platform) -> String {
    psql(platform, "select coalesce(string_agg(text, ' ' order by id), '') from entries").trim().to_owned()
}

fn psql(platform: &Platform, query: &str) -> String {
    // What stands behind -- is psql's.
    let data = platform.data().to_str().expect("a plain path");
    let arguments = ["--data-dir", data, "db", "guestbook", "psql", "--", "-XAtqc", query];
    Output::from(&mut platform.bare_command(&arguments)).expect(0).stdout
}

fn backup(platform: &Platform) -> Value {
    platform.cli(&["db", "guestbook", "backup", "--json"]).expect(0).json()
}

fn backups(platform: &Platform) -> Vec<Value> {
    platform.cli(&["db", "guestbook", "backups", "--json"]).expect(0).json().as_array().expect("a list").clone()
}

fn dump(platform: &Platform, backup: &Value) -> PathBuf {
    platform.data().join(format!("backups/guestbook/{}.dump", id(backup)))
}

fn id(backup: &Value) -> &str {
    backup["backup"].as_str().expect("an id")
}

/// What a database holds: tables with their columns, indexes and sequences, and a checksum of the rows of each.
fn contents(query: &dyn Fn(&str) -> String) -> String {
    let own = "not in ('pg_catalog', 'information_schema')";
    let mut found = query(&format!(
        "select table_schema, table_name, column_name, data_type, column_default, is_nullable from information_schema.columns
         where table_schema {own} order by 1, 2, ordinal_position"
    ));
    found += &query(&format!("select indexdef from pg_indexes where schemaname {own} order by 1"));
    found +=
        &query(&format!("select schemaname, sequencename, last_value from pg_sequences where schemaname {own} order by 1, 2"));
    found += &query(
        "select pg_get_functiondef(p.oid) from pg_proc p join pg_namespace n on n.oid = pronamespace where nspname = 'public'",
    );
    let tables =
        query(&format!("select format('%I.%I', schemaname, tablename) from pg_tables where schemaname {own} order by 1"));
    for table in tables.lines() {
        let rows = query(&format!(
            "select count(*), md5(coalesce(string_agg(t::text, '|' order by t::text collate \"C\"), '')) from {table} t"
        ));
        found.extend([table, " ", &rows]);
    }
    found
}

/// A cluster that nobody of the platform knows, made by hand.
struct Bare {
    directory: tempfile::TempDir,
    programs: PathBuf,
}

impl Bare {
    fn make() -> Self {
        let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed").flatten();
        let newest = versions.filter_map(|it| it.file_name().to_str()?.parse::<u32>().ok()).max().expect("a version");
        let directory = tempfile::tempdir().expect("a directory");
        let bare = Self { directory, programs: PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin")) };
        let owned = Command::new("chown").arg("adaptable").arg(bare.directory.path()).status().expect("chown");
        assert!(owned.success());
        bare.run("initdb", &["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "-D", &bare.data()]);
        // Only by its socket.
        let options = format!("-c listen_addresses='' -c unix_socket_directories={}", bare.directory.path().display());
        bare.run(
            "pg_ctl",
            &["-D", &bare.data(), "-o", &options, "-l", &format!("{}/log", bare.directory.path().display()), "-w", "start"],
        );
        bare
    }

    fn data(&self) -> String {
        self.directory.path().join("data").display().to_string()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let host = self.directory.path().display().to_string();
        let mut command = Command::new("runuser");
        command.args(["-u", "adaptable", "--"]).arg(self.programs.join(program)).args(arguments);
        command.env("PGHOST", host).env("PGUSER", "postgres").current_dir("/");
        // pg_ctl leaves a server behind, which must not hold the pipe.
        let log = self.directory.path().join("said");
        let file = fs::File::create(&log).expect("a file");
        let status =
            command.stdin(Stdio::null()).stdout(file.try_clone().expect("a file")).stderr(file).status().expect("runuser");
        let said = fs::read_to_string(&log).unwrap_or_default();
        assert!(status.success(), "{program}: {said}");
        said
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.run("pg_ctl", &["-D", &self.data(), "-m", "immediate", "-w", "stop"]);
    }
}

#[test]
fn a_backup_restored_on_a_bare_machine_equals_the_original() {
    let platform = platform();
    platform.deploy(&guestbook(), &["--database", "postgres"]);
    assert!(sign(&platform, "first"));
    psql(
        &platform,
        "create table kinds (id bigserial primary key, at timestamptz default now(), amount numeric(20, 5), flag boolean, raw bytea,
                             words text[], document jsonb, note varchar(40) collate \"C\");
         insert into kinds (amount, flag, raw, words, document, note)
             select random() * 1e9, n % 3 = 0, decode(md5(n::text), 'hex'), array['ä', n::text, null], jsonb_build_object('n', n, 'q', '\"'), 'it''s ' || n
             from generate_series(1, 20000) n;
         create index on kinds using gin (document);
         create table \"Odd name; drop\" (\"a b\" integer unique);
         insert into \"Odd name; drop\" select generate_series(1, 17);
         create schema other;
         create table other.empty (x integer);
         create view seen as select count(*) from kinds;
         create function twice(n integer) returns integer language sql immutable as 'select n * 2'",
    );
    let made = backup(&platform);
    assert_eq!((&made["state"], &made["kind"]), (&"verified".into(), &"on-demand".into()), "{made}");
    assert_eq!(made["verified"], serde_json::json!({"tables": 4, "rows": 20018}), "{made}");
    assert_eq!(backups(&platform), std::slice::from_ref(&made));

    let bare = Bare::make();
    bare.run("createdb", &["again"]);
    let copy = bare.directory.path().join("copy.dump");
    fs::copy(dump(&platform, &made), &copy).expect("the dump is there");
    fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("readable");
    bare.run(
        "pg_restore",
        &["--no-owner", "--no-privileges", "--exit-on-error", "--dbname=again", copy.to_str().expect("a path")],
    );
    let original = contents(&|query| psql(&platform, query));
    let again = contents(&|query| bare.run("psql", &["-XAtq", "-d", "again", "-c", query]));
    assert!(original.contains("public.kinds 20000|") && original.lines().count() > 20, "{original}");
    assert_eq!(original, again);
}

#[test]
fn a_damaged_backup_is_noticed_when_it_is_verified() {
    let mut platform = platform();
    platform.deploy(&guestbook(), &["--database", "postgres"]);
    assert!(sign(&platform, "first"));
    psql(&platform, "create table filler as select md5(n::text) from generate_series(1, 5000) n");
    let good = backup(&platform);
    // Bytes flip on the disk.
    let flipped = backup(&platform);
    let path = dump(&platform, &flipped);
    let mut bytes = fs::read(&path).expect("the dump");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&path, &bytes).expect("written");
    let refused = platform.cli(&["db", "guestbook", "verify", id(&flipped)]).expect(1);
    assert!(refused.stderr.contains("is damaged") && refused.stderr.contains("SHA-256"), "{}", refused.stderr);
    let refused = platform.cli(&["db", "guestbook", "restore", id(&flipped)]).expect(1);
    assert!(refused.stderr.contains("is damaged"), "{}", refused.stderr);
    let status = platform.cli(&["status", "guestbook", "--json"]).expect(0).json();
    assert!(status["warnings"][0].as_str().is_some_and(|warning| warning.contains("is damaged")), "{status}");
    assert!(platform.cli(&["doctor"]).stdout.contains("the last backup of guestbook's database is damaged"));

    // One that was never whole: its document is right about its bytes, but PostgreSQL can't read them. A platform that starts takes in
    // what it finds and verifies it.
    let broken = id(&flipped).rsplit_once('-').map(|(time, _)| format!("{time}-beef")).expect("an id");
    let directory = path.parent().expect("a directory").to_owned();
    let sum = Command::new("sha256sum").arg(&path).output().expect("sha256sum").stdout;
    let sum = String::from_utf8_lossy(&sum).split_whitespace().next().expect("a sum").to_owned();
    let text = fs::read_to_string(path.with_extension("json")).expect("the document");
    let mut document: Value = serde_json::from_str(&text).expect("JSON");
    document["backup"] = broken.clone().into();
    document["sha256"] = sum.into();
    document["state"] = "made".into();
    document.as_object_mut().expect("an object").retain(|key, _| !["found", "verified_at", "problem"].contains(&key.as_str()));
    kill(&mut platform);
    fs::copy(&path, directory.join(format!("{broken}.dump"))).expect("copied");
    fs::write(directory.join(format!("{broken}.json")), document.to_string()).expect("written");
    fs::write(directory.join(format!("{broken}.dump.part")), "half").expect("written");
    let owned = Command::new("chown").args(["-R", "adaptable"]).arg(&directory).status().expect("chown");
    assert!(owned.success());
    platform.restart();
    let state = |wanted: &str| backups(&platform).into_iter().find(|it| id(it) == wanted);
    wait_until("it is verified", 60, || state(&broken).is_some_and(|it| it["state"] == "damaged"));
    let log = platform.cli(&["logs", "guestbook"]).expect(0).stdout;
    assert!(log.contains(&format!("backup {broken} of guestbook is damaged")), "{log}");
    assert!(!directory.join(format!("{broken}.dump.part")).exists(), "what was half is swept");
    assert_eq!(state(id(&good)).expect("there")["state"], "verified");
    let figures = String::from_utf8(platform.socket("GET", "/metrics", b"").expect("figures").body).expect("text");
    let age = figures.lines().find(|line| line.starts_with("adaptable_app_backup_age_seconds{app=\"guestbook\"}"));
    assert!(age.is_some(), "{figures}");
}

#[test]
fn a_restore_keeps_what_was_there_and_an_app_that_is_deleted_can_come_back() {
    let platform = platform();
    platform.deploy(&guestbook(), &["--database", "postgres"]);
    assert!(sign(&platform, "first"));
    let first = backup(&platform);
    assert!(sign(&platform, "second"));
    let restored = platform.cli(&["db", "guestbook", "restore", id(&first), "--json"]).expect(0).json();
    assert_eq!(restored["restored"], first["backup"]);
    assert!(platform.get("guestbook", "/").text().contains("<p>first</p>"), "it answers again");
    assert_eq!(entries(&platform), "first");
    assert!(sign(&platform, "third"), "the app may write");
    let aside = backups(&platform).into_iter().find(|it| it["backup"] == restored["before"]).expect("it is listed");
    assert_eq!((&aside["kind"], &aside["state"]), (&"before-restore".into(), &"verified".into()));
    platform.cli(&["db", "guestbook", "restore", id(&aside)]).expect(0);
    assert_eq!(entries(&platform), "first second");
    for (id, told) in [("20260101T000000Z-0000", "has no backup"), ("../x", "is no id of a backup")] {
        let refused = platform.cli(&["db", "guestbook", "restore", id]);
        assert!(refused.code != 0 && refused.stderr.contains(told), "{}", refused.stderr);
    }

    // Where no last backup can be made, nothing is deleted.
    let directory = platform.data().join("backups/guestbook");
    let mode = |mode: &str| assert!(Command::new("chmod").arg(mode).arg(&directory).status().expect("chmod").success());
    mode("0500");
    let refused = platform.cli(&["delete", "guestbook", "--yes"]).expect(1);
    assert!(refused.stderr.contains("was not deleted") && refused.stderr.contains("--without-backup"), "{}", refused.stderr);
    assert!(platform.get("guestbook", "/").text().contains("<p>second</p>"), "it serves as before");
    mode("0700");
    platform.cli(&["delete", "guestbook", "--yes"]).expect(0);
    assert_eq!(platform.cli(&["apps", "--json"]).expect(0).json(), serde_json::json!([]));
    let last = backups(&platform).into_iter().next().expect("its last one is listed");
    assert_eq!((&last["kind"], &last["state"]), (&"final".into(), &"verified".into()));
    assert!(last["app_deleted_at"].is_string(), "{last}");

    // An app of the same name: who may do something with that one alone does not see the backups of the one before.
    platform.deploy(&guestbook(), &["--database", "postgres"]);
    assert_eq!(entries(&platform), "");
    let token = platform.cli(&["token", "create", "one", "--app", "guestbook", "--json"]).expect(0).json();
    let token = token["token"].as_str().expect("a token").to_owned();
    let url = format!("https://localhost:{}", platform.https().port());
    let mine = |arguments: &[&str]| {
        let ca = platform.data().join("ca.pem");
        let mut command = platform.bare_command(arguments);
        command.env("ADAPTABLE_URL", &url).env("ADAPTABLE_TOKEN", &token).env("ADAPTABLE_CA", &ca).env("SSL_CERT_FILE", &ca);
        Output::from(&mut command)
    };
    assert_eq!(mine(&["db", "guestbook", "backups", "--json"]).expect(0).json(), serde_json::json!([]));
    assert!(mine(&["db", "guestbook", "restore", id(&last)]).expect(1).stderr.contains("has no backup"));
    platform.cli(&["db", "guestbook", "restore", id(&last)]).expect(0);
    assert_eq!(entries(&platform), "first second");
    platform.cli(&["delete", "guestbook", "--yes", "--without-backup"]).expect(0);
    let finals = backups(&platform).iter().filter(|it| it["kind"] == "final").count();
    assert_eq!(finals, 1, "none was made");
}

/// An S3 server that checks signatures.
struct Storage {
    child: Child,
    root: tempfile::TempDir,
    port: u16,
}

impl Storage {
    fn start() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir(root.path().join("bucket")).expect("a bucket");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port();
        let tools = std::env::var("ADAPTABLE_TEST_TOOLS").unwrap_or_else(|_unset| "/var/cache/adaptable/test".to_owned());
        let child = Command::new(format!("{tools}/bin/s3s-fs"))
            .args(["--host", "127.0.0.1", "--access-key", "AKIATESTS", "--secret-key", "of-the-tests-alone"])
            .args(["--port", &port.to_string()])
            .arg(root.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("an S3 server (scripts/setup.sh installs it)");
        wait_until("it accepts", 30, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { child, root, port }
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn backups_lie_in_a_bucket_too_and_come_back_from_there() {
    let storage = Storage::start();
    let told = |name: &str, text: &str| (format!("ADAPTABLE_BACKUP_{name}"), text.to_owned());
    let address = format!("s3://bucket/here?endpoint=http://127.0.0.1:{}", storage.port);
    let environment = vec![told("S3", &address), told("S3_KEY_ID", "AKIATESTS"), told("S3_SECRET", "of-the-tests-alone")];
    let mut platform = Platform::start(program(), Options { environment, ..Options::default() });
    platform.deploy(&guestbook(), &["--database", "postgres"]);
    assert!(sign(&platform, "first"));
    let made = backup(&platform);
    assert_eq!(made["places"], serde_json::json!(["directory", "s3"]), "{made}");
    let object = storage.root.path().join(format!("bucket/here/guestbook/{}.dump", id(&made)));
    assert_eq!(fs::read(&object).expect("the object"), fs::read(dump(&platform, &made)).expect("the dump"));
    assert!(sign(&platform, "second"));
    // The machine's disk is lost, and with it all that the platform knew.
    kill(&mut platform);
    fs::remove_dir_all(platform.data().join("backups")).expect("removed");
    let forget = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('delete from backup'); db.commit()";
    let store = platform.data().join("adaptable.db");
    assert!(Command::new("python3").args(["-c", forget]).arg(&store).status().expect("python").success());
    platform.restart();
    wait_until("it is taken in", 30, || backups(&platform).iter().any(|it| id(it) == id(&made)));
    wait_until("it is brought back to the directory", 60, || dump(&platform, &made).exists());
    fs::remove_file(dump(&platform, &made)).expect("removed");
    platform.cli(&["db", "guestbook", "restore", id(&made)]).expect(0);
    assert_eq!(entries(&platform), "first");
    assert!(!platform.log().contains("of-the-tests-alone"), "a secret in the platform's log");
    let doctor = platform.cli(&["doctor"]).stdout;
    assert!(doctor.contains("s3://bucket/here at 127.0.0.1"), "{doctor}");
}

#[test]
fn what_was_due_while_no_platform_ran_is_made_soon_after() {
    let mut platform = platform();
    platform.deploy(&guestbook(), &["--database", "postgres"]);
    assert!(sign(&platform, "first"));
    assert_eq!(backups(&platform), Vec::<Value>::new(), "its first night is still to come");
    kill(&mut platform);
    let age = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('update database set created_at = created_at - 172800000'); db.commit()";
    let store = platform.data().join("adaptable.db");
    assert!(Command::new("python3").args(["-c", age]).arg(&store).status().expect("python").success());
    platform.restart();
    wait_until("the night's backup is made up", 60, || {
        backups(&platform).iter().any(|it| it["kind"] == "daily" && it["state"] == "verified")
    });
    assert_eq!(backups(&platform).len(), 1);
}

#[test]
fn a_platform_that_is_killed_in_the_middle_leaves_nothing_half() {
    let mut platform = platform();
    platform.deploy(&guestbook(), &["--database", "postgres"]);
    psql(&platform, "create table filler as select md5(n::text) from generate_series(1, 200000) n");
    for pause in [50, 400, 900] {
        let mut asking = platform.command(&["db", "guestbook", "backup"]);
        let mut asking = asking.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a client");
        // Somewhere in the middle, each time elsewhere: what it is cut in does not matter.
        std::thread::sleep(std::time::Duration::from_millis(pause));
        kill(&mut platform);
        asking.wait().expect("ended");
        platform.restart();
        wait_until("what is there is verified", 60, || backups(&platform).iter().all(|it| it["state"] == "verified"));
        for backup in backups(&platform) {
            assert_eq!(fs::metadata(dump(&platform, &backup)).expect("there").len(), backup["bytes"].as_u64().expect("a number"));
        }
    }
    let files = fs::read_dir(platform.data().join("backups/guestbook")).map_or(0, |list| list.flatten().count());
    assert_eq!(files, 2 * backups(&platform).len());
    assert_eq!(backup(&platform)["verified"]["rows"], 200_000);
}
