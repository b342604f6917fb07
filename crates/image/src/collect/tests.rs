//! Tests of the decision what is garbage, and of its effect.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::layers::LayerBlob;
use crate::oci::{CONFIG, Descriptor, LAYER_ANNOTATION, MANIFEST};

const LAYERS: u8 = 12;
const IMAGES: u8 = 8;

fn layer(n: u8) -> LayerId {
    LayerId::parse(&format!("l-{n}")).unwrap()
}

fn key(n: u8) -> LayerKey {
    LayerKey::of([[n]])
}

fn blob(n: u8) -> Digest {
    Digest::of(&[b'b', n])
}

fn image(n: u8) -> ImageId {
    ImageId(Digest::of(&[b'i', n]))
}

fn config(n: u8) -> Digest {
    Digest::of(&[b'c', n])
}

fn descriptor(media_type: &str, digest: Digest) -> Descriptor {
    Descriptor { media_type: media_type.to_owned(), digest, size: 1, annotations: BTreeMap::new(), platform: None }
}

/// A data directory with these images, each of these layers.
fn present(images: &BTreeMap<u8, BTreeSet<u8>>, build_only: &BTreeSet<u8>) -> Present {
    let mut present = Present::default();
    for n in 0..LAYERS {
        let in_images = !build_only.contains(&n);
        let packed = LayerBlob { digest: blob(n), diff_id: blob(n), size: 1 };
        present.layers.insert(layer(n));
        present.records.push(LayerRecord {
            key: key(n),
            layer: layer(n),
            blob: in_images.then_some(packed),
            used_at: i64::from(n),
            about: String::new(),
        });
        if in_images {
            present.blobs.insert(blob(n));
        }
    }
    for (&n, layers) in images {
        present.blobs.extend([image(n).0, config(n)]);
        let layers = layers.iter().filter(|n| !build_only.contains(n)).map(|n| Descriptor {
            annotations: BTreeMap::from([(LAYER_ANNOTATION.to_owned(), layer(*n).to_string())]),
            ..descriptor("layer", blob(*n))
        });
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            config: descriptor(CONFIG, config(n)),
            layers: layers.collect(),
            annotations: BTreeMap::new(),
        };
        present.images.insert(image(n), manifest);
    }
    present
}

proptest! {
    #[test]
    fn keeps_all_that_is_referred_to_and_nothing_else(
        images in prop::collection::btree_map(0..IMAGES, prop::collection::btree_set(0..LAYERS, 0..4), 0..6),
        build_only in prop::collection::btree_set(0..LAYERS, 0..4),
        kept in prop::collection::btree_set(0..IMAGES, 0..4),
        pinned in prop::collection::btree_set(0..LAYERS, 0..3),
        unused_since in 0..i64::from(LAYERS),
    ) {
        let present = present(&images, &build_only);
        let references = References { images: kept.iter().map(|n| image(*n)).collect(), unused_since };
        let pins: BTreeSet<_> = pinned.iter().map(|n| Pinned::Layer(layer(*n))).collect();
        let garbage = decide(&references, &present, &|thing| pins.contains(thing));

        for (n, layers) in &images {
            let stays = kept.contains(n);
            prop_assert_eq!(garbage.images.contains(&image(*n)), !stays);
            prop_assert_eq!(garbage.blobs.contains(&config(*n)), !stays);
            for l in layers.iter().filter(|l| stays && !build_only.contains(l)) {
                prop_assert!(!garbage.blobs.contains(&blob(*l)));
                prop_assert!(!garbage.layers.contains(&layer(*l)));
                prop_assert!(!garbage.records.contains(&key(*l)));
            }
        }
        for n in 0..LAYERS {
            let in_kept = images.iter().any(|(i, layers)| kept.contains(i) && layers.contains(&n)) && !build_only.contains(&n);
            let recent = build_only.contains(&n) && i64::from(n) >= unused_since;
            let wanted = in_kept || recent || pinned.contains(&n);
            prop_assert_eq!(garbage.layers.contains(&layer(n)), !wanted, "layer {}", n);
            prop_assert_eq!(garbage.records.contains(&key(n)), !wanted, "record {}", n);
            // What keeps its record keeps its blob: a record never promises what is gone.
            prop_assert_eq!(garbage.blobs.contains(&blob(n)), !wanted && present.blobs.contains(&blob(n)), "blob {}", n);
        }
    }
}

#[test]
fn a_directory_without_a_record_is_what_a_crash_left() {
    let mut present = present(&BTreeMap::new(), &BTreeSet::new());
    let orphan = LayerId::parse("half-made").unwrap();
    present.layers.insert(orphan.clone());
    let garbage = decide(&References::default(), &present, &|_| false);
    assert!(garbage.layers.contains(&orphan));
    let garbage = decide(&References::default(), &present, &|thing| *thing == Pinned::Layer(orphan.clone()));
    assert!(!garbage.layers.contains(&orphan), "a build that runs just now fills it");
}
