//! How many connections each client has open.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Connections by client, while there are any.
#[derive(Debug, Default)]
pub(super) struct Clients(Mutex<HashMap<IpAddr, usize>>);

impl Clients {
    /// Counts one more connection; whether it is within the limit. It is counted either way, until [`Clients::leave`].
    pub(super) fn enter(&self, client: IpAddr, limit: usize) -> bool {
        let mut clients = self.lock();
        let count = clients.entry(client).or_default();
        *count += 1;
        *count <= limit
    }

    /// Counts one less.
    pub(super) fn leave(&self, client: IpAddr) {
        let mut clients = self.lock();
        if let Some(count) = clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&client);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Each change is whole, so a panic elsewhere under the lock left the counts right.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whom an address stands for: itself, or its network of 64 bits, within which a subscriber may take any address of IPv6.
/// `None` for this machine.
pub(super) fn client(addr: IpAddr) -> Option<IpAddr> {
    let client = match addr.to_canonical() {
        IpAddr::V4(addr) => IpAddr::V4(addr),
        IpAddr::V6(addr) if addr.is_loopback() => IpAddr::V6(addr),
        IpAddr::V6(addr) => IpAddr::V6(Ipv6Addr::from_bits(addr.to_bits() & !u128::from(u64::MAX))),
    };
    (!client.is_loopback()).then_some(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_addresses_or_networks() {
        let of = |text: &str| client(text.parse().unwrap()).map(|client| client.to_string());
        assert_eq!(of("192.0.2.7").as_deref(), Some("192.0.2.7"));
        assert_eq!(of("::ffff:192.0.2.7").as_deref(), Some("192.0.2.7"));
        assert_eq!(of("2001:db8:1:2:3:4:5:6").as_deref(), Some("2001:db8:1:2::"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!((of("127.0.0.1"), of("127.8.8.8"), of("::1"), of("::ffff:127.0.0.1")), (None, None, None, None));
    }

    #[test]
    fn what_has_left_is_forgotten() {
        let clients = Clients::default();
        let (one, two) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        assert_eq!([1, 2, 3].map(|_| clients.enter(one, 2)), [true, true, false]);
        assert!(clients.enter(two, 2), "another client");
        clients.leave(one);
        clients.leave(one);
        assert!(clients.enter(one, 2));
        for client in [one, one, two] {
            clients.leave(client);
        }
        assert!(clients.lock().is_empty());
    }
}
