//! The `adaptable` program: client commands everywhere, `serve` on Linux.

fn main() {}
