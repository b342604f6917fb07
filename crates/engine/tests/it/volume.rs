//! Volumes, the machine's own programs, links between containers, and addresses that stay.

use std::net::IpAddr;
use std::time::Duration;

use engine::{ContainerId, ContainerSpec, Engine, EngineError, HostEntry, LayerRef, Link, Mount, VolumeName};

use crate::{SERVER, World, read};

fn volume(name: &str, read_only: bool) -> Mount {
    Mount::Volume { name: VolumeName::parse(name).expect("a name"), at: "/data".to_owned(), owner: 70, read_only }
}

fn with(mut spec: ContainerSpec, mount: Mount, user: u16) -> ContainerSpec {
    spec.mounts.push(mount);
    spec.user = user;
    spec
}

pub(crate) async fn a_volume_outlives_its_containers_and_is_one_containers_at_a_time(world: &World) {
    let script = "id -u; stat -c '%u %a' /data; echo kept > /data/file && touch /tmp/x; cat /data/file";
    let (exit, text) = world.run(with(world.sh("writes", script), volume("notes", false), 70)).await;
    assert_eq!((exit.code, text.as_str()), (Some(0), "70\n70 700\nkept\n"));
    let outside = std::fs::metadata(world.data.join("volumes/notes/fs/file")).expect("it lies on the disk");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&outside), 70, "plain ids on the disk");

    let holder = with(world.sh("holds", "exec sleep 60"), volume("notes", false), 70);
    let holder = world.engine.create(holder).await.expect("it begins");
    for read_only in [false, true] {
        let second = with(world.sh("second", "cat /data/file"), volume("notes", read_only), 70);
        match world.engine.create(second).await {
            Err(EngineError::Busy(why)) => assert_eq!(why, "volume notes is used by another container"),
            other => panic!("{other:?}"),
        }
    }
    let name = VolumeName::parse("notes").expect("a name");
    assert!(matches!(world.engine.remove_volume(&name).await, Err(EngineError::Busy(_))));
    world.engine.stop(&holder.id, Duration::ZERO).await.expect("stopped");

    let looks = |id: &str| with(world.sh(id, "cat /data/file; echo x > /data/file; sleep 1"), volume("notes", true), 70);
    let (one, other) = tokio::join!(world.run(looks("looks-1")), world.run(looks("looks-2")));
    for (_, text) in [one, other] {
        assert!(text.starts_with("kept\n") && text.contains("Read-only file system"), "{text}");
    }
    assert!(world.engine.volumes().await.expect("a list").contains(&name));
    world.engine.remove_volume(&name).await.expect("removed");
    world.engine.remove_volume(&name).await.expect("there is none");
    assert!(!world.engine.volumes().await.expect("a list").contains(&name));
}

pub(crate) async fn an_exchange_is_changed_by_several_at_once(world: &World) {
    let name = VolumeName::parse("hand-over").expect("a name");
    let exchange = || Mount::Exchange { name: name.clone(), at: "/exchange".to_owned(), owner: 70 };
    let script =
        "echo from-the-server > /exchange/a; until [ -s /exchange/b ]; do sleep 0.1; done; cat /exchange/b; exec sleep 60";
    let mut server = world.engine.create(with(world.sh("server", script), exchange(), 70)).await.expect("it begins");
    let script =
        "until [ -s /exchange/a ]; do sleep 0.1; done; cat /exchange/a; echo from-the-job > /exchange/b; stat -c %u /exchange/a";
    let (exit, text) = world.run(with(world.sh("job", script), exchange(), 70)).await;
    assert_eq!((exit.code, text.as_str()), (Some(0), "from-the-server\n70\n"));
    let (mut stdout, _) = server.take_output().expect("its output");
    let mut said = [0; 13];
    tokio::io::AsyncReadExt::read_exact(&mut stdout, &mut said).await.expect("what it has read");
    assert_eq!(&said, b"from-the-job\n");
    // Who wants it alone waits, and nobody removes it meanwhile.
    let alone = Mount::Volume { name: name.clone(), at: "/exchange".to_owned(), owner: 70, read_only: false };
    let alone = world.engine.create(with(world.sh("alone", "true"), alone, 70)).await;
    assert!(matches!(alone, Err(EngineError::Busy(_))), "{alone:?}");
    assert!(matches!(world.engine.remove_volume(&name).await, Err(EngineError::Busy(_))));
    world.engine.stop(&server.id, Duration::ZERO).await.expect("stopped");
    world.engine.remove_volume(&name).await.expect("removed");
}

pub(crate) async fn the_machines_programs_run_without_its_settings_and_data(world: &World) {
    let mut spec = world.sh("machine", "id -un; python3 -c 'import ssl, sqlite3; print(\"fine\")'; ls /etc /home /root; touch /usr/x; touch /tmp/x && echo written");
    spec.layers = vec![LayerRef::Machine];
    spec.user = 70;
    let secret = Mount::File { at: "/etc/adaptable/key".to_owned(), contents: b"secret".to_vec(), owner: Some(70) };
    spec.mounts.push(secret);
    spec.args[2] += "; stat -c '%u %a' /etc/adaptable/key; cat /etc/adaptable/key";
    let (exit, text) = world.run(spec).await;
    assert_eq!(exit.code, Some(0), "{text}");
    assert!(text.starts_with("service\nfine\n"), "{text}");
    assert!(!text.contains("shadow") && !text.contains("hostname"), "{text}");
    assert!(text.contains("written\n70 400\nsecret") && text.contains("Read-only file system"), "{text}");
    let mut other = world.sh("machine-root", "cat /etc/adaptable/key");
    other.layers = vec![LayerRef::Machine];
    other.mounts.push(Mount::File { at: "/etc/adaptable/key".to_owned(), contents: b"secret".to_vec(), owner: Some(70) });
    let (exit, text) = world.run(other).await;
    assert!(exit.code == Some(1) && text.contains("Permission denied"), "{text}");
}

pub(crate) async fn a_link_leads_to_one_port_and_no_further(world: &World) {
    let server = world.engine.create(world.sh("linked-server", SERVER)).await.expect("it begins");
    let IpAddr::V4(address) = server.address else { panic!("{}", server.address) };
    let try_it = |name: &str| {
        format!(
            "import socket, time\nfor port in (8080, 8081):\n  for _ in range(50):\n    s = socket.socket(); s.settimeout(1)\n    try:\n      s.connect(('{name}', port)); print(port, 'connected'); break\n    except ConnectionRefusedError: time.sleep(0.1)\n    except OSError as e: print(port, type(e).__name__); break\n"
        )
    };
    let link = Link { host: Some(HostEntry::parse("the.server.internal").expect("a name")), address, port: 8080 };
    let mut linked = world.spec("linked", &["/usr/bin/python3", "-c", &try_it("the.server.internal")]);
    linked.links = vec![link];
    let (_, text) = world.run(linked.clone()).await;
    assert_eq!(text, "8080 connected\n8081 TimeoutError\n");
    // Whoever gets no link reaches nobody; and no rule is left of the one that had one.
    let (_, text) = world.run(world.spec("unlinked", &["/usr/bin/python3", "-c", &try_it(&address.to_string())])).await;
    assert_eq!(text, "8080 TimeoutError\n8081 TimeoutError\n");
    crate::wait_for("the rule goes with its container", async || {
        let rules = std::process::Command::new("nft").args(["list", "ruleset"]).output().expect("nft");
        !String::from_utf8_lossy(&rules.stdout).contains(&format!("{address} . 8080"))
    })
    .await;
    world.engine.stop(&server.id, Duration::ZERO).await.expect("stopped");
}

pub(crate) async fn an_address_is_kept_for_its_name(world: &World) {
    let spec = || {
        let mut spec = world.sh("keeper", "exec sleep 60");
        spec.keeps_address = true;
        spec
    };
    let first = world.engine.create(spec()).await.expect("it begins");
    let id = ContainerId::parse("keeper").expect("a name");
    world.engine.stop(&id, Duration::ZERO).await.expect("stopped");
    let mut other = world.engine.create(world.sh("other", "exec sleep 60")).await.expect("it begins");
    assert_ne!(other.address, first.address);
    world.engine.stop(&other.id, Duration::ZERO).await.expect("stopped");
    drop(read(&mut other).await);
    let second = world.engine.create(spec()).await.expect("it begins again");
    assert_eq!(second.address, first.address);
    world.engine.release(&id).await.expect("nothing happens while it runs");
    world.engine.stop(&id, Duration::ZERO).await.expect("stopped");
    let third = world.engine.create(spec()).await.expect("it begins again");
    assert_eq!(third.address, first.address);
    world.engine.stop(&id, Duration::ZERO).await.expect("stopped");
    world.engine.release(&id).await.expect("given up");
}
