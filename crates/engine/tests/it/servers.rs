//! A launcher of servers beside that of apps: who reaches whom, and how its containers outlive the process that made them.

use std::net::IpAddr;
use std::time::Duration;

use engine::local::LocalEngine;
use engine::{Engine, HostEntry, Link};

use crate::{SERVER, World, read, wait_for};

/// Tries to connect, and says how it went.
fn attempt(address: IpAddr, port: u16) -> String {
    format!(
        "import socket, time\nfor _ in range(50):\n    s = socket.socket(); s.settimeout(1)\n    try:\n      s.connect(('{address}', {port})); print('connected'); break\n    except ConnectionRefusedError: time.sleep(0.1)\n    except OSError as e: print(type(e).__name__); break\n"
    )
}

pub(crate) async fn a_server_is_reached_by_those_that_have_a_link(world: &World) {
    let server = world.servers.create(world.sh("db-one", SERVER)).await.expect("it begins");
    let IpAddr::V4(address) = server.address else { panic!("{}", server.address) };
    let script = attempt(server.address, 8080);
    let caller = |id: &str| world.spec(id, &["/usr/bin/python3", "-c", &script]);
    let mut linked = caller("caller");
    linked.links = vec![Link { host: Some(HostEntry::parse("one.internal").expect("a name")), address, port: 8080 }];
    assert_eq!(world.run(linked).await.1, "connected\n");
    assert_eq!(world.run(caller("stranger")).await.1, "TimeoutError\n");
    // A server reaches no other one, but a job beside it that has a link does.
    let mut job = world.servers.create(caller("db-two")).await.expect("it begins");
    assert_eq!(read(&mut job).await, "TimeoutError\n");
    let mut job = caller("db-job");
    job.links = vec![Link { host: None, address, port: 8080 }];
    let mut job = world.servers.create(job).await.expect("it begins");
    assert_eq!(read(&mut job).await, "connected\n");
    // Nor does a server reach an app.
    let app = world.engine.create(world.sh("an-app", SERVER)).await.expect("it begins");
    let script = attempt(app.address, 8080);
    let mut nosy = world.servers.create(world.spec("db-nosy", &["/usr/bin/python3", "-c", &script])).await.expect("it begins");
    assert_eq!(read(&mut nosy).await, "TimeoutError\n");
    world.engine.stop(&app.id, Duration::ZERO).await.expect("stopped");
    world.servers.stop(&server.id, Duration::ZERO).await.expect("stopped");
}

pub(crate) async fn a_launcher_is_taken_over_with_its_containers(world: &World) {
    let script = "echo before; trap 'echo told; exit 7' TERM; while :; do sleep 0.05; done";
    let mut first = world.servers.create(world.sh("db-kept", script)).await.expect("it begins");
    let (mut out, err) = first.take_output().expect("its output");
    let mut line = [0_u8; 7];
    tokio::io::AsyncReadExt::read_exact(&mut out, &mut line).await.expect("a line");
    assert_eq!(&line, b"before\n");
    let ended = world.servers.create(world.sh("db-ended", "exit 0")).await.expect("it begins");
    ended.exited().await;

    let (end, kept) = world.servers.give().expect("given");
    assert_eq!(kept.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["db-kept"], "what has ended is not handed on");
    let next = LocalEngine::take_over(end, kept).expect("taken over");
    world.servers.leave();
    let _gone = next.begin();
    assert!(world.servers.volumes().await.is_err(), "the old end asks nothing any more");
    let mut found = next.find(&first.id).await.expect("it runs");
    assert!(next.find(&first.id).await.is_none(), "it is found once");
    assert_eq!(found.address, first.address);
    assert!(next.create(world.sh("db-kept", "exit 0")).await.is_err(), "the name is taken");
    next.stop(&found.id, Duration::from_secs(5)).await.expect("stopped");
    assert_eq!(found.exited().await.code, Some(7));
    drop((out, err));
    assert!(read(&mut found).await.contains("told\n"), "its output goes on here");
    let again = next.create(world.sh("db-kept", "exit 0")).await.expect("the name is free");
    again.exited().await;
    wait_for("nothing is left", async || next.volumes().await.is_ok()).await;
    next.shutdown().await;
}
