//! Addresses of SQL Servers: the operator's, with an administrator's password, and those that apps are given.

use std::path::PathBuf;

use model::database::DatabaseName;

use crate::place::{HostPort, parts, shown};
use crate::secret::url_encoded;
use crate::{DatabaseError, Result, Secret};

/// The port where SQL Server listens.
pub(crate) const PORT: u16 = 1433;

/// The address of an existing server, with the name and the password of an administrator. Never shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MssqlUrl {
    pub(crate) host: HostPort,
    pub(crate) user: String,
    pub(crate) password: Secret,
    /// Whether what is said is encrypted; nobody should turn that off.
    pub(crate) encrypt: bool,
    /// Whether the server's certificate is taken as it comes: SQL Server makes one for itself where it has none.
    pub(crate) trust: bool,
    /// The authority that signed it, as a file on this machine.
    pub(crate) ca: Option<PathBuf>,
}

impl MssqlUrl {
    /// Reads `sqlserver://ADMIN:PASSWORD@HOST[:PORT][/?encrypt=BOOL&trustServerCertificate=BOOL&caFile=/PATH]` (`mssql://` as well).
    ///
    /// # Errors
    /// What is wrong with it, without repeating any of it that may be a password.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = |why: String| DatabaseError::Refused(format!("mssql: the address can't be used: {why}"));
        let Some(("sqlserver" | "mssql", rest)) = text.split_once("://") else {
            return Err(refused("it must begin with sqlserver://".to_owned()));
        };
        if rest.contains(';') {
            return Err(refused(
                "it must be of the form sqlserver://ADMIN:PASSWORD@HOST:PORT/?NAME=VALUE, without semicolons".to_owned(),
            ));
        }
        let parts = parts(rest).map_err(refused)?;
        if !matches!(parts.path.as_str(), "" | "master") {
            return Err(refused("it must name no database: each app gets one of its own".to_owned()));
        }
        if parts.hosts.contains('\\') {
            return Err(refused("an instance can't be named: give its port".to_owned()));
        }
        let host = HostPort::parse(&parts.hosts, PORT).map_err(refused)?;
        let password = Secret::new(parts.password);
        let mut url = Self { host, user: parts.user, password, encrypt: true, trust: false, ca: None };
        for (name, value) in parts.options {
            let yes = |value: &str| match value {
                "true" => Ok(true),
                "false" => Ok(false),
                _ => Err(refused(format!("its option {} must be true or false", shown(&name)))),
            };
            if name.eq_ignore_ascii_case("encrypt") {
                url.encrypt = yes(&value)?;
            } else if name.eq_ignore_ascii_case("trustServerCertificate") {
                url.trust = yes(&value)?;
            } else if name.eq_ignore_ascii_case("caFile") {
                url.ca = Some(PathBuf::from(value)).filter(|path| path.is_absolute());
                if url.ca.is_none() {
                    return Err(refused("its caFile must be an absolute path on this machine".to_owned()));
                }
            } else {
                return Err(refused(format!(
                    "there is no option {} here; there are encrypt, trustServerCertificate, caFile",
                    shown(&name)
                )));
            }
        }
        if url.ca.is_some() && (url.trust || !url.encrypt) {
            return Err(refused("caFile means nothing beside trustServerCertificate=true or encrypt=false".to_owned()));
        }
        Ok(url)
    }

    /// The variables of a database's app: each part for itself, and `DATABASE_URL`, in which every part is encoded.
    pub(crate) fn variables(&self, name: &DatabaseName, password: &Secret) -> Vec<(String, Secret)> {
        let url = format!(
            "sqlserver://{}:{}@{}/{name}?database={name}&encrypt={}&trustServerCertificate={}",
            url_encoded(name.as_str()),
            url_encoded(password.reveal()),
            self.host,
            self.encrypt,
            self.trust
        );
        [
            ("DATABASE_URL", Secret::new(url)),
            ("MSSQL_HOST", Secret::new(self.host.host.clone())),
            ("MSSQL_TCP_PORT", Secret::new(self.host.port.to_string())),
            ("MSSQL_DATABASE", Secret::new(name.as_str())),
            ("MSSQL_USER", Secret::new(name.as_str())),
            ("MSSQL_PASSWORD", password.clone()),
        ]
        .map(|(variable, value)| (variable.to_owned(), value))
        .to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_finds_its_parts_and_its_address() {
        let url = MssqlUrl::parse("sqlserver://sa:S%3Bcret@DB.example/?trustservercertificate=true").expect("an address");
        assert_eq!(
            (url.user.as_str(), url.password.reveal(), url.host.to_string().as_str()),
            ("sa", "S;cret", "db.example:1433")
        );
        let name = DatabaseName::parse("app_shop").expect("a name");
        let variables = url.variables(&name, &Secret::new("a;{b}@/:"));
        let shown: Vec<_> = variables.iter().map(|(name, value)| format!("{name}={}", value.reveal())).collect();
        assert_eq!(
            shown,
            [
                "DATABASE_URL=sqlserver://app_shop:a%3B%7Bb%7D%40%2F%3A@db.example:1433/app_shop?database=app_shop&encrypt=true&trustServerCertificate=true",
                "MSSQL_HOST=db.example",
                "MSSQL_TCP_PORT=1433",
                "MSSQL_DATABASE=app_shop",
                "MSSQL_USER=app_shop",
                "MSSQL_PASSWORD=a;{b}@/:",
            ]
        );
        assert!(!format!("{url:?}").contains("S;cret"), "{url:?}");
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_reason() {
        for (bad, why) in [
            ("postgres://a:b@c", "sqlserver://"),
            ("sqlserver://h:1433;user=sa;password=topsecret", "semicolons"),
            ("sqlserver://sa:topsecret@localhost", "loopback"),
            ("sqlserver://sa:topsecret@127.0.0.1:1433", "loopback"),
            ("sqlserver://sa:topsecret@h\\SQLEXPRESS", "port"),
            ("sqlserver://sa:topsecret@h1,h2", "host"),
            ("sqlserver://sa:topsecret@h/mine", "no database"),
            ("sqlserver://sa:topsecret@h/?encrypt=strict", "true or false"),
            ("sqlserver://sa:topsecret@h/?database=x", "database"),
            ("sqlserver://sa:topsecret@h/?caFile=x", "absolute"),
            ("sqlserver://sa:topsecret@h/?caFile=/x&trustServerCertificate=true", "nothing"),
            ("sqlserver://h", "administrator"),
        ] {
            let error = MssqlUrl::parse(bad).expect_err(bad).to_string();
            assert!(error.contains(why) && !error.contains("topsecret"), "{bad}: {error}");
        }
    }
}
