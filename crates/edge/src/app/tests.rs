//! Waiting, picking and draining, without sockets.
