//! An address within this platform, to come back to after signing in: never one that leads elsewhere.

/// The longest, in bytes.
const MAX: usize = 2000;

/// A path of our own, with its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalPath(String);

impl LocalPath {
    /// Checks a text from outside. Browsers take `//host` and `/\host` for other hosts and drop tabs and line ends before they look
    /// (WHATWG URL, 4.4), so only visible ASCII without a backslash is taken, and no second slash after the first.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        let local = text.starts_with('/') && !text.starts_with("//");
        (plain && local && text.len() <= MAX).then(|| Self(text.to_owned()))
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As the query of the address of the page for signing in.
    pub fn as_query(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).append_pair("next", self.as_str()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_our_own_are_taken() {
        for good in ["/", "/apps", "/apps/shop?tour=1", "/new/12/repository", "/a//b", "/@evil.example", "/%2f%2fevil.example"] {
            assert!(LocalPath::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "apps",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https:evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/\t/evil.example",
            "/\n/evil.example",
            " /apps",
            "/apps\r\nset-cookie: a=b",
            "/äpps",
        ] {
            assert!(LocalPath::parse(bad).is_none(), "{bad:?}");
        }
        assert!(LocalPath::parse(&format!("/{}", "a".repeat(MAX))).is_none());
        let query = LocalPath::parse("/apps/shop?tour=1&x=2").map(|path| path.as_query());
        assert_eq!(query.as_deref(), Some("next=%2Fapps%2Fshop%3Ftour%3D1%26x%3D2"));
    }
}
