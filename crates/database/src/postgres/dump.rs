//! Dumps: `pg_dump` and `pg_restore` in containers that reach the server as any client does.

use std::fs::File;

use engine::ContainerSpec;

use super::cluster::container;
use super::make::OWN_SLOT;
use super::{PORT, Postgres, SUPERUSER, host, make, session};
use crate::certificate::{AUTHORITY_AT, authority};
use crate::job::{self, Done};
use crate::{Awake, Database, DatabaseError, Result, Secret};

/// A program of the database's own version that connects to a server, as a user.
pub(super) struct Client<'a> {
    pub(super) postgres: &'a Postgres,
    pub(super) database: &'a Database,
    /// As whom, and to which database of the cluster.
    pub(super) user: String,
    pub(super) password: &'a Secret,
    pub(super) name: String,
}

impl Client<'_> {
    /// Its container.
    pub(super) fn container(&self, awake: &Awake, words: &[&str]) -> Result<ContainerSpec> {
        let programs = self.postgres.cluster(self.database)?.programs;
        let (program, words) = words.split_first().ok_or_else(|| DatabaseError::Failed("no program".to_owned()))?;
        let mut args = vec![programs.path(program)];
        args.extend(words.iter().map(|word| (*word).to_owned()));
        let mut spec = container(self.postgres.template.job(), OWN_SLOT, args);
        let variables = [
            ("PGHOST", host(self.database, &self.postgres.domain)),
            ("PGPORT", PORT.to_string()),
            ("PGUSER", self.user.clone()),
            ("PGPASSWORD", self.password.reveal().to_owned()),
            ("PGDATABASE", self.name.clone()),
            ("PGSSLMODE", "verify-full".to_owned()),
            ("PGSSLROOTCERT", AUTHORITY_AT.to_owned()),
            ("PGCONNECT_TIMEOUT", "30".to_owned()),
            // What is over its limit is read-only for the app.
            ("PGOPTIONS", "-c default_transaction_read_only=off".to_owned()),
        ];
        spec.env.extend(variables.map(|(name, value)| (name.to_owned(), value)));
        spec.mounts = vec![authority(&*self.postgres.certifier)];
        spec.links.clone_from(&awake.links);
        Ok(spec)
    }

    /// Runs it.
    pub(super) async fn run(&self, awake: &Awake, words: &[&str], input: Option<File>, output: Option<File>) -> Result<Done> {
        let spec = self.container(awake, words)?;
        job::run(self.postgres.servers.engine(), spec, input, output).await
    }
}

/// Writes a dump in PostgreSQL's custom format, of one snapshot.
pub(super) async fn backup(postgres: &Postgres, database: &Database, to: File) -> Result<()> {
    let session = session::open(postgres, database, "template1").await?;
    let client = Client {
        postgres,
        database,
        user: SUPERUSER.to_owned(),
        password: make::admin(database)?,
        name: database.name.to_string(),
    };
    let words = ["pg_dump", "--format=custom", "--no-password"];
    let done = client.run(session.awake(), &words, None, Some(to)).await?;
    if done.is_ok() { Ok(()) } else { Err(DatabaseError::Failed(format!("the dump failed: {}", done.problem()))) }
}
