//! What an app's visitors are told when it does not start.

use edge::{Failure, FailureKind};

use crate::instance::StartFailure;

/// A start failure for the app's visitors: what happened, nothing of the app's own output.
pub(super) fn for_visitors(failure: &StartFailure) -> Failure {
    let kind = match failure {
        StartFailure::NoRoom(_) => FailureKind::Capacity,
        StartFailure::TimedOut { .. } | StartFailure::Unhealthy { .. } => FailureKind::StartTimeout,
        _ => FailureKind::Start,
    };
    let title = match failure {
        StartFailure::NoRoom(_) => "There is no room for this app just now",
        StartFailure::TimedOut { .. } | StartFailure::Unhealthy { .. } => "The app took too long to start",
        StartFailure::Database(_) => "The app's database does not run",
        StartFailure::Elsewhere { .. } => "The app listens elsewhere",
        StartFailure::Exited { .. }
        | StartFailure::Workers { .. }
        | StartFailure::NoApplication { .. }
        | StartFailure::Engine(_)
        | StartFailure::Cancelled => "The app did not start",
    };
    let detail = match failure {
        StartFailure::Engine(_) | StartFailure::NoRoom(_) | StartFailure::Database(_) => String::new(),
        other => {
            let mut text = other.to_string();
            if let Some(first) = text.get_mut(0..1) {
                first.make_ascii_uppercase();
            }
            format!("{text}. The app's log tells more.")
        }
    };
    Failure::new(kind, title, detail)
}
