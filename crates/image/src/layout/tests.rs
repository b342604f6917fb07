//! Tests of the layout on disk.

use std::collections::BTreeSet;
use std::process::Command;

use super::*;
use crate::collect::References;
use crate::layers::{LayerBlob, LayerId, LayerKey, LayerRecord};
use crate::oci::{Execution, RootFs};

fn opened() -> (tempfile::TempDir, Layout) {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::open(&dir.path().join("images")).unwrap();
    (dir, layout)
}

/// A layer that holds one file, packed by other people's programs.
fn put_layer(layout: &Layout, pin: &Pin, name: &str) -> LayerRecord {
    let tar = Command::new("tar").args(["--create", "--file=-", "-C", "/etc", "hostname"]).output().unwrap();
    assert!(tar.status.success());
    let mut writer = layout.blob_writer().unwrap();
    let raw = layout.root().join("tmp").join(name);
    fs::write(&raw, &tar.stdout).unwrap();
    let packed = Command::new("gzip").args(["-1", "--stdout"]).arg(&raw).output().unwrap();
    assert!(packed.status.success());
    writer.write_all(&packed.stdout).unwrap();
    let (digest, size) = layout.finish_blob(pin, writer).unwrap();
    let record = LayerRecord {
        key: LayerKey::of([name]),
        layer: LayerId::parse(name).unwrap(),
        blob: Some(LayerBlob { digest, diff_id: Digest::of(&tar.stdout), size }),
        used_at: 0,
        about: name.to_owned(),
    };
    layout.record_layer(pin, &record).unwrap();
    record
}

fn config(layers: &[&LayerRecord]) -> Config {
    let host = Platform::host();
    Config {
        created: None,
        architecture: host.architecture,
        os: host.os,
        execution: Execution { cmd: vec!["true".to_owned()], working_dir: "/app".to_owned(), ..Execution::default() },
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: layers.iter().map(|l| l.blob.unwrap().diff_id).collect() },
        history: Vec::new(),
    }
}

fn put_image(layout: &Layout, pin: &Pin, name: &str, layers: &[&LayerRecord]) -> ImageId {
    let descriptors = layers.iter().map(|layer| layer.descriptor().unwrap()).collect();
    layout.write_image(pin, &ImageRef::parse(name).unwrap(), &config(layers), descriptors).unwrap()
}

#[test]
fn skopeo_reads_and_copies_our_images() {
    let (dir, layout) = opened();
    let pin = layout.pins().pin();
    let layer = put_layer(&layout, &pin, "first");
    put_image(&layout, &pin, "shop:12", &[&layer]);
    put_image(&layout, &pin, "shop:13", &[&layer]);
    let reference = format!("oci:{}:shop:12", layout.root().display());
    let inspected = Command::new("skopeo").args(["inspect", &reference]).output().expect("skopeo is installed");
    assert!(inspected.status.success(), "{}", String::from_utf8_lossy(&inspected.stderr));
    let document: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(document["Layers"][0], layer.blob.unwrap().digest.to_string());
    let archive = format!("oci-archive:{}", dir.path().join("copy.tar").display());
    let copied = Command::new("skopeo").args(["copy", "--insecure-policy", &reference, &archive]).output().unwrap();
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    // A conversion to Docker's format decompresses the layer and compares it with its diff id.
    let docker = format!("docker-archive:{}:x:1", dir.path().join("docker.tar").display());
    let copied = Command::new("skopeo").args(["copy", "--insecure-policy", &reference, &docker]).output().unwrap();
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
}

#[test]
fn an_image_is_read_as_it_was_written() {
    let (_dir, layout) = opened();
    let pin = layout.pins().pin();
    let layer = put_layer(&layout, &pin, "first");
    let id = put_image(&layout, &pin, "shop:1", &[&layer]);
    let image = layout.image(&id).unwrap();
    assert_eq!(image.config, config(&[&layer]));
    assert_eq!(image.manifest.lowers(), Some(vec![crate::Lower::Layer(layer.layer)]));
    // The same content is the same image; the index has both names.
    assert_eq!(put_image(&layout, &pin, "shop:2", &[&layout.layer(&pin, &layer.key).unwrap().unwrap()]), id);
    assert_eq!(layout.images().unwrap().len(), 2);
}

#[test]
fn a_manifest_never_names_a_blob_that_is_not_there() {
    let (_dir, layout) = opened();
    let pin = layout.pins().pin();
    let blob = LayerBlob { digest: Digest::of(b"nowhere"), diff_id: Digest::of(b"nowhere"), size: 1 };
    let layers = vec![blob.descriptor("a", "b")];
    let result = layout.write_image(&pin, &ImageRef::parse("shop:1").unwrap(), &config(&[]), layers);
    assert!(matches!(result, Err(LayoutError::NoBlob(_))), "{result:?}");
}

#[test]
fn collects_what_is_not_referred_to_and_sweeps_temporary_files() {
    let (_dir, layout) = opened();
    let pin = layout.pins().pin();
    let (old, new) = (put_layer(&layout, &pin, "old"), put_layer(&layout, &pin, "new"));
    let first = put_image(&layout, &pin, "shop:1", &[&old]);
    let second = put_image(&layout, &pin, "shop:2", &[&new]);
    let dirs = || BTreeSet::from([old.layer.clone(), new.layer.clone()]);
    let references = || References { images: BTreeSet::from([second]), unused_since: i64::MAX };

    let collected = layout.collect(&layout.pins().record(), dirs(), &references()).unwrap();
    assert_eq!(collected, crate::Collected::default(), "the build still holds its pin");
    drop(pin);
    let collected = layout.collect(&layout.pins().record(), dirs(), &references()).unwrap();
    assert_eq!(collected.layers, BTreeSet::from([old.layer.clone()]));
    assert!(layout.image(&first).is_err());
    assert!(layout.image(&second).is_ok());
    let pin = layout.pins().pin();
    assert_eq!(layout.layer(&pin, &old.key).unwrap(), None);
    assert_eq!(layout.layer(&pin, &new.key).unwrap(), Some(new.clone()));
    assert_eq!(layout.images().unwrap(), vec![("shop:2".to_owned(), second)]);

    fs::write(layout.root().join("tmp/half"), b"half").unwrap();
    let again = Layout::open(layout.root()).unwrap();
    assert!(!again.root().join("tmp/half").exists());
    assert!(again.image(&second).is_ok());
}

#[test]
fn refuses_to_collect_when_a_kept_image_cannot_be_read() {
    let (_dir, layout) = opened();
    let pin = layout.pins().pin();
    let layer = put_layer(&layout, &pin, "first");
    let id = put_image(&layout, &pin, "shop:1", &[&layer]);
    drop(pin);
    fs::write(layout.blob_path(&id.0), b"{").unwrap();
    let references = References { images: BTreeSet::from([id]), unused_since: 0 };
    assert!(layout.collect(&layout.pins().record(), BTreeSet::new(), &references).is_err());
    assert!(layout.has_blob(&layer.blob.unwrap().digest));
}

#[test]
fn a_blob_imported_with_the_wrong_digest_is_refused() {
    let (_dir, layout) = opened();
    let pin = layout.pins().pin();
    let path = layout.root().join("outside");
    fs::write(&path, b"bytes").unwrap();
    let import = |digest: &Digest| layout.import_blob(&pin, File::open(&path).unwrap(), digest);
    assert!(matches!(import(&Digest::of(b"other")), Err(LayoutError::Mismatch { .. })));
    import(&Digest::of(b"bytes")).unwrap();
    assert!(layout.has_blob(&Digest::of(b"bytes")) && !layout.has_blob(&Digest::of(b"other")));
}

#[test]
fn references_are_plain_words() {
    for bad in ["", ":1", "a::b", "../x", "A:1", "a b", "a:1 --help", "-a", "a-:1"] {
        assert!(ImageRef::parse(bad).is_err(), "{bad:?}");
    }
    assert!(ImageRef::parse("my--shop:d12").is_ok());
}
