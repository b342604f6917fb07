//! Layers as the data directory knows them: an unpacked directory, the blob of the same files, and the key of what they were made of.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::layout::ImageId;
use crate::oci::{Descriptor, LAYER, LAYER_ANNOTATION};

/// Text that can't name a layer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayerNameError {
    /// It breaks the rule for ids.
    #[error("{0:?} is not the id of a layer: 1 to 48 characters of a-z, 0-9 and '-', not beginning with '-'")]
    Id(String),
    /// It breaks the rule for keys.
    #[error("{0:?} is not the key of a layer: 64 hexadecimal digits in lower case")]
    Key(String),
}

/// The name of a layer's directory: 1 to 48 characters of a-z, 0-9 and `-`, not beginning with `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LayerId(String);

impl LayerId {
    /// Checks a text from outside.
    pub fn parse(text: &str) -> Result<Self, LayerNameError> {
        let shape = (1..=48).contains(&text.len())
            && !text.starts_with('-')
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if shape { Ok(Self(text.to_owned())) } else { Err(LayerNameError::Id(text.chars().take(64).collect())) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for LayerId {
    type Error = LayerNameError;
    fn try_from(text: String) -> Result<Self, LayerNameError> {
        Self::parse(&text)
    }
}

impl From<LayerId> for String {
    fn from(id: LayerId) -> Self {
        id.0
    }
}

/// What a layer was made of, as a SHA-256 in hexadecimal: equal keys, equal layers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LayerKey(String);

impl LayerKey {
    /// The key of a list of parts; no two different lists have the same key.
    pub fn of<I, P>(parts: I) -> Self
    where
        I: IntoIterator<Item = P>,
        P: AsRef<[u8]>,
    {
        let mut bytes = Vec::new();
        for part in parts {
            let part = part.as_ref();
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        Self(Digest::of(&bytes).hex())
    }

    /// The key of the one layer that a pulled image is unpacked as; garbage collection keeps it as long as the image.
    pub fn of_image(image: &ImageId) -> Self {
        Self::of(["image", &image.0.hex()])
    }

    /// Checks a text from outside.
    pub fn parse(text: &str) -> Result<Self, LayerNameError> {
        match Digest::parse_hex(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(LayerNameError::Key(text.chars().take(80).collect())),
        }
    }

    /// The 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for LayerKey {
    type Error = LayerNameError;
    fn try_from(text: String) -> Result<Self, LayerNameError> {
        Self::parse(&text)
    }
}

impl From<LayerKey> for String {
    fn from(key: LayerKey) -> Self {
        key.0
    }
}

/// A finished layer. Written after its directory is sealed and its blob lies in the layout: what has a record is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// What it was made of.
    pub key: LayerKey,
    /// Its directory.
    pub layer: LayerId,
    /// Its blob; `None` for layers that only builds use and that are in no image.
    pub blob: Option<LayerBlob>,
    /// When it was made or last used by a build, in seconds since 1970.
    pub used_at: i64,
    /// A few words for people: `dependencies of shop`.
    pub about: String,
}

/// The packed form of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerBlob {
    /// The SHA-256 of the compressed bytes: the blob's name.
    pub digest: Digest,
    /// The SHA-256 of the tar stream inside.
    pub diff_id: Digest,
    /// The size of the compressed bytes.
    pub size: u64,
}

impl LayerBlob {
    /// How a manifest names this blob, with one annotation of ours.
    pub fn descriptor(&self, annotation: &str, value: &str) -> Descriptor {
        Descriptor {
            media_type: LAYER.to_owned(),
            digest: self.digest,
            size: self.size,
            annotations: BTreeMap::from([(annotation.to_owned(), value.to_owned())]),
            platform: None,
        }
    }
}

impl LayerRecord {
    /// How a manifest names this layer; `None` when it has no blob.
    pub fn descriptor(&self) -> Option<Descriptor> {
        self.blob.map(|blob| blob.descriptor(LAYER_ANNOTATION, self.layer.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_hold_nothing_that_leaves_a_directory() {
        for bad in ["", "-a", "a/b", "..", "A", "a.b", "a b", &"a".repeat(49)] {
            assert!(LayerId::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(LayerId::parse("d-01ab").unwrap().as_str(), "d-01ab");
    }

    #[test]
    fn keys_tell_lists_apart() {
        assert_ne!(LayerKey::of(["ab", "c"]), LayerKey::of(["a", "bc"]));
        assert_ne!(LayerKey::of(["ab"]), LayerKey::of(["ab", ""]));
        assert_eq!(LayerKey::of(["ab", "c"]), LayerKey::of(["ab", "c"]));
        assert!(LayerKey::parse("../x").is_err());
    }
}
