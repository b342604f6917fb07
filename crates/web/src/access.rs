//! Who sends a request: the operator by the Unix socket, or the bearer of a token.

use axum::extract::{FromRequestParts, Path};
use control::{Access, Control, Who, may};
use http::header;
use http::request::Parts;
use model::AppName;
use serde::Deserialize;

use crate::answer::Problem;

/// Put among the extensions of requests that come by the platform's own socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FromSocket;

/// The token of a request: `Authorization: Bearer`, or `Basic` as git sends it, with the token as the password.
fn token(parts: &Parts) -> Option<String> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let plain = String::from_utf8(base64(rest.trim())?).ok()?;
        return plain.split_once(':').map(|(_user, password)| password.to_owned());
    }
    None
}

/// Base64 (RFC 4648, section 4), with or without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

pub(crate) async fn who(parts: &Parts, control: &Control) -> Result<Who, Problem> {
    if parts.extensions.get::<FromSocket>().is_some() {
        return Ok(Who::Operator);
    }
    Ok(control.who(token(parts)).await?)
}

/// A request for one app by somebody who may.
#[derive(Debug)]
pub(crate) struct ForApp(pub(crate) AppName);

/// A request that concerns the whole platform by somebody who may.
#[derive(Debug)]
pub(crate) struct ForPlatform;

/// A request by somebody with any valid token.
#[derive(Debug)]
pub(crate) struct ForAnyone;

#[derive(Deserialize)]
struct AppPath {
    app: String,
}

impl FromRequestParts<Control> for ForApp {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Problem> {
        let who = who(parts, control).await?;
        let Path(path) =
            Path::<AppPath>::from_request_parts(parts, control).await.map_err(|error| Problem::bad_request(error.body_text()))?;
        // Nobody learns what is a name and what is not.
        let app = match AppName::parse(&path.app) {
            Ok(app) => app,
            Err(error) => {
                may(&who, &Access::Hello)?;
                return Err(Problem::bad_request(error.to_string()));
            }
        };
        may(&who, &Access::App(&app))?;
        Ok(Self(app))
    }
}

impl FromRequestParts<Control> for ForPlatform {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Problem> {
        may(&who(parts, control).await?, &Access::Platform)?;
        Ok(Self)
    }
}

impl FromRequestParts<Control> for ForAnyone {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Problem> {
        may(&who(parts, control).await?, &Access::Hello)?;
        Ok(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_as_git_writes_it() {
        assert_eq!(base64("Z2l0OmFkcHRfMTIz").as_deref(), Some(&b"git:adpt_123"[..]));
        assert_eq!(base64("Zm9vYg==").as_deref(), Some(&b"foob"[..]));
        assert_eq!(base64("Zm9vYmE=").as_deref(), Some(&b"fooba"[..]));
        assert_eq!(base64("").as_deref(), Some(&b""[..]));
        assert_eq!(base64("a b"), None);
    }
}
