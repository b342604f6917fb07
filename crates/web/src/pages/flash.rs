//! What a page says once, after a form was sent: a word in the address that stands for a fixed sentence, never the sentence itself.

/// How a notice looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// For information.
    Info,
    /// Something went well.
    Success,
}

impl Tone {
    /// The class in the style sheet.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Success => "success",
        }
    }

    /// Its icon.
    pub(crate) fn icon(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Success => "done",
        }
    }
}

macro_rules! said {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $tone:ident, $text:literal;)*) => {
        /// What was done; `?said=WORD` behind the address that a form leads to.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Said { $($(#[$doc])* $name,)* }

        impl Said {
            /// Every one.
            #[cfg(test)]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word in the address.
            pub(crate) fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The one of that word.
            pub(crate) fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$name),)* _ => None }
            }

            /// How it looks.
            pub(crate) fn tone(self) -> Tone {
                match self { $(Self::$name => Tone::$tone,)* }
            }

            /// The sentence.
            pub(crate) fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

// One line each; the words must differ.
said! {
    /// The app was paused.
    Paused = "paused", Success, "The app is paused. Visitors get 503 until it is resumed.";
    /// The app was resumed.
    Resumed = "resumed", Success, "The app is back. The next request starts it.";
    /// A deployment was cancelled.
    Cancelled = "cancelled", Info, "The deployment was cancelled. What was served before is served on.";
    /// A password was changed.
    Rotated = "rotated", Success, "The database has a new password. New instances that know it take over now.";
    /// A backup was made.
    BackedUp = "backed-up", Success, "The backup is made. It is being checked by restoring it into a scratch database.";
    /// A backup was verified.
    Verified = "verified", Success, "The backup is whole: it was restored into a scratch database.";
    /// A database was restored.
    Restored = "restored", Success, "The database was restored. What it held before is kept as a backup.";
    /// A part of the visitors no longer gets another revision.
    SplitEnded = "split-ended", Success, "All visitors get the live revision.";
    /// The password was changed.
    PasswordChanged = "password-changed", Success, "The password is changed. You are signed out everywhere else.";
    /// The second factor was turned off.
    SecondFactorOff = "second-factor-off", Info, "The second factor is off: your password alone signs you in.";
    /// Sessions were ended.
    SessionEnded = "session-ended", Success, "The session is ended.";
    /// The GitHub App is set up.
    GitHubReady = "github-ready", Success, "The GitHub App is set up. People can sign in with GitHub and connect their repositories.";
    /// The GitHub App was removed.
    GitHubRemoved = "github-removed", Info, "The GitHub App and its keys are forgotten here. On GitHub it is still there.";
    /// Changes were saved.
    Saved = "saved", Success, "Saved.";
    /// Settings were saved, and nothing was deployed.
    SavedForLater = "saved-for-later", Success, "Saved. It takes effect with the next deployment.";
    /// What was sent is what was stored.
    NothingChanged = "nothing-changed", Info, "Nothing was changed: that is what is stored.";
    /// An app comes from another branch, or its pushes deploy it, or not, from now on.
    SourceSaved = "source-saved", Success, "Saved. It counts from the next push, or the next “Update Deployment”.";
    /// An app is linked to GitHub no more.
    SourceRemoved = "source-removed", Info, "The app is disconnected from GitHub: pushes deploy it no more. What is live stays.";
    /// An app was deleted.
    Deleted = "deleted", Success, "The app is deleted.";
    /// A user was forgotten.
    UserDeleted = "user-deleted", Success, "The user is deleted. Their apps stay.";
    /// An invitation was taken away.
    InviteEnded = "invite-ended", Success, "The invitation is taken away. Its link leads nowhere.";
    /// A token was revoked.
    Revoked = "revoked", Success, "The token is revoked. Whoever shows it is refused.";
}

impl Said {
    /// An address with this behind it.
    pub(crate) fn at(self, path: &str) -> String {
        let joint = if path.contains('?') { '&' } else { '?' };
        format!("{path}{joint}said={}", self.word())
    }

    /// What the query of an address says.
    pub(crate) fn in_query(query: &str) -> Option<Self> {
        query.split('&').find_map(|pair| pair.strip_prefix("said=")).and_then(Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_are_known_say_something() {
        for said in Said::ALL {
            assert_eq!(Said::in_query(said.at("/apps/x?a=b").split_once('?').expect("a query").1), Some(*said));
        }
        assert_eq!(Said::in_query("said=<b>hello"), None);
        assert_eq!(Said::in_query(""), None);
    }
}
