//! Manifests and indexes as registries send them: OCI's and Docker's, read with what is needed of them, and nothing believed.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::digest::Digest;
use crate::oci::{MANIFEST, Platform};

/// What we understand, for `Accept`.
pub(super) const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
/// Docker's name of a manifest.
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Configurations of images; other kinds of configuration belong to what is no image.
const CONFIGS: [&str; 2] = ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
/// Layers: plain, with gzip, with zstd.
const LAYERS: [&str; 6] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
];

/// A part of a document that names a blob.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Its bytes.
    pub digest: Digest,
    /// How many.
    pub size: u64,
    #[serde(default)]
    platform: Option<ForeignPlatform>,
    /// Our own annotations mean directories of this machine: nobody else may write them.
    #[serde(default)]
    annotations: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct ForeignPlatform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    variant: Option<String>,
}

/// The blobs that an image consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// Its configuration.
    pub config: Part,
    /// Its layers, bottom first.
    pub layers: Vec<Part>,
}

/// What a document says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// An image.
    Image(Parts),
    /// Images for several platforms.
    Index(Vec<Part>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u64,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    config: Option<Part>,
    #[serde(default)]
    layers: Option<Vec<Part>>,
    #[serde(default)]
    manifests: Option<Vec<Part>>,
}

/// Reads a manifest or an index; why it can't be used, in a few words. A document that could be read as both is refused
/// (CVE-2021-41190): its meaning must not depend on a header that no digest covers.
pub fn parse_manifest(bytes: &[u8]) -> Result<Document, String> {
    let raw: Raw = serde_json::from_slice(bytes).map_err(|error| format!("its manifest can't be read: {}", line(&error)))?;
    if raw.schema_version != 2 {
        return Err("its manifest is of an old format (schema version 1)".to_owned());
    }
    match (raw.config, raw.layers, raw.manifests) {
        (None, None, Some(manifests)) => Ok(Document::Index(manifests)),
        (Some(config), Some(layers), None) => {
            let media_type = raw.media_type.unwrap_or_else(|| MANIFEST.to_owned());
            if ![MANIFEST, DOCKER_MANIFEST].contains(&media_type.as_str()) {
                return Err(format!("its manifest is of an unknown kind, {}", short(&media_type)));
            }
            if !CONFIGS.contains(&config.media_type.as_str()) {
                return Err(format!("it is no image of a container, but holds {}", short(&config.media_type)));
            }
            if let Some(odd) = layers.iter().find(|layer| !LAYERS.contains(&layer.media_type.as_str())) {
                return Err(format!("it has a layer of an unknown kind, {}", short(&odd.media_type)));
            }
            if layers.iter().chain([&config]).any(Part::claims_ours) {
                return Err("it has annotations that only images built here may have".to_owned());
            }
            Ok(Document::Image(Parts { config, layers }))
        }
        _ => Err("its manifest is neither one image's nor an index, or both".to_owned()),
    }
}

impl Part {
    fn claims_ours(&self) -> bool {
        self.annotations.iter().flatten().any(|(name, _)| name.starts_with("dev.adaptable."))
    }
}

/// What an index has for a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen<'a> {
    /// This one.
    One(&'a Part),
    /// None; these platforms there are.
    None(String),
}

/// Chooses the image for a platform. Of several, the one for the plainest processor; what else lies in an index (attestations) has an
/// unknown platform.
pub fn choose<'a>(parts: &'a [Part], wanted: &Platform) -> Chosen<'a> {
    let fits =
        |part: &&Part| part.platform.as_ref().is_some_and(|it| it.os == wanted.os && it.architecture == wanted.architecture);
    let rank = |part: &&Part| match part.platform.as_ref().and_then(|it| it.variant.as_deref()) {
        None | Some("") => 0,
        // All processors of the two architectures have these.
        Some("v1" | "v8") => 1,
        Some(_) => 2,
    };
    if let Some(part) = parts.iter().filter(fits).min_by_key(rank).filter(|part| rank(part) < 2) {
        return Chosen::One(part);
    }
    let named = parts.iter().filter_map(|part| part.platform.as_ref()).filter(|it| it.os != "unknown").map(|it| {
        let variant = it.variant.as_deref().filter(|it| !it.is_empty()).map(|it| format!("/{it}")).unwrap_or_default();
        short(&format!("{}/{}{variant}", it.os, it.architecture))
    });
    let mut names: Vec<String> = named.collect();
    names.sort();
    names.dedup();
    names.truncate(8);
    Chosen::None(if names.is_empty() { "no platform that it names".to_owned() } else { names.join(", ") })
}

/// A foreign word for an error: short, and of plain characters.
pub(super) fn short(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(80).collect()
}

/// What a reader says of a foreign document, which may repeat all of it: one short line.
pub(super) fn line(words: &impl std::fmt::Display) -> String {
    words.to_string().chars().filter(|character| !character.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn part(kind: &str, platform: Option<(&str, &str, Option<&str>)>) -> serde_json::Value {
        let mut part = json!({"mediaType": kind, "digest": Digest::of(kind.as_bytes()), "size": 7});
        if let Some((os, architecture, variant)) = platform {
            part["platform"] = json!({"os": os, "architecture": architecture, "variant": variant});
        }
        part
    }

    fn read(document: &serde_json::Value) -> Result<Document, String> {
        parse_manifest(document.to_string().as_bytes())
    }

    #[test]
    fn images_of_both_kinds_are_read() {
        let oci = json!({"schemaVersion": 2, "config": part(CONFIGS[0], None), "layers": [part(LAYERS[1], None), part(LAYERS[2], None)]});
        assert!(matches!(read(&oci), Ok(Document::Image(parts)) if parts.layers.len() == 2));
        let docker = json!({
            "schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": part(CONFIGS[1], None), "layers": [part(LAYERS[4], None)],
        });
        assert!(matches!(read(&docker), Ok(Document::Image(_))));
    }

    #[test]
    fn documents_with_null_for_nothing_are_read_again() {
        let mut layer = part(LAYERS[1], None);
        layer["annotations"] = json!(null);
        let manifest = json!({"schemaVersion": 2, "config": part(CONFIGS[1], None), "layers": [layer], "annotations": null});
        assert!(matches!(read(&manifest), Ok(Document::Image(_))));
        let again: crate::Manifest = serde_json::from_value(manifest).expect("a manifest");
        assert_eq!((again.layers.len(), again.media_type.as_str()), (1, ""));
        // As Docker writes them.
        let config = json!({
            "architecture": "amd64", "os": "linux", "history": null, "rootfs": {"type": "layers", "diff_ids": []}, "container": "x",
            "config": {
                "User": "", "Env": null, "Cmd": ["x"], "Entrypoint": null, "WorkingDir": "", "Labels": null, "OnBuild": null,
                "Volumes": {"/data/db": {}}, "ExposedPorts": {"27017/tcp": {}}, "StopSignal": null, "ArgsEscaped": true,
            },
        });
        let config: crate::Config = serde_json::from_value(config).expect("a configuration");
        assert_eq!(config.execution.cmd, ["x"]);
        assert!(config.execution.volumes.contains("/data/db") && config.execution.exposed_ports.contains("27017/tcp"));
        let bare: crate::Config = serde_json::from_value(
            json!({"architecture": "a", "os": "b", "config": null, "rootfs": {"type": "layers", "diff_ids": []}}),
        )
        .expect("a configuration");
        assert_eq!(bare.execution, crate::Execution::default());
    }

    #[test]
    fn what_is_no_image_or_may_be_two_things_is_refused() {
        let image = json!({"schemaVersion": 2, "config": part(CONFIGS[0], None), "layers": [part(LAYERS[1], None)]});
        let with = |name: &str, value: serde_json::Value| {
            let mut document = image.clone();
            document[name] = value;
            read(&document)
        };
        let cases = [
            (with("manifests", json!([])), "or both"),
            (with("schemaVersion", json!(1)), "old format"),
            (with("mediaType", json!("application/vnd.oci.image.index.v1+json")), "unknown kind"),
            (with("config", part("application/vnd.cncf.helm.config.v1+json", None)), "no image of a container"),
            (
                with("layers", json!([part("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", None)])),
                "layer of an unknown",
            ),
            (with("layers", json!([{"mediaType": LAYERS[1], "digest": "sha256:../../x", "size": 1}])), "can't be read"),
            (with("layers", json!([{"mediaType": LAYERS[1], "digest": Digest::of(b""), "size": -1}])), "can't be read"),
            (read(&json!({"schemaVersion": 2})), "neither"),
            (parse_manifest(b"<html>"), "can't be read"),
            (with("schemaVersion", json!("x\n".repeat(10_000))), "can't be read"),
        ];
        for (result, why) in cases {
            let error = result.expect_err(why);
            assert!(error.contains(why) && error.len() < 300 && !error.contains('\n'), "{error}");
        }
        let mut ours = part(LAYERS[1], None);
        ours["annotations"] = json!({"dev.adaptable.stack": "bookworm-1"});
        assert!(with("layers", json!([ours])).expect_err("ours").contains("only images built here"));
    }

    #[test]
    fn an_index_gives_what_is_for_the_platform() {
        let platform = |architecture: &str| Platform { architecture: architecture.to_owned(), os: "linux".to_owned() };
        let index = json!({"schemaVersion": 2, "manifests": [
            part("attestation", Some(("unknown", "unknown", None))),
            part("windows", Some(("windows", "amd64", None))),
            part("fast", Some(("linux", "amd64", Some("v3")))),
            part("plain", Some(("linux", "amd64", None))),
            part("arm", Some(("linux", "arm64", Some("v8")))),
            part("s390", Some(("linux", "s390x", None))),
            part("newest", Some(("linux", "riscv64", Some("rva23")))),
        ]});
        let Ok(Document::Index(parts)) = read(&index) else { panic!("an index") };
        let kind = |architecture: &str| match choose(&parts, &platform(architecture)) {
            Chosen::One(part) => part.media_type.clone(),
            Chosen::None(offered) => offered,
        };
        assert_eq!((kind("amd64"), kind("arm64")), ("plain".to_owned(), "arm".to_owned()));
        let offered = "linux/amd64, linux/amd64/v3, linux/arm64/v8, linux/riscv64/rva23, linux/s390x, windows/amd64";
        assert_eq!(kind("mips64"), offered);
        assert_eq!(kind("riscv64"), offered);
        assert!(matches!(choose(&[], &platform("amd64")), Chosen::None(_)));
    }
}
