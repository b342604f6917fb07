//! The client over real sockets: whom it trusts, what it makes of bad answers, how streams are read; and the schema of settings.

mod schema;
mod streams;
mod trust;
