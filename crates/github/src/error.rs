//! What goes wrong with GitHub, told apart by what is to be done about it, each in one line.

use std::fmt;

use jiff::Timestamp;

/// What this crate answers.
pub type Result<T> = std::result::Result<T, GitHubError>;

/// Whose credentials a call was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Nobody's.
    Nobody,
    /// A person's, who signed in.
    User,
    /// The App's own: its key, or its client secret.
    App,
    /// An installation's.
    Installation,
}

/// Why GitHub did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitHubError {
    /// The credentials are wrong, have expired, or were taken back (401).
    #[error("GitHub no longer accepts the credentials used to {doing}: {}", advice(*.whose))]
    Unauthorized {
        /// What was asked for.
        doing: String,
        /// Whose credentials they are.
        whose: Whose,
    },
    /// The credentials are good, and the right is missing (403).
    #[error("GitHub does not let the platform {doing}: {said}")]
    Forbidden {
        /// What was asked for.
        doing: String,
        /// GitHub's words.
        said: String,
    },
    /// The installation was suspended by its owner or by GitHub.
    #[error(
        "GitHub does not let the platform {doing}: the App's installation is suspended; unsuspend it on its settings page on GitHub"
    )]
    Suspended {
        /// What was asked for.
        doing: String,
    },
    /// It is not there, or nobody may know that it is (404, 410).
    #[error("GitHub could not {doing}: it is not there any more, or the App has no access to it")]
    NotFound {
        /// What was asked for.
        doing: String,
    },
    /// There were too many requests (403 or 429 with the headers for it).
    #[error("GitHub limits how often it is asked, and could not {doing}: try again after {until:.0}")]
    RateLimited {
        /// What was asked for.
        doing: String,
        /// When GitHub answers again.
        until: Timestamp,
    },
    /// The request can't be carried out as it is (400, 409, 422).
    #[error("GitHub could not {doing}: {said}")]
    Invalid {
        /// What was asked for.
        doing: String,
        /// GitHub's words.
        said: String,
    },
    /// A code or a token of signing in is not taken: it was used, has expired, or is somebody else's.
    #[error("GitHub did not complete the sign-in: {said}; sign in with GitHub again")]
    Refused {
        /// GitHub's word for it: `bad_verification_code`, `bad_refresh_token` …
        code: String,
        /// GitHub's words.
        said: String,
    },
    /// Nobody answers, or only with an error of its own (5xx). It passes.
    #[error("GitHub ({host}) can't be reached: {why}; try again later")]
    Unavailable {
        /// Whom we asked.
        host: String,
        /// What went wrong.
        why: String,
    },
    /// The answer is not one of GitHub's API.
    #[error("{host} does not answer as GitHub does: {why}")]
    Protocol {
        /// Whom we asked.
        host: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// The App's keys can't be used.
    #[error("the GitHub App's keys can't be used: {0}")]
    Keys(&'static str),
}

impl GitHubError {
    /// Whether the same request may succeed later with nothing changed.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Unavailable { .. })
    }

    /// When to ask again, where GitHub says so.
    pub fn retry_at(&self) -> Option<Timestamp> {
        match self {
            Self::RateLimited { until, .. } => Some(*until),
            _ => None,
        }
    }
}

fn advice(whose: Whose) -> &'static str {
    match whose {
        Whose::Nobody => "none were sent",
        Whose::User => "sign in with GitHub again",
        Whose::App => "the App was deleted on GitHub or has other keys now; set the GitHub App up again",
        Whose::Installation => "the App was removed from the account; connect the repository again",
    }
}

/// What somebody else said, in one short line without control characters.
pub(crate) fn one_line(text: &str) -> String {
    const WORDS_MAX: usize = 200;
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect()
}

/// An error with all its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = inner.source();
    }
    one_line(&text)
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nobody => "nobody",
            Self::User => "user",
            Self::App => "app",
            Self::Installation => "installation",
        })
    }
}
