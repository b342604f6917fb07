//! Recovery to a moment: the log is kept as it is filled, and played back onto a copy of the cluster's files, in a container of its own.
//!
//! The archive lies in the cluster's volume, beside its data: `archive/wal/SEGMENT.gz`, and `archive/base/MILLIS.SEGMENT`, a copy of the
//! files that is good for moments from `MILLIS` (since 1970) on and needs the log from `SEGMENT` on. Whether there is one is written in
//! `postgresql.auto.conf`, so that no start of the server can forget it: a gap in the log would end what can be recovered.

use std::fs::File;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use engine::{Mount, VolumeName};

use super::cluster::{DATA, USER, VOLUME_AT, container, container_id, file};
use super::config::{DIRECTORY, postgresql_conf};
use super::dump::Client;
use super::session::{self, Session};
use super::{PORT, Postgres, SUPERUSER, make, sql};
use crate::{Database, DatabaseError, Result, job};

/// Where the server has its archive.
const ARCHIVE: &str = "/data/archive";
/// Where a recovery finds the volume that the archive is in.
const LIVE_AT: &str = "/live";
/// Copies of the files that are kept; what can be recovered begins with the older one.
const BASES: usize = 2;
/// The oldest version that writes a copy of its files where it is told to.
const OLDEST: u32 = 15;
/// How long a restart, or the archiving of a segment, may take.
const PATIENCE: Duration = Duration::from_mins(2);
const AGAIN: Duration = Duration::from_millis(100);

/// Keeps a segment: it has its name once it is whole and on the disk. One that is there already must be the same.
const KEEP: &str = r"d=/data/archive/wal; f=$d/%f.gz; if test -e $f; then gzip -dc <$f | cmp -s - %p; else
mkdir -p $d && gzip -1 -n -c <%p >$d/new && sync $d/new && mv $d/new $f && sync $d; fi";

/// Plays the log back, and writes a dump of what that comes to. The server's lines are shown where it does not come to anything.
const RECOVER: &str = r#"set -eu
cd /data
rm -rf main log
mkdir -m 700 main
tar -xzf "$BASE" -C main
touch main/recovery.signal
"$POSTGRES" -D main -c config_file=/etc/adaptable/postgresql.conf -c archive_mode=off -c hot_standby=off >log 2>&1 &
server=$!
until "$PSQL" -XAtqc 'SELECT 1' >/dev/null 2>&1; do
    if ! kill -0 $server 2>/dev/null; then
        grep -v 'the database system is' log | tail -n 20 >&2
        exit 1
    fi
    sleep 0.1
done
"$PG_DUMP" --format=custom --no-password
kill -INT $server
wait $server
"#;

/// A copy of the cluster's files.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Base {
    /// When it was whole, in milliseconds since 1970: the first moment that can be recovered from it.
    since: u64,
    /// The first segment of the log that it needs.
    segment: String,
}

impl Base {
    fn parse(name: &str) -> Option<Self> {
        let (since, segment) = name.split_once('.')?;
        let shape = segment.len() == 24 && segment.bytes().all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte));
        shape.then_some(Self { since: since.parse().ok()?, segment: segment.to_owned() })
    }

    fn name(&self) -> String {
        format!("{}.{}", self.since, self.segment)
    }
}

/// Begins or ends the keeping of the log, for which the server is started anew at once: its sessions end. Where it begins, the first
/// copy of the files is made. Gives a session with the server as it is then.
pub(super) async fn apply(postgres: &Postgres, database: &Database, mut session: Session, wanted: bool) -> Result<Session> {
    let cluster = postgres.cluster(database)?;
    if wanted && cluster.programs.major < OLDEST {
        let have = cluster.programs.major;
        return Err(DatabaseError::Unavailable {
            what: format!("database.pointInTime needs PostgreSQL {OLDEST}, and the database was made by {have}"),
            help: "set it to false; to move to a newer version: dump, delete, make it anew, restore".to_owned(),
        });
    }
    if is_on(&session).await? != wanted {
        if wanted {
            // What an earlier one has left has a gap behind it.
            script(&session, &format!("rm -rf {ARCHIVE} && mkdir -m 700 {ARCHIVE}")).await?;
        }
        session.run(&settings(wanted)).await?;
        session = restart(postgres, database, session, wanted).await?;
        tracing::info!(app = %database.app, on = wanted, "the keeping of its database's log");
    }
    if !wanted {
        script(&session, &format!("rm -rf {ARCHIVE}")).await?;
    } else if bases(&session).await?.is_empty() {
        make_base(postgres, database, &session).await?;
    }
    Ok(session)
}

fn settings(wanted: bool) -> Vec<String> {
    let values = [
        ("wal_level", "replica"),
        ("max_wal_senders", "4"),
        ("archive_command", KEEP),
        ("archive_timeout", "60"),
        ("archive_mode", "on"),
    ];
    let statement = |(name, value): (&str, &str)| {
        if wanted {
            format!("ALTER SYSTEM SET {name} = {}", sql::literal(&value.replace('\n', " ")))
        } else {
            format!("ALTER SYSTEM RESET {name}")
        }
    };
    values.map(statement).into()
}

async fn is_on(session: &Session) -> Result<bool> {
    Ok(session.number("SELECT count(*) FROM pg_settings WHERE name = 'archive_mode' AND setting = 'on'", &[]).await? > 0)
}

/// Runs a script of the platform's own where the server is, as its user.
async fn script(session: &Session, script: &str) -> Result<()> {
    let script = sql::literal(&format!("cat >/dev/null; {script}"));
    session.run(&[format!("COPY (SELECT 1) TO PROGRAM {script}")]).await
}

/// Ends the server in order. Whoever looks after it starts it again, since somebody has a lease on it.
async fn restart(postgres: &Postgres, database: &Database, session: Session, wanted: bool) -> Result<Session> {
    let begun = Instant::now();
    // It ends this session, too.
    let _ended = script(&session, &format!("kill -INT $(head -n 1 {DATA}/postmaster.pid)")).await;
    loop {
        let opened = match session::open(postgres, database, "template1").await {
            Ok(opened) => is_on(&opened).await.map(|on| (on, opened)),
            Err(error) => Err(error),
        };
        match opened {
            Ok((on, opened)) if on == wanted => return Ok(opened),
            Ok(_) | Err(_) if begun.elapsed() < PATIENCE => tokio::time::sleep(AGAIN).await,
            Ok(_) => return Err(DatabaseError::Server("it did not start anew with its changed settings".to_owned())),
            Err(error) => return Err(error),
        }
    }
}

/// What is there, the oldest first.
async fn bases(session: &Session) -> Result<Vec<Base>> {
    let query = format!("SELECT name FROM pg_ls_dir('{ARCHIVE}/base', true, false) AS name");
    let mut bases: Vec<_> = session.texts(&query, &[]).await?.iter().filter_map(|name| Base::parse(name)).collect();
    bases.sort();
    Ok(bases)
}

/// Makes a new copy of the files, and removes what is older than those that are kept. Nothing where the log is not kept.
pub(super) async fn base(postgres: &Postgres, database: &Database) -> Result<()> {
    let session = session::open(postgres, database, "template1").await?;
    if is_on(&session).await? { make_base(postgres, database, &session).await } else { Ok(()) }
}

async fn make_base(postgres: &Postgres, database: &Database, session: &Session) -> Result<()> {
    let segment = one(session, "SELECT pg_walfile_name(pg_current_wal_lsn())").await?;
    script(session, &format!("mkdir -p {ARCHIVE}/base && rm -rf {ARCHIVE}/base/new")).await?;
    let password = make::admin(database)?;
    let client = Client { postgres, database, user: SUPERUSER.to_owned(), password, name: "template1".to_owned() };
    let target = format!("--target=server:{ARCHIVE}/base/new");
    let words = ["pg_basebackup", &target, "--wal-method=none", "--checkpoint=fast", "--compress=server-gzip:1", "--no-password"];
    let done = client.run(session.awake(), &words, None, None).await?;
    if !done.is_ok() {
        return Err(DatabaseError::Failed(format!("the copy of the database's files failed: {}", done.problem())));
    }
    let base = Base { since: now(session).await? + 1, segment };
    script(session, &format!("cd {ARCHIVE}/base && mv new {} && sync .", base.name())).await?;
    let all = bases(session).await?;
    let (gone, kept) = all.split_at(all.len().saturating_sub(BASES));
    let names: Vec<_> = gone.iter().map(Base::name).collect();
    let Some(oldest) = kept.first().filter(|_| !names.is_empty()) else { return Ok(()) };
    let clean = postgres.cluster(database)?.programs.path("pg_archivecleanup");
    let words = names.join(" ");
    script(session, &format!("cd {ARCHIVE}/base && rm -rf {words} && '{clean}' -x .gz ../wal {}", oldest.segment)).await
}

async fn one(session: &Session, query: &str) -> Result<String> {
    let none = || DatabaseError::Failed("PostgreSQL: no answer".to_owned());
    session.texts(query, &[]).await?.into_iter().next().ok_or_else(none)
}

/// The server's time, in milliseconds since 1970.
async fn now(session: &Session) -> Result<u64> {
    session.number("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint", &[]).await
}

/// The first moment that can be recovered; `None` where the log is not kept.
pub(super) async fn covered(postgres: &Postgres, database: &Database) -> Result<Option<SystemTime>> {
    let session = session::open(postgres, database, "template1").await?;
    if !is_on(&session).await? {
        return Ok(None);
    }
    Ok(bases(&session).await?.first().map(|base| UNIX_EPOCH + Duration::from_millis(base.since)))
}

/// A moment as people and PostgreSQL read it.
async fn told(session: &Session, millis: u64) -> Result<String> {
    let query = "to_char(to_timestamp({} / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')";
    one(session, &format!("SELECT {}", query.replace("{}", &millis.to_string()))).await
}

/// Writes a dump of what the database held at a moment. Its server is stopped for that, whoever has a lease on it.
pub(super) async fn at(postgres: &Postgres, database: &Database, moment: SystemTime, to: File) -> Result<()> {
    let session = session::open(postgres, database, "template1").await?;
    if !is_on(&session).await? {
        return Err(DatabaseError::Refused(
            "database.pointInTime is off, so the database can't be restored to a moment; a backup can be restored".to_owned(),
        ));
    }
    let before_1970 = |_error| DatabaseError::Refused("that moment is before 1970".to_owned());
    let wanted = moment.duration_since(UNIX_EPOCH).map_err(before_1970)?.as_millis();
    let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
    let (bases, now) = (bases(&session).await?, now(&session).await?);
    let base = bases.iter().rfind(|base| base.since <= wanted).filter(|_| wanted < now);
    let Some(base) = base else {
        let Some(first) = bases.first() else {
            return Err(DatabaseError::Refused("no moment can be restored yet: the first copy is still being made".to_owned()));
        };
        let (first, now) = (told(&session, first.since).await?, told(&session, now).await?);
        return Err(DatabaseError::Refused(format!("that moment is not covered: it must be from {first} to now ({now})")));
    };
    let moment = told(&session, wanted).await?;
    complete(&session).await?;
    drop(session);
    postgres.servers.stop(&container_id(database)).await;
    let engine = postgres.servers.engine();
    engine.remove_volume(&scratch_volume(database)).await?;
    let recovered = recover(postgres, database, base, &moment, to).await;
    let removed = engine.remove_volume(&scratch_volume(database)).await;
    recovered?;
    Ok(removed?)
}

/// Waits until all that was written so far is in the archive, and the end of a transaction behind it, by which a recovery knows that it
/// has come far enough.
async fn complete(session: &Session) -> Result<()> {
    session.run(&["SELECT pg_current_xact_id()".to_owned()]).await?;
    let segment = one(session, "SELECT pg_walfile_name(pg_switch_wal())").await?;
    let query = format!("SELECT count(*) FROM pg_ls_dir('{ARCHIVE}/wal', true, false) AS name WHERE name = '{segment}.gz'");
    let begun = Instant::now();
    while session.number(&query, &[]).await? == 0 {
        if begun.elapsed() > PATIENCE {
            return Err(DatabaseError::Failed(format!(
                "segment {segment} of the database's log does not get into its archive; why, the server's lines in the platform's log say"
            )));
        }
        tokio::time::sleep(AGAIN).await;
    }
    Ok(())
}

/// The volume in which a recovery has its files.
pub(super) fn scratch_volume(database: &Database) -> VolumeName {
    VolumeName::parse(&format!("postgres-recovery-{}", database.app)).expect("an app's name is a volume's")
}

async fn recover(postgres: &Postgres, database: &Database, base: &Base, moment: &str, to: File) -> Result<()> {
    let cluster = postgres.cluster(database)?;
    let programs = &cluster.programs;
    let words = ["/bin/sh", "-c", RECOVER].map(str::to_owned).to_vec();
    let mut spec = container(postgres.template.job(), cluster.slot(), words);
    let variables = [
        ("BASE", format!("{LIVE_AT}/archive/base/{}/base.tar.gz", base.name())),
        ("POSTGRES", programs.path("postgres")),
        ("PSQL", programs.path("psql")),
        ("PG_DUMP", programs.path("pg_dump")),
        ("PGHOST", VOLUME_AT.to_owned()),
        ("PGPORT", PORT.to_string()),
        ("PGUSER", SUPERUSER.to_owned()),
        ("PGDATABASE", database.name.to_string()),
    ];
    spec.env.extend(variables.map(|(name, value)| (name.to_owned(), value)));
    // Nobody but the script is in the container, and it has no way out. What lies here is thrown away, so it need not be durable.
    let conf = format!(
        "{}listen_addresses = ''
unix_socket_directories = '{VOLUME_AT}'
hba_file = '{DIRECTORY}/pg_hba.conf'
ssl = off
fsync = off
full_page_writes = off
restore_command = 'gzip -dc <{LIVE_AT}/archive/wal/%f.gz >%p'
recovery_target_time = '{}'
recovery_target_action = 'promote'
",
        postgresql_conf(),
        // It knows no Z when it reads this.
        moment.replace('Z', "+00")
    );
    spec.mounts = vec![
        Mount::Volume { name: scratch_volume(database), at: VOLUME_AT.to_owned(), owner: USER, read_only: false },
        Mount::Volume { name: cluster.volume.clone(), at: LIVE_AT.to_owned(), owner: USER, read_only: true },
        file("postgresql.conf", conf, false),
        file("pg_hba.conf", format!("local all {SUPERUSER} trust\n"), false),
    ];
    let done = job::run(postgres.servers.engine(), spec, None, Some(to)).await?;
    if done.is_ok() { Ok(()) } else { Err(DatabaseError::Failed(format!("the recovery failed: {}", done.problem()))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_kept_once_and_never_replaced() {
        let root = tempfile::tempdir().expect("a directory");
        let (segment, archive) = (root.path().join("segment"), root.path().join("wal"));
        let script = KEEP.replace("/data/archive/wal", archive.to_str().expect("a plain path"));
        let script = script.replace("%p", segment.to_str().expect("a plain path")).replace("%f", "0001").replace('\n', " ");
        let keep = |contents: &str| {
            std::fs::write(&segment, contents).expect("written");
            std::process::Command::new("/bin/sh").args(["-c", &script]).output().expect("a shell").status.success()
        };
        assert!(keep("one"), "it is kept");
        assert!(keep("one"), "it is there already");
        assert!(!keep("another"), "one of that name with other contents is there");
        let names: Vec<_> = std::fs::read_dir(&archive).expect("read").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["0001.gz"]);
    }

    #[test]
    fn names_of_copies_are_read_and_others_are_not() {
        let base = Base::parse("1795521600000.00000001000000000000000A").expect("a copy");
        assert_eq!((base.since, base.name().as_str()), (1_795_521_600_000, "1795521600000.00000001000000000000000A"));
        for other in ["new", "1.2", ".00000001000000000000000A", "1.00000001000000000000000a", "1.0000000100000000000000 A"] {
            assert_eq!(Base::parse(other), None, "{other}");
        }
    }
}
