//! Text that is never shown by accident, and wiped from memory when it is no longer needed.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rand::seq::IndexedRandom;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A password, or text that holds one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(Zeroizing<String>);

/// What passwords consist of. They have special characters so that whoever forgets to encode one notices on the first day; none is
/// a quote, a backslash or white space, which variables' files and shells treat in too many ways.
const ALPHABET: &[u8] = b"abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789@:/#?&=+%!";
/// Their length: 6 bits each and more.
const LENGTH: usize = 32;

impl Secret {
    /// A text that is a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// A new password, of a lower-case letter, an upper-case one, a digit and a special character at least (which SQL Server wants).
    pub fn generate() -> Self {
        let mut random = rand::rng();
        loop {
            let text: String = (0..LENGTH).filter_map(|_| ALPHABET.choose(&mut random)).map(|byte| char::from(*byte)).collect();
            let has = |wanted: fn(&char) -> bool| text.chars().any(|c| wanted(&c));
            if has(char::is_ascii_lowercase)
                && has(char::is_ascii_uppercase)
                && has(char::is_ascii_digit)
                && has(|c| !c.is_ascii_alphanumeric())
            {
                return Self::new(text);
            }
        }
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What does not stay as it is in a part of a URL.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as a part of a URL (RFC 3986, section 2.3: only unreserved characters stay).
pub(crate) fn url_encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_differ_hold_special_characters_and_are_not_shown() {
        let (one, other) = (Secret::generate(), Secret::generate());
        assert_ne!(one, other);
        assert_eq!(one.reveal().len(), LENGTH);
        assert!(one.reveal().chars().any(|c| !c.is_ascii_alphanumeric()));
        assert_eq!(format!("{one:?}"), "Secret");
        assert_eq!(url_encoded("a@b:c/d%é"), "a%40b%3Ac%2Fd%25%C3%A9");
    }
}
