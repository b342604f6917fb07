//! Trouble: other bytes, broken connections, refusals, what is too large, what points elsewhere.

use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use image::registry::{Limits, PullError, Settings};
use serde_json::json;

use crate::auth::{BASIC, htpasswd};
use crate::world::{Fate, Here, Made, Registry, answer, between, names, plain, serve, with_user};

fn pushed() -> (Registry, Made) {
    let (registry, made) = (Registry::open(), Made::new(&[]));
    registry.push(&made.path, "x:1", &[]);
    (registry, made)
}

#[tokio::test]
async fn a_layer_that_was_changed_in_the_store_is_refused() {
    let (registry, _made) = pushed();
    let layer = registry.layers("x", "1")[0];
    let file = registry.blob(&layer);
    let mut bytes = fs::read(&file).expect("a blob");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).expect("changed");
    let here = Here::new();
    let error = here.pull(plain(), &format!("{}/x:1", registry.host())).await.expect_err("changed");
    assert!(matches!(&error, PullError::Mismatch { expected, .. } if *expected == layer), "{error}");
    assert!(!here.layout.has_blob(&layer), "nothing of it is kept");
    here.has_nothing_half().await;
    assert_eq!(here.layout.images().expect("an index"), []);
}

#[tokio::test]
async fn a_manifest_that_was_changed_on_the_way_is_refused() {
    let (registry, _made) = pushed();
    let digest = image::Digest::of(&registry.manifest("x", "1"));
    for header in [true, false] {
        let port = between(registry.port, move |asked, whole| {
            if !asked.path().contains("/manifests/") {
                return Fate::Pass;
            }
            let text = String::from_utf8_lossy(whole).replace("\"schemaVersion\":2", "\"schemaVersion\": 2");
            let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
            let announced =
                head.lines().find(|line| line.to_ascii_lowercase().starts_with("docker-content-digest")).expect("a digest");
            let headers = if header { format!("{announced}\r\n") } else { String::new() };
            Fate::Instead(answer("200 OK", &headers, body.as_bytes()))
        });
        let names = if header { vec![format!("x@{digest}"), "x:1".to_owned()] } else { vec![format!("x@{digest}")] };
        for name in names {
            let error = Here::new().pull(plain(), &format!("127.0.0.1:{port}/{name}")).await.expect_err("changed");
            assert!(matches!(error, PullError::Mismatch { .. }), "{error}");
        }
    }
}

#[tokio::test]
async fn an_archive_that_is_not_the_announced_one_is_refused() {
    // The registry's own digests are right; the configuration announces other contents.
    let (registry, _made) = pushed();
    let manifest: serde_json::Value = serde_json::from_slice(&registry.manifest("x", "1")).expect("a manifest");
    let digest = image::Digest::parse(manifest["config"]["digest"].as_str().expect("text")).expect("a digest");
    let mut config: serde_json::Value =
        serde_json::from_slice(&fs::read(registry.blob(&digest)).expect("a blob")).expect("a document");
    config["rootfs"]["diff_ids"][1] = json!(image::Digest::of(b"something else"));
    let config = config.to_string();
    let mut manifest = manifest;
    manifest["config"]["digest"] = json!(image::Digest::of(config.as_bytes()));
    manifest["config"]["size"] = json!(config.len());
    let (manifest, real) = (manifest.to_string(), registry.port);
    let port = between(real, move |asked, _whole| {
        if asked.path().contains("/manifests/") {
            return Fate::Instead(answer("200 OK", "", manifest.as_bytes()));
        }
        if asked.path().ends_with(&image::Digest::of(config.as_bytes()).to_string()) {
            return Fate::Instead(answer("200 OK", "", config.as_bytes()));
        }
        Fate::Pass
    });
    let here = Here::new();
    let pulled = here.pull(plain(), &format!("127.0.0.1:{port}/x:1")).await.expect("pulled");
    pulled.unpack(0, 1 << 30, std::io::sink()).expect("the first is right");
    let error = pulled.unpack(1, 1 << 30, std::io::sink()).expect_err("another");
    assert!(matches!(error, PullError::Mismatch { .. }), "{error}");
}

#[tokio::test]
async fn a_blob_is_continued_where_the_connection_broke() {
    for knows_ranges in [true, false] {
        let (registry, _made) = pushed();
        let (ranges, broken) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (seen, cuts) = (Arc::clone(&ranges), Arc::clone(&broken));
        let large = registry.layers("x", "1")[0];
        let whole = fs::read(registry.blob(&large)).expect("a blob");
        let port = between(registry.port, move |asked, bytes| {
            if !asked.path().ends_with(&large.to_string()) {
                return Fate::Pass;
            }
            let range =
                asked.head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
            seen.lock().expect("whole").push(range.clone());
            let bytes = if knows_ranges { bytes.to_vec() } else { answer("200 OK", "", &whole) };
            if cuts.fetch_add(1, Ordering::SeqCst) >= 3 {
                return Fate::Instead(bytes);
            }
            // Each time a bit further, so that there is progress whether or not ranges are known.
            let reach = 40_000 * (if knows_ranges { 1 } else { cuts.load(Ordering::SeqCst) });
            Fate::Instead(bytes[..reach].to_vec())
        });
        let here = Here::new();
        let pulled = here.pull(plain(), &format!("127.0.0.1:{port}/x:1")).await.expect("pulled");
        assert!(names(&pulled).iter().any(|name| name.ends_with("data/a")));
        let ranges = ranges.lock().expect("whole").clone();
        assert_eq!(ranges.len(), 4);
        assert!(ranges[0].is_none() && ranges[1..].iter().all(Option::is_some), "{ranges:?}");
        let starts: Vec<u64> =
            ranges[1..].iter().flatten().map(|range| range.trim_end_matches('-').parse().expect("a number")).collect();
        assert!(starts.is_sorted() && starts[0] > 30_000 && starts[2] > starts[0], "{starts:?}");
    }
}

#[tokio::test]
async fn a_connection_that_always_breaks_ends_with_an_error() {
    let (registry, _made) = pushed();
    let port =
        between(registry.port, |asked, whole| if asked.is_blob() { Fate::Instead(whole[..20].to_vec()) } else { Fate::Pass });
    let here = Here::new();
    let error = here.pull(plain(), &format!("127.0.0.1:{port}/x:1")).await.expect_err("broken");
    assert!(matches!(error, PullError::Unreachable { .. }), "{error}");
    here.has_nothing_half().await;
    // Somebody who sends nothing at all.
    let silent = serve(|_request, client| {
        drop(std::thread::spawn(move || (std::thread::park_timeout(std::time::Duration::from_secs(20)), client)));
    });
    let settings = Settings { patience: std::time::Duration::from_millis(100), ..plain() };
    let error = Here::new().pull(settings, &format!("127.0.0.1:{silent}/x:1")).await.expect_err("silent");
    assert!(error.to_string().contains("does not answer"), "{error}");
}

#[tokio::test]
async fn who_sends_a_byte_at_a_time_is_not_waited_for() {
    let (registry, _made) = pushed();
    let port = registry.port;
    let through = between(port, |asked, whole| if asked.is_blob() { Fate::Slowly(whole.to_vec()) } else { Fate::Pass });
    let settings = Settings { patience: std::time::Duration::from_millis(1500), ..plain() };
    let begun = Instant::now();
    let error = Here::new().pull(settings, &format!("127.0.0.1:{through}/x:1")).await.expect_err("slow");
    assert!(error.to_string().contains("too slowly"), "{error}");
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn more_than_was_announced_is_refused() {
    let (registry, _made) = pushed();
    let port = between(registry.port, |asked, whole| {
        if !asked.is_blob() {
            return Fate::Pass;
        }
        let body = whole.windows(4).position(|it| it == b"\r\n\r\n").expect("an answer") + 4;
        Fate::Instead(answer("200 OK", "", &[&whole[body..], b"more"].concat()))
    });
    let error = Here::new().pull(plain(), &format!("127.0.0.1:{port}/x:1")).await.expect_err("more");
    assert!(matches!(error, PullError::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_comes() {
    let (registry, _made) = pushed();
    let blobs = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&blobs);
    let port = between(registry.port, move |asked, _whole| {
        count.fetch_add(usize::from(asked.is_blob()), Ordering::SeqCst);
        Fate::Pass
    });
    let name = format!("127.0.0.1:{port}/x:1");
    let cases = [
        Limits { compressed: 1000, ..Limits::default() },
        Limits { layers: 2, ..Limits::default() },
        Limits { document: 100, ..Limits::default() },
    ];
    for limits in cases {
        let error = Here::new().pull(Settings { limits, ..plain() }, &name).await.expect_err("too large");
        assert!(matches!(error, PullError::TooLarge { .. }), "{error}");
    }
    assert_eq!(blobs.load(Ordering::SeqCst), 0);
    let here = Here::new();
    let pulled = here.pull(plain(), &name).await.expect("pulled");
    let error = pulled.unpack(0, 1000, std::io::sink()).expect_err("too large");
    assert!(matches!(error, PullError::TooLarge { .. }), "{error}");
    // A disk is never as large as that.
    let huge = json!({
        "schemaVersion": 2,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": image::Digest::of(b""), "size": 2},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": image::Digest::of(b"x"), "size": 1_u64 << 55}],
    });
    let port = serve(move |_request, mut client| drop(client.write_all(&answer("200 OK", "", huge.to_string().as_bytes()))));
    let limits = Limits { compressed: u64::MAX, ..Limits::default() };
    let error = Here::new().pull(Settings { limits, ..plain() }, &format!("127.0.0.1:{port}/x:1")).await.expect_err("no room");
    assert!(matches!(error, PullError::NoRoom { .. }), "{error}");
}

#[tokio::test]
async fn a_registry_that_has_had_enough_is_left_alone() {
    let (registry, _made) = pushed();
    let refuse = |after: &'static str, times: usize| {
        let count = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&count);
        let port = between(registry.port, move |asked, _whole| {
            if asked.path().contains("/manifests/") && seen.fetch_add(1, Ordering::SeqCst) < times {
                return Fate::Instead(answer("429 Too Many Requests", after, b"{}"));
            }
            Fate::Pass
        });
        (format!("127.0.0.1:{port}/x:1"), count)
    };
    let begun = Instant::now();
    for (header, retry_after) in [("Retry-After: 3600\r\n", Some(3600)), ("", None)] {
        let (name, count) = refuse(header, usize::MAX);
        let error = Here::new().pull(plain(), &name).await.expect_err("refused");
        assert!(matches!(&error, PullError::RateLimited { retry_after: found, .. } if *found == retry_after), "{error}");
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
    assert!(begun.elapsed().as_secs() < 20);
    let (name, count) = refuse("Retry-After: 0\r\n", 2);
    Here::new().pull(plain(), &name).await.expect("at last");
    assert_eq!(count.load(Ordering::SeqCst), 3);
    // A server that fails now and then.
    let failures = AtomicUsize::new(0);
    let port = between(registry.port, move |_asked, _whole| {
        if failures.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            Fate::Instead(answer("503 Service Unavailable", "", b""))
        } else {
            Fate::Pass
        }
    });
    Here::new().pull(plain(), &format!("127.0.0.1:{port}/x:1")).await.expect("all the same");
}

#[tokio::test]
async fn who_is_pointed_to_does_not_see_the_password() {
    let registry = Registry::start(BASIC, Some("reader:secret"), false, htpasswd("reader", "secret"));
    let made = Made::new(&[]);
    registry.push(&made.path, "x:1", &[]);
    let store = registry.dir.path().join("store/docker/registry/v2/blobs/sha256");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    // A store for blobs, as large registries have it; it would refuse whoever shows a password.
    let elsewhere = serve(move |asked, mut client| {
        log.lock().expect("whole").push(asked.has("authorization"));
        let hex = asked.path().trim_start_matches('/').to_owned();
        let bytes = fs::read(store.join(&hex[..2]).join(&hex).join("data")).expect("a blob");
        let _gone = client.write_all(&answer("200 OK", "", &bytes));
    });
    let had = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&had);
    let port = between(registry.port, move |asked, _whole| match asked.path().rsplit_once("sha256:") {
        Some((_, hex)) if asked.is_blob() => {
            count.fetch_add(usize::from(asked.has("authorization")), Ordering::SeqCst);
            Fate::Instead(answer("307 Temporary Redirect", &format!("Location: http://127.0.0.1:{elsewhere}/{hex}\r\n"), b""))
        }
        _ => Fate::Pass,
    });
    let host = format!("127.0.0.1:{port}");
    Here::new().pull(with_user(&host, "reader", "secret"), &format!("{host}/x:1")).await.expect("pulled");
    assert_eq!(*seen.lock().expect("whole"), [false; 4]);
    assert_eq!(had.load(Ordering::SeqCst), 4, "the registry itself was shown it");
}

#[tokio::test]
async fn what_points_without_tls_or_without_end_is_not_followed() {
    for (location, why) in
        [("http://registry.example/x", "without TLS"), ("/again", "without an end"), ("gopher://127.0.0.1/", "can't be read")]
    {
        let port = serve(move |_asked, mut client| {
            let _gone = client.write_all(&answer("307 Temporary Redirect", &format!("Location: {location}\r\n"), b""));
        });
        let error = Here::new().pull(plain(), &format!("127.0.0.1:{port}/x:1")).await.expect_err(why);
        assert!(error.to_string().contains(why), "{error}");
    }
}
