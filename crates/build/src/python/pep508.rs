//! The reader of requirements that we use, kept from texts over which it panics.

use pep508_rs::{Pep508Error, Requirement, VerbatimUrl};

/// Reads a requirement as PEP 508 has it; else what is wrong with it, in small letters.
pub(crate) fn read(text: &str) -> Result<Requirement<VerbatimUrl>, String> {
    if let Some(name) = unfinished(text) {
        return Err(format!("the name `{name}` must end with a letter or a digit"));
    }
    // A requirement is ASCII. The reader counts bytes where it means characters, and panics within one.
    if let Some(other) = text.chars().find(|c| !c.is_ascii()) {
        return Err(format!("`{other}` has no place in a requirement"));
    }
    text.parse().map_err(|error: Pep508Error<VerbatimUrl>| error.message.to_string().to_lowercase())
}

/// A name, or an extra's, that ends in punctuation: `pep508_rs` 0.9 takes it for valid first and finds out when it is too late.
fn unfinished(text: &str) -> Option<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    let text = text.trim_start();
    let (name, rest) = text.split_at(text.find(|c| !is_part(c)).unwrap_or(text.len()));
    let listed = rest.trim_start().strip_prefix('[').map_or("", |rest| rest.split(']').next().unwrap_or(rest));
    // An extra ends with its last character that can be one, whatever stands behind it.
    let extras = listed.split(',').map(|extra| {
        let extra = extra.trim_start();
        &extra[..extra.find(|c| !is_part(c)).unwrap_or(extra.len())]
    });
    std::iter::once(name).chain(extras).find(|name| name.ends_with(['.', '-', '_']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_end_in_punctuation_are_refused_and_no_panic() {
        for text in [
            "p_",
            "p_[x]",
            "p- >=3",
            "p. @ https://x/y",
            "p[a_]",
            "p[a, b-]>=1",
            "p[a. ]",
            "p [ x_ , y ]",
            " p_ ; python_version < '3'",
        ] {
            assert!(read(text).is_err_and(|error| error.contains("must end with")), "{text}");
        }
        for text in ["p ; python_version < \"3.12\"\u{d9}", "p\u{e4}", "p>=1\u{2026}"] {
            assert!(read(text).is_err_and(|error| error.contains("has no place")), "{text}");
        }
        for text in ["p", "a_b", "a.b-c>=1", "p[a_b,c]==1.*", "p [ x ] ; python_version < '3'"] {
            assert!(read(text).is_ok(), "{text}: {:?}", read(text));
        }
    }
}
