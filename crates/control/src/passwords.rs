//! Passwords: argon2id, off the threads that serve, and only a few at once.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use rand::RngCore;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use api::{ErrorBody, ErrorCode};
use model::UserName;

use crate::error::{Result, internal};

/// OWASP's Password Storage Cheat Sheet: argon2id with 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
/// How many are computed at once: each takes 19 MiB and a core.
const AT_ONCE: usize = 2;
/// How many may wait for their turn; whoever comes then is told to come again.
const WAITING: usize = 32;
/// The shortest password, in characters. NIST SP 800-63B asks for eight at least.
pub const PASSWORD_MIN: usize = 10;
/// The longest password, in bytes: enough for any sentence.
pub const PASSWORD_MAX: usize = 500;

/// Computes hashes of passwords.
#[derive(Debug)]
pub(crate) struct Passwords {
    turns: Semaphore,
    places: Semaphore,
    /// What a password is compared with where there is none: as slow as with one.
    decoy: String,
    give_back: fn(),
}

impl Passwords {
    /// `give_back` is called after each, to give the memory that it took back to the machine.
    pub(crate) fn new(give_back: fn()) -> Self {
        let mut bytes = [0_u8; HASH_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        Self {
            turns: Semaphore::new(AT_ONCE),
            places: Semaphore::new(AT_ONCE + WAITING),
            decoy: written(&bytes[..SALT_BYTES], &bytes),
            give_back,
        }
    }

    /// The hash of a new password, as it is kept.
    pub(crate) async fn hash(&self, password: Zeroizing<String>) -> Result<String> {
        self.in_turn(move || {
            let mut salt = [0_u8; SALT_BYTES];
            rand::rng().fill_bytes(&mut salt);
            let hash = compute(MEMORY_KIB, PASSES, LANES, &salt, &password)?;
            Ok(written(&salt, hash.as_ref()))
        })
        .await
    }

    /// Whether a password is the one whose hash is kept. Takes as long where there is none.
    pub(crate) async fn verify(&self, password: Zeroizing<String>, kept: Option<String>) -> Result<bool> {
        let there = kept.is_some();
        let kept = kept.unwrap_or_else(|| self.decoy.clone());
        let same = self
            .in_turn(move || {
                let (memory, passes, lanes, salt, hash) =
                    read(&kept).ok_or_else(|| internal("read the hash of a password", &"it is not ours"))?;
                let found = compute(memory, passes, lanes, &salt, &password)?;
                Ok(bool::from(found.as_slice().ct_eq(&hash)))
            })
            .await?;
        Ok(same && there)
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let busy = |_| {
            ErrorBody::new(ErrorCode::RateLimited, "too many people are signing in at this moment")
                .help("try again in a few seconds")
        };
        let _place = self.places.try_acquire().map_err(busy)?;
        let _turn = self.turns.acquire().await.map_err(|closed| internal("hash a password", &closed))?;
        let give_back = self.give_back;
        let work = move || {
            let done = work();
            give_back();
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(|panicked| internal("hash a password", &panicked))?
    }
}

/// Refuses a password that is too short, too long, or the user's own name.
pub(crate) fn check(password: &str, name: &UserName) -> Result<()> {
    let bad = |message: String| {
        Err(ErrorBody::new(ErrorCode::BadRequest, message)
            .help("a sentence that only you know is good; a password manager is better"))
    };
    if password.chars().count() < PASSWORD_MIN {
        return bad(format!("a password has at least {PASSWORD_MIN} characters"));
    }
    if password.len() > PASSWORD_MAX {
        return bad(format!("a password has at most {PASSWORD_MAX} bytes"));
    }
    let lower = password.to_lowercase();
    let mut characters = lower.chars();
    let first = characters.next();
    if characters.all(|character| Some(character) == first) {
        return bad("a password is more than one character again and again".to_owned());
    }
    if lower.replace(name.as_str(), "").chars().count() < PASSWORD_MIN / 2 {
        return bad("a password is more than the user's name".to_owned());
    }
    Ok(())
}

fn compute(memory: u32, passes: u32, lanes: u32, salt: &[u8], password: &str) -> Result<Zeroizing<[u8; HASH_BYTES]>> {
    let params = Params::new(memory, passes, lanes, Some(HASH_BYTES)).map_err(|error| internal("hash a password", &error))?;
    let mut hash = Zeroizing::new([0_u8; HASH_BYTES]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), salt, hash.as_mut())
        .map_err(|error| internal("hash a password", &error))?;
    Ok(hash)
}

/// The form that the reference implementation writes: `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`.
fn written(salt: &[u8], hash: &[u8]) -> String {
    let encode = |bytes: &[u8]| BASE64_STANDARD_NO_PAD.encode(bytes);
    format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${}${}", encode(salt), encode(hash))
}

type Kept = (u32, u32, u32, Vec<u8>, Vec<u8>);

fn read(kept: &str) -> Option<Kept> {
    let rest = kept.strip_prefix("$argon2id$v=19$")?;
    let mut parts = rest.split('$');
    let (params, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
    let mut numbers = params.split(',');
    let mut number = |prefix: &str| numbers.next()?.strip_prefix(prefix)?.parse::<u32>().ok();
    let (memory, passes, lanes) = (number("m=")?, number("t=")?, number("p=")?);
    let decode = |text: &str| BASE64_STANDARD_NO_PAD.decode(text).ok();
    Some((memory, passes, lanes, decode(salt)?, decode(hash)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    #[tokio::test]
    async fn a_password_is_known_again_and_no_other() {
        let passwords = Passwords::new(|| ());
        let kept = passwords.hash(secret("correct horse battery")).await.expect("a hash");
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert_ne!(kept, passwords.hash(secret("correct horse battery")).await.expect("a hash"), "the salt is new each time");
        assert_eq!(passwords.verify(secret("correct horse battery"), Some(kept.clone())).await, Ok(true));
        assert_eq!(passwords.verify(secret("correct horse batterY"), Some(kept)).await, Ok(false));
        assert_eq!(passwords.verify(secret("anything"), None).await, Ok(false));
    }

    /// What the reference implementation writes is read: `echo -n password | argon2 somesalt -id -t 2 -k 65536 -p 1 -e`.
    #[tokio::test]
    async fn a_hash_of_other_parameters_is_verified() {
        let kept = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert_eq!(Passwords::new(|| ()).verify(secret("password"), Some(kept.to_owned())).await, Ok(true));
    }

    #[test]
    fn passwords_that_anybody_would_try_are_refused() {
        let name = UserName::parse("ada.lovelace").expect("a name");
        for bad in ["", "short", "ada.lovelace", "Ada.Lovelace1", "aaaaaaaaaaaaaa", &"x".repeat(501)] {
            assert!(check(bad, &name).is_err(), "{bad:?}");
        }
        for good in ["correct horse battery", "ünïcödé-wörds", "0123456789a"] {
            assert!(check(good, &name).is_ok(), "{good:?}");
        }
    }
}
