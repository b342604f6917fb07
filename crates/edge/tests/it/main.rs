//! The edge from outside: real sockets, real TLS, real threads.

mod bodies;
mod hosts;
mod lifecycle;
mod platform;
mod smuggling;
mod support;
mod upgrade;
mod upstreams;
mod waking;
