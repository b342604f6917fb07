//! Runs containers on this machine, through the launcher.
