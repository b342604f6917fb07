//! Layers: written, sealed, packed, and what hostile archives try.

use engine::{Engine, LayerId, LayerRef, Profile, Upper};

use crate::World;

pub(crate) async fn a_written_layer_is_sealed_pruned_packed_and_shared(world: &World) {
    let layer = LayerId::parse("l1").expect("an id");
    let mut spec = world.sh(
        "job",
        "mkdir -p /opt/venv && echo hello > /opt/venv/x && echo junk > /junk && chown 33:33 /opt/venv/x && rm /etc/issue",
    );
    spec.profile = Profile::Build;
    spec.upper = Upper::Layer(layer.clone());
    let (exit, text) = world.run(spec).await;
    assert_eq!(exit.code, Some(0), "{text}");
    assert!(!world.engine.has_layer(&layer).await.expect("asked"), "not whole before it is sealed");
    world.engine.seal_layer(&layer, &["/opt/venv".to_owned()]).await.expect("sealed");
    assert!(world.engine.has_layer(&layer).await.expect("asked"));
    let root = world.data.join("layers/l1/fs");
    assert!(!root.join("junk").exists() && !root.join("etc").exists());
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(root.join("opt/venv/x")).expect("kept"));
    assert_eq!(owner, 33, "ids on disk are plain");
    let file = tempfile::NamedTempFile::new().expect("a file");
    let packed = world.engine.pack_layer(&layer, file.reopen().expect("open")).await.expect("packed");
    assert_eq!(packed.size, std::fs::metadata(file.path()).expect("written").len());
    // Another app, another range of ids: the same layer, read-only.
    let mut spec = world.sh("user", "cat /opt/venv/x; stat -c %u /opt/venv/x; echo more >> /opt/venv/x && wc -l < /opt/venv/x");
    spec.slot = 9;
    spec.layers.push(LayerRef::Layer(layer.clone()));
    let (_, text) = world.run(spec).await;
    assert_eq!(
        text, "hello\n33\n/bin/sh: 1: cannot create /opt/venv/x: Permission denied\n",
        "root without capabilities is no owner of it"
    );
    assert_eq!(std::fs::read_to_string(root.join("opt/venv/x")).expect("kept"), "hello\n");
    world.engine.remove_layer(&layer).await.expect("removed");
    assert!(!root.exists());
}

pub(crate) async fn hostile_archives_stay_inside(world: &World) {
    let outside = world.data.join("outside");
    std::fs::create_dir(&outside).expect("made");
    let mut builder = tar::Builder::new(Vec::new());
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    builder.append_link(&mut link, "way", &outside).expect("written");
    let mut file = tar::Header::new_gnu();
    file.set_size(1);
    file.set_mode(0o644);
    builder.append_data(&mut file, "way/out", &b"x"[..]).expect("written");
    let archive = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(archive.path(), builder.into_inner().expect("finished")).expect("written");
    let layer = LayerId::parse("evil").expect("an id");
    let result = world.engine.unpack_layer(&layer, "/app", archive.reopen().expect("open")).await;
    assert_eq!(std::fs::read_dir(&outside).expect("listed").count(), 0, "{result:?}");
}
