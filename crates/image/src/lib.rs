//! OCI images: on disk (layout, layers, configuration, garbage collection by reference), and pulled from registries.

pub mod collect;
pub mod digest;
pub mod layers;
pub mod layout;
pub mod oci;
pub mod pins;
pub mod registry;

pub use collect::{Collected, References};
pub use digest::{Digest, DigestError, HashWriter};
pub use layers::{LayerId, LayerKey, LayerRecord};
pub use layout::{BlobWriter, ImageId, ImageRef, Layout, LayoutError, Packed};
pub use oci::{Config, Descriptor, Execution, Image, Lower, Manifest};
pub use pins::{Pin, Pins, Recording};
