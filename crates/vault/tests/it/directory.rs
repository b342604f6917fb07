//! Dumps in a directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use model::backup::{BackupState, Contents};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use vault::{Directory, Vault, VaultError};

use crate::world::{MB, app, content, dump, files};

#[tokio::test]
async fn a_dump_is_there_for_its_owner_alone_until_it_is_removed() {
    let root = tempfile::tempdir().expect("a directory");
    let directory = Directory::open(&root.path().join("backups")).expect("opened");
    let (mut backup, mut file) = dump(3 * MB + 17);
    directory.put(&backup, &file).await.expect("kept");
    assert_eq!(content(&mut directory.get(&backup).await.expect("there")), content(&mut file));
    for path in files(root.path()) {
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600, "{path:?}");
    }
    for path in ["backups", "backups/shop"] {
        assert_eq!(fs::metadata(root.path().join(path)).expect("there").permissions().mode() & 0o777, 0o700, "{path:?}");
    }
    backup.state = BackupState::Verified;
    backup.found = Some(Contents { tables: 2, rows: 17 });
    directory.describe(&backup).await.expect("described");
    assert_eq!(directory.list().await.expect("listed"), [(app("shop"), backup.id.clone())]);
    assert_eq!(directory.read(&backup.app, &backup.id).await.expect("read"), backup);
    directory.remove(&backup.app, &backup.id).await.expect("removed");
    directory.remove(&backup.app, &backup.id).await.expect("fine where it is gone");
    assert!(matches!(directory.get(&backup).await, Err(VaultError::Missing(_))));
    assert!(!root.path().join("backups/shop").exists());
}

#[tokio::test]
async fn a_flipped_bit_and_a_cut_are_noticed() {
    let root = tempfile::tempdir().expect("a directory");
    let directory = Directory::open(root.path()).expect("opened");
    let (backup, file) = dump(100_000);
    directory.put(&backup, &file).await.expect("kept");
    let path = root.path().join(format!("shop/{}.dump", backup.id));
    let good = fs::read(&path).expect("read");
    let mut bad = good.clone();
    bad[54_321] ^= 4;
    fs::write(&path, &bad).expect("written");
    assert!(matches!(directory.get(&backup).await, Err(VaultError::Damaged(why)) if why.contains("SHA-256")));
    fs::write(&path, &good[..99_999]).expect("written");
    assert!(matches!(directory.get(&backup).await, Err(VaultError::Damaged(why)) if why.contains("99999 bytes")));
    fs::write(&path, &good).expect("written");
    directory.get(&backup).await.expect("good again");
}

#[tokio::test]
async fn what_is_not_what_was_said_of_it_is_not_kept() {
    let root = tempfile::tempdir().expect("a directory");
    let directory = Directory::open(root.path()).expect("opened");
    let ((backup, _), (_, other)) = (dump(1000), dump(1000));
    assert!(matches!(directory.put(&backup, &other).await, Err(VaultError::Damaged(_))));
    assert_eq!(files(root.path()), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn what_a_killed_platform_left_is_swept_and_the_rest_stays() {
    let root = tempfile::tempdir().expect("a directory");
    let directory = Directory::open(root.path()).expect("opened");
    let (backup, file) = dump(1000);
    directory.put(&backup, &file).await.expect("kept");
    let shop = root.path().join("shop");
    let foreign = ["shop/notes.dump", "shop/readme.txt", "Other/x.part", "20261124T031500Z-ab12.dump"];
    fs::create_dir(root.path().join("Other")).expect("made");
    for name in
        ["shop/20261124T031500Z-ab12.dump.part", "shop/20261124T031500Z-ab13.json.part", "shop/20261124T031500Z-ab14.dump"]
    {
        fs::write(root.path().join(name), "half").expect("written");
    }
    for name in foreign {
        fs::write(root.path().join(name), "somebody's").expect("written");
    }
    fs::write(shop.join("20261124T031500Z-ab15.json"), "{}").expect("written");
    directory.sweep().await.expect("swept");
    let mut left: Vec<_> =
        files(root.path()).into_iter().map(|path| path.strip_prefix(root.path()).expect("below").to_owned()).collect();
    left.retain(|path| !foreign.iter().any(|name| path == Path::new(name)));
    let mut wanted =
        [format!("shop/{}.dump", backup.id), format!("shop/{}.json", backup.id), "shop/20261124T031500Z-ab15.json".to_owned()];
    wanted.sort();
    assert_eq!(left, wanted.map(std::path::PathBuf::from));
    // Its document says nothing that can be believed.
    let broken = model::backup::BackupId::parse("20261124T031500Z-ab15").expect("an id");
    assert!(matches!(directory.read(&app("shop"), &broken).await, Err(VaultError::Damaged(_))));
}

#[tokio::test]
async fn on_a_full_disk_nothing_half_stays() {
    struct Small(tempfile::TempDir);
    impl Drop for Small {
        fn drop(&mut self) {
            umount2(self.0.path(), MntFlags::MNT_DETACH).ok();
        }
    }
    let small = Small(tempfile::tempdir().expect("a directory"));
    mount(Some("none"), small.0.path(), Some("tmpfs"), MsFlags::empty(), Some("size=4m")).expect("a small file system (as root)");
    let directory = Directory::open(small.0.path()).expect("opened");
    let (first, file) = dump(2 * MB);
    directory.put(&first, &file).await.expect("room for one");
    let (second, other) = dump(3 * MB);
    let full = directory.put(&second, &other).await;
    assert!(matches!(full, Err(VaultError::Full(_))), "{full:?}");
    assert_eq!(files(small.0.path()).len(), 2);
    directory.get(&first).await.expect("the first is whole");
}
