//! Builds with real stacks, a real engine and real packages; needs root.

mod builds;
mod chroot;
mod machine;
mod stacks;
