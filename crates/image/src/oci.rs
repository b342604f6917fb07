//! The documents of the OCI image specification, as far as we write and read them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::layers::LayerId;

/// The media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of a configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The media type of the index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of our layers: the one compression that every tool reads (umoci and older skopeo refuse zstd).
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// The annotation that holds an image's reference in the index.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Our annotation on a layer: the unpacked directory that holds the same files.
pub const LAYER_ANNOTATION: &str = "dev.adaptable.layer";
/// Our annotation on a base layer: the machine's stack that holds the same files.
pub const STACK_ANNOTATION: &str = "dev.adaptable.stack";

/// Names a blob: what it is, which bytes, how many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    pub media_type: String,
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// How many bytes.
    pub size: u64,
    /// Whatever else is said of it.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// For manifests in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

/// What a manifest's programs run on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `amd64`, `arm64`.
    pub architecture: String,
    /// `linux`.
    pub os: String,
}

impl Platform {
    /// The platform this program was compiled for.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { architecture: architecture.to_owned(), os: "linux".to_owned() }
    }
}

/// An image: its configuration and its layers, bottom first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// [`MANIFEST`]; others may leave it out, or write Docker's.
    #[serde(default)]
    pub media_type: String,
    /// The configuration's blob.
    pub config: Descriptor,
    /// The layers' blobs, bottom first.
    pub layers: Vec<Descriptor>,
    /// Whatever else is said of the image.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// One directory to lay under a container, as an image's manifest names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lower {
    /// The machine's stack of this id.
    Stack(String),
    /// A layer of the data directory.
    Layer(LayerId),
}

impl Manifest {
    /// The unpacked directories that make the image's root, bottom first; `None` when the image wasn't built here.
    pub fn lowers(&self) -> Option<Vec<Lower>> {
        self.layers
            .iter()
            .map(|layer| match (layer.annotations.get(STACK_ANNOTATION), layer.annotations.get(LAYER_ANNOTATION)) {
                (Some(stack), _) => Some(Lower::Stack(stack.clone())),
                (None, Some(layer)) => LayerId::parse(layer).ok().map(Lower::Layer),
                (None, None) => None,
            })
            .collect()
    }

    /// The digests of all blobs the manifest names.
    pub fn blobs(&self) -> impl Iterator<Item = Digest> + '_ {
        std::iter::once(self.config.digest).chain(self.layers.iter().map(|layer| layer.digest))
    }
}

/// The list of the images in a layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// [`INDEX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The images' manifests, each annotated with its reference.
    pub manifests: Vec<Descriptor>,
}

impl Default for Index {
    fn default() -> Self {
        Self { schema_version: 2, media_type: Some(INDEX.to_owned()), manifests: Vec::new() }
    }
}

/// How an image is run, and what it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// When it was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// `amd64`, `arm64`.
    pub architecture: String,
    /// `linux`.
    pub os: String,
    /// How it is run.
    #[serde(rename = "config", default, deserialize_with = "or_default")]
    pub execution: Execution,
    /// The layers' contents.
    pub rootfs: RootFs,
    /// A sentence per layer.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
}

/// How an image is run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Execution {
    /// User, by name or number; empty for root.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// `NAME=value`.
    #[serde(default, deserialize_with = "or_default")]
    pub env: Vec<String>,
    /// The program, unless the caller names another.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Its arguments.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// Where it starts.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// What is said of the image.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Directories whose contents are to outlive a container.
    #[serde(default, with = "set", skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<String>,
    /// Where it listens, as in `5432/tcp`.
    #[serde(default, with = "set", skip_serializing_if = "BTreeSet::is_empty")]
    pub exposed_ports: BTreeSet<String>,
    /// How it is asked to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
}

/// The specification writes sets as objects whose values say nothing.
mod set {
    use std::collections::BTreeSet;

    use serde::ser::SerializeMap as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(set: &BTreeSet<String>, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(set.len()))?;
        for name in set {
            map.serialize_entry(name, &serde_json::Map::new())?;
        }
        map.end()
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<String>, D::Error> {
        let map: Option<serde_json::Map<String, serde_json::Value>> = Option::deserialize(deserializer)?;
        Ok(map.unwrap_or_default().into_iter().map(|(name, _nothing)| name).collect())
    }
}

/// Docker writes `null` for what is empty.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The layers' contents, bottom first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The digests of the unpacked layers' tar streams.
    pub diff_ids: Vec<Digest>,
}

/// One entry of an image's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// What made the layer.
    #[serde(default)]
    pub created_by: String,
}

/// A whole image, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its configuration.
    pub config: Config,
}
