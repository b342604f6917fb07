//! Pulls from a real registry (Debian's docker-registry), and from one that somebody stands in front of.

mod auth;
mod trouble;
mod usual;
mod way;
mod world;
