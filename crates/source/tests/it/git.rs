//! The remote, pushed to by the real git over HTTP on loopback.

mod backend;
mod fetch;
mod hostile;
mod pushes;
mod server;
