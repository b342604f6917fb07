//! Dumps in S3-compatible storage, against a server that checks signatures.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use model::backup::BackupState;
use vault::{Vault, VaultError};

use crate::world::{MB, SECRET, Server, Wire, app, content, dump, files, vault};

/// What passes a wire is counted down.
const MEGABYTE: i64 = 1024 * 1024;

#[tokio::test]
async fn small_and_large_dumps_come_back_as_they_went() {
    let (server, notes) = (Server::start(None), tempfile::tempdir().expect("a directory"));
    let s3 = server.vault(notes.path());
    for size in [0, 1, 16 * MB, 16 * MB + 1, 41 * MB] {
        let (mut backup, mut file) = dump(size);
        s3.put(&backup, &file).await.expect("kept");
        assert!(content(&mut s3.get(&backup).await.expect("there")) == content(&mut file), "{size} bytes differ");
        backup.state = BackupState::Verified;
        s3.describe(&backup).await.expect("described");
        assert_eq!(s3.read(&backup.app, &backup.id).await.expect("read"), backup);
        assert_eq!(s3.list().await.expect("listed"), [(app("shop"), backup.id.clone())]);
        s3.remove(&backup.app, &backup.id).await.expect("removed");
        s3.remove(&backup.app, &backup.id).await.expect("fine where it is gone");
        assert!(matches!(s3.get(&backup).await, Err(VaultError::Missing(_))));
    }
    assert_eq!(files(notes.path()), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn a_damaged_object_is_noticed() {
    let (server, notes) = (Server::start(None), tempfile::tempdir().expect("a directory"));
    let s3 = server.vault(notes.path());
    let (backup, file) = dump(2 * MB);
    s3.put(&backup, &file).await.expect("kept");
    let path = server.root.path().join(format!("backups/of/apps/shop/{}.dump", backup.id));
    let mut bytes = std::fs::read(&path).expect("the server's file");
    bytes[MB] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    assert!(matches!(s3.get(&backup).await, Err(VaultError::Damaged(_))));
}

#[tokio::test]
async fn a_wrong_key_and_a_bucket_that_is_not_there_are_said_at_once() {
    let (server, notes) = (Server::start(None), tempfile::tempdir().expect("a directory"));
    let (backup, file) = dump(1000);
    let begun = Instant::now();
    let stranger = vault(server.address, "backups", "of-somebody-else", notes.path());
    // This server makes a bucket for an object that has none, so a list has to tell.
    let refused = [
        (stranger.put(&backup, &file).await, "SignatureDoesNotMatch"),
        (stranger.check().await, "SignatureDoesNotMatch"),
        (vault(server.address, "not-there", SECRET, notes.path()).check().await, "NoSuchBucket"),
    ];
    for (refused, word) in refused {
        assert!(matches!(&refused, Err(VaultError::Refused { why, .. }) if why.contains(word)), "{refused:?}");
        let text = refused.expect_err("refused").to_string();
        assert!(!text.contains("of-somebody-else") && !text.contains('\n'), "{text}");
    }
    server.vault(notes.path()).check().await.expect("the right key opens it");
    assert!(begun.elapsed() < Duration::from_secs(30), "a refusal is not tried again");
}

#[tokio::test]
async fn a_full_disk_leaves_nothing_there() {
    let (server, notes) = (Server::start(Some(24 * MB)), tempfile::tempdir().expect("a directory"));
    let s3 = server.vault(notes.path());
    let (first, file) = dump(4 * MB);
    s3.put(&first, &file).await.expect("room for one");
    let (second, other) = dump(40 * MB);
    let full = s3.put(&second, &other).await;
    // What a server says of its full disk differs; this one says that it failed.
    assert!(matches!(full, Err(VaultError::Unreachable { .. } | VaultError::Full(_))), "{full:?}");
    assert_eq!(s3.list().await.expect("listed"), [(app("shop"), first.id.clone())]);
    s3.get(&first).await.expect("the first is whole");
    let (third, more) = dump(12 * MB);
    s3.put(&third, &more).await.expect("what the failed one had is free again");
}

#[tokio::test]
async fn a_wire_that_is_cut_once_is_no_failure() {
    let (server, notes) = (Server::start(None), tempfile::tempdir().expect("a directory"));
    let wire = Wire::to(server.address, 25 * MEGABYTE);
    let s3 = vault(wire.address, "backups", SECRET, notes.path());
    let (backup, mut file) = dump(40 * MB);
    let left = wire.left.clone();
    // It holds again after the cut.
    let mend = tokio::spawn(async move {
        while left.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        left.store(i64::MAX, Ordering::SeqCst);
    });
    s3.put(&backup, &file).await.expect("tried again");
    mend.await.expect("it was cut");
    assert!(content(&mut s3.get(&backup).await.expect("there")) == content(&mut file));
}

#[tokio::test]
async fn an_upload_that_is_given_up_is_taken_back_later() {
    let (server, notes) = (Server::start(None), tempfile::tempdir().expect("a directory"));
    let wire = Wire::to(server.address, 25 * MEGABYTE);
    let s3 = vault(wire.address, "backups", SECRET, notes.path());
    let (backup, file) = dump(40 * MB);
    let cut = s3.put(&backup, &file).await;
    assert!(matches!(cut, Err(VaultError::Unreachable { .. })), "{cut:?}");
    assert!(!files(server.root.path()).is_empty(), "a part has arrived");
    assert_eq!(files(notes.path()).len(), 1, "what is to be taken back is noted");
    let s3 = server.vault(notes.path());
    s3.sweep().await.expect("swept");
    assert_eq!(files(server.root.path()), Vec::<std::path::PathBuf>::new());
    assert_eq!(files(notes.path()), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn a_platform_that_is_killed_in_the_middle_leaves_nothing_that_counts() {
    let (server, notes) = (Server::start(None), tempfile::tempdir().expect("a directory"));
    let wire = Wire::to(server.address, i64::MAX);
    let s3 = vault(wire.address, "backups", SECRET, notes.path());
    let (backup, file) = dump(40 * MB);
    let (kept, whole) = dump(1000);
    s3.put(&kept, &whole).await.expect("kept");
    let begun = async {
        while i64::MAX - wire.left.load(Ordering::SeqCst) < 20 * MEGABYTE {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        ended = s3.put(&backup, &file) => panic!("too quick: {ended:?}"),
        () = begun => {}
    }
    // Its sockets end with a process.
    drop(s3);
    wire.left.store(0, Ordering::SeqCst);
    let s3 = server.vault(notes.path());
    assert_eq!(s3.list().await.expect("listed"), [(app("shop"), kept.id.clone())]);
    let before = files(server.root.path()).len();
    s3.sweep().await.expect("swept");
    let left = files(server.root.path());
    assert!(left.len() < before, "there was nothing to take back");
    let (objects, others): (Vec<_>, Vec<_>) = left.iter().partition(|path| path.starts_with(server.root.path().join("backups")));
    assert!(objects.iter().all(|path| path.to_string_lossy().contains(kept.id.as_str())), "{objects:?}");
    assert!(others.iter().all(|path| !path.to_string_lossy().contains("upload")), "{others:?}");
    s3.get(&kept).await.expect("what was whole is there");
}

#[tokio::test]
async fn nobody_there_is_said_in_one_line() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port");
    let notes = tempfile::tempdir().expect("a directory");
    let said = vault(free, "backups", SECRET, notes.path()).list().await.expect_err("nobody there").to_string();
    assert!(said.contains("can't be used") && !said.contains('\n'), "{said}");
}
