//! Texts handed out once (tokens, cookies, links): random, and kept as their hash alone.

use rand::RngCore;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A prefix and 256 random bits in hexadecimal digits.
pub(crate) fn random(prefix: &str) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    rand::rng().fill_bytes(bytes.as_mut());
    let mut text = Zeroizing::new(String::with_capacity(prefix.len() + 64));
    text.push_str(prefix);
    hexadecimal(bytes.as_ref(), &mut text);
    text
}

/// 256 random bits in hexadecimal digits, for what is kept elsewhere than here.
pub fn random_text() -> Zeroizing<String> {
    random("")
}

/// Appends bytes as hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).expect("a half byte is a digit"));
        }
    }
}

/// The hash by which a text that was handed out once is known. 256 random bits can't be guessed, so a plain one protects them; a slow one
/// would only slow each request.
pub fn hash(text: &str) -> Vec<u8> {
    Sha256::digest(text.as_bytes()).to_vec()
}
