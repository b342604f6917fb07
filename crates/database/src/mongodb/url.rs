//! Addresses of MongoDB servers: the operator's, with an administrator's password, and those that apps are given.

use std::fmt::Write;
use std::path::PathBuf;

use model::database::DatabaseName;

use crate::place::{HostPort, Parts, parts, shown};
use crate::secret::url_encoded;
use crate::{DatabaseError, Result, Secret};

/// The port where MongoDB listens.
pub(crate) const PORT: u16 = 27017;

/// Options that apps are given as the operator wrote them
/// (MongoDB's "Connection String Options"; names are compared without case).
const PASSED_ON: [&str; 14] = [
    "connectTimeoutMS",
    "directConnection",
    "readPreference",
    "replicaSet",
    "retryReads",
    "retryWrites",
    "serverSelectionTimeoutMS",
    "socketTimeoutMS",
    "ssl",
    "tls",
    "tlsAllowInvalidCertificates",
    "tlsInsecure",
    "w",
    "wTimeoutMS",
];

/// The address of an existing server, with the name and the password of an administrator. Never shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MongoUrl {
    pub(crate) hosts: Vec<HostPort>,
    user: String,
    password: Secret,
    auth_source: String,
    mechanism: Option<String>,
    options: Vec<(String, String)>,
    /// The authority that signed the server's certificate, as a file on this machine.
    pub(crate) ca: Option<PathBuf>,
}

impl MongoUrl {
    /// Reads `mongodb://ADMIN:PASSWORD@HOST[:PORT][,HOST…]/[?OPTIONS]`.
    ///
    /// # Errors
    /// What is wrong with it, without repeating any of it that may be a password.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = |why: String| DatabaseError::Refused(format!("mongodb: the address can't be used: {why}"));
        let rest = match text.split_once("://") {
            Some(("mongodb", rest)) => rest,
            Some(("mongodb+srv", _)) => {
                return Err(refused(
                    "mongodb+srv:// is not supported: write out the hosts as mongodb://ADMIN:PASSWORD@HOST1,HOST2/".to_owned(),
                ));
            }
            _ => return Err(refused("it must begin with mongodb://".to_owned())),
        };
        let parts = parts(rest).map_err(refused)?;
        let hosts = parts.hosts.split(',').map(|host| HostPort::parse(host, PORT)).collect::<std::result::Result<_, _>>();
        let mut url = Self {
            hosts: hosts.map_err(refused)?,
            user: parts.user.clone(),
            password: Secret::new(parts.password.clone()),
            auth_source: if parts.path.is_empty() { "admin".to_owned() } else { parts.path.clone() },
            mechanism: None,
            options: Vec::new(),
            ca: None,
        };
        url.read_options(parts).map_err(refused)?;
        Ok(url)
    }

    fn read_options(&mut self, parts: Parts) -> std::result::Result<(), String> {
        for (name, value) in parts.options {
            if let Some(known) = PASSED_ON.iter().find(|known| known.eq_ignore_ascii_case(&name)) {
                self.options.push(((*known).to_owned(), value));
            } else if name.eq_ignore_ascii_case("authSource") {
                self.auth_source = value;
            } else if name.eq_ignore_ascii_case("authMechanism") {
                if !matches!(value.as_str(), "SCRAM-SHA-1" | "SCRAM-SHA-256") {
                    return Err("its authMechanism must be SCRAM-SHA-256 or SCRAM-SHA-1".to_owned());
                }
                self.mechanism = Some(value);
            } else if name.eq_ignore_ascii_case("tlsCAFile") {
                let path = PathBuf::from(value);
                if !path.is_absolute() {
                    return Err("its tlsCAFile must be an absolute path on this machine".to_owned());
                }
                self.ca = Some(path);
            } else {
                return Err(format!(
                    "there is no option {} here; there are authSource, authMechanism, tlsCAFile, {}",
                    shown(&name),
                    PASSED_ON.join(", ")
                ));
            }
        }
        if self.ca.is_some() && !self.options.iter().any(|(name, _)| name == "tls" || name == "ssl") {
            self.options.push(("tls".to_owned(), "true".to_owned()));
        }
        Ok(())
    }

    /// The address of a server that the platform runs itself.
    pub(crate) fn own(host: HostPort, user: &str, password: Secret, options: &[(&str, &str)]) -> Self {
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self {
            hosts: vec![host],
            user: user.to_owned(),
            password,
            auth_source: "admin".to_owned(),
            mechanism: None,
            options,
            ca: None,
        }
    }

    /// The address for the administrator.
    pub(crate) fn admin(&self) -> Secret {
        let mut text = self.text(&self.user, &self.password, "", &self.auth_source);
        if let Some(mechanism) = &self.mechanism {
            let _written = write!(text, "&authMechanism={}", url_encoded(mechanism));
        }
        if let Some(ca) = &self.ca {
            let _written = write!(text, "&tlsCAFile={}", url_encoded(&ca.to_string_lossy()));
        }
        Secret::new(text)
    }

    /// The address for the user of a database, who is known in that database; `ca` is where its container has the authority.
    pub(crate) fn of(&self, name: &DatabaseName, password: &Secret, ca: Option<&str>) -> Secret {
        let mut text = self.text(name.as_str(), password, name.as_str(), name.as_str());
        // Its user is made for this one alone: no driver needs to find out, or falls back to a weaker one.
        text.push_str("&authMechanism=SCRAM-SHA-256");
        if let Some(ca) = ca {
            let _written = write!(text, "&tlsCAFile={}", url_encoded(ca));
        }
        Secret::new(text)
    }

    fn text(&self, user: &str, password: &Secret, database: &str, auth_source: &str) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(ToString::to_string).collect();
        let mut text = format!(
            "mongodb://{}:{}@{}/{}?authSource={}",
            url_encoded(user),
            url_encoded(password.reveal()),
            hosts.join(","),
            url_encoded(database),
            url_encoded(auth_source)
        );
        for (name, value) in &self.options {
            let _written = write!(text, "&{name}={}", url_encoded(value));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name() -> DatabaseName {
        DatabaseName::parse("app_shop").expect("a name")
    }

    #[test]
    fn an_app_gets_the_hosts_and_options_but_not_the_administrator() {
        let url =
            MongoUrl::parse("mongodb://root:s%40cret@db1,192.0.2.7:1/?replicaset=rs0&tlsCAFile=/etc/x/ca.pem&authSource=other")
                .expect("an address");
        assert_eq!(
            url.admin().reveal(),
            "mongodb://root:s%40cret@db1:27017,192.0.2.7:1/?authSource=other&replicaSet=rs0&tls=true&tlsCAFile=%2Fetc%2Fx%2Fca.pem"
        );
        assert_eq!(
            url.of(&name(), &Secret::new("a:b/c"), Some("/etc/adaptable/mongodb-ca.pem")).reveal(),
            "mongodb://app_shop:a%3Ab%2Fc@db1:27017,192.0.2.7:1/app_shop?authSource=app_shop&replicaSet=rs0&tls=true&authMechanism=SCRAM-SHA-256&tlsCAFile=%2Fetc%2Fadaptable%2Fmongodb-ca.pem"
        );
        assert!(!format!("{url:?}").contains("s@cret"));
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_reason() {
        for (bad, why) in [
            ("postgres://a:b@c", "mongodb://"),
            ("mongodb+srv://a:topsecret@c", "hosts"),
            ("mongodb://c/", "administrator"),
            ("mongodb://a:topsecret@localhost/", "loopback"),
            ("mongodb://a:topsecret@127.0.0.1:27017,db2/", "loopback"),
            ("mongodb://a:topsecret@[::1]/", "version 4"),
            ("mongodb://a:topsecret@/", "host"),
            ("mongodb://a:topsecret@h,/", "host"),
            ("mongodb://a:topsecret@h/?authMechanism=MONGODB-X509", "authMechanism"),
            ("mongodb://a:topsecret@h/?tlsCertificateKeyFile=/x", "tlsCertificateKeyFile"),
            ("mongodb://a:topsecret@h/?tlsCAFile=ca.pem", "absolute"),
            ("mongodb://a:topsecret@h/?w=1&W=2", "twice"),
        ] {
            let error = MongoUrl::parse(bad).expect_err(bad).to_string();
            assert!(error.contains(why) && !error.contains("topsecret"), "{bad}: {error}");
        }
    }

    proptest! {
        #[test]
        fn every_password_comes_through_the_drivers_own_reading(password in "[^\\p{Cc}]{1,30}") {
            let url = MongoUrl::parse("mongodb://root:x@db/").expect("an address").of(&name(), &Secret::new(password.clone()), None);
            let read = ::mongodb::options::ConnectionString::parse(url.reveal()).expect("an address");
            prop_assert_eq!(read.credential.and_then(|credential| credential.password), Some(password));
        }

        #[test]
        fn nothing_that_is_read_breaks_it(text in "[ -~]{0,80}") {
            let _refused = MongoUrl::parse(&format!("mongodb://a:b@{text}"));
        }
    }
}
