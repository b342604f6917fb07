//! Host names as visitors send them: checked, in lower case, without a port.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is not a host name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a host name: labels of letters, digits, '-' and '_' between dots, or an IP address")]
pub struct HostError(String);

/// A host name or an IP address (a version 6 one in brackets), in lower case, without a port and without a final dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Arc<str>);

impl HostName {
    /// Checks a text from outside. A port is not part of a name, and refused.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        match split(text) {
            Some((name, None)) => Ok(Self(Arc::from(name))),
            _ => Err(HostError(text.chars().take(80).collect())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address, where the name is one.
    pub fn ip(&self) -> Option<std::net::IpAddr> {
        self.0.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// Whether this name is `domain` or lies below it.
    pub fn is_within(&self, domain: &str) -> bool {
        self.0.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HostName {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        Self::parse(text)
    }
}

impl Borrow<str> for HostName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Splits `HOST` or `HOST:PORT` into the name in lower case and the port; `None` for anything else.
pub(crate) fn split(text: &str) -> Option<(Cow<'_, str>, Option<u16>)> {
    if text.starts_with('[') {
        let end = text.find(']')?;
        text[1..end].parse::<Ipv6Addr>().ok()?;
        return Some((lower(&text[..=end]), port(&text[end + 1..]).ok()?));
    }
    let (name, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
    let name = name.strip_suffix('.').unwrap_or(name);
    is_name(name).then(|| lower(name)).zip(port(rest).ok())
}

/// What stands behind a host is not `:PORT`.
struct NotAPort;

/// The port behind a host, if there is one.
fn port(rest: &str) -> Result<Option<u16>, NotAPort> {
    let Some(digits) = rest.strip_prefix(':') else {
        return if rest.is_empty() { Ok(None) } else { Err(NotAPort) };
    };
    let decimal = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    decimal.then(|| digits.parse().ok()).flatten().map(Some).ok_or(NotAPort)
}

fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // What ends in a number is an address or nothing: `127.1` must not become a name that means 127.0.0.1 elsewhere.
    let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    name.len() <= 253 && name.split('.').all(label) && (!numeric || name.parse::<Ipv4Addr>().is_ok())
}

fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let cases = [
            ("app.localhost", Some(("app.localhost", None))),
            ("APP.Localhost.:8443", Some(("app.localhost", Some(8443)))),
            ("[::1]:443", Some(("[::1]", Some(443)))),
            ("127.0.0.1", Some(("127.0.0.1", None))),
            ("127.1", None),
            ("", None),
            ("a..b", None),
            ("a:", None),
            ("a:b", None),
            ("a:+80", None),
            ("a:99999", None),
            ("a:80:80", None),
            ("a b", None),
            ("a/b", None),
            ("user@host", None),
            ("-a.b", None),
            ("[::1", None),
            ("[::1]x", None),
            ("[zz]", None),
        ];
        for (text, expected) in cases {
            let got = split(text);
            let got = got.as_ref().map(|(name, port)| (name.as_ref(), *port));
            assert_eq!(got, expected, "{text:?}");
        }
    }

    #[test]
    fn a_domain_holds_itself_and_what_is_below() {
        let host = HostName::parse("a.localhost").unwrap();
        assert!(host.is_within("localhost") && host.is_within("a.localhost"));
        assert!(!host.is_within("ocalhost") && !host.is_within("b.a.localhost"));
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_settles(text in "\\PC{0,80}") {
            if let Ok(host) = HostName::parse(&text) {
                prop_assert_eq!(HostName::parse(host.as_str()).unwrap(), host.clone());
                prop_assert!(!host.as_str().bytes().any(|b| b.is_ascii_uppercase() || b.is_ascii_whitespace() || b == b'/'));
            }
        }

        #[test]
        fn a_name_survives_its_port(name in "[a-z][a-z0-9]{0,20}(\\.[a-z][a-z0-9]{0,9}){0,3}", number in any::<u16>()) {
            let text = format!("{name}:{number}");
            let (host, port) = split(&text).unwrap();
            prop_assert_eq!(host.as_ref(), name.as_str());
            prop_assert_eq!(port, Some(number));
        }
    }
}
