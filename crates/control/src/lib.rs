//! The use cases (deploy, roll back, pause ...), reconciliation and garbage collection.
