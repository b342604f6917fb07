//! What a container is on Linux: launcher, namespaces, cgroup, overlay, network, seccomp; the home of all `unsafe`.

mod spec;

pub use spec::{
    CacheName, ContainerId, ContainerSpec, Exit, LayerId, LayerRef, Limits, Mount, NameError, PackedLayer, Profile, StackId, Upper,
    Usage,
};
