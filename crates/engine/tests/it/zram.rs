//! Compressed memory as a place to swap to, for as long as a test needs it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A zram device that is swapped to; gone when it is dropped.
pub(crate) struct Zram {
    number: u32,
}

impl Zram {
    /// Adds a device of so many bytes. `None` where the kernel has no zram.
    pub(crate) fn swap(bytes: u64) -> Option<Self> {
        let number = fs::read_to_string("/sys/class/zram-control/hot_add").ok()?.trim().parse().ok()?;
        let zram = Self { number };
        fs::write(format!("/sys/block/zram{number}/disksize"), bytes.to_string()).ok()?;
        let run = |program: &str| Command::new(program).arg(zram.device()).output().is_ok_and(|output| output.status.success());
        (run("mkswap") && run("swapon")).then_some(zram)
    }

    fn device(&self) -> PathBuf {
        PathBuf::from(format!("/dev/zram{}", self.number))
    }
}

impl Drop for Zram {
    fn drop(&mut self) {
        let _not_on = Command::new("swapoff").arg(self.device()).output();
        let _gone = fs::write(format!("/sys/block/zram{}/reset", self.number), "1");
        let _gone = fs::write("/sys/class/zram-control/hot_remove", self.number.to_string());
    }
}
