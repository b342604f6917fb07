//! The making of clusters: one template for each major version by `initdb`, and copies of it that are whole or not there.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine::{ContainerId, Mount, VolumeName};
use model::database::DatabaseSettings;
use tokio::sync::Mutex;

use super::cluster::{self, Cluster, USER, VOLUME_AT, container, failed, file};
use super::config::{RESERVED, postgresql_conf};
use super::{Postgres, SUPERUSER, limits, moment, sql};
use crate::{Database, DatabaseError, Result, Secret, job};

/// Counts templates that are made differently: another number, another template.
const FORMAT: u32 = 1;
/// The range of user ids of what belongs to no app.
pub(super) const OWN_SLOT: u16 = 0;
/// Where a copy finds its template.
const TEMPLATE_AT: &str = "/template";

/// Makes a template. It has its name once it is whole, and on the disk.
const TEMPLATE: &str = r#"set -eu
cd /data
test ! -d main || exit 0
rm -rf new
"$INITDB" --pgdata=new --username="$SUPERUSER" --encoding=UTF8 $LOCALE --wal-segsize=1 --data-checksums --auth=reject \
    --no-sync --no-instructions >/dev/null
"$POSTGRES" --single -D new -c config_file=/etc/adaptable/postgresql.conf -c fsync=off -c exit_on_error=on postgres \
    </etc/adaptable/make.sql >/dev/null
"$RESETWAL" -D new >/dev/null
# Maps of free and of visible pages are made anew where they are missed. Without them a copy has a third less of files to make.
find new/base new/global -name '*_fsm' -delete -o -name '*_vm' -delete
rm -f new/pg_hba.conf new/pg_ident.conf new/postgresql.conf
sync -f .
mv new main
sync -f .
"#;

/// Makes a cluster from the template. It has its name once it is whole, and on the disk.
const COPY: &str = r#"set -eu
cd /data
test ! -d main || exit 0
rm -rf new
cp -a /template/main new
"$POSTGRES" --single -D new -c config_file=/etc/adaptable/postgresql.conf -c fsync=off -c exit_on_error=on template1 \
    </etc/adaptable/make.sql >/dev/null
sync -f .
mv new main
sync -f .
"#;

/// What has been made that all databases are copies of.
#[derive(Debug, Default)]
pub(super) struct Template {
    made: Mutex<HashSet<u32>>,
    jobs: AtomicU64,
}

fn volume(major: u32) -> VolumeName {
    VolumeName::parse(&format!("postgres-{major}-template-{FORMAT}")).expect("a version is a number")
}

impl Template {
    /// Makes the template of a version, unless it is there.
    pub(super) async fn prepare(&self, postgres: &Postgres, major: u32) -> Result<()> {
        let mut made = self.made.lock().await;
        if made.contains(&major) {
            return Ok(());
        }
        let programs = postgres.installed.programs(major);
        let mut spec = container(self.job(), OWN_SLOT, shell(TEMPLATE));
        // Sorting by code point, as the machine's C library or the server itself does it in every version.
        let locale = if major >= 17 { "--locale-provider=builtin --builtin-locale=C.UTF-8" } else { "--locale=C.UTF-8" };
        spec.env.extend([
            ("INITDB".to_owned(), programs.path("initdb")),
            ("POSTGRES".to_owned(), programs.path("postgres")),
            ("RESETWAL".to_owned(), programs.path("pg_resetwal")),
            ("SUPERUSER".to_owned(), SUPERUSER.to_owned()),
            ("LOCALE".to_owned(), locale.to_owned()),
        ]);
        // A statement a line.
        let statements = "ALTER SCHEMA public OWNER TO pg_database_owner\nREVOKE CREATE ON SCHEMA public FROM PUBLIC\n";
        spec.mounts = vec![
            Mount::Volume { name: volume(major), at: VOLUME_AT.to_owned(), owner: USER, read_only: false },
            file("postgresql.conf", postgresql_conf(), false),
            file("make.sql", statements.to_owned(), true),
        ];
        let done = job::run(postgres.servers.engine(), spec, None, None).await?;
        if !done.is_ok() {
            return Err(failed(&format!("make the template of PostgreSQL {major}"), &done));
        }
        made.insert(major);
        Ok(())
    }

    /// The name of the next job's container.
    pub(super) fn job(&self) -> ContainerId {
        let number = self.jobs.fetch_add(1, Ordering::Relaxed) + 1;
        ContainerId::parse(&format!("dbjob-postgres-{number}")).expect("a number is a container's id")
    }
}

fn shell(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
}

/// The password with which the platform looks after a database.
pub(super) fn admin(database: &Database) -> Result<&Secret> {
    let lost = || DatabaseError::Failed("the password of the database's superuser has not been kept".to_owned());
    database.kept.admin.as_ref().ok_or_else(lost)
}

/// Makes a database, and starts its server.
pub(super) async fn create(postgres: &Postgres, database: &Database, settings: &DatabaseSettings) -> Result<()> {
    let cluster = postgres.cluster(database)?;
    // A server that runs has its files already, and its volume for itself.
    if !postgres.servers.running().contains(&cluster::container_id(database)) {
        postgres.template.prepare(postgres, cluster.programs.major).await?;
        copy(postgres, &cluster, &statements(database, settings)?).await?;
    }
    // Its server is asked at once: whatever is wrong, the first to know is not the app.
    limits::extensions(postgres, database, &settings.extensions).await
}

/// Copies the template, and makes the copy the app's.
async fn copy(postgres: &Postgres, cluster: &Cluster, statements: &str) -> Result<()> {
    let programs = &cluster.programs;
    let mut spec = container(postgres.template.job(), cluster.slot(), shell(COPY));
    spec.env.push(("POSTGRES".to_owned(), programs.path("postgres")));
    spec.mounts = vec![
        cluster.mount(),
        Mount::Volume { name: volume(programs.major), at: TEMPLATE_AT.to_owned(), owner: USER, read_only: true },
        file("postgresql.conf", postgresql_conf(), false),
        file("make.sql", statements.to_owned(), true),
    ];
    let done = job::run(postgres.servers.engine(), spec, None, None).await?;
    if done.is_ok() { Ok(()) } else { Err(failed("make the database", &done)) }
}

/// What makes the template's copy an app's database, a statement a line. Passwords are in none of them.
fn statements(database: &Database, settings: &DatabaseSettings) -> Result<String> {
    let name = sql::identifier(database.name.as_str());
    let connections = settings.max_connections;
    Ok([
        format!("ALTER ROLE {SUPERUSER} PASSWORD {}", sql::literal(&sql::verifier(admin(database)?))),
        format!(
            "CREATE ROLE {name} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS \
             CONNECTION LIMIT {connections} PASSWORD {}",
            sql::literal(&sql::verifier(&database.password))
        ),
        // The one that initdb makes is nobody else's.
        format!("ALTER DATABASE postgres RENAME TO {name}"),
        format!("ALTER DATABASE {name} OWNER TO {name}"),
        format!("COMMENT ON DATABASE {name} IS NULL"),
        format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"),
        "REVOKE ALL ON DATABASE template1 FROM PUBLIC".to_owned(),
        "REVOKE ALL ON DATABASE template0 FROM PUBLIC".to_owned(),
        format!("ALTER SYSTEM SET max_connections = {}", connections + RESERVED),
        String::new(),
    ]
    .join("\n"))
}

/// Removes a database with its server.
pub(super) async fn drop(postgres: &Postgres, database: &Database) -> Result<()> {
    let id = cluster::container_id(database);
    postgres.servers.stop(&id).await;
    let engine = postgres.servers.engine();
    // One that runs since before this platform, and that nobody has asked for since.
    engine.stop(&id, Duration::ZERO).await?;
    engine.remove_volume(&cluster::volume(database)).await?;
    engine.remove_volume(&moment::scratch_volume(database)).await?;
    engine.release(&id).await?;
    Ok(())
}
