//! What is usual: images of every format, two platforms, mirrors, images that are here already, collection.

use std::collections::BTreeSet;

use image::References;
use image::registry::{Freshness, PullError};
use serde_json::json;

use crate::world::{Here, Made, Registry, names, plain};

#[tokio::test]
async fn images_of_every_format_come_whole() {
    let (registry, made) = (Registry::open(), Made::new(&["--config.user", "999:999", "--config.env", "GREETING=hello"]));
    registry.push(&made.path, "some/oci:1", &[]);
    registry.push(&made.path, "docker:V2", &["--format", "v2s2"]);
    made.compress_anew();
    registry.push(&made.path, "zstd:x", &[]);
    for (name, kind) in [("some/oci:1", "v1.tar+gzip"), ("docker:V2", "diff.tar.gzip"), ("zstd:x", "v1.tar+zstd")] {
        let here = Here::new();
        let pulled = here.pull(plain(), &format!("{}/{name}", registry.host())).await.expect(name);
        assert_eq!(pulled.layers(), 3, "{name}");
        let layers = &pulled.image.manifest.layers;
        assert!(layers.iter().all(|layer| layer.media_type.ends_with(kind)), "{layers:?}");
        let names = names(&pulled);
        for wanted in ["data/a", "data/b", "data/c", "data/.wh.b"] {
            assert!(names.iter().any(|name| name.trim_start_matches('/') == wanted), "{wanted} in {names:?}");
        }
        assert_eq!(pulled.image.config.execution.user, "999:999");
        assert!(pulled.image.config.execution.env.contains(&"GREETING=hello".to_owned()));
        here.has_nothing_half().await;
    }
}

#[tokio::test]
async fn an_image_that_is_here_is_not_fetched_again() {
    let (registry, made) = (Registry::open(), Made::new(&[]));
    registry.push(&made.path, "kept:1", &[]);
    let here = Here::new();
    let name = format!("{}/kept:1", registry.host());
    let first = here.pull_as(plain(), &name, Freshness::Kept).await.expect("pulled");
    let fixed = format!("{}/kept@{}", registry.host(), first.id);
    let by_digest = here.pull(plain(), &fixed).await.expect("pulled");
    assert_eq!(by_digest.id, first.id);
    // Another image under the same name: only who asks afresh sees it.
    let other = Made::new(&["--config.env", "NEW=1"]);
    registry.push(&other.path, "kept:1", &[]);
    assert_eq!(here.pull_as(plain(), &name, Freshness::Kept).await.expect("here").id, first.id);
    let second = here.pull(plain(), &name).await.expect("pulled");
    assert_ne!(second.id, first.id);
    drop(registry);
    assert_eq!(here.pull_as(plain(), &name, Freshness::Kept).await.expect("here").id, second.id);
    // What a digest names is the same for ever.
    assert_eq!(here.pull(plain(), &fixed).await.expect("here").id, first.id);
    let error = here.pull(plain(), &name).await.expect_err("nobody is there");
    assert!(matches!(error, PullError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn the_images_of_an_index_are_chosen_by_platform() {
    let registry = Registry::open();
    let (amd64, arm64) = (Made::new(&["--architecture", "amd64"]), Made::new(&["--architecture", "arm64"]));
    registry.push(&amd64.path, "both:amd64", &[]);
    registry.push(&arm64.path, "both:arm64", &[]);
    let entry = |tag: &str, architecture: &str| {
        let bytes = registry.manifest("both", tag);
        json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": bytes.len(), "digest": image::Digest::of(&bytes),
            "platform": {"os": "linux", "architecture": architecture},
        })
    };
    let oci = "application/vnd.oci.image.index.v1+json";
    let host = image::oci::Platform::host().architecture;
    let other = if host == "amd64" { "arm64" } else { "amd64" };
    let put = |tag: &str, kind: &str, entries: Vec<serde_json::Value>| {
        let document = json!({"schemaVersion": 2, "mediaType": kind, "manifests": entries});
        registry.put_manifest("both", tag, kind, document.to_string().as_bytes())
    };
    let index = put("index", oci, vec![entry("arm64", "arm64"), entry("amd64", "amd64")]);
    put("other", oci, vec![entry(other, other)]);
    let here = Here::new();
    let wanted = image::Digest::of(&registry.manifest("both", &host));
    for name in ["both:index".to_owned(), format!("both@{index}")] {
        let pulled = here.pull(plain(), &format!("{}/{name}", registry.host())).await.expect("pulled");
        assert_eq!(pulled.id.0, wanted);
        assert_eq!(pulled.image.config.architecture, host);
    }
    let wrong = [format!("both:{other}"), "both:other".to_owned()];
    for name in wrong {
        let error = here.pull(plain(), &format!("{}/{name}", registry.host())).await.expect_err("not for us");
        assert!(matches!(error, PullError::WrongPlatform { .. }), "{error}");
        assert!(error.to_string().ends_with(&format!("is not for linux/{host}, but for linux/{other}")), "{error}");
    }
}

#[tokio::test]
async fn a_mirror_serves_in_place_of_a_registry() {
    let (registry, made) = (Registry::open(), Made::new(&[]));
    registry.push(&made.path, "library/mini:1", &[]);
    registry.push(&made.path, "hub/library/mini:1", &[]);
    for prefix in ["", "/hub", "/hub/"] {
        let mut settings = plain();
        settings.mirrors.insert("docker.io".to_owned(), format!("http://{}{prefix}", registry.host()));
        let here = Here::new();
        let pulled = here.pull(settings, "mini:1").await.expect("pulled");
        assert_eq!(pulled.layers(), 3);
    }
    let mut settings = plain();
    settings.mirrors.insert("docker.io".to_owned(), "http://mirror.example".to_owned());
    let error = Here::new().pull(settings, "mini:1").await.expect_err("without TLS");
    assert!(error.to_string().contains("insecure"), "{error}");
}

#[tokio::test]
async fn what_is_not_there_is_said_in_a_line() {
    let (registry, made) = (Registry::open(), Made::new(&[]));
    registry.push(&made.path, "there:1", &[]);
    for name in ["there:2", "nowhere:1"] {
        let whole = format!("{}/{name}", registry.host());
        let error = Here::new().pull(plain(), &whole).await.expect_err("missing");
        assert!(matches!(error, PullError::NoSuchImage { .. }) && error.to_string().contains(&whole), "{error}");
    }
}

#[tokio::test]
async fn a_pulled_image_stays_as_long_as_it_is_referred_to() {
    use image::layers::{LayerId, LayerKey, LayerRecord};
    let (registry, made) = (Registry::open(), Made::new(&[]));
    registry.push(&made.path, "kept:1", &[]);
    let here = Here::new();
    let pulled = here.pull(plain(), &format!("{}/kept:1", registry.host())).await.expect("pulled");
    let (id, layer) = (pulled.id, LayerId::parse("i-1").expect("an id"));
    let record = LayerRecord { key: LayerKey::of_image(&id), layer: layer.clone(), blob: None, used_at: 0, about: String::new() };
    here.layout.record_layer(pulled.pin(), &record).expect("recorded");
    let blobs: Vec<_> = pulled.image.manifest.blobs().collect();
    let collect = |images: BTreeSet<_>| {
        let references = References { images, unused_since: i64::MAX };
        here.layout.collect(&here.layout.pins().record(), BTreeSet::from([layer.clone()]), &references).expect("collected")
    };
    // While somebody has it, though nothing refers to it.
    let collected = collect(BTreeSet::new());
    assert!(collected.freed == 0 && blobs.iter().all(|blob| here.layout.has_blob(blob)), "{collected:?}");
    here.layout.record_layer(pulled.pin(), &record).expect("recorded");
    drop(pulled);
    let collected = collect(BTreeSet::from([id]));
    assert!(collected.freed == 0 && collected.layers.is_empty() && here.layout.image(&id).is_ok(), "{collected:?}");
    let collected = collect(BTreeSet::new());
    assert!(collected.freed > 200_000 && collected.layers.contains(&layer), "{collected:?}");
    assert!(blobs.iter().all(|blob| !here.layout.has_blob(blob)));
    let name = format!("{}/kept:1", registry.host());
    assert_eq!(here.pull_as(plain(), &name, Freshness::Kept).await.expect("pulled again").id, id);
}
