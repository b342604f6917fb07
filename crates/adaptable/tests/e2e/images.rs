//! Images on disk: readable by others, and collected when nothing needs them.

use std::fs;
use std::process::Command;

use serde_json::Value;
use testkit::{Output, Platform, wait_until};

use crate::{plain, platform};

#[test]
fn images_are_readable_by_others_and_collected_by_reference() {
    let platform = platform();
    let source = platform.source("shop", &[("app.py", &plain("0"))]);
    for number in 1..=13 {
        fs::write(source.join("app.py"), plain(&number.to_string())).expect("a file");
        platform.deploy(&source, &[]);
    }
    assert_eq!(platform.get("shop", "/").text(), "13");
    let kept = || platform.cli(&["revisions", "shop", "--json"]).expect(0).json().as_array().map(Vec::len);
    wait_until("the last ten revisions are kept", 20, || kept() == Some(10));
    // Ten revisions with a layer of source each, and the one of dependencies, where there is one.
    wait_until("old layers are collected", 20, || layers(&platform) <= 12);
    let revisions = platform.cli(&["revisions", "shop", "--json"]).expect(0).json();
    let revisions = revisions.as_array().expect("a list");
    assert_eq!(revisions[0]["revision"], 13);

    let index: Value =
        serde_json::from_slice(&fs::read(platform.data().join("images/index.json")).expect("the index")).expect("JSON");
    let manifests = index["manifests"].as_array().expect("a list");
    for revision in revisions {
        assert!(manifests.iter().any(|it| it["digest"] == revision["image"]), "the image of {revision} is not in {index}");
    }
    assert!(manifests.len() <= 12, "{} images for 10 revisions", manifests.len());
    for manifest in manifests {
        let name = manifest["annotations"]["org.opencontainers.image.ref.name"].as_str().expect("a name");
        let image = format!("oci:{}:{name}", platform.data().join("images").display());
        let seen = Output::from(Command::new("skopeo").args(["inspect", &image])).expect(0).json();
        assert_eq!(seen["Digest"], manifest["digest"]);
    }
    // The whole image, every blob's digest checked.
    let name = manifests.last().expect("some")["annotations"]["org.opencontainers.image.ref.name"].as_str().expect("a name");
    let from = format!("oci:{}:{name}", platform.data().join("images").display());
    Output::from(Command::new("skopeo").args([
        "copy",
        "--quiet",
        &from,
        &format!("dir:{}", platform.scratch().join("copy").display()),
    ]))
    .expect(0);

    // A kept revision still works.
    platform.cli(&["rollback", "shop", "--to", "4"]).expect(0);
    assert_eq!(platform.get("shop", "/").text(), "4");
    let gone = platform.cli(&["rollback", "shop", "--to", "2"]).expect(1);
    assert!(gone.stderr.contains("revision 2"), "{}", gone.stderr);
}

fn layers(platform: &Platform) -> usize {
    let entries = fs::read_dir(platform.data().join("layers")).expect("the layers");
    entries.flatten().filter(|entry| entry.path().join("fs").is_dir()).count()
}
