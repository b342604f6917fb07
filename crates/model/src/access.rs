//! Who may be somebody on the platform: users, their names, and what they may do with an app or with the whole.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::clip;

/// The longest user name, in bytes; GitHub's own limit.
pub const USER_NAME_MAX: usize = 39;

/// Why a text is not one of this module's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// The text breaks the rule for user names.
    #[error(
        "{0:?} is not a user name: 1 to 39 characters of a-z, 0-9, '-', '_' and '.', beginning and ending with a letter or a digit"
    )]
    UserName(String),
    /// The text is no role of that kind.
    #[error("{0:?} is not a role; there are {1}")]
    Role(String, &'static str),
}

macro_rules! role {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? } $list:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "lowercase")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every one, the least first.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word in JSON, in the store and on the command line.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = AccessError;
            fn from_str(text: &str) -> Result<Self, AccessError> {
                Self::ALL.iter().copied().find(|role| role.as_str() == text).ok_or_else(|| AccessError::Role(clip(text), $list))
            }
        }
    };
}

role!(
    /// What a user may do with one app; each may do what those before may.
    AppRole {
        /// Look at all of it but its secrets.
        Viewer = "viewer",
        /// Deploy, change, see secrets.
        Developer = "developer",
        /// Say who else may, and delete it.
        Owner = "owner",
    }
    "viewer, developer and owner"
);

role!(
    /// What a user may do with the platform as a whole.
    PlatformRole {
        /// Make apps, and own them; see those that the user is a member of.
        Member = "member",
        /// Everything.
        Operator = "operator",
    }
    "member and operator"
);

/// The number of a user; never given to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct UserId(pub i64);

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A user's name: what they sign in by, and what others call them by. Lower case, so that no two look alike by their case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[a-z0-9]([a-z0-9._-]{0,37}[a-z0-9])?$", "examples" = ["ada"]))]
pub struct UserName(String);

impl UserName {
    /// Checks a text from outside.
    pub fn parse(text: &str) -> Result<Self, AccessError> {
        let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let shape = (1..=USER_NAME_MAX).contains(&bytes.len())
            && bytes.first().is_some_and(plain)
            && bytes.last().is_some_and(plain)
            && bytes.iter().all(|byte| plain(byte) || matches!(byte, b'-' | b'_' | b'.'));
        if shape { Ok(Self(text.to_owned())) } else { Err(AccessError::UserName(clip(text))) }
    }

    /// As a person types it: without spaces around, in whatever case.
    pub fn typed(text: &str) -> Result<Self, AccessError> {
        Self::parse(&text.trim().to_lowercase())
    }

    /// The nearest name to a login of elsewhere, numbered where it is wanted: `Octo-Cat` becomes `octo-cat`, then `octo-cat-2`.
    pub fn suggest(text: &str, number: u32) -> Self {
        let tail = if number > 1 { format!("-{number}") } else { String::new() };
        let mut name: String = text
            .chars()
            .flat_map(char::to_lowercase)
            .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
            .collect();
        name.truncate(USER_NAME_MAX - tail.len());
        let name = name.trim_matches(['-', '_', '.']);
        let name = if name.is_empty() { "user" } else { name };
        Self(format!("{name}{tail}"))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for UserName {
    type Err = AccessError;
    fn from_str(text: &str) -> Result<Self, AccessError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for UserName {
    type Error = AccessError;
    fn try_from(text: String) -> Result<Self, AccessError> {
        Self::parse(&text)
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn user_names_follow_the_rule() {
        for good in ["a", "7", "ada", "ada.lovelace", "octo-cat", "a_b"] {
            assert!(UserName::parse(good).is_ok(), "{good}");
        }
        let too_long = "a".repeat(40);
        for bad in ["", "Ada", "-a", "a-", ".a", "a b", "ä", "a\n", "a/b", "<a>", too_long.as_str()] {
            assert!(UserName::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(UserName::typed(" Ada ").map(String::from).as_deref(), Ok("ada"));
    }

    #[test]
    fn roles_are_ordered_and_are_words() {
        assert!(AppRole::Viewer < AppRole::Developer && AppRole::Developer < AppRole::Owner);
        assert!(PlatformRole::Member < PlatformRole::Operator);
        for role in AppRole::ALL {
            assert_eq!(role.as_str().parse::<AppRole>(), Ok(*role));
            assert_eq!(serde_json::to_value(role).expect("plain data"), role.as_str());
        }
        assert!("root".parse::<PlatformRole>().is_err());
    }

    proptest! {
        #[test]
        fn what_is_suggested_is_a_name(text in "\\PC{0,60}", number in 0_u32..100_000) {
            let name = UserName::suggest(&text, number);
            prop_assert!(UserName::parse(name.as_str()).is_ok(), "{name}");
        }
    }
}
