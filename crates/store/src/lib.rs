//! The platform's own state, in SQLite; the home of all SQL.
