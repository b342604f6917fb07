//! What the tests share: this machine's stacks and settings.

use std::path::PathBuf;

use build::host::HostSettings;
use build::stack::{self, Release, Stack, Stacks, make};

/// The directory of this machine's stacks.
pub(crate) fn stack_dir() -> PathBuf {
    std::env::var_os("ADAPTABLE_STACK_DIR").map_or_else(|| PathBuf::from(stack::DEFAULT_DIR), PathBuf::from)
}

/// This machine's settings for package clients.
pub(crate) fn host() -> HostSettings {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    HostSettings::discover(std::env::vars(), home.as_deref())
}

/// This machine's stacks; the default ones are made when they are missing.
pub(crate) fn stacks() -> (Stacks, Vec<Stack>) {
    let releases = stack::DEFAULT_RELEASES.map(|name| Release::parse(name).expect("a release"));
    let made = make::make(&stack_dir(), &releases, false, &host(), &|release, doing, line| {
        println!("{release}: {doing}: {line}");
    });
    (Stacks::new(&stack_dir()), made.expect("making the stacks"))
}
