//! Whether a delivery is GitHub's: its signature.

use aws_lc_rs::hmac;

use crate::secret::Secret;

/// Why a delivery is not taken. Whoever sent it is told nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no secret, so that nothing can be known to be GitHub's.
    #[error("there is no webhook secret, so no delivery is taken")]
    NoSecret,
    /// `X-Hub-Signature-256` is missing.
    #[error("the delivery is not signed (X-Hub-Signature-256)")]
    Missing,
    /// The header is not of the form `sha256=` and 64 hexadecimal digits.
    #[error("the delivery's signature is none (X-Hub-Signature-256 is sha256= and 64 hexadecimal digits)")]
    Malformed,
    /// The signature is not that of this body with this secret.
    #[error("the delivery's signature is wrong")]
    Wrong,
}

const SCHEME: &str = "sha256=";

/// Checks a delivery: `signature` is the value of `X-Hub-Signature-256`, `body` the bytes as they came. The comparison takes the same time
/// wherever a signature is wrong. `X-Hub-Signature` (SHA-1) counts for nothing. (GitHub Docs, "Validating webhook deliveries".)
pub fn verify(secret: &Secret, signature: Option<&str>, body: &[u8]) -> Result<(), SignatureError> {
    if secret.is_empty() {
        return Err(SignatureError::NoSecret);
    }
    let digits = signature.ok_or(SignatureError::Missing)?.strip_prefix(SCHEME).ok_or(SignatureError::Malformed)?;
    let tag = bytes(digits).ok_or(SignatureError::Malformed)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes());
    hmac::verify(&key, body, &tag).map_err(|_wrong| SignatureError::Wrong)
}

/// The signature of a body: what `X-Hub-Signature-256` is to be.
pub fn sign(secret: &Secret, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes());
    let mut signature = SCHEME.to_owned();
    for byte in hmac::sign(&key, body).as_ref() {
        for digit in [byte >> 4, byte & 15] {
            signature.push(char::from_digit(u32::from(digit), 16).unwrap_or_default());
        }
    }
    signature
}

/// 64 hexadecimal digits as 32 bytes.
fn bytes(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(0)? << 4 | digit(1)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GitHub Docs, "Validating webhook deliveries", "Testing the webhook payload validation".
    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    #[test]
    fn the_documented_signature_is_right() {
        let secret = Secret::new(SECRET);
        assert_eq!(sign(&secret, BODY), SIGNATURE);
        assert_eq!(verify(&secret, Some(SIGNATURE), BODY), Ok(()));
        assert_eq!(verify(&secret, Some(&SIGNATURE.to_uppercase().replace("SHA", "sha")), BODY), Ok(()));
    }

    #[test]
    fn nothing_else_is() {
        let secret = Secret::new(SECRET);
        let refused = |signature: Option<&str>| verify(&secret, signature, BODY).expect_err("it is refused");
        assert_eq!(refused(None), SignatureError::Missing);
        for malformed in ["", "sha256=", &SIGNATURE[7..], &format!("{SIGNATURE}0"), &SIGNATURE[..70], "sha256=zz", "sha1=0123"] {
            assert_eq!(refused(Some(malformed)), SignatureError::Malformed, "{malformed:?}");
        }
        let odd = format!("sha256={}", "ä".repeat(32));
        assert_eq!(refused(Some(&odd)), SignatureError::Malformed);
        assert_eq!(refused(Some(&SIGNATURE.replace("757", "758"))), SignatureError::Wrong);
        assert_eq!(verify(&secret, Some(SIGNATURE), b"Hello, World?"), Err(SignatureError::Wrong));
        assert_eq!(verify(&Secret::new("another"), Some(SIGNATURE), BODY), Err(SignatureError::Wrong));
    }

    #[test]
    fn no_secret_lets_nobody_in() {
        let none = Secret::default();
        let forged = sign(&none, BODY);
        assert_eq!(verify(&none, Some(&forged), BODY), Err(SignatureError::NoSecret));
    }
}
