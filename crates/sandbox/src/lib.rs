//! What a container is on Linux: launcher, namespaces, cgroup, overlay, network, seccomp; the home of all `unsafe`.
//!
//! [`Launcher::start`] forks the process that keeps root. The platform talks to it in the messages of [`channel`], which name
//! containers and layers, never paths. Knows nothing of apps, images or HTTP.

mod apply;
mod cgroup;
pub mod channel;
mod create;
mod launcher;
mod machine;
mod netlink;
mod network;
mod pack;
mod rootfs;
mod runtime;
mod seccomp;
mod spec;
mod volume;

pub use launcher::{Launcher, LauncherConfig, LauncherEnd};
pub use spec::{
    Applied, CacheName, ContainerId, ContainerSpec, Exit, Finding, HostEntry, LayerId, LayerRef, LayerRoom, Limits, Link, Mount,
    NameError, PackedLayer, Profile, StackId, Upper, Usage, VolumeName,
};
