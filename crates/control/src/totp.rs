//! The second factor: codes that change with time (RFC 6238), each taken once, and codes for whoever has lost the authenticator.

use hmac::{Hmac, KeyInit, Mac};
use rand::RngCore;
use sha1::Sha1;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A code's life, in seconds; what every authenticator takes for granted.
const STEP: i64 = 30;
const DIGITS: u32 = 6;
/// How many steps a clock may be off, either way (RFC 6238, 5.2).
const SKEW: i64 = 1;
/// As long as SHA-1's output (RFC 4226, 4, R6).
const SECRET_BYTES: usize = 20;
/// How many codes for emergencies there are.
const RECOVERY_CODES: usize = 10;
/// RFC 4648, section 6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Letters and digits that nobody takes for one another: 32 of them, hence five bits each.
const PLAIN: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A new secret.
pub(crate) fn secret() -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(vec![0_u8; SECRET_BYTES]);
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// A secret as people type it into an authenticator.
pub(crate) fn base32(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 8 / 5 + 1));
    let (mut bits, mut count) = (0_u32, 0_u32);
    for byte in bytes {
        bits = (bits << 8) | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(char::from(BASE32[(bits >> count) as usize & 31]));
        }
    }
    if count > 0 {
        text.push(char::from(BASE32[(bits << (5 - count)) as usize & 31]));
    }
    text
}

/// The other way; `None` where it is none.
pub(crate) fn from_base32(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES));
    let (mut bits, mut count) = (0_u32, 0_u32);
    for letter in text.bytes() {
        let value = BASE32.iter().position(|known| *known == letter)?;
        bits = (bits << 5) | u32::try_from(value).ok()?;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    (bytes.len() == SECRET_BYTES).then_some(bytes)
}

/// What the picture says that an authenticator reads: Google's key URI format, which all of them take.
pub(crate) fn url(issuer: &str, account: &str, secret: &[u8]) -> Zeroizing<String> {
    // Both are host and user names: no character of them needs an escape.
    Zeroizing::new(format!(
        "otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={STEP}",
        *base32(secret)
    ))
}

/// The step whose code this is, at that time in milliseconds.
pub(crate) fn step_of(secret: &[u8], code: &str, now: i64) -> Option<i64> {
    let code: String = code.chars().filter(|character| !character.is_whitespace()).collect();
    let current = now / 1000 / STEP;
    // All are looked at, whichever it is.
    (current - SKEW..=current + SKEW).fold(None, |found, step| {
        let same = bool::from(code_at(secret, step).as_bytes().ct_eq(code.as_bytes()));
        if same { Some(step) } else { found }
    })
}

/// RFC 4226, 5.3: the low 31 bits of four bytes of the hash, at a place that the hash itself names.
fn code_at(secret: &[u8], step: i64) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).expect("a key of any length is good");
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let offset = usize::from(hash[hash.len() - 1] & 15);
    let number = hash[offset..offset + 4].iter().fold(0_u32, |number, byte| (number << 8) | u32::from(*byte)) & 0x7fff_ffff;
    format!("{:06}", number % 10_u32.pow(DIGITS))
}

/// New codes for emergencies: 80 random bits each, in four groups of four.
pub(crate) fn recovery_codes() -> Vec<String> {
    let one = || {
        let mut bytes = [0_u8; 16];
        rand::rng().fill_bytes(&mut bytes);
        let letters: Vec<u8> = bytes.iter().map(|byte| PLAIN[usize::from(byte & 31)]).collect();
        letters.chunks(4).map(|group| String::from_utf8_lossy(group).into_owned()).collect::<Vec<_>>().join("-")
    };
    (0..RECOVERY_CODES).map(|_| one()).collect()
}

/// A code as somebody types it: in whatever case, with whatever between the groups.
pub(crate) fn typed_recovery_code(text: &str) -> Option<String> {
    let letters: Vec<u8> = text.to_lowercase().bytes().filter(|byte| PLAIN.contains(byte)).collect();
    (letters.len() == 16)
        .then(|| letters.chunks(4).map(|group| String::from_utf8_lossy(group).into_owned()).collect::<Vec<_>>().join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B: the last six of its eight digits.
    #[test]
    fn codes_are_those_of_the_rfc() {
        let secret = b"12345678901234567890";
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code_at(secret, seconds / STEP), code, "{seconds}");
            assert_eq!(step_of(secret, code, seconds * 1000), Some(seconds / STEP));
        }
    }

    #[test]
    fn a_code_is_good_for_a_step_around_its_own() {
        let secret = secret();
        let code = code_at(&secret, 1000);
        let at = |step: i64| step_of(&secret, &code, step * STEP * 1000);
        assert_eq!((at(999), at(1000), at(1001)), (Some(1000), Some(1000), Some(1000)));
        assert_eq!((at(997), at(1003)), (None, None));
        let spaced = format!(" {} {} ", &code[..3], &code[3..]);
        assert_eq!(step_of(&secret, &spaced, 1000 * STEP * 1000), Some(1000));
        assert_eq!(step_of(&secret, "", 0), None);
    }

    /// RFC 4648, section 10.
    #[test]
    fn base32_is_that_of_the_rfc() {
        for (plain, text) in [("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foob", "MZXW6YQ"), ("foobar", "MZXW6YTBOI")] {
            assert_eq!(*base32(plain.as_bytes()), text);
        }
        let secret = secret();
        assert_eq!(from_base32(&base32(&secret)), Some(secret));
        assert_eq!(from_base32("MY"), None);
    }

    #[test]
    fn recovery_codes_differ_and_are_read_back() {
        let codes = recovery_codes();
        assert_eq!(codes.len(), RECOVERY_CODES);
        assert_ne!(codes[0], codes[1]);
        for code in codes {
            let typed = code.to_uppercase().replace('-', " ");
            assert_eq!(typed_recovery_code(&typed).as_deref(), Some(code.as_str()));
        }
        assert_eq!(typed_recovery_code("123456"), None);
    }
}
