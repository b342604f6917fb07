//! Who asks for what is being done: said where a request comes in, written down where a deployment is recorded.

use model::{Starter, StarterKind};

use crate::access::Who;

tokio::task_local! {
    /// Who asks for what the task does.
    static CURRENT: Option<Starter>;
}

/// Does something for whoever asks for it. A task that is begun on the way is nobody's, unless it is told again.
pub async fn asked_by<F: Future>(starter: Option<Starter>, work: F) -> F::Output {
    CURRENT.scope(starter, work).await
}

/// For whom the task works.
pub(crate) fn current() -> Option<Starter> {
    CURRENT.try_with(Clone::clone).ok().flatten()
}

impl Who {
    /// Whom a deployment that they ask for is started by; `token` is the name of what they bear.
    pub fn starter(&self, token: &str) -> Option<Starter> {
        let (kind, name) = match self {
            Self::Operator => (StarterKind::Machine, String::new()),
            Self::Token(_) => (StarterKind::Token, token.to_owned()),
            Self::User(identity) => (StarterKind::User, identity.name.to_string()),
            Self::Nobody => return None,
        };
        Some(Starter { kind, name })
    }
}
