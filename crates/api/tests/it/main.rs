//! The client over real sockets: whom it trusts, what it makes of bad answers, and how streams are read.

mod streams;
mod trust;
