//! Wire types of the platform's HTTP API and the typed client that the command line uses.
