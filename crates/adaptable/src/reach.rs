//! Which platform is meant, and how to reach it: flags, then variables, then what `login` remembers, then this machine.

use std::path::{Path, PathBuf};

use api::Client;
use api::client::{Authority, Trust};

use crate::cli::ReachArgs;
use crate::config::{self, Env};
use crate::explain::Failure;
use crate::login::Login;

/// The name of a platform's socket in its data directory.
pub(crate) const SOCKET: &str = "adaptable.sock";

/// Where a platform is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On this machine.
    Here {
        /// Its data directory.
        data_dir: PathBuf,
    },
    /// Elsewhere.
    There {
        /// Its address.
        url: String,
        /// The token for it.
        token: Option<String>,
        /// An authority's file to trust.
        ca: Option<PathBuf>,
        /// An authority to trust, as PEM.
        ca_pem: Option<String>,
    },
}

/// Decides which platform is meant.
pub(crate) fn place(
    args: &ReachArgs,
    env: Env<'_>,
    login: impl FnOnce() -> Result<Option<Login>, Failure>,
) -> Result<Place, Failure> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let there = |url: String, login: Option<Login>| {
        let login = login.filter(|login| login.url.trim_end_matches('/') == url.trim_end_matches('/'));
        let (token, ca_pem) = login.map(|login| (Some(login.token), login.ca)).unwrap_or_default();
        Place::There {
            url,
            token: args.token.clone().or_else(|| set("ADAPTABLE_TOKEN")).or(token),
            ca: args.ca.clone().or_else(|| set("ADAPTABLE_CA").map(PathBuf::from)),
            ca_pem,
        }
    };
    if args.data_dir.is_some() {
        return Ok(Place::Here { data_dir: config::data_dir(args.data_dir.as_deref(), env) });
    }
    if let Some(url) = args.url.clone().or_else(|| set("ADAPTABLE_URL")) {
        // A login to the very same platform serves; a broken file of logins must not be in the way of one named by hand.
        return Ok(there(url, login().ok().flatten()));
    }
    if set("ADAPTABLE_DATA_DIR").is_some() {
        return Ok(Place::Here { data_dir: config::data_dir(None, env) });
    }
    Ok(match login()? {
        Some(login) => there(login.url.clone(), Some(login)),
        None => Place::Here { data_dir: config::data_dir(None, env) },
    })
}

/// The client of a place.
pub(crate) fn client(place: &Place) -> Result<Client, Failure> {
    match place {
        Place::Here { data_dir } => Ok(here(data_dir)),
        Place::There { url, token, ca, ca_pem } => {
            let trust = match (ca, ca_pem) {
                (Some(file), _) => Trust::SystemAnd(read_authority(file)?),
                (None, Some(pem)) => Trust::SystemAnd(parse_authority(pem.as_bytes(), "the remembered certificate")?),
                (None, None) => Trust::System,
            };
            Ok(Client::remote(url, token.as_deref(), &trust)?)
        }
    }
}

/// The client of the platform on this machine with that data directory.
pub(crate) fn here(data_dir: &Path) -> Client {
    Client::socket(data_dir.join(SOCKET))
}

/// Reads an authority's certificate from a file.
pub(crate) fn read_authority(file: &Path) -> Result<Authority, Failure> {
    let pem = std::fs::read(file).map_err(|error| Failure::file("read", file, error))?;
    parse_authority(&pem, &file.display().to_string())
}

fn parse_authority(pem: &[u8], name: &str) -> Result<Authority, Failure> {
    Authority::parse(pem)
        .map_err(|error| Failure::usage(format!("{name}: {error}"), "copy DATA/ca.pem from the platform's machine"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembered() -> Login {
        Login { url: "https://there.example".to_owned(), token: "secret".to_owned(), ca: Some("pem".to_owned()) }
    }

    fn here(dir: &str) -> Place {
        Place::Here { data_dir: PathBuf::from(dir) }
    }

    #[test]
    fn flags_win_over_variables_and_those_over_a_login() {
        let nobody = || Ok(None);
        let remembered = || Ok(Some(remembered()));
        let nothing = |_: &str| None;
        let env = |name: &str| match name {
            "ADAPTABLE_URL" => Some("https://variable.example".to_owned()),
            "ADAPTABLE_TOKEN" => Some("t".to_owned()),
            "ADAPTABLE_DATA_DIR" => Some("/variable".to_owned()),
            _ => None,
        };
        let args = |data_dir: Option<&str>, url: Option<&str>| ReachArgs {
            data_dir: data_dir.map(PathBuf::from),
            url: url.map(str::to_owned),
            ..ReachArgs::default()
        };
        assert_eq!(place(&args(None, None), &nothing, nobody).expect("a place"), here(config::DATA_DIR));
        assert_eq!(place(&args(Some("/d"), None), &env, remembered).expect("a place"), here("/d"));
        let Place::There { url, token, ca_pem, .. } = place(&args(None, None), &nothing, remembered).expect("a place") else {
            panic!("a login is elsewhere")
        };
        assert_eq!((url.as_str(), token.as_deref(), ca_pem.as_deref()), ("https://there.example", Some("secret"), Some("pem")));
        // The token of one platform is never sent to another.
        let Place::There { token, ca_pem, .. } =
            place(&args(None, Some("https://x.example")), &nothing, remembered).expect("a place")
        else {
            panic!("a URL is elsewhere")
        };
        assert_eq!((token, ca_pem), (None, None));
        let Place::There { url, token, .. } = place(&args(None, None), &env, remembered).expect("a place") else {
            panic!("a URL is elsewhere")
        };
        assert_eq!((url.as_str(), token.as_deref()), ("https://variable.example", Some("t")));
    }
}
