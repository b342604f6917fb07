//! The settings of `serve`: a flag wins over an `ADAPTABLE_…` variable, that over `DATA/config.toml`, and that over the default.

mod databases;
mod registry;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge::Plain;

use crate::cli::{self, ServeArgs};
use crate::explain::Failure;
pub(crate) use databases::Databases;

/// Where a platform keeps its data unless told otherwise.
pub(crate) const DATA_DIR: &str = "/var/lib/adaptable";

/// The keys of `config.toml`, which are the flags without their dashes, and their defaults.
const KEYS: [(&str, &str); 19] = [
    ("http", "0.0.0.0:8080"),
    ("https", "0.0.0.0:8443"),
    ("plain-http", "redirect"),
    ("domain", "localhost"),
    ("acme-directory", ""),
    ("acme-email", ""),
    ("stack-dir", "/var/cache/adaptable"),
    ("idle-timeout", "15m"),
    ("freeze-after", "100ms"),
    ("memory-reserve", ""),
    ("user", "adaptable"),
    ("access-log", "off"),
    ("postgres", ""),
    ("backup-dir", ""),
    ("backup-s3", ""),
    ("backup-s3-key", ""),
    ("sign-up", "invited"),
    ("github-web", "https://github.com"),
    ("github-api", ""),
];

/// A table of `config.toml` whose keys are flags that begin with its name: `[github] web` is `github-web`.
const TABLE: &str = "github";

/// Those that are paths.
const PATHS: [&str; 3] = ["stack-dir", "backup-dir", "backup-s3-key"];

/// The variables of the environment, as far as they matter here.
pub(crate) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Everything `serve` has to know, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServeConfig {
    /// The data directory, absolute.
    pub data_dir: PathBuf,
    /// Where to listen for HTTP.
    pub http: SocketAddr,
    /// Where to listen for HTTPS.
    pub https: SocketAddr,
    /// What a visitor gets over plain HTTP.
    pub plain_http: Plain,
    /// The domain below which apps lie.
    pub domain: String,
    /// The ACME directory, where certificates are to come from one.
    pub acme_directory: Option<String>,
    /// The contact for it.
    pub acme_email: Option<String>,
    /// Where the base systems lie, absolute.
    pub stack_dir: PathBuf,
    /// How long an app without requests keeps its last instance.
    pub idle_timeout: Duration,
    /// After how long without a request an instance is frozen; `None` for never.
    pub freeze_after: Option<Duration>,
    /// Memory that no instance is started into, in bytes; where not set, a part of what the machine has.
    pub memory_reserve: Option<u64>,
    /// The system user to become.
    pub user: String,
    /// What flags and variables said, by key: what a successor has to be told again.
    pub told: BTreeMap<String, String>,
    /// What the access log holds.
    pub access_log: AccessLog,
    /// Where PostgreSQL is reached from outside, for databases whose settings allow it.
    pub postgres: Option<SocketAddr>,
    /// Where databases are that are not PostgreSQL's.
    pub databases: Databases,
    /// Where backups of databases lie, absolute.
    pub backup_dir: PathBuf,
    /// The bucket that they are copied to, where there is one.
    pub backup_s3: Option<String>,
    /// The file with the key to it, absolute.
    pub backup_s3_key: PathBuf,
    /// Who may become a user by signing in with GitHub.
    pub sign_up: SignUp,
    /// Whether it runs in the background, where nobody reads what it prints.
    pub detached: bool,
    /// Where GitHub is.
    pub github: github::Endpoints,
}

/// What the access log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccessLog {
    /// There is none.
    Off,
    /// Every request, without the query of its path.
    On,
    /// Every request, with the query.
    Queries,
}

/// Who may become a user by signing in with GitHub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignUp {
    /// Who has an invitation.
    Invited,
    /// Whoever has an account there.
    GitHub,
}

/// Settings that can't be used: every problem, each with the place it comes from.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub(crate) struct ConfigError(pub Vec<String>);

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let mut problems = error.0.into_iter();
        let first = problems.next().unwrap_or_default();
        Self::usage(first, problems.collect::<Vec<_>>().join("\n"))
    }
}

/// A value, and where it was set.
struct Value {
    text: String,
    origin: String,
    /// Whether a flag or a variable said it, here or when the running platform was started.
    told: bool,
}

/// The data directory that is meant: the flag's, the variable's, or the default.
pub(crate) fn data_dir(flag: Option<&Path>, env: Env<'_>) -> PathBuf {
    let named = flag.map(Path::to_owned).or_else(|| env("ADAPTABLE_DATA_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from));
    absolute(&named.unwrap_or_else(|| PathBuf::from(DATA_DIR)))
}

/// Brings the four places together.
pub(crate) fn resolve(args: &ServeArgs, data_dir: PathBuf, env: Env<'_>) -> Result<ServeConfig, ConfigError> {
    resolve_after(&BTreeMap::new(), args, data_dir, env)
}

/// The same for a platform that takes over from one that was told `running` by flags and variables: that wins over the file, and what
/// is said now wins over that.
pub(crate) fn resolve_after(
    running: &BTreeMap<String, String>,
    args: &ServeArgs,
    data_dir: PathBuf,
    env: Env<'_>,
) -> Result<ServeConfig, ConfigError> {
    let mut problems = Vec::new();
    let mut values: BTreeMap<&'static str, Value> = KEYS
        .iter()
        .map(|(key, default)| (*key, Value { text: (*default).to_owned(), origin: "the default".to_owned(), told: false }))
        .collect();
    let file = data_dir.join("config.toml");
    let mut servers = databases::Values::new();
    match std::fs::read_to_string(&file) {
        Ok(text) => read_file(&file, &text, &mut values, &mut servers, &mut problems),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => problems.push(format!("can't read {}: {error}", file.display())),
    }
    for (key, _) in KEYS {
        if let Some(text) = running.get(key) {
            let origin = "the running platform".to_owned();
            values.insert(key, Value { text: text.clone(), origin, told: true });
        }
        let name = format!("ADAPTABLE_{}", key.to_ascii_uppercase().replace('-', "_"));
        if let Some(text) = env(&name).filter(|text| !text.is_empty()) {
            values.insert(key, Value { text, origin: name, told: true });
        }
        if let Some(text) = flag(args, key) {
            values.insert(key, Value { text, origin: format!("--{key}"), told: true });
        }
    }
    for key in PATHS {
        if let Some(path) = values.get_mut(key).filter(|path| !path.text.is_empty()) {
            // A successor has another working directory.
            path.text = absolute(Path::new(&path.text)).display().to_string();
        }
    }
    let databases = databases::check(&servers, std::fs::metadata(&file).ok().as_ref(), &mut problems);
    check(&values, data_dir, databases, problems).map(|config| ServeConfig { detached: args.detached, ..config })
}

/// The flag of a key.
fn flag(args: &ServeArgs, key: &str) -> Option<String> {
    match key {
        "http" => &args.http,
        "https" => &args.https,
        "plain-http" => &args.plain_http,
        "domain" => &args.domain,
        "acme-directory" => &args.acme_directory,
        "acme-email" => &args.acme_email,
        "stack-dir" => &args.stack_dir,
        "idle-timeout" => &args.idle_timeout,
        "freeze-after" => &args.freeze_after,
        "memory-reserve" => &args.memory_reserve,
        "user" => &args.user,
        "access-log" => &args.access_log,
        "postgres" => &args.postgres,
        "backup-dir" => &args.backup_dir,
        "backup-s3" => &args.backup_s3,
        "backup-s3-key" => &args.backup_s3_key,
        "sign-up" => &args.sign_up,
        "github-web" => &args.github_web,
        "github-api" => &args.github_api,
        _ => unreachable!("every key has a flag"),
    }
    .clone()
}

/// The flags that were given, as another process of this program is to get them.
pub(crate) fn given(args: &ServeArgs) -> Vec<String> {
    let mut given = Vec::new();
    for (key, _) in KEYS {
        if let Some(mut text) = flag(args, key) {
            if PATHS.contains(&key) {
                text = absolute(Path::new(&text)).display().to_string();
            }
            given.push(format!("--{key}={text}"));
        }
    }
    given
}

/// Reads `config.toml`, key by key, so that every problem is named with its line.
fn read_file(
    path: &Path,
    text: &str,
    values: &mut BTreeMap<&'static str, Value>,
    servers: &mut databases::Values,
    problems: &mut Vec<String>,
) {
    let line = |offset: usize| 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
    let place = |offset: usize| format!("{} line {}", path.display(), line(offset));
    let table = match toml::de::DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            let offset = error.span().map_or(0, |span| span.start);
            problems.push(format!("{}: {}", place(offset), error.message().lines().next().unwrap_or_default()));
            return;
        }
    };
    for (name, key, value) in flat(&table) {
        let origin = place(key.span().start);
        let Some(known) = KEYS.iter().map(|(known, _)| *known).chain(databases::KEYS).find(|known| *known == name) else {
            let names: Vec<_> = KEYS.iter().map(|(known, _)| *known).chain(databases::KEYS).collect();
            problems.push(format!("{origin}: there is no key {:?}; there are {}", key.get_ref(), names.join(", ")));
            continue;
        };
        let text = match value.get_ref() {
            toml::de::DeValue::String(text) => text.to_string(),
            toml::de::DeValue::Integer(number) => number.to_string(),
            toml::de::DeValue::Boolean(yes) if databases::KEYS.contains(&known) => yes.to_string(),
            other => {
                problems.push(format!("{origin}: {known} must be a text, not a {}", other.type_str()));
                continue;
            }
        };
        if databases::KEYS.contains(&known) {
            servers.insert(known, (text, origin));
        } else {
            values.insert(known, Value { text, origin, told: false });
        }
    }
}

/// The keys of the file, each with the name of its flag.
fn flat<'a, 'de>(table: &'a toml::de::DeTable<'de>) -> Vec<(String, &'a Key<'de>, &'a toml::Spanned<toml::de::DeValue<'de>>)> {
    let mut keys = Vec::new();
    for (key, value) in table {
        let name = key.get_ref().replace('_', "-");
        match value.get_ref() {
            toml::de::DeValue::Table(inner) if name == TABLE => {
                keys.extend(inner.iter().map(|(key, value)| (format!("{name}-{}", key.get_ref().replace('_', "-")), key, value)));
            }
            _ => keys.push((name, key, value)),
        }
    }
    keys
}

type Key<'de> = toml::Spanned<std::borrow::Cow<'de, str>>;

/// Turns the texts into what they mean.
#[expect(clippy::too_many_lines, reason = "one key after the other")]
fn check(
    values: &BTreeMap<&'static str, Value>,
    data_dir: PathBuf,
    databases: Databases,
    mut problems: Vec<String>,
) -> Result<ServeConfig, ConfigError> {
    let mut say = |key: &str, must: &str| {
        let Value { text, origin, .. } = &values[key];
        let shown: String = text.chars().take(80).collect();
        // A flag and a variable bear the key's name; a place in the file does not.
        let name = if origin.contains(' ') { format!("{origin}: {key}") } else { origin.clone() };
        problems.push(format!("{name} {shown:?} {must}"));
    };
    let text = |key: &str| values[key].text.as_str();
    let mut listen = |key: &str| {
        text(key).parse::<SocketAddr>().unwrap_or_else(|_unreadable| {
            say(key, "must be an address and a port, as in 0.0.0.0:8443 or [::]:8443");
            SocketAddr::from(([0, 0, 0, 0], 0))
        })
    };
    let (http, https) = (listen("http"), listen("https"));
    if http == https && http.port() != 0 {
        say("http", "must not be the same as https");
    }
    let plain_http = match text("plain-http") {
        "redirect" => Plain::Redirect,
        "serve" => Plain::Serve,
        _ => {
            say("plain-http", "must be redirect, or serve where TLS ends before the platform");
            Plain::Redirect
        }
    };
    if !is_host(text("domain")) {
        say("domain", "must be a host name in lower case");
    }
    let directory = Some(text("acme-directory")).filter(|url| !url.is_empty());
    if directory.is_some_and(|url| !url.starts_with("https://")) {
        say("acme-directory", "must begin with https://");
    }
    let email = Some(text("acme-email")).filter(|address| !address.is_empty());
    if email.is_some_and(|address| !address.contains('@') || address.contains(char::is_whitespace)) {
        say("acme-email", "must be an e-mail address");
    }
    let idle_timeout = cli::duration(text("idle-timeout")).unwrap_or_else(|_unreadable| {
        say("idle-timeout", "must be a duration, as in 90s or 15m");
        Duration::ZERO
    });
    let freeze_after = cli::pause(text("freeze-after")).unwrap_or_else(|_unreadable| {
        say("freeze-after", "must be a duration, as in 100ms or 2s, or off");
        None
    });
    let reserve = Some(text("memory-reserve")).filter(|text| !text.is_empty()).map(cli::memory);
    let memory_reserve = reserve.transpose().unwrap_or_else(|_unreadable| {
        say("memory-reserve", "must be an amount of memory, as in 512M or 2G");
        None
    });
    if !is_user(text("user")) {
        say("user", "must be the name of a system user");
    }
    let access_log = match text("access-log") {
        "on" => AccessLog::On,
        "queries" => AccessLog::Queries,
        other => {
            if other != "off" {
                say("access-log", "must be off, on, or queries (on, with the queries of the paths)");
            }
            AccessLog::Off
        }
    };
    let postgres = Some(text("postgres")).filter(|text| !text.is_empty()).map(str::parse::<SocketAddr>);
    let postgres = postgres.transpose().unwrap_or_else(|_unreadable| {
        say("postgres", "must be an address and a port, as in 0.0.0.0:5432");
        None
    });
    let sign_up = match text("sign-up") {
        "github" => SignUp::GitHub,
        other => {
            if other != "invited" {
                say("sign-up", "must be invited (who has an invitation), or github (whoever has an account there)");
            }
            SignUp::Invited
        }
    };
    let bucket = Some(text("backup-s3")).filter(|address| !address.is_empty());
    if let Some(Err(error)) = bucket.map(vault::Bucket::parse) {
        say("backup-s3", &format!("can't be used: {error}"));
    }
    let github = github::Endpoints::new(text("github-web"), &github_api(text("github-web"), text("github-api")));
    let github = github.unwrap_or_else(|error| {
        say(if text("github-api").is_empty() { "github-web" } else { "github-api" }, &format!("can't be used: {error}"));
        github::Endpoints::default()
    });
    let below = |key: &str, name: &str| {
        Some(text(key)).filter(|path| !path.is_empty()).map_or_else(|| data_dir.join(name), |path| absolute(Path::new(path)))
    };
    let (backup_dir, backup_s3_key) = (below("backup-dir", "backups"), below("backup-s3-key", "backup-s3.key"));
    if text("stack-dir").is_empty() {
        say("stack-dir", "must be a directory");
    }
    if !problems.is_empty() {
        return Err(ConfigError(problems));
    }
    Ok(ServeConfig {
        data_dir,
        http,
        https,
        plain_http,
        domain: text("domain").to_owned(),
        acme_directory: directory.map(str::to_owned),
        acme_email: email.map(str::to_owned),
        stack_dir: absolute(Path::new(text("stack-dir"))),
        idle_timeout,
        freeze_after,
        memory_reserve,
        user: text("user").to_owned(),
        told: values.iter().filter(|(_, value)| value.told).map(|(key, value)| ((*key).to_owned(), value.text.clone())).collect(),
        access_log,
        postgres,
        databases,
        backup_dir,
        backup_s3: bucket.map(str::to_owned),
        backup_s3_key,
        sign_up,
        detached: false,
        github,
    })
}

/// Where GitHub's API is, if nobody says: an Enterprise Server has it below its own address.
fn github_api(web: &str, api: &str) -> String {
    match (web.trim_end_matches('/'), api) {
        ("https://github.com", "") => "https://api.github.com".to_owned(),
        (web, "") => format!("{web}/api/v3"),
        (_, api) => api.to_owned(),
    }
}

/// The path from the root; links stay as they are.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_no_working_directory| path.to_owned())
}

fn is_host(text: &str) -> bool {
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    // An app's name of 40 bytes and a dot must fit before it.
    text.len() <= 212 && text.split('.').all(label) && text.parse::<std::net::IpAddr>().is_err()
}

fn is_user(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_')
        && text.len() <= 32
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests;
