//! Which program this is: something that changes when the binary does.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

/// The version, and what tells this file of a program from any other: a program that is installed anew is another one, even where
/// its contents are the same. Read once, since the file may be replaced while it runs.
pub(crate) fn build() -> &'static str {
    static BUILD: OnceLock<String> = OnceLock::new();
    BUILD.get_or_init(|| {
        let mut text = env!("CARGO_PKG_VERSION").to_owned();
        // The kernel's link leads to the file that runs, also after another has taken its name.
        if let Ok(file) = std::fs::metadata("/proc/self/exe") {
            let (dev, ino, size) = (file.dev(), file.ino(), file.size());
            write!(text, "+{dev:x}.{ino:x}.{size:x}.{:x}.{:x}", file.mtime(), file.mtime_nsec()).expect("a string takes all");
        }
        text
    })
}
