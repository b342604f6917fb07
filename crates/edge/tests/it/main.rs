//! The edge from outside: real sockets, real TLS, real threads.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bodies;
mod client;
mod conformance;
mod figures;
mod floods;
mod frames;
mod h2c;
mod hosts;
mod http1;
mod lifecycle;
mod limits;
mod malformed;
mod plain;
mod platform;
mod smuggling;
mod support;
mod upgrade;
mod upstreams;
mod waking;
