//! What a container is to be: names that can't hold a path, layers, limits.

use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// Text that is no name of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}")]
pub struct NameError {
    what: &'static str,
    text: String,
}

fn check(what: &'static str, text: &str, longest: usize) -> Result<(), NameError> {
    let shape = (1..=longest).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if shape { Ok(()) } else { Err(NameError { what, text: text.chars().take(60).collect() }) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $longest:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks a text: lower-case letters, digits and `-`, not beginning with `-`.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                check($what, text, $longest)?;
                Ok(Self(text.to_owned()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

name!(
    /// The name of a container, unique while it runs.
    ContainerId,
    "container id",
    80
);
name!(
    /// The name of an unpacked layer below the data directory.
    LayerId,
    "layer id",
    80
);
name!(
    /// The name of a base system below the stack directory.
    StackId,
    "stack id",
    80
);
name!(
    /// The name of a directory that build jobs share, such as a package client's cache.
    CacheName,
    "cache name",
    80
);
name!(
    /// The name of a directory that outlives the containers that use it, such as a database's files.
    VolumeName,
    "volume name",
    80
);

/// A read-only part of a root file system.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerRef {
    /// `STACK_DIR/<id>/fs`.
    Stack(StackId),
    /// `DATA/layers/<id>/fs`.
    Layer(LayerId),
    /// The programs that are installed on the machine itself, `/usr` and `/opt`, below an otherwise empty root.
    Machine,
}

impl LayerRef {
    /// Reads what [`fmt::Display`] writes: `stack:ID`, `layer:ID` or `machine`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text == "machine" {
            return Ok(Self::Machine);
        }
        match text.split_once(':') {
            Some(("stack", id)) => Ok(Self::Stack(StackId::parse(id)?)),
            Some(("layer", id)) => Ok(Self::Layer(LayerId::parse(id)?)),
            _ => Err(NameError { what: "layer reference", text: text.chars().take(60).collect() }),
        }
    }
}

impl fmt::Display for LayerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stack(id) => write!(f, "stack:{id}"),
            Self::Layer(id) => write!(f, "layer:{id}"),
            Self::Machine => f.write_str("machine"),
        }
    }
}

/// Where a container's changes to its file system go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Upper {
    /// Into memory, counted as the container's; gone with it.
    Memory {
        /// The most that may be written, in bytes.
        bytes: u64,
    },
    /// Into a new layer, which must be sealed (or removed) afterwards.
    Layer(LayerId),
}

/// What the processes of a container may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// No capability at all.
    App,
    /// The capabilities that package managers need, within the container's user namespace.
    Build,
}

/// What a container may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory in bytes, files in memory included.
    pub memory_bytes: u64,
    /// Processor time in thousandths of a core.
    pub cpu_millis: u32,
    /// Share of the processor under contention; 100 is usual, 1 to 10,000.
    pub cpu_weight: u32,
    /// Processes and threads.
    pub pids: u32,
}

/// Something beside the layers.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mount {
    /// A directory that outlives the container, writable: `DATA/cache/<name>`.
    Cache {
        /// Which.
        name: CacheName,
        /// Where it lies inside, absolute.
        at: String,
    },
    /// A read-only file.
    File {
        /// Where it lies inside, absolute.
        at: String,
        /// What it holds.
        contents: Vec<u8>,
        /// The user inside who alone may read it; everybody may where there is none.
        owner: Option<u16>,
    },
    /// A directory that outlives the container, writable, for one container at a time to change: `DATA/volumes/<name>/fs`.
    Volume {
        /// Which. It is made where it is missing.
        name: VolumeName,
        /// Where it lies inside, absolute.
        at: String,
        /// The user inside whose it is when it is made.
        owner: u16,
        /// Whether it may only be looked at, which others may do at the same time.
        read_only: bool,
    },
    /// A volume that several containers change at the same time, all of them of the same range of user ids: where files are handed
    /// over. Who has it as [`Mount::Volume`], and may change it, keeps out those who have it like this, and the other way round.
    Exchange {
        /// Which. It is made where it is missing.
        name: VolumeName,
        /// Where it lies inside, absolute.
        at: String,
        /// The user inside whose it is when it is made.
        owner: u16,
    },
}

/// Somebody whom a container may reach although rules say that it may not: another container of the platform, or this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The name under which it finds the address, in `/etc/hosts`; none where it has the address.
    pub host: Option<HostEntry>,
    /// The address.
    pub address: Ipv4Addr,
    /// The port, of TCP.
    pub port: u16,
}

/// A name for `/etc/hosts`: lower-case letters, digits, `-` and `.` (hosts(5)).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostEntry(String);

impl HostEntry {
    /// Checks a text.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let shape = (1..=253).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
        if shape {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError { what: "host name", text: text.chars().take(60).collect() })
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HostEntry {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl From<HostEntry> for String {
    fn from(name: HostEntry) -> Self {
        name.0
    }
}

impl fmt::Debug for Mount {
    /// A file may hold a credential of a package client.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cache { name, at } => f.debug_struct("Cache").field("name", name).field("at", at).finish(),
            Self::File { at, .. } => f.debug_struct("File").field("at", at).finish_non_exhaustive(),
            Self::Volume { name, at, .. } => f.debug_struct("Volume").field("name", name).field("at", at).finish_non_exhaustive(),
            Self::Exchange { name, at, .. } => {
                f.debug_struct("Exchange").field("name", name).field("at", at).finish_non_exhaustive()
            }
        }
    }
}

/// A container as it is to be.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Its name.
    pub id: ContainerId,
    /// Its range of user ids: 0 to 65535 inside are `1_000_000_000 + slot * 65536` and on outside.
    pub slot: u16,
    /// The parts of its root file system, bottom first.
    pub layers: Vec<LayerRef>,
    /// Where its changes go.
    pub upper: Upper,
    /// The argument vector of its first process.
    pub args: Vec<String>,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// Its working directory.
    pub cwd: String,
    /// Its host name.
    pub hostname: String,
    /// What it may do.
    pub profile: Profile,
    /// What it may use.
    pub limits: Limits,
    /// What it has beside the layers.
    pub mounts: Vec<Mount>,
    /// Whether it gets a standard input to be written to.
    pub stdin: bool,
    /// The user and group inside who runs its first process; 0 is usual.
    pub user: u16,
    /// Whom it may reach beside the internet.
    pub links: Vec<Link>,
    /// Whether its address stays that of a container of this name when it has ended, as long as the platform runs.
    pub keeps_address: bool,
}

impl fmt::Debug for ContainerSpec {
    /// Without the environment, which holds secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerSpec")
            .field("id", &self.id)
            .field("slot", &self.slot)
            .field("layers", &self.layers)
            .field("upper", &self.upper)
            .field("args", &self.args)
            .field("profile", &self.profile)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The first user id of the first range.
const ID_BASE: u32 = 1_000_000_000;
/// User ids in a range.
pub(crate) const ID_COUNT: u32 = 65_536;

impl ContainerSpec {
    /// The user id outside of root inside.
    pub(crate) fn id_base(&self) -> u32 {
        ID_BASE + u32::from(self.slot) * ID_COUNT
    }

    /// The user id outside of who runs its first process.
    pub(crate) fn user_outside(&self) -> u32 {
        self.id_base() + u32::from(self.user)
    }
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Its first process's exit code, if it had one.
    pub code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// Whether the kernel killed one of its processes for want of memory.
    pub oom_killed: bool,
    /// The processor time that all its processes used, in microseconds; zero where nobody knows.
    pub cpu_micros: u64,
}

/// What a container uses now.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Memory, without what the kernel could drop at once.
    pub memory_bytes: u64,
    /// Processor time since it began.
    pub cpu_seconds: f64,
}

/// What was found when the machine was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at.
    pub what: String,
    /// What was found.
    pub found: String,
    /// What to do, where it is not well.
    pub problem: Option<String>,
}

/// A layer packed as a blob of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedLayer {
    /// SHA-256 of the uncompressed archive, in hexadecimal.
    pub diff_id: String,
    /// SHA-256 of what was written, in hexadecimal.
    pub digest: String,
    /// Bytes that were written.
    pub size: u64,
}

/// What an archive of a foreign image may bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRoom {
    /// Bytes of files.
    pub bytes: u64,
    /// Files, directories and links, whiteouts included.
    pub entries: u64,
}

/// What an archive of a foreign image has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Applied {
    /// Bytes of files.
    pub bytes: u64,
    /// Files, directories and links, whiteouts and directories that were not named included.
    pub entries: u64,
    /// Devices and pipes, which were left out.
    pub skipped: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_no_path() {
        for bad in ["", ".", "..", "a/b", "-a", "A", "a b", "a\0", "ä"] {
            assert!(ContainerId::parse(bad).is_err(), "{bad:?}");
            assert!(LayerRef::parse(&format!("layer:{bad}")).is_err(), "{bad:?}");
        }
        let layer = LayerRef::parse("stack:bookworm-1").expect("a reference");
        assert_eq!(layer.to_string(), "stack:bookworm-1");
    }
}
