//! Where the one server of a kind is that all apps share: an existing one, a program on this machine, or an image.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};

use engine::{HostEntry, Link};

use crate::{DatabaseError, Result};

/// Where a shared server is, as the operator said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place<U> {
    /// It runs already, and is reached by this address; nobody starts or stops it here.
    Existing(U),
    /// The platform runs this program of the machine's, below `/usr` or `/opt`.
    Program(PathBuf),
    /// The platform runs this image, by its name: `docker.io/library/mongo:8`.
    Image(String),
}

/// What a kind of server is called, and where it usually is.
pub(crate) struct Usual {
    /// The setting's key.
    pub(crate) key: &'static str,
    /// How its addresses begin, for the error's text.
    pub(crate) schemes: &'static str,
    /// Where its program lies, the likeliest first.
    pub(crate) programs: &'static [&'static str],
    /// The vendor's image.
    pub(crate) image: &'static str,
}

impl<U> Place<U> {
    /// Reads a setting: an address, `program`, `program:/PATH`, `image` or `image:NAME`.
    pub(crate) fn read(text: &str, usual: &Usual, address: impl FnOnce(&str) -> Result<U>) -> Result<Self> {
        let text = text.trim();
        match text.split_once(':') {
            None if text == "program" => Ok(Self::Program(usual.program().unwrap_or_else(|| PathBuf::from(usual.programs[0])))),
            None if text == "image" => Ok(Self::Image(usual.image.to_owned())),
            Some(("program", path)) => program(path, usual.key).map(Self::Program),
            Some(("image", name)) => image(name, usual.key).map(Self::Image),
            Some((_, rest)) if rest.starts_with("//") => address(text).map(Self::Existing),
            // The text may hold a password; it is not repeated.
            _ => Err(DatabaseError::Refused(format!(
                "{}: must be an address ({}…), program, or image:NAME",
                usual.key, usual.schemes
            ))),
        }
    }
}

impl Usual {
    /// The program, where the machine has it.
    pub(crate) fn program(&self) -> Option<PathBuf> {
        self.programs.iter().map(PathBuf::from).find(|path| path.is_file())
    }
}

fn program(path: &str, key: &str) -> Result<PathBuf> {
    let path = Path::new(path);
    let plain = path.is_absolute() && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    // A sandbox shows these of the machine, and nothing else.
    if plain && (path.starts_with("/usr") || path.starts_with("/opt")) {
        Ok(path.to_owned())
    } else {
        Err(DatabaseError::Refused(format!(
            "{key}: the program must be a path below /usr or /opt, as in program:/usr/bin/mongod"
        )))
    }
}

/// An image's name.
fn image(name: &str, key: &str) -> Result<String> {
    match image::registry::Reference::parse(name) {
        Ok(_named) => Ok(name.to_owned()),
        Err(error) => Err(DatabaseError::Refused(format!("{key}: {error}"))),
    }
}

/// The host and the port of an existing server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPort {
    /// A name or an address of version 4, in lower case.
    pub(crate) host: String,
    /// The port, of TCP.
    pub(crate) port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl HostPort {
    /// Reads `HOST` or `HOST:PORT`. Instances must be able to reach it: this machine's own loopback is refused.
    pub(crate) fn parse(text: &str, usual_port: u16) -> std::result::Result<Self, String> {
        if text.starts_with('[') {
            return Err("instances have no address of IP version 6: give a name, or an address of version 4".to_owned());
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => {
                let number = port.parse::<u16>().ok().filter(|number| *number > 0 && !port.starts_with('+'));
                (host, number.ok_or_else(|| "its port must be a number from 1 to 65535".to_owned())?)
            }
            None => (text, usual_port),
        };
        let host = host.to_ascii_lowercase();
        HostEntry::parse(&host).map_err(|_shape| "it has no host that is a name or an address of version 4".to_owned())?;
        if let Ok(address) = host.parse::<Ipv4Addr>() {
            reachable(&host, IpAddr::V4(address))?;
        } else if host == "localhost" || host.ends_with(".localhost") {
            return Err(unreachable(&host));
        }
        Ok(Self { host, port })
    }

    /// What a container needs to reach it, and where the platform does.
    async fn resolve(&self) -> Result<(Vec<Link>, SocketAddr)> {
        let failed = |why: String| DatabaseError::Server(format!("{self}: {why}"));
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let found: Vec<SocketAddr> = found.map_err(|error| failed(error.to_string()))?.collect();
        let host = if self.host.parse::<Ipv4Addr>().is_ok() {
            None
        } else {
            Some(HostEntry::parse(&self.host).map_err(|error| failed(error.to_string()))?)
        };
        let mut links = Vec::new();
        for address in &found {
            if let IpAddr::V4(ip) = address.ip() {
                reachable(&self.host, address.ip()).map_err(DatabaseError::Refused)?;
                let link = Link { host: host.clone(), address: ip, port: self.port };
                if !links.contains(&link) {
                    links.push(link);
                }
            }
        }
        let first = links.first().ok_or_else(|| failed("it has no address of IP version 4".to_owned()))?;
        let address = SocketAddr::from((first.address, self.port));
        Ok((links, address))
    }
}

/// What containers need to reach all of a server's hosts, and where the platform reaches the first.
pub(crate) async fn resolve(hosts: &[HostPort]) -> Result<(Vec<Link>, SocketAddr)> {
    let mut links = Vec::new();
    let mut first = None;
    for host in hosts {
        let (more, address) = host.resolve().await?;
        links.extend(more);
        first = first.or(Some(address));
    }
    first.map(|address| (links, address)).ok_or_else(|| DatabaseError::Server("it has no address".to_owned()))
}

fn unreachable(host: &str) -> String {
    format!(
        "instances can't reach {host}: it is this machine's loopback; let the server listen on another address, and give that"
    )
}

fn reachable(host: &str, address: IpAddr) -> std::result::Result<(), String> {
    if address.is_loopback() || address.is_unspecified() { Err(unreachable(host)) } else { Ok(()) }
}

/// The parts of an address that begins with a scheme: `SCHEME://USER:PASSWORD@HOSTS/PATH?OPTIONS`.
pub(crate) struct Parts {
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) hosts: String,
    pub(crate) path: String,
    pub(crate) options: Vec<(String, String)>,
}

/// Takes an address apart and decodes its parts. Errors never repeat any of it, since it holds a password.
pub(crate) fn parts(rest: &str) -> std::result::Result<Parts, String> {
    if rest.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err("it must not hold white space or control characters".to_owned());
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let Some((user, hosts)) = authority.rsplit_once('@') else {
        return Err("it must hold the user name and the password of an administrator: SCHEME://USER:PASSWORD@HOST".to_owned());
    };
    let Some((user, password)) = user.split_once(':').filter(|(user, password)| !user.is_empty() && !password.is_empty()) else {
        return Err("it must hold the user name and the password of an administrator: SCHEME://USER:PASSWORD@HOST".to_owned());
    };
    if user.contains('@') || password.contains(['@', ':']) || path.contains('/') {
        return Err("special characters in its user name, password and database must be percent-encoded".to_owned());
    }
    let decode = |text: &str, what: &str| decoded(text).ok_or_else(|| format!("its {what} is not properly percent-encoded"));
    let mut options: Vec<(String, String)> = Vec::new();
    for option in query.split('&').filter(|option| !option.is_empty()) {
        let Some((name, value)) = option.split_once('=') else {
            return Err("each of its options must be NAME=VALUE".to_owned());
        };
        let name = decode(name, "option")?;
        if options.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
            return Err(format!("its option {} stands there twice", shown(&name)));
        }
        options.push((name, decode(value, "option")?));
    }
    Ok(Parts {
        user: decode(user, "user name")?,
        password: decode(password, "password")?,
        hosts: hosts.to_owned(),
        path: decode(path, "database")?,
        options,
    })
}

/// An option's name as an error may show it.
pub(crate) fn shown(name: &str) -> String {
    let name: String = name.chars().take(40).collect();
    format!("{name:?}")
}

/// Undoes percent-encoding (RFC 3986, section 2.1); `None` where it is broken, not UTF-8, or hides a control character.
fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
            let (high, low) = (digit()?, digit()?);
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok().filter(|text| !text.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secret::url_encoded;

    const USUAL: Usual =
        Usual { key: "mongodb", schemes: "mongodb://", programs: &["/usr/bin/mongod"], image: "docker.io/library/mongo:8" };

    fn read(text: &str) -> Result<Place<String>> {
        Place::read(text, &USUAL, |address| Ok(address.to_owned()))
    }

    #[test]
    fn a_setting_is_an_address_a_program_or_an_image() {
        assert_eq!(read("program").expect("a place"), Place::Program("/usr/bin/mongod".into()));
        assert_eq!(read("program:/opt/m/bin/mongod").expect("a place"), Place::Program("/opt/m/bin/mongod".into()));
        assert_eq!(read("image").expect("a place"), Place::Image("docker.io/library/mongo:8".to_owned()));
        let fixed = format!("image:a.example:5000/m@sha256:{}", "0".repeat(64));
        assert_eq!(read(&fixed).expect("a place"), Place::Image(fixed["image:".len()..].to_owned()));
        assert_eq!(read(" mongodb://a ").expect("a place"), Place::Existing("mongodb://a".to_owned()));
        for bad in [
            "",
            "mongod",
            "program:",
            "program:mongod",
            "program:/etc/passwd",
            "program:/usr/../etc/x",
            "program:/opt/./../x",
            "image:",
            "image:--privileged",
            "image:a b",
            "image:$(x)",
            "image:A",
            "secret-password",
            "mongodb:secret-password",
        ] {
            let error = read(bad).expect_err(bad).to_string();
            assert!(error.starts_with("mongodb: ") && !error.contains("secret-password"), "{bad}: {error}");
        }
    }

    #[test]
    fn hosts_that_instances_cannot_reach_are_refused() {
        let host = |text: &str| HostPort::parse(text, 27017);
        assert_eq!(host("DB.Example").expect("a host").to_string(), "db.example:27017");
        assert_eq!(host("192.0.2.7:1234").expect("a host").to_string(), "192.0.2.7:1234");
        for bad in ["localhost", "a.localhost:1", "127.0.0.1", "127.1.2.3:27017", "0.0.0.0"] {
            assert!(host(bad).expect_err(bad).contains("loopback"), "{bad}");
        }
        for bad in ["", ":1", "a:0", "a:65536", "a:+1", "a:b", "[::1]:1", "a b", "a/b", "ä", "a:1:2"] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn addresses_are_links() {
        let hosts = [HostPort { host: "192.0.2.7".to_owned(), port: 5 }, HostPort { host: "192.0.2.8".to_owned(), port: 6 }];
        let (links, address) = resolve(&hosts).await.expect("addresses");
        assert_eq!(address, "192.0.2.7:5".parse().expect("an address"));
        assert_eq!(
            links.iter().map(|link| (link.address.to_string(), link.port)).collect::<Vec<_>>(),
            [("192.0.2.7".to_owned(), 5), ("192.0.2.8".to_owned(), 6)]
        );
        assert!(links.iter().all(|link| link.host.is_none()));
    }

    proptest! {
        #[test]
        fn users_and_passwords_come_out_as_they_went_in(user in "[^\\p{Cc}]{1,20}", password in "[^\\p{Cc}]{1,20}", path in "[^\\p{Cc}]{0,10}") {
            let text = format!("{}:{}@h1:1,h2/{}?a=b%26c", url_encoded(&user), url_encoded(&password), url_encoded(&path));
            let parts = parts(&text).expect("an address");
            prop_assert_eq!((parts.user, parts.password, parts.path), (user, password, path));
            prop_assert_eq!((parts.hosts.as_str(), parts.options), ("h1:1,h2", vec![("a".to_owned(), "b&c".to_owned())]));
        }

        #[test]
        fn no_error_repeats_what_may_be_a_password(text in "[ -~]{0,60}") {
            let secret = format!("{text}Zq9secret");
            if let Err(error) = parts(&format!("u:{secret}")) {
                prop_assert!(!error.contains("Zq9secret"));
            }
        }
    }

    #[test]
    fn broken_addresses_are_refused() {
        for bad in [
            "",
            "host",
            "user@host",
            "user:@host",
            ":pw@host",
            "u:p@q@host",
            "u:p:q@h",
            "u:p%@h",
            "u:p%zz@h",
            "u:p%ff@h",
            "u:p%00@h",
            "u:p@h/a/b",
            "u:p@h?x",
            "u:p@h?a=1&A=2",
            "u:p @h",
        ] {
            assert!(parts(bad).is_err(), "{bad}");
        }
    }
}
