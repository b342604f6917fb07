//! The files that a server is configured by: they lie beside its data, not in them, so that a next version may have others.

use super::{PORT, SUPERUSER};
use crate::postgres::sql;

/// Connections beside those of the app: the platform's own, and those that read a dump.
pub(super) const RESERVED: u32 = 8;
/// Those of them that only a superuser gets.
const SUPERUSERS: u32 = 6;

/// Where the files lie in the container.
pub(super) const DIRECTORY: &str = "/etc/adaptable";

/// `postgresql.conf`. What depends on an app's settings is in `postgresql.auto.conf` among the data, which `ALTER SYSTEM` writes.
pub(super) fn postgresql_conf() -> String {
    format!(
        "listen_addresses = '*'
port = {PORT}
unix_socket_directories = ''
hba_file = '{DIRECTORY}/pg_hba.conf'
ssl = on
ssl_cert_file = '{DIRECTORY}/server.crt'
ssl_key_file = '{DIRECTORY}/server.key'
ssl_min_protocol_version = 'TLSv1.2'
password_encryption = 'scram-sha-256'
superuser_reserved_connections = {SUPERUSERS}
max_connections = {most}
# Durable: what has been acknowledged is on the disk.
fsync = on
full_page_writes = on
synchronous_commit = on
wal_level = minimal
max_wal_senders = 0
# Small: most of these servers have little to do, and sleep as their apps do.
shared_buffers = 32MB
max_wal_size = 128MB
min_wal_size = 2MB
work_mem = 4MB
maintenance_work_mem = 32MB
autovacuum_work_mem = 16MB
max_worker_processes = 4
max_parallel_workers_per_gather = 1
max_logical_replication_workers = 0
jit = off
recovery_init_sync_method = syncfs
# Autovacuum stays on; fewer of its workers need less memory.
autovacuum_max_workers = 2
# Times and texts do not depend on the machine.
log_destination = 'stderr'
logging_collector = off
log_line_prefix = '%p %q%u@%d '
log_timezone = 'UTC'
timezone = 'UTC'
lc_messages = 'C.UTF-8'
# A statement may hold a secret, and so may the rows that an error's details show.
log_error_verbosity = terse
log_statement = 'none'
log_min_error_statement = 'panic'
log_min_duration_statement = -1
log_checkpoints = off
",
        most = 100 + RESERVED
    )
}

/// `pg_hba.conf`: who may connect to what. Always with TLS, always with a password; the app's role to its own database alone, and the
/// role that reads dumps to the one that it fills.
pub(super) fn pg_hba_conf(name: &str) -> String {
    let beside = [restorer(name), scratch(name)].map(|name| sql::identifier(&name));
    let [restorer, scratch] = beside;
    let name = sql::identifier(name);
    format!(
        "hostssl all,replication {SUPERUSER} all scram-sha-256
hostssl {name}    {name}      all  scram-sha-256
hostssl {scratch} {restorer}  all  scram-sha-256
host    all       all         all  reject
"
    )
}

/// The role that reads a dump. It is not the app's, whose connections are limited, and no superuser, since functions of the dump run
/// as it.
pub(super) fn restorer(name: &str) -> String {
    format!("{name}__restorer")
}

/// The database that a dump is read into.
pub(super) fn scratch(name: &str) -> String {
    format!("{name}__scratch")
}
