//! What clients talk to: the REST API and git over HTTPS.
