//! The settings document of an app: the keys of the hosted service, kept, with every violation named.

mod edit;
pub mod fields;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::database::DatabaseSettings;
use crate::environment::{EnvName, Environment};
use crate::resources::Resources;
use crate::serving::Serving;

/// The kind of database beside an app; fixed once it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseType {
    /// No database: the app finds `NO_DATABASE=true`.
    #[default]
    None,
    /// PostgreSQL.
    Postgres,
    /// MongoDB.
    Mongodb,
    /// Microsoft SQL Server.
    Mssql,
}

impl DatabaseType {
    /// The word used on the command line and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Postgres => "postgres",
            Self::Mongodb => "mongodb",
            Self::Mssql => "mssql",
        }
    }

    /// The kind of that word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Postgres, Self::Mongodb, Self::Mssql].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A domain of the app's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Domain {
    /// The host name: lower case, at least one dot.
    #[expect(clippy::struct_field_names, reason = "the key of the hosted service")]
    pub domain_name: String,
    /// A label for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The endpoint that serves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// How a static site is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StaticSite {
    /// The folder that holds the files.
    pub root: String,
    /// Whether unknown paths serve `index.html`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub single_page_app: Option<bool>,
}

/// All settings of an app, one document. Unknown keys are violations, not silence.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// The kind of the database.
    pub database_type: DatabaseType,
    /// What is set of the database.
    #[serde(skip_serializing_if = "is_default")]
    pub database: DatabaseSettings,
    /// Variables of the run time.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: Environment,
    /// Variables of the build.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub build_environment: Environment,
    /// Base Directory: only this part of the source is visible to build and app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo_subdir: Option<String>,
    /// The deploy template; recognised where it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// `major.minor` of Python.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python_version: Option<String>,
    /// Major version of Node.js.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_version: Option<String>,
    /// npm scripts run by a Node build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_run_scripts: Option<String>,
    /// npm script that starts the app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_start_script: Option<String>,
    /// The package's folder in a Node workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_path: Option<String>,
    /// Command line that installs dependencies, in place of the template's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub install_command: Option<String>,
    /// Command line run after the installation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_command: Option<String>,
    /// Command line that starts the app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_command: Option<String>,
    /// Dockerfile Name: a path from the repository's root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<String>,
    /// The hosted service's builder; accepted, and mapped to ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builder_type: Option<String>,
    /// Domains of the app's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<Domain>,
    /// Resources and scaling.
    pub resource_config: Resources,
    /// A static site.
    #[serde(rename = "static", skip_serializing_if = "Option::is_none")]
    pub static_site: Option<StaticSite>,
    /// Seconds without a request after which the last instance is stopped; the platform's default where not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<u32>,
    /// How the app is served.
    #[serde(skip_serializing_if = "is_default")]
    pub serving: Serving,
}

/// One thing wrong with a settings document: where, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The key, dotted.
    pub key: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

/// The templates of the hosted service; those marked are built today.
pub const TEMPLATES: &[(&str, bool)] = &[
    ("flask", true),
    ("fastapi", true),
    ("django", true),
    ("python", true),
    ("express", false),
    ("node", false),
    ("nestjs", false),
    ("go", false),
    ("gin", false),
    ("php", false),
    ("laravel", false),
    ("dockerfile", false),
    ("static", false),
];

impl Settings {
    /// Everything that is wrong with the document, in the order of its keys; empty when it may be used.
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut say = |key: &str, message: String| found.push(Violation { key: key.to_owned(), message });
        for (key, environment) in [("environment", &self.environment), ("buildEnvironment", &self.build_environment)] {
            for (name, value) in environment {
                if value.contains('\0') {
                    say(&format!("{key}.{name}"), "a value can't hold a NUL character".to_owned());
                }
            }
        }
        if let Some(port) = self.environment.get("PORT")
            && !port.trim().parse::<u16>().is_ok_and(|port| port > 0)
        {
            say("environment.PORT", "must be a port number from 1 to 65535".to_owned());
        }
        for (key, path) in
            [("repoSubdir", &self.repo_subdir), ("dockerfile", &self.dockerfile), ("projectPath", &self.project_path)]
        {
            if path.as_deref().is_some_and(|path| !inside(path)) {
                say(key, "must be a path inside the repository, without '..'".to_owned());
            }
        }
        if let Some(template) = &self.template {
            match TEMPLATES.iter().find(|(name, _)| name == template) {
                Some((_, true)) => {}
                Some((_, false)) => {
                    say("template", format!("{template} is not built yet; today there are {}", built_templates()));
                }
                None => say("template", format!("there is no such template; there are {}", built_templates())),
            }
        }
        if self.python_version.as_deref().is_some_and(|version| !is_version(version, 2)) {
            say("pythonVersion", "must be major.minor, as in \"3.11\" (in quotes, or YAML drops a zero)".to_owned());
        }
        if self.node_version.as_deref().is_some_and(|version| !is_version(version, 1)) {
            say("nodeVersion", "must be a major version, as in \"22\"".to_owned());
        }
        if self.builder_type.as_deref().is_some_and(|kind| !matches!(kind, "paketo" | "nixpacks" | "dockerfile")) {
            say("builderType", "must be paketo, nixpacks or dockerfile".to_owned());
        }
        for (key, line) in [
            ("installCommand", &self.install_command),
            ("buildCommand", &self.build_command),
            ("startCommand", &self.start_command),
        ] {
            if line.as_deref().is_some_and(|line| line.trim().is_empty() || line.contains('\0') || line.len() > 8192) {
                say(key, "must be a command line of 1 to 8192 bytes".to_owned());
            }
        }
        for (index, domain) in self.domains.iter().enumerate() {
            if !is_domain(&domain.domain_name) {
                say(
                    &format!("domains[{index}].domainName"),
                    "must be a host name in lower case with at least one dot".to_owned(),
                );
            }
        }
        self.resource_violations(&mut say);
        self.serving.violations(&mut say);
        self.database.violations(&mut say);
        if self.database.point_in_time && self.database_type != DatabaseType::Postgres {
            say(
                "database.pointInTime",
                "only a PostgreSQL database (databaseType: postgres) can be restored to a moment".to_owned(),
            );
        }
        found
    }

    fn resource_violations(&self, say: &mut dyn FnMut(&str, String)) {
        let resources = &self.resource_config;
        if !(0.05..=64.0).contains(&resources.v_cpus) {
            say("resourceConfig.vCpus", "must be a number of cores from 0.05 to 64".to_owned());
        }
        if resources.memory == 0 || !resources.memory.is_multiple_of(256) {
            say("resourceConfig.memory", "must be a multiple of 256 (MB)".to_owned());
        }
        if !(1..=1000).contains(&resources.max_concurrent_requests_per_instance) {
            say("resourceConfig.maxConcurrentRequestsPerInstance", "must be from 1 to 1000".to_owned());
        }
        if resources.min_instances > 1000 {
            say("resourceConfig.minInstances", "must be from 0 to 1000".to_owned());
        }
        if !(1..=1000).contains(&resources.max_instances) {
            say("resourceConfig.maxInstances", "must be from 1 to 1000".to_owned());
        }
        if resources.min_instances > resources.max_instances {
            say("resourceConfig.minInstances", "must not be more than maxInstances".to_owned());
        }
    }

    /// Sets variables of the run time.
    pub fn set_environment(&mut self, variables: impl IntoIterator<Item = (EnvName, String)>) {
        self.environment.extend(variables);
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The names of the templates that can be built today, for an error.
fn built_templates() -> String {
    let names: Vec<_> = TEMPLATES.iter().filter(|(_, built)| *built).map(|(name, _)| *name).collect();
    names.join(", ")
}

/// Whether a path stays inside the repository, read as text.
fn inside(path: &str) -> bool {
    !path.starts_with('/') && !path.contains(['\0', '\\']) && path.split('/').all(|part| part != "..") && path.len() <= 1024
}

fn is_version(text: &str, parts: usize) -> bool {
    let numbers: Vec<_> = text.split('.').collect();
    numbers.len() == parts && numbers.iter().all(|n| (1..=3).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit()))
}

fn is_domain(text: &str) -> bool {
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_document_has_the_defaults() {
        let settings: Settings = serde_json::from_str("{}").expect("an empty document");
        assert!(settings.violations().is_empty());
        assert_eq!(settings.resource_config.memory, 512);
        assert_eq!(settings.database_type, DatabaseType::None);
    }

    #[test]
    fn only_postgresql_goes_back_to_a_moment() {
        for (kind, found) in [("postgres", 0), ("mongodb", 1), ("none", 1)] {
            let text = format!(r#"{{"databaseType":"{kind}","database":{{"pointInTime":true}}}}"#);
            let settings: Settings = serde_json::from_str(&text).expect("a document");
            assert_eq!(settings.violations().len(), found, "{kind}: {:?}", settings.violations());
        }
    }

    #[test]
    fn every_violation_is_named() {
        let text = r#"{"databaseType":"none","pythonVersion":"3","repoSubdir":"../x","environment":{"PORT":"0"},
            "resourceConfig":{"memory":300,"maxInstances":0},"domains":[{"domainName":"Nodot"}],"template":"cobol"}"#;
        let settings: Settings = serde_json::from_str(text).expect("known keys only");
        let keys: Vec<_> = settings.violations().into_iter().map(|violation| violation.key).collect();
        assert_eq!(
            keys,
            [
                "environment.PORT",
                "repoSubdir",
                "template",
                "pythonVersion",
                "domains[0].domainName",
                "resourceConfig.memory",
                "resourceConfig.maxInstances"
            ]
        );
    }

    #[test]
    fn unknown_keys_and_names_are_refused() {
        for bad in [r#"{"startcommand":"x"}"#, r#"{"environment":{"A-B":"x"}}"#, r#"{"databaseType":"oracle"}"#] {
            assert!(serde_json::from_str::<Settings>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_document_survives_a_round_trip() {
        let mut settings = Settings::default();
        settings.set_environment([(EnvName::parse("A").expect("a name"), "1".to_owned())]);
        settings.start_command = Some("python app.py".to_owned());
        let text = serde_json::to_string(&settings).expect("plain data");
        assert_eq!(serde_json::from_str::<Settings>(&text).expect("what we wrote"), settings);
    }
}
