//! What a container is on Linux: launcher, namespaces, cgroup, overlay, network, seccomp; the home of all `unsafe`.
