//! How often somebody may try: a few tries at once, then one at a time, for each key (an address, an account).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The most keys that are remembered; those that could try as if they were new go first.
const KEYS_MAX: usize = 20_000;

/// A limit: so many tries at once, and one more each so many milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    /// How many tries at once.
    pub(crate) burst: u32,
    /// After how many milliseconds one more.
    pub(crate) refill: i64,
}

/// Counts tries. For each key it keeps one number: the time at which all of its tries would be there again (the generic cell rate
/// algorithm of ITU-T I.371).
#[derive(Debug)]
pub(crate) struct Tries {
    limit: Limit,
    full_at: Mutex<HashMap<String, i64>>,
}

impl Tries {
    pub(crate) fn new(limit: Limit) -> Self {
        Self { limit, full_at: Mutex::default() }
    }

    /// Takes a try, or says after how many milliseconds there is one.
    pub(crate) fn take(&self, key: &str, now: i64) -> Result<(), i64> {
        let Limit { burst, refill } = self.limit;
        let mut all = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEYS_MAX && !all.contains_key(key) {
            all.retain(|_, full_at| *full_at > now);
            if all.len() >= KEYS_MAX {
                // Rather nobody new for a moment than anybody without limit.
                return Err(refill);
            }
        }
        let full_at = all.get(key).copied().unwrap_or(now).max(now) + refill;
        let room = now + i64::from(burst) * refill;
        if full_at > room {
            return Err(full_at - room);
        }
        all.insert(key.to_owned(), full_at);
        Ok(())
    }

    /// Gives a try back: it was a good one.
    pub(crate) fn give_back(&self, key: &str) {
        let mut all = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(full_at) = all.get_mut(key) {
            *full_at -= self.limit.refill;
        }
    }
}

/// The key of an address: of IPv6 the network, since whoever has one address there has 2⁶⁴.
pub(crate) fn address_key(address: &str) -> String {
    match address.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V6(v6)) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_run_out_and_come_back() {
        let tries = Tries::new(Limit { burst: 3, refill: 1000 });
        for _ in 0..3 {
            assert_eq!(tries.take("a", 0), Ok(()));
        }
        assert_eq!(tries.take("a", 0), Err(1000));
        assert_eq!(tries.take("b", 0), Ok(()), "each key has its own");
        assert_eq!(tries.take("a", 999), Err(1));
        assert_eq!(tries.take("a", 1000), Ok(()));
        assert!(tries.take("a", 1000).is_err());
        tries.give_back("a");
        assert_eq!(tries.take("a", 1000), Ok(()));
        for _ in 0..3 {
            assert_eq!(tries.take("a", 100_000), Ok(()));
        }
        assert!(tries.take("a", 100_000).is_err());
    }

    #[test]
    fn the_table_is_bounded() {
        let tries = Tries::new(Limit { burst: 1, refill: 1000 });
        for number in 0..KEYS_MAX {
            assert_eq!(tries.take(&number.to_string(), 0), Ok(()));
        }
        assert!(tries.take("one more", 0).is_err());
        assert_eq!(tries.take("one more", 2000), Ok(()));
    }

    #[test]
    fn addresses_of_one_network_count_together() {
        assert_eq!(address_key("2001:db8::1"), address_key("2001:db8::ffff:1"));
        assert_ne!(address_key("2001:db8::1"), address_key("2001:db8:0:1::1"));
        assert_ne!(address_key("192.0.2.1"), address_key("192.0.2.2"));
    }
}
