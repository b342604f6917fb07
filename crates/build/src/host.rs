//! What builds take over from the machine they run on: settings of package clients, the proxy, the authorities it trusts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the authorities' certificates lie inside of every sandbox and stack.
pub const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Variables that are taken over when their name begins with one of these.
const PREFIXES: [&str; 2] = ["PIP_", "UV_"];
/// Variables that are taken over as they stand.
const PROXIES: [&str; 8] =
    ["http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"];
/// Variables that name a bundle of authorities; all of them are set, to [`CA_BUNDLE`].
const BUNDLES: [&str; 6] =
    ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT", "NODE_EXTRA_CA_CERTS"];
/// Variables that would move or break what the build itself decides.
const OURS: [&str; 12] = [
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_USER",
    "PIP_CACHE_DIR",
    "PIP_REQUIRE_VIRTUALENV",
    "PIP_CONFIG_FILE",
    "PIP_CLIENT_CERT",
    "UV_CACHE_DIR",
    "UV_PROJECT_ENVIRONMENT",
    "UV_PYTHON",
    "UV_CONFIG_FILE",
];
/// apt's settings that say how this machine reaches its mirrors. Nothing that runs a program or names a file is among them.
const APT: [&str; 11] = [
    "Acquire::http::Proxy",
    "Acquire::https::Proxy",
    "Acquire::http::No-Proxy",
    "Acquire::Retries",
    "Acquire::http::Timeout",
    "Acquire::https::Timeout",
    "Acquire::http::Pipeline-Depth",
    "Acquire::ForceIPv4",
    "Acquire::ForceIPv6",
    "Acquire::Check-Valid-Until",
    "Acquire::Check-Date",
];
/// The largest configuration file that is taken over.
const FILE_LIMIT: u64 = 256 * 1024;

/// The machine's settings, read once at start, before privileges are dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HostSettings {
    /// Variables for package clients.
    pub env: BTreeMap<String, String>,
    /// Files for package clients, by their path inside.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Lines for apt's configuration.
    pub apt: Vec<String>,
    /// Sentences for the log: what can't be taken over.
    pub notes: Vec<String>,
}

impl std::fmt::Debug for HostSettings {
    /// Values may hold credentials of a proxy or an index.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostSettings")
            .field("env", &self.env.keys())
            .field("files", &self.files.keys())
            .field("apt", &self.apt.len())
            .finish_non_exhaustive()
    }
}

impl HostSettings {
    /// Reads this machine's settings: environment, configuration files of the user who started us, apt's configuration.
    pub fn discover(env: impl IntoIterator<Item = (String, String)>, home: Option<&Path>) -> Self {
        let mut settings = Self::from_env(env);
        settings.take_files(home);
        settings.apt = Command::new("apt-config")
            .arg("dump")
            .output()
            .map(|output| apt_lines(&String::from_utf8_lossy(&output.stdout)))
            .unwrap_or_default();
        settings
    }

    fn from_env(env: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut settings = Self::default();
        for (name, value) in env {
            let wanted = PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || PROXIES.contains(&name.as_str());
            if !wanted || OURS.contains(&name.as_str()) || BUNDLES.contains(&name.as_str()) {
                continue;
            }
            // A directory of this machine isn't there inside of a sandbox.
            if value.starts_with('/') {
                settings.notes.push(format!("{name} names a path of this machine and is not used in builds"));
                continue;
            }
            settings.env.insert(name, value);
        }
        for name in BUNDLES {
            settings.env.insert(name.to_owned(), CA_BUNDLE.to_owned());
        }
        // uv brings authorities of its own; the machine's are those its owner decided on.
        settings.env.insert("UV_SYSTEM_CERTS".to_owned(), "1".to_owned());
        settings.env.insert("UV_NATIVE_TLS".to_owned(), "1".to_owned());
        settings
    }

    fn take_files(&mut self, home: Option<&Path>) {
        let home = |relative: &str| home.map(|home| home.join(relative));
        // Inside, the home of a build is the source's directory, so the user's own files become the system's.
        let sources = [
            ("/etc/pip.conf", vec![home(".config/pip/pip.conf"), home(".pip/pip.conf"), Some("/etc/pip.conf".into())]),
            ("/etc/uv/uv.toml", vec![home(".config/uv/uv.toml"), Some(PathBuf::from("/etc/uv/uv.toml"))]),
        ];
        for (inside, candidates) in sources {
            let found = candidates.into_iter().flatten().find_map(|path| {
                let small = fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= FILE_LIMIT);
                small.then(|| fs::read(&path).ok()).flatten()
            });
            if let Some(bytes) = found {
                self.files.insert(inside.to_owned(), bytes);
            }
        }
    }

    /// The text of a file for apt's configuration directory.
    pub fn apt_conf(&self) -> String {
        // Nobody reads descriptions of packages here.
        let mut text = "Acquire::Languages \"none\";\n".to_owned();
        text.push_str(&self.apt.join("\n"));
        text.push('\n');
        text
    }
}

/// What `apt-config dump` says about reaching mirrors.
fn apt_lines(dump: &str) -> Vec<String> {
    dump.lines()
        .filter(|line| {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            APT.iter().any(|wanted| name == *wanted || name.starts_with(&format!("{wanted}::"))) && !value.starts_with("\"\"")
        })
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discover(env: &[(&str, &str)]) -> HostSettings {
        HostSettings::from_env(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn takes_over_clients_settings_and_nothing_else() {
        let settings = discover(&[
            ("PIP_INDEX_URL", "https://index.example/simple"),
            ("UV_DEFAULT_INDEX", "https://index.example/simple"),
            ("https_proxy", "http://proxy.example:3128"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("UV_CACHE_DIR", "elsewhere"),
            ("PATH", "/usr/bin"),
        ]);
        let taken: Vec<_> = settings.env.keys().map(String::as_str).filter(|name| !BUNDLES.contains(name)).collect();
        assert_eq!(taken, ["PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS", "https_proxy"]);
    }

    #[test]
    fn authorities_are_those_of_the_sandbox_and_host_paths_stay_out() {
        let settings = discover(&[("SSL_CERT_FILE", "/home/me/ca.pem"), ("PIP_FIND_LINKS", "/opt/wheels")]);
        assert_eq!(settings.env["SSL_CERT_FILE"], CA_BUNDLE);
        assert_eq!(settings.env["PIP_CERT"], CA_BUNDLE);
        assert!(!settings.env.contains_key("PIP_FIND_LINKS"));
        assert_eq!(settings.notes.len(), 1);
    }

    #[test]
    fn of_apt_only_what_reaches_the_mirrors() {
        let dump = "Acquire \"\";\nAcquire::http::Proxy \"http://p:3142\";\nAcquire::Check-Date \"false\";\nAcquire::https::Proxy \"\";\n\
                    Acquire::http::Proxy::mirror.example \"DIRECT\";\nDPkg::Post-Invoke:: \"rm -rf /\";\nAcquire::http::ProxyAutoDetect \"/x\";\n";
        let lines = [
            "Acquire::http::Proxy \"http://p:3142\";",
            "Acquire::Check-Date \"false\";",
            "Acquire::http::Proxy::mirror.example \"DIRECT\";",
        ];
        assert_eq!(apt_lines(dump), lines);
    }

    #[test]
    fn debug_shows_no_value() {
        let settings = discover(&[("PIP_INDEX_URL", "https://user:hunter2@index.example/simple")]);
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
