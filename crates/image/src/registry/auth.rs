//! How a registry wants to be asked: its challenge (RFC 9110, section 11.6.1), and the token that answers it.

use std::collections::BTreeMap;

use base64::Engine as _;
use http::HeaderValue;
use http::header::{HeaderMap, WWW_AUTHENTICATE};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::settings::Credentials;

/// What a registry wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token that somebody else gives out.
    Bearer {
        /// Where.
        realm: String,
        /// For whom.
        service: Option<String>,
    },
    /// Name and password.
    Basic,
}

/// The best challenge that an answer has.
pub(super) fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let mut basic = None;
    for value in headers.get_all(WWW_AUTHENTICATE) {
        for (scheme, parameters) in challenges(value.to_str().unwrap_or_default()) {
            if scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = parameters.get("realm")
            {
                return Some(Challenge::Bearer { realm: realm.clone(), service: parameters.get("service").cloned() });
            }
            if scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Challenge::Basic);
            }
        }
    }
    basic
}

/// Splits `Scheme key="value", key=value, Scheme …`.
fn challenges(text: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut found: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return found;
        }
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let word = &rest[..end];
        rest = rest[end..].trim_start_matches([' ', '\t']);
        let Some(value) = rest.strip_prefix('=').filter(|_| !word.is_empty()) else {
            if word.is_empty() {
                // A stray `=`: nothing that could be understood follows.
                return found;
            }
            found.push((word.to_owned(), BTreeMap::new()));
            continue;
        };
        let value = value.trim_start_matches([' ', '\t']);
        let (value, after) = if let Some(quoted) = value.strip_prefix('"') {
            unquote(quoted)
        } else {
            let end = value.find([' ', '\t', ',']).unwrap_or(value.len());
            (value[..end].to_owned(), &value[end..])
        };
        rest = after;
        if let Some((_, parameters)) = found.last_mut() {
            parameters.entry(word.to_ascii_lowercase()).or_insert(value);
        }
    }
}

/// A quoted text whose first quote is gone, and what follows it.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

/// `Authorization` with name and password.
pub(super) fn basic(credentials: &Credentials) -> Option<HeaderValue> {
    let text = format!("{}:{}", credentials.user, credentials.password);
    let mut value = HeaderValue::from_str(&format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Where a token is asked for: the realm with what it is to be for, and nothing more than reading this one repository.
pub(super) fn token_address(realm: &str, service: Option<&str>, repository: &str) -> String {
    let mut address = realm.to_owned();
    let mut join = if realm.contains('?') { '&' } else { '?' };
    let scope = format!("repository:{repository}:pull");
    for (name, value) in service.map(|service| ("service", service)).into_iter().chain([("scope", scope.as_str())]) {
        address.push(join);
        address.push_str(name);
        address.push('=');
        address.push_str(&encoded(value));
        join = '&';
    }
    address
}

/// What is encoded in the value of a query.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b'/');

/// A text as a value in a query: unreserved characters, and those of scopes that need no encoding there, stay.
fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// `Authorization` with the token in an answer.
pub(super) fn bearer(document: &[u8]) -> Option<HeaderValue> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        token: Option<String>,
        #[serde(default)]
        access_token: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(document).ok()?;
    let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty())?;
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for text in texts {
            headers.append(WWW_AUTHENTICATE, text.parse().expect("a header"));
        }
        challenge(&headers)
    }

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        let usual = r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#;
        assert_eq!(of(&[usual]), bearer("https://auth.example/token", Some("registry.example")));
        assert_eq!(of(&[r#"Basic realm="x""#]), Some(Challenge::Basic));
        assert_eq!(of(&[r#"Basic realm="x""#, r#"bearer Realm = "y z" , x=1"#]), bearer("y z", None));
        assert_eq!(of(&[r#"Basic realm="Bearer realm=\"evil\"", Bearer realm=plain"#]), bearer("plain", None));
        assert_eq!(of(&[]), None);
        for odd in ["", "=", "Bearer", "Bearer realm", "Negotiate", ",,,=x", "Bearer =\"", "Bearer realm=\"open\\"] {
            let _no_panic = of(&[odd]);
        }
    }

    #[test]
    fn a_token_is_asked_for_one_repository_alone() {
        let address = token_address("https://a.b/t?x=1", Some("a b&scope=evil"), "lib/x");
        assert_eq!(address, "https://a.b/t?x=1&service=a%20b%26scope%3Devil&scope=repository:lib/x:pull");
        assert_eq!(bearer(br#"{"access_token":"t"}"#).expect("a token"), "Bearer t");
        assert_eq!(bearer(br#"{"token":"a","access_token":"b"}"#).expect("a token"), "Bearer a");
        for bad in [&b"{}"[..], b"", br#"{"token":""}"#, br#"{"token":"a\nb"}"#] {
            assert!(bearer(bad).is_none());
        }
    }
}
