//! A database beside an app: its name, and what its owner may set.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::{AppName, clip};

/// The name of a database and of the user whose it is: `[a-z][a-z0-9_]{0,62}`, an identifier everywhere without quotes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatabaseName(String);

/// A text that is no name of a database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a database: it begins with a letter and has lower-case letters, digits and _")]
pub struct DatabaseNameError(String);

impl DatabaseName {
    /// Checks a text from outside.
    pub fn parse(text: &str) -> Result<Self, DatabaseNameError> {
        let shape = (1..=63).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if shape { Ok(Self(text.to_owned())) } else { Err(DatabaseNameError(clip(text))) }
    }

    /// The name of an app's database. No two apps have the same, since no app's name has a `_`; and none is a word that means
    /// something to a server (`postgres`, `admin`, `master`, `user`).
    pub fn of(app: &AppName) -> Self {
        Self(format!("app_{}", app.as_str().replace('-', "_")))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for DatabaseName {
    type Error = DatabaseNameError;
    fn try_from(text: String) -> Result<Self, DatabaseNameError> {
        Self::parse(&text)
    }
}

impl From<DatabaseName> for String {
    fn from(name: DatabaseName) -> Self {
        name.0
    }
}

/// Extensions of PostgreSQL that an app may ask for: what they add stays within its own database.
pub const EXTENSIONS: [&str; 16] = [
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "earthdistance",
    "fuzzystrmatch",
    "hstore",
    "intarray",
    "isn",
    "ltree",
    "pg_trgm",
    "pgcrypto",
    "tablefunc",
    "unaccent",
    "uuid-ossp",
    "vector",
];

/// What an app's owner may set of its database: the part `database` of the settings document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DatabaseSettings {
    /// Connections that may be open at the same time, 1 to 1000.
    pub max_connections: u32,
    /// What it may hold, in MB; above it writes are refused. 16 to 16,777,216.
    pub storage: u64,
    /// Extensions, by name (PostgreSQL).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
    /// The addresses, or networks (`192.0.2.0/24`), that may reach it from outside; nobody where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Whether its changes are archived as they are made, so that it can be restored to any moment (PostgreSQL).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub point_in_time: bool,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self { max_connections: 100, storage: 10 * 1024, extensions: Vec::new(), allow: Vec::new(), point_in_time: false }
    }
}

impl DatabaseSettings {
    /// What is wrong with it, by key below `database`.
    pub(crate) fn violations(&self, say: &mut dyn FnMut(&str, String)) {
        if !(1..=1000).contains(&self.max_connections) {
            say("database.maxConnections", "must be from 1 to 1000".to_owned());
        }
        if !(16..=16_777_216).contains(&self.storage) {
            say("database.storage", "must be a number of MB from 16 to 16777216".to_owned());
        }
        for (index, name) in self.extensions.iter().enumerate() {
            if !EXTENSIONS.contains(&name.as_str()) {
                say(&format!("database.extensions[{index}]"), format!("there are {}", EXTENSIONS.join(", ")));
            }
        }
        for (index, network) in self.allow.iter().enumerate() {
            if Network::parse(network).is_none() {
                say(&format!("database.allow[{index}]"), "must be an address or a network, as in 192.0.2.0/24".to_owned());
            }
        }
    }
}

/// Addresses that begin with the same bits (RFC 4632, section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: std::net::IpAddr,
    bits: u8,
}

impl Network {
    /// Reads `192.0.2.0/24`, or a single address.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().ok().filter(|_| !bits.starts_with('+'))?)),
            None => (text, None),
        };
        let address: std::net::IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Self { address, bits })
    }

    /// Whether an address lies in it. One of version 4 that is written as one of version 6 counts as what it is.
    pub fn contains(&self, address: std::net::IpAddr) -> bool {
        use std::net::IpAddr;
        let differ = |one: u128, other: u128, width: u8| self.bits > 0 && (one ^ other) >> (width - self.bits) != 0;
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => !differ(u128::from(own.to_bits()), u128::from(other.to_bits()), 32),
            (IpAddr::V6(own), IpAddr::V6(other)) => !differ(own.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_identifiers() {
        assert_eq!(DatabaseName::of(&AppName::parse("my-shop").expect("a name")).as_str(), "app_my_shop");
        for bad in ["", "1a", "a-b", "a b", "A", "a\"", "a'; drop table x", "a\0", "ä", "_a"] {
            assert!(DatabaseName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn networks_are_read_and_hold_their_addresses() {
        let network = Network::parse("192.0.2.0/24").expect("a network");
        let holds = |text: &str| network.contains(text.parse().expect("an address"));
        assert!(holds("192.0.2.7") && holds("::ffff:192.0.2.7") && !holds("192.0.3.7") && !holds("2001:db8::1"));
        assert!(Network::parse("0.0.0.0/0").expect("all").contains("198.51.100.1".parse().expect("an address")));
        assert!(Network::parse("2001:db8::/32").expect("a network").contains("2001:db8::1".parse().expect("an address")));
        for bad in ["", "a", "192.0.2.0/33", "192.0.2.0/-1", "192.0.2.0/+8", "192.0.2", "192.0.2.0/24/8"] {
            assert!(Network::parse(bad).is_none(), "{bad}");
        }
    }
}
