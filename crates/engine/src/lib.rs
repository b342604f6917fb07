//! The engine trait (run this container), the local engine, a fake, and one conformance suite for all.
