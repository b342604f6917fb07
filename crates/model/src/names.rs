//! Checked names and numbers: what is held in one of these types can be put in a path, a host name or an argument vector.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest app name, in bytes: with `.` and the platform's domain it stays a host label that every resolver takes.
pub const APP_NAME_MAX: usize = 40;

/// Names that the platform itself may want below its domain.
const RESERVED: &[&str] = &[
    "adaptable",
    "admin",
    "api",
    "app",
    "apps",
    "auth",
    "cdn",
    "console",
    "dashboard",
    "docs",
    "git",
    "help",
    "internal",
    "localhost",
    "login",
    "logout",
    "mail",
    "metrics",
    "ns",
    "platform",
    "registry",
    "root",
    "smtp",
    "static",
    "status",
    "support",
    "system",
    "www",
];

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text breaks the rule for app names.
    #[error("{0:?} is not an app name: 1 to 40 characters of a-z, 0-9 and '-', beginning with a letter and not ending with '-'")]
    App(String),
    /// The text is kept for the platform.
    #[error("the app name {0:?} is reserved for the platform; choose another")]
    Reserved(String),
    /// The text breaks the rule for variables' names.
    #[error("{0:?} is not a variable's name: letters, digits and '_', not beginning with a digit")]
    Env(String),
    /// The text is not a positive number.
    #[error("{0:?} is not a number of a {1}")]
    Number(String, &'static str),
}

/// An app's name: `[a-z]([a-z0-9-]{0,38}[a-z0-9])?`, not a reserved word.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$", "examples" = ["my-shop"]))]
pub struct AppName(String);

impl AppName {
    /// Checks a text from outside.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let bytes = text.as_bytes();
        let shape = (1..=APP_NAME_MAX).contains(&bytes.len())
            && bytes[0].is_ascii_lowercase()
            && bytes[bytes.len() - 1] != b'-'
            && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
        if !shape {
            return Err(NameError::App(clip(text)));
        }
        if RESERVED.contains(&text) {
            return Err(NameError::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The nearest valid name to a directory's: `My App_2` becomes `my-app-2`. `None` where nothing usable is left.
    pub fn suggest(text: &str) -> Option<Self> {
        let mut name = String::new();
        for c in text.chars().flat_map(char::to_lowercase) {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                name.push(c);
            } else if !name.is_empty() && !name.ends_with('-') {
                name.push('-');
            }
            if name.len() == APP_NAME_MAX {
                break;
            }
        }
        let name = name.trim_matches('-');
        let candidates = [name.to_owned(), format!("app-{name}"), format!("{name}-app")];
        candidates.iter().find_map(|candidate| Self::parse(candidate).ok())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AppName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for AppName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl From<AppName> for String {
    fn from(name: AppName) -> Self {
        name.0
    }
}

/// A text as an error may quote it: short, whatever came in.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(60).collect()
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        #[schemars(extend("minimum" = 1))]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                match text.parse::<u32>() {
                    Ok(n) if n > 0 => Ok(Self(n)),
                    _ => Err(NameError::Number(clip(text), $what)),
                }
            }
        }
    };
}

number!(
    /// The number of a revision within its app, from 1.
    RevisionNumber,
    "revision"
);
number!(
    /// The number of a deployment within its app, from 1.
    DeploymentNumber,
    "deployment"
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn app_names_follow_the_rule() {
        let longest = "a".repeat(40);
        for good in ["a", "a1", "my-app", "x--y", longest.as_str()] {
            assert!(AppName::parse(good).is_ok(), "{good}");
        }
        let too_long = "a".repeat(41);
        for bad in ["", "1a", "-a", "a-", "A", "a_b", "a.b", "a b", "ä", "a\n", "../a", "www", "api", too_long.as_str()] {
            assert!(AppName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_directory_suggests_a_name() {
        let name = |text| AppName::suggest(text).map(String::from);
        assert_eq!(name("My App_2").as_deref(), Some("my-app-2"));
        assert_eq!(name("2048").as_deref(), Some("app-2048"));
        assert_eq!(name("api").as_deref(), Some("app-api"));
        assert_eq!(name("日本").as_deref(), None);
    }

    proptest! {
        #[test]
        fn what_parses_is_safe_in_a_path_and_a_host(text in "\\PC{0,50}") {
            if let Ok(name) = AppName::parse(&text) {
                prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
            }
            if let Some(name) = AppName::suggest(&text) {
                prop_assert!(AppName::parse(name.as_str()).is_ok());
            }
        }
    }
}
