//! Vaults against a real directory and a real S3 server.

mod directory;
mod s3;
mod world;
