//! What an app must not reach: another app's database, and more of its own cluster than its own.

use database::{Certifier, Kind};
use engine::{HostEntry, Link, Mount};
use model::database::DatabaseSettings;

use crate::world::{Authority, World};

pub(crate) async fn another_apps_server_is_not_reached(world: &World) {
    let one = world.made(&DatabaseSettings::default()).await;
    let other = world.made(&DatabaseSettings::default()).await;
    world.ask(&one, "CREATE TABLE secret (x text); INSERT INTO secret VALUES ('of one')").await;
    let awake = world.postgres.awake(&one).await.expect("awake");
    let host = world.postgres.credentials(&one).host;
    // Its credentials, its host's name and its address, but no link: not even a connection.
    let mut spec = world.app(&one, Vec::new(), &["psql", "-XAtc", "SELECT x FROM secret"]);
    spec.slot = other.slot;
    spec.env.push(("PGHOSTADDR".to_owned(), awake.address.ip().to_string()));
    spec.env.push(("PGCONNECT_TIMEOUT".to_owned(), "3".to_owned()));
    let (exit, text) = world.run(spec).await;
    assert!(exit.code == Some(2) && text.contains("timeout expired"), "{text}");
    // A link, but its own credentials.
    let mut spec = world.app(&other, awake.links.clone(), &["psql", "-XAtc", "SELECT 1"]);
    spec.env.push(("PGHOST".to_owned(), host.clone()));
    let (exit, text) = world.run(spec.clone()).await;
    assert!(exit.code == Some(2) && text.contains("no pg_hba.conf entry") || text.contains("rejects connection"), "{text}");
    spec.env.push(("PGDATABASE".to_owned(), one.name.to_string()));
    spec.env.push(("PGUSER".to_owned(), one.name.to_string()));
    let (exit, text) = world.run(spec.clone()).await;
    assert!(exit.code == Some(2) && text.contains("password authentication failed"), "{text}");
    // And nothing without TLS.
    let mut spec = world.app(&one, awake.links.clone(), &["psql", "-XAtc", "SELECT 1"]);
    spec.env.push(("PGSSLMODE".to_owned(), "disable".to_owned()));
    let (exit, text) = world.run(spec).await;
    assert!(exit.code == Some(2) && text.contains("no encryption"), "{text}");
}

pub(crate) async fn a_certificate_of_somebody_else_is_refused(world: &World) {
    let database = world.made(&DatabaseSettings::default()).await;
    let awake = world.postgres.awake(&database).await.expect("awake");
    // Another authority.
    let mut spec = world.app(&database, awake.links.clone(), &["psql", "-XAtc", "SELECT 1"]);
    for mount in &mut spec.mounts {
        if let Mount::File { contents, .. } = mount {
            *contents = Authority::new().authority_pem().into_bytes();
        }
    }
    let (exit, text) = world.run(spec).await;
    assert!(exit.code == Some(2) && text.contains("SSL error"), "{text}");
    // Another host name for the same address.
    let host = HostEntry::parse("other.postgres.apps.example").expect("a name");
    let links: Vec<Link> = awake.links.iter().map(|link| Link { host: Some(host.clone()), ..link.clone() }).collect();
    let mut spec = world.app(&database, links, &["psql", "-XAtc", "SELECT 1"]);
    spec.env.push(("PGHOST".to_owned(), host.as_str().to_owned()));
    let (exit, text) = world.run(spec).await;
    assert!(exit.code == Some(2) && text.contains("does not match host name"), "{text}");
}

pub(crate) async fn an_apps_role_is_nobody_in_its_cluster(world: &World) {
    let database = world.made(&DatabaseSettings::default()).await;
    let name = database.name.as_str();
    for (statement, refusal) in [
        ("SELECT rolpassword FROM pg_authid", "permission denied"),
        ("SELECT passwd FROM pg_shadow", "permission denied"),
        ("COPY (SELECT 1) TO PROGRAM 'cat'", "COPY to or from an external program"),
        ("CREATE TABLE x (y text); COPY x FROM '/etc/adaptable/server.key'", "COPY from a file"),
        ("SELECT pg_read_file('/etc/adaptable/server.key')", "permission denied"),
        ("SELECT lo_import('/etc/passwd')", "permission denied"),
        ("CREATE EXTENSION dblink", "permission denied"),
        ("CREATE EXTENSION file_fdw", "permission denied"),
        ("CREATE EXTENSION adminpack", "permission denied"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'x'", "permission denied"),
        ("CREATE ROLE another", "permission denied"),
        ("CREATE DATABASE another", "permission denied"),
        ("ALTER ROLE CURRENT_USER SUPERUSER", "must be superuser"),
        ("ALTER ROLE CURRENT_USER CONNECTION LIMIT 1000", "permission denied"),
        ("SET ROLE adaptable", "permission denied"),
        ("SET SESSION AUTHORIZATION adaptable", "permission denied"),
        ("ALTER ROLE adaptable PASSWORD 'x'", "must be superuser"),
        ("ALTER SYSTEM SET fsync = off", "permission denied"),
        ("DROP DATABASE template1", "must be owner"),
        ("SELECT pg_reload_conf()", "permission denied"),
        ("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'adaptable'", ""),
    ] {
        let (exit, text) = world.psql(&database, statement).await;
        if refusal.is_empty() {
            continue;
        }
        assert!(exit.code == Some(1) && text.contains(refusal), "{statement}: {text}");
    }
    assert_eq!(world.ask(&database, &format!("SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls FROM pg_roles WHERE rolname = '{name}'")).await, "f");
    let awake = world.postgres.awake(&database).await.expect("awake");
    for other in ["template1", "template0", "postgres", &format!("{name}__scratch")] {
        let mut spec = world.app(&database, awake.links.clone(), &["psql", "-XAtc", "SELECT 1"]);
        spec.env.push(("PGDATABASE".to_owned(), other.to_owned()));
        let (exit, text) = world.run(spec).await;
        assert!(
            exit.code == Some(2) && (text.contains("rejects connection") || text.contains("no pg_hba.conf entry")),
            "{other}: {text}"
        );
    }
    // Its own it owns, and the schema in it.
    assert_eq!(
        world
            .ask(&database, "CREATE SCHEMA s; CREATE TABLE public.t (); CREATE EXTENSION citext; SELECT 'fine'")
            .await
            .lines()
            .last(),
        Some("fine")
    );
}
