//! Trees through the front door: directories and archives as strangers make them.

mod hostile;
mod pack;
mod tars;
mod tree;
