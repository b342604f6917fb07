//! Listeners, TLS, routing, waiting room, balancing; knows no store.
