//! Variables: their names, and the order in which those of the platform and of the user are merged.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::{AppName, NameError, RevisionNumber, clip};

/// The name of an environment variable: `[a-zA-Z_][a-zA-Z0-9_]*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[a-zA-Z_][a-zA-Z0-9_]{0,255}$", "examples" = ["GREETING"]))]
pub struct EnvName(String);

impl EnvName {
    /// Checks a text from outside.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if first && text.len() <= 256 && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Env(clip(text)))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EnvName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for EnvName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for EnvName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl From<EnvName> for String {
    fn from(name: EnvName) -> Self {
        name.0
    }
}

/// Variables by name. Values are the user's secrets as often as not: they are never shown in an error or a log.
pub type Environment = BTreeMap<EnvName, String>;

/// What the platform tells every instance of an app.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The app's name.
    pub app: &'a AppName,
    /// The revision that the instance runs.
    pub revision: RevisionNumber,
    /// The host name at which visitors find the app.
    pub hostname: &'a str,
    /// The port of the public address, where it is not 443.
    pub https_port: u16,
    /// The port to listen on, unless the user sets another.
    pub port: u16,
    /// The variables of its database, where it has one.
    pub database: Option<&'a [(String, String)]>,
}

/// The environment of an instance, by the product's merge order: the image's, then those of the database, then
/// the platform's, then the user's; later wins.
pub fn runtime(image: &[(String, String)], facts: &Facts<'_>, user: &Environment) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = image.iter().cloned().collect();
    match facts.database {
        Some(variables) => all.extend(variables.iter().cloned()),
        None => drop(all.insert("NO_DATABASE".to_owned(), "true".to_owned())),
    }
    let url = match facts.https_port {
        443 => format!("https://{}", facts.hostname),
        port => format!("https://{}:{port}", facts.hostname),
    };
    let platform = [
        ("PORT", facts.port.to_string()),
        ("EXTERNAL_HOSTNAME", facts.hostname.to_owned()),
        ("EXTERNAL_URL", url),
        ("ADAPTABLE_TRUST_PROXY_DEPTH", "1".to_owned()),
        ("NODE_ENV", "production".to_owned()),
        ("K_SERVICE", facts.app.to_string()),
        ("K_CONFIGURATION", facts.app.to_string()),
        ("K_REVISION", format!("{}-{:05}", facts.app, facts.revision.0)),
    ];
    all.extend(platform.map(|(name, value)| (name.to_owned(), value)));
    all.extend(user.iter().map(|(name, value)| (name.to_string(), value.clone())));
    all
}

/// The port that an instance is expected to listen on: the user's own `PORT`, or the platform's.
pub fn port(user: &Environment, platform: u16) -> u16 {
    user.get("PORT").and_then(|text| text.trim().parse().ok()).filter(|port| *port > 0).unwrap_or(platform)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(app: &AppName) -> Facts<'_> {
        Facts { app, revision: RevisionNumber(3), hostname: "shop.localhost", https_port: 8443, port: 8080, database: None }
    }

    #[test]
    fn the_users_variables_win() {
        let app = AppName::parse("shop").expect("a name");
        let user = Environment::from([(EnvName::parse("PORT").expect("a name"), "9000".to_owned())]);
        let all = runtime(&[("PATH".to_owned(), "/opt/venv/bin".to_owned())], &facts(&app), &user);
        assert_eq!(all["PORT"], "9000");
        assert_eq!(all["EXTERNAL_URL"], "https://shop.localhost:8443");
        assert_eq!(all["K_REVISION"], "shop-00003");
        assert_eq!(all["PATH"], "/opt/venv/bin");
        assert_eq!(all["NO_DATABASE"], "true");
        assert_eq!(port(&user, 8080), 9000);
        assert_eq!(port(&Environment::new(), 8080), 8080);
    }

    #[test]
    fn a_databases_variables_come_before_the_users() {
        let app = AppName::parse("shop").expect("a name");
        let user = Environment::from([(EnvName::parse("PGHOST").expect("a name"), "elsewhere".to_owned())]);
        let database = [("PGHOST", "inside"), ("PGPORT", "5432")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let all = runtime(&[], &Facts { database: Some(&database), ..facts(&app) }, &user);
        assert_eq!((all["PGHOST"].as_str(), all["PGPORT"].as_str()), ("elsewhere", "5432"));
        assert!(!all.contains_key("NO_DATABASE"));
    }

    #[test]
    fn names_with_shell_in_them_are_refused() {
        for bad in ["", "1A", "A-B", "A=B", "A B", "A$(id)", "Ä", "A\0"] {
            assert!(EnvName::parse(bad).is_err(), "{bad:?}");
        }
    }
}
