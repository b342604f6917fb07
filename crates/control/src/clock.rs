//! The time, as the store keeps it and as the API shows it.

use jiff::Timestamp;

/// Milliseconds since 1970, UTC.
pub(crate) fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

/// A stored time for the API.
pub(crate) fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}
