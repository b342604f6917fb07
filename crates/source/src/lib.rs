//! A commit from a directory or a git push, as a checked tree.
