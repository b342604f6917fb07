//! Builds with real stacks, a real engine and real packages; needs root.

mod machine;
mod stacks;
