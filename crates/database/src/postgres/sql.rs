//! Identifiers and literals for statements: the one place where text becomes a part of one.

/// An identifier, quoted: what is in it can't end it.
pub(super) fn identifier(name: &str) -> String {
    // A server's strings end at a zero byte; it can't be in a name.
    let clean: String = name.chars().filter(|c| *c != '\0').collect();
    format!("\"{}\"", clean.replace('"', "\"\""))
}

/// A text, quoted; whatever `standard_conforming_strings` says, since a backslash makes it an `E''` string.
pub(super) fn literal(text: &str) -> String {
    let clean: String = text.chars().filter(|c| *c != '\0').collect();
    let quoted = clean.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// What a server keeps of a password (RFC 5802, as PostgreSQL writes it): so the password itself is in no statement.
pub(super) fn verifier(password: &crate::Secret) -> String {
    postgres_protocol::password::scram_sha_256(password.reveal().as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a quoted identifier as the server's scanner does: what it means, and what comes after it.
    fn read_identifier(text: &str) -> Option<(String, &str)> {
        let mut rest = text.strip_prefix('"')?;
        let mut name = String::new();
        loop {
            let (before, after) = rest.split_once('"')?;
            name.push_str(before);
            match after.strip_prefix('"') {
                Some(more) => {
                    name.push('"');
                    rest = more;
                }
                None => return Some((name, after)),
            }
        }
    }

    /// Reads a literal as the server's scanner does, with `standard_conforming_strings` on and off.
    fn read_literal(text: &str, conforming: bool) -> Option<(String, &str)> {
        let (escapes, mut rest) = match text.strip_prefix("E'") {
            Some(rest) => (true, rest),
            None => (!conforming, text.strip_prefix('\'')?),
        };
        let mut value = String::new();
        loop {
            let mut chars = rest.chars();
            match chars.next()? {
                '\'' if chars.as_str().starts_with('\'') => {
                    value.push('\'');
                    rest = &chars.as_str()[1..];
                }
                '\'' => return Some((value, chars.as_str())),
                '\\' if escapes => {
                    // Only a backslash follows one of ours: any other escape would mean something else.
                    value.push('\\');
                    rest = chars.as_str().strip_prefix('\\')?;
                }
                other => {
                    value.push(other);
                    rest = chars.as_str();
                }
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_ends_an_identifier_but_its_end(name in r#"["'\\;a \-\n\x00é$]{0,20}"#, after in r#"[^"]{0,9}"#) {
            let text = identifier(&name) + &after;
            prop_assert_eq!(read_identifier(&text), Some((name.replace('\0', ""), after.as_str())));
        }

        #[test]
        fn nothing_ends_a_literal_but_its_end(value in r#"["'\\;a \-\n\x00é$]{0,20}"#, after in "[^']{0,9}") {
            let text = literal(&value) + &after;
            for conforming in [true, false] {
                prop_assert_eq!(read_literal(&text, conforming), Some((value.replace('\0', ""), after.as_str())));
            }
        }
    }

    proptest! {
        // Each takes thousands of rounds of a hash, on purpose.
        #![proptest_config(ProptestConfig::with_cases(4))]
        #[test]
        fn a_verifier_says_nothing_of_the_password(password in "[a-z0-9]{6,20}") {
            let verifier = verifier(&crate::Secret::new(password.clone()));
            prop_assert!(verifier.starts_with("SCRAM-SHA-256$4096:") && !verifier.contains('\''));
            prop_assert!(!verifier.contains(&password));
        }
    }
}
