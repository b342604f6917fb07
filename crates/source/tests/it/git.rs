//! The remote, pushed to by the real git over HTTP on loopback.

mod hostile;
mod pushes;
mod server;
