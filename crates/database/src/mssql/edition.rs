//! Which edition of SQL Server the platform runs, by its name or by a product key.

use std::fmt;

use crate::{DatabaseError, Result};

/// An edition. Express, where nobody says otherwise: it costs nothing and may serve real users, within limits of its own (10 GB for a
/// database). Developer costs nothing either, and may not. A product key is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Edition(String);

/// The editions that are known by their names (Microsoft's "Configure SQL Server settings with environment variables", `MSSQL_PID`).
const NAMES: [&str; 8] =
    ["Evaluation", "Developer", "Express", "Web", "Standard", "Enterprise", "EnterpriseCore", "StandardDeveloper"];

impl Edition {
    /// Reads the setting `mssql-edition`: a name, or a product key of five times five characters.
    ///
    /// # Errors
    /// Where it is neither; what was written is not repeated, since it may be a key with a slip in it.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if let Some(name) = NAMES.iter().find(|name| name.eq_ignore_ascii_case(text)) {
            return Ok(Self((*name).to_owned()));
        }
        let groups: Vec<_> = text.split('-').collect();
        let key = groups.len() == 5
            && groups.iter().all(|group| group.len() == 5 && group.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        if key {
            return Ok(Self(text.to_ascii_uppercase()));
        }
        Err(DatabaseError::Refused(format!("mssql-edition: must be one of {}, or a product key", NAMES.join(", "))))
    }

    /// As the server is told.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Edition {
    fn default() -> Self {
        Self("Express".to_owned())
    }
}

impl fmt::Debug for Edition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.iter().find(|name| **name == self.0).unwrap_or(&"Edition"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edition_is_a_name_or_a_key_that_is_not_shown() {
        assert_eq!(Edition::default().as_str(), "Express");
        assert_eq!(Edition::parse(" developer ").expect("a name").as_str(), "Developer");
        let key = Edition::parse("abcde-12345-ABCDE-12345-abcde").expect("a key");
        assert_eq!((key.as_str(), format!("{key:?}").as_str()), ("ABCDE-12345-ABCDE-12345-ABCDE", "Edition"));
        for bad in ["", "Free", "abcde-12345-ABCDE-12345", "abcde-12345-ABCDE-12345-abcd\u{e9}", "a\nb"] {
            let error = Edition::parse(bad).expect_err(bad).to_string();
            assert!(error.starts_with("mssql-edition: ") && !error.contains("abcde"), "{error}");
        }
    }
}
