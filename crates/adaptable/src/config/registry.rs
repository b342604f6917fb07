//! Keys of `config.toml` that say how registries of images are reached. Users and passwords stand in a file of their own.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::registry::{Credentials, Proxy, Settings};

use super::databases::Values;
use crate::cli;

/// Docker's own name for its registry in files of users.
const DOCKER: [&str; 2] = ["https://index.docker.io/v1/", "index.docker.io"];
/// The largest file of users or certificates, in bytes.
const LARGEST: u64 = 1 << 20;

/// Turns the texts into what they mean.
pub(super) fn check(values: &Values, problems: &mut Vec<String>) -> Settings {
    let mut settings = Settings::default();
    let mut take = |key: &str, read: &mut dyn FnMut(&str) -> Result<(), String>| {
        if let Some((text, origin)) = values.get(key)
            && let Err(why) = read(text)
        {
            problems.push(format!("{origin}: {key}: {why}"));
        }
    };
    take("registry-mirrors", &mut |text| {
        settings.mirrors = words(text).map(mirror).collect::<Result<_, _>>()?;
        Ok(())
    });
    take("registry-insecure", &mut |text| {
        settings.insecure = words(text).map(|host| host.to_ascii_lowercase()).collect();
        match settings.insecure.iter().find(|host| host.contains('/')) {
            Some(odd) => Err(format!("{odd:?} must be a host, as in registry.example:5000")),
            None => Ok(()),
        }
    });
    take("registry-credentials", &mut |path| {
        settings.credentials = credentials(Path::new(path))?;
        Ok(())
    });
    take("registry-authorities", &mut |path| {
        settings.authorities = file(Path::new(path))?;
        Ok(())
    });
    let except = values.get("registry-no-proxy").map(|(text, _)| text.clone()).unwrap_or_default();
    take("registry-proxy", &mut |text| {
        settings.proxy = match text {
            "environment" => Proxy::Environment,
            "none" => Proxy::None,
            url if url.starts_with("http://") || url.starts_with("https://") => {
                Proxy::Through { url: url.to_owned(), except: except.clone() }
            }
            // It may hold a password.
            _ => return Err("must be environment, none, or an address as in http://proxy.example:3128".to_owned()),
        };
        Ok(())
    });
    take("registry-no-proxy", &mut |_| match values.get("registry-proxy") {
        Some((proxy, _)) if proxy.contains("://") => Ok(()),
        _ => Err("means something beside the address of a proxy in registry-proxy only".to_owned()),
    });
    take("registry-limit", &mut |text| {
        settings.limits.compressed = cli::memory(text).map_err(|_why| "must be a size, as in 4G or 700M".to_owned())?;
        // As the default has it.
        settings.limits.unpacked = settings.limits.compressed.saturating_mul(4);
        Ok(())
    });
    if let Err(error) = settings.check() {
        let key = match error {
            image::registry::SettingsError::Mirror { .. } => "registry-mirrors",
            image::registry::SettingsError::Authorities => "registry-authorities",
            image::registry::SettingsError::Proxy(_) => "registry-proxy",
        };
        let origin = values.get(key).map_or("config.toml", |(_, origin)| origin);
        problems.push(format!("{origin}: {key}: {error}"));
    }
    settings
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty())
}

fn mirror(word: &str) -> Result<(String, String), String> {
    let pair = word.split_once('=').filter(|(registry, address)| !registry.contains("://") && address.contains("://"));
    // The address may hold a password, which has no place there.
    let (registry, address) = pair.ok_or("each must be REGISTRY=ADDRESS, as in docker.io=https://mirror.example/docker-hub")?;
    Ok((registry.to_ascii_lowercase(), address.to_owned()))
}

fn file(path: &Path) -> Result<Vec<u8>, String> {
    if !path.is_absolute() {
        return Err("must be the absolute path of a file".to_owned());
    }
    let read = || {
        let size = std::fs::metadata(path)?.len();
        if size > LARGEST { Err(std::io::Error::other("it is too large")) } else { std::fs::read(path) }
    };
    read().map_err(|error| format!("can't read {}: {error}", path.display()))
}

/// What `docker login` and `podman login` write.
#[derive(serde::Deserialize)]
struct Users {
    #[serde(default)]
    auths: BTreeMap<String, User>,
}

#[derive(serde::Deserialize)]
struct User {
    #[serde(default)]
    auth: String,
}

fn credentials(path: &Path) -> Result<BTreeMap<String, Credentials>, String> {
    let bytes = file(path)?;
    let shown = path.display();
    let mode = std::fs::metadata(path).map_or(0, |file| file.permissions().mode());
    if mode & 0o004 != 0 {
        return Err(format!("{shown} holds passwords, and everybody may read it: chmod 600 it"));
    }
    // What it says of the text would show parts of it.
    let users: Users = serde_json::from_slice(&bytes).map_err(|_shape| {
        format!("{shown} is not as `docker login` and `podman login` write it: {{\"auths\": {{HOST: {{\"auth\": …}}}}}}")
    })?;
    let mut found = BTreeMap::new();
    for (host, user) in users.auths {
        let plain = STANDARD.decode(user.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let Some((name, password)) = plain.as_deref().and_then(|text| text.split_once(':')) else {
            return Err(format!(
                "{shown} holds no user and password for {host:?}: where a credential helper keeps them, they can't be had"
            ));
        };
        let host = if DOCKER.contains(&host.as_str()) { "docker.io".to_owned() } else { registry(&host) };
        found.insert(host, Credentials { user: name.to_owned(), password: password.to_owned() });
    }
    Ok(found)
}

/// A registry as a reference has it, of a key in a file of users.
fn registry(key: &str) -> String {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read(values: &[(&'static str, &str)]) -> (Settings, Vec<String>) {
        let values: Values = values.iter().map(|(key, text)| (*key, ((*text).to_owned(), format!("line of {key}")))).collect();
        let mut problems = Vec::new();
        let settings = check(&values, &mut problems);
        (settings, problems)
    }

    #[test]
    fn nothing_said_is_the_default() {
        assert_eq!(read(&[]), (Settings::default(), Vec::new()));
    }

    #[test]
    fn everything_can_be_said() {
        let directory = tempfile::tempdir().expect("a directory");
        let users = directory.path().join("auth.json");
        // "reader:to:p"
        fs::write(&users, r#"{"auths": {"https://index.docker.io/v1/": {"auth": "cmVhZGVyOnRvOnA="}, "A.example:5000": {"auth": "cmVhZGVyOnRvOnA="}}}"#)
            .expect("written");
        fs::set_permissions(&users, fs::Permissions::from_mode(0o600)).expect("changed");
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).expect("names");
        let authorities = directory.path().join("ca.pem");
        fs::write(&authorities, params.self_signed(&key).expect("signed").pem()).expect("written");
        let (settings, problems) = read(&[
            ("registry-mirrors", "docker.io=https://mirror.example/hub, ghcr.io=http://127.0.0.1:5000"),
            ("registry-insecure", "a.example:5000"),
            ("registry-credentials", users.to_str().expect("text")),
            ("registry-authorities", authorities.to_str().expect("text")),
            ("registry-proxy", "http://u:topsecret@proxy.example:3128"),
            ("registry-no-proxy", ".example"),
            ("registry-limit", "2G"),
        ]);
        assert_eq!(problems, [""; 0]);
        assert_eq!(settings.mirrors.len(), 2);
        assert_eq!(settings.credentials.keys().collect::<Vec<_>>(), ["a.example:5000", "docker.io"]);
        let hub = &settings.credentials["docker.io"];
        assert_eq!((hub.user.as_str(), hub.password.as_str()), ("reader", "to:p"));
        assert_eq!((settings.limits.compressed, settings.limits.unpacked), (2 << 30, 8 << 30));
        assert!(!format!("{settings:?}").contains("topsecret"), "{settings:?}");
        assert_eq!(read(&[("registry-proxy", "none")]).0.proxy, Proxy::None);
    }

    #[test]
    fn what_cannot_be_used_is_said_without_what_may_be_a_password() {
        let directory = tempfile::tempdir().expect("a directory");
        let open = directory.path().join("open.json");
        fs::write(&open, r#"{"auths": {}}"#).expect("written");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).expect("changed");
        let odd = directory.path().join("odd.json");
        fs::write(&odd, r#"{"auths": {"a": {"auth": "topsecret"}}}"#).expect("written");
        fs::set_permissions(&odd, fs::Permissions::from_mode(0o600)).expect("changed");
        for (key, text, why) in [
            ("registry-mirrors", "https://u:topsecret@a.example", "REGISTRY=ADDRESS"),
            ("registry-mirrors", "docker.io=https://u:topsecret@a.example", "user"),
            ("registry-mirrors", "docker.io=http://a.example", "insecure"),
            ("registry-insecure", "http://a.example", "a host"),
            ("registry-credentials", "auth.json", "absolute"),
            ("registry-credentials", open.to_str().expect("text"), "chmod 600"),
            ("registry-credentials", odd.to_str().expect("text"), "credential helper"),
            ("registry-authorities", odd.to_str().expect("text"), "PEM"),
            ("registry-authorities", "/nowhere.pem", "can't read"),
            ("registry-proxy", "topsecret", "environment, none"),
            ("registry-no-proxy", "a.example", "registry-proxy"),
            ("registry-limit", "much", "a size"),
        ] {
            let (_, problems) = read(&[(key, text)]);
            assert_eq!(problems.len(), 1, "{key} {text}: {problems:?}");
            let begins = format!("line of {key}: {key}: ");
            assert!(problems[0].starts_with(&begins) && problems[0].contains(why), "{key} {text}: {problems:?}");
            assert!(!problems[0].contains("topsecret"), "{problems:?}");
        }
    }
}
