//! The session's cookie: written so that only this host, only over TLS, and no script ever sees it.

use http::{HeaderMap, HeaderValue, header};

/// `__Host-` (RFC 6265bis, 4.1.3.2): a browser takes it only with `Secure`, `Path=/` and without a domain, so that no app below the
/// platform's domain can set or see it.
const NAME: &str = "__Host-adaptable";
/// As long as a session lives at most, in seconds.
const MAX_AGE: u32 = 30 * 24 * 3600;

/// What the session's cookie of a request holds, where it looks like one.
pub(crate) fn session(headers: &HeaderMap) -> Option<String> {
    value(headers, NAME).filter(|text| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// What a cookie of a request holds.
pub(crate) fn value(headers: &HeaderMap, name: &str) -> Option<String> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|header| header.to_str().ok()).flat_map(|text| text.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

/// The header that gives a browser its session.
pub(crate) fn set(text: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(&format!("{NAME}={text}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={MAX_AGE}"))
        .expect("digits and words");
    value.set_sensitive(true);
    value
}

/// The header that takes it away.
pub(crate) fn clear() -> HeaderValue {
    HeaderValue::from_static("__Host-adaptable=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sessions_cookie_is_found_among_others() {
        let text = "0123456789abcdef".repeat(4);
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("theme=dark; x=1"));
        assert_eq!(session(&headers), None);
        headers.append(header::COOKIE, HeaderValue::from_str(&format!("a=b; __Host-adaptable={text}")).expect("a value"));
        assert_eq!(session(&headers).as_deref(), Some(text.as_str()));
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("__Host-adaptable=short; adaptable=1"));
        assert_eq!(session(&headers), None);
    }
}
