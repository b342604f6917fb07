//! A look at what visitors send before HTTP reads it: what two readers could take for different requests, and floods.

mod flood;
mod framing;

use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) use flood::Flood;
pub(crate) use framing::Framing;

/// What a connection's stream and its requests tell each other.
#[derive(Debug, Default)]
pub(crate) struct Signs {
    /// A request was answered without its body having been read to the end.
    unread: AtomicBool,
    /// The connection speaks no HTTP any more, but WebSocket.
    switched: AtomicBool,
}

impl Signs {
    pub(crate) fn set_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    pub(super) fn set_switched(&self) {
        self.switched.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_switched(&self) -> bool {
        self.switched.load(Ordering::Relaxed)
    }
}

/// Who looks at a connection's bytes.
#[derive(Debug)]
pub(crate) enum Inspector {
    Http1(Framing),
    Http2(Flood),
}

/// What is to happen with bytes that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All may pass.
    Pass,
    /// Only so many may pass, then these; and nothing after them.
    Cut(usize, &'static [u8]),
}

impl Inspector {
    /// Looks at bytes in the order in which they come.
    pub(super) fn received(&mut self, bytes: &[u8]) -> Verdict {
        match self {
            Self::Http1(framing) => framing.received(bytes),
            Self::Http2(flood) => flood.received(bytes),
        }
    }

    /// Is told what was written to the visitor.
    pub(super) fn sent(&mut self, bytes: usize) {
        if let Self::Http2(flood) = self {
            flood.sent(bytes);
        }
    }
}
