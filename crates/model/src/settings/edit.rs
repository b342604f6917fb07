//! Single settings as text: what a form shows of a document, and a document changed by what came back.

use super::fields::{Field, Input, find};
use super::{DatabaseType, Settings, StaticSite};
use crate::serving::Protocol;

impl Settings {
    /// A setting as text, as a form shows it: empty where it is not set, `on` for a switch that is. `None` where there is no such key,
    /// and for variables and domains, which are more than a text.
    pub fn text(&self, key: &str) -> Option<String> {
        let or_empty = |value: &Option<String>| value.clone().unwrap_or_default();
        let number = |value: Option<u32>| value.map(|value| value.to_string()).unwrap_or_default();
        let switch = |on: bool| if on { "on".to_owned() } else { String::new() };
        let (resources, serving, database) = (&self.resource_config, &self.serving, &self.database);
        Some(match key {
            "databaseType" => self.database_type.as_str().to_owned(),
            "resourceConfig.minInstances" => resources.min_instances.to_string(),
            "resourceConfig.maxInstances" => resources.max_instances.to_string(),
            "resourceConfig.maxConcurrentRequestsPerInstance" => resources.max_concurrent_requests_per_instance.to_string(),
            "resourceConfig.memory" => resources.memory.to_string(),
            "resourceConfig.vCpus" => resources.v_cpus.to_string(),
            "idleTimeout" => number(self.idle_timeout),
            "serving.freeze" => switch(serving.freeze),
            "serving.freezeAfter" => number(serving.freeze_after),
            "serving.protocol" => serving.protocol.as_str().to_owned(),
            "serving.requestTimeout" => serving.request_timeout.to_string(),
            "serving.drainTimeout" => serving.drain_timeout.to_string(),
            "serving.probePath" => or_empty(&serving.probe_path),
            "database.maxConnections" => database.max_connections.to_string(),
            "database.storage" => database.storage.to_string(),
            "database.extensions" => database.extensions.join("\n"),
            "database.allow" => database.allow.join("\n"),
            "database.pointInTime" => switch(database.point_in_time),
            "static.root" => self.static_site.as_ref().map(|site| site.root.clone()).unwrap_or_default(),
            "static.singlePageApp" => switch(self.static_site.as_ref().is_some_and(|site| site.single_page_app == Some(true))),
            key => or_empty(self.optional(key)?),
        })
    }

    /// Sets a setting from text. An empty one unsets what may be unset, and is the default of what may not. What is said of it here
    /// is that it can't be read; whether it is allowed, [`Settings::violations`] says.
    pub fn set_text(&mut self, key: &str, text: &str) -> Result<(), String> {
        let field = find(key).ok_or_else(|| "there is no such setting".to_owned())?;
        let text = match field.input {
            Input::Lines { .. } => text,
            _ => text.trim(),
        };
        let defaults = Self::default();
        let (resources, serving, database) = (&mut self.resource_config, &mut self.serving, &mut self.database);
        match key {
            "databaseType" => {
                self.database_type = match text {
                    "" => DatabaseType::None,
                    text => DatabaseType::parse(text).ok_or_else(|| one_of(field))?,
                }
            }
            "resourceConfig.minInstances" => {
                resources.min_instances = whole(field, text, defaults.resource_config.min_instances)?;
            }
            "resourceConfig.maxInstances" => {
                resources.max_instances = whole(field, text, defaults.resource_config.max_instances)?;
            }
            "resourceConfig.maxConcurrentRequestsPerInstance" => {
                resources.max_concurrent_requests_per_instance =
                    whole(field, text, defaults.resource_config.max_concurrent_requests_per_instance)?;
            }
            "resourceConfig.memory" => resources.memory = whole(field, text, defaults.resource_config.memory)?,
            "resourceConfig.vCpus" => {
                resources.v_cpus = match text {
                    "" => defaults.resource_config.v_cpus,
                    text => {
                        text.replace(',', ".").parse().ok().filter(|n: &f64| n.is_finite()).ok_or("must be a number of cores")?
                    }
                }
            }
            "idleTimeout" => self.idle_timeout = optional_whole(field, text)?,
            "serving.freeze" => serving.freeze = switch(text)?,
            "serving.freezeAfter" => serving.freeze_after = optional_whole(field, text)?,
            "serving.protocol" => {
                serving.protocol = match text {
                    "" => Protocol::default(),
                    text => Protocol::parse(text).ok_or_else(|| one_of(field))?,
                }
            }
            "serving.requestTimeout" => serving.request_timeout = whole(field, text, defaults.serving.request_timeout)?,
            "serving.drainTimeout" => serving.drain_timeout = whole(field, text, defaults.serving.drain_timeout)?,
            "serving.probePath" => serving.probe_path = optional(text),
            "database.maxConnections" => database.max_connections = whole(field, text, defaults.database.max_connections)?,
            "database.storage" => database.storage = whole(field, text, defaults.database.storage)?,
            "database.extensions" => database.extensions = lines(text),
            "database.allow" => database.allow = lines(text),
            "database.pointInTime" => database.point_in_time = switch(text)?,
            "static.root" => match (&mut self.static_site, text) {
                (site, "") => *site = None,
                (Some(site), text) => text.clone_into(&mut site.root),
                (site, text) => *site = Some(StaticSite { root: text.to_owned(), single_page_app: None }),
            },
            "static.singlePageApp" => {
                let on = switch(text)?;
                if let Some(site) = &mut self.static_site {
                    // What was not set stays not set, unless it is turned on.
                    site.single_page_app = (on || site.single_page_app.is_some()).then_some(on);
                } else if on {
                    return Err("name the Root Folder, too".to_owned());
                }
            }
            key => match self.optional_mut(key) {
                Some(place) => *place = optional(text),
                None => return Err("is not a text".to_owned()),
            },
        }
        Ok(())
    }

    /// The texts that may be unset, by their keys.
    fn optional(&self, key: &str) -> Option<&Option<String>> {
        Some(match key {
            "repoSubdir" => &self.repo_subdir,
            "template" => &self.template,
            "pythonVersion" => &self.python_version,
            "nodeVersion" => &self.node_version,
            "nodeRunScripts" => &self.node_run_scripts,
            "nodeStartScript" => &self.node_start_script,
            "projectPath" => &self.project_path,
            "installCommand" => &self.install_command,
            "buildCommand" => &self.build_command,
            "startCommand" => &self.start_command,
            "dockerfile" => &self.dockerfile,
            "builderType" => &self.builder_type,
            _ => return None,
        })
    }

    fn optional_mut(&mut self, key: &str) -> Option<&mut Option<String>> {
        Some(match key {
            "repoSubdir" => &mut self.repo_subdir,
            "template" => &mut self.template,
            "pythonVersion" => &mut self.python_version,
            "nodeVersion" => &mut self.node_version,
            "nodeRunScripts" => &mut self.node_run_scripts,
            "nodeStartScript" => &mut self.node_start_script,
            "projectPath" => &mut self.project_path,
            "installCommand" => &mut self.install_command,
            "buildCommand" => &mut self.build_command,
            "startCommand" => &mut self.start_command,
            "dockerfile" => &mut self.dockerfile,
            "builderType" => &mut self.builder_type,
            _ => return None,
        })
    }
}

fn optional(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn lines(text: &str) -> Vec<String> {
    text.split(['\n', ',']).map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" | "true" => Ok(true),
        "" | "off" | "false" => Ok(false),
        _ => Err("must be on or off".to_owned()),
    }
}

fn whole<T: std::str::FromStr>(field: &Field, text: &str, default: T) -> Result<T, String> {
    optional_whole(field, text).map(|value| value.unwrap_or(default))
}

fn optional_whole<T: std::str::FromStr>(field: &Field, text: &str) -> Result<Option<T>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number.map(Some).ok_or_else(|| match field.input {
        Input::Whole { least, most, unit, .. } => format!("must be a whole number of {unit} from {least} to {most}"),
        _ => "must be a whole number".to_owned(),
    })
}

fn one_of(field: &Field) -> String {
    let Input::Choice(choices) = field.input else { return "is not allowed".to_owned() };
    let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
    format!("must be one of {}", words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::fields::{Concerns, FIELDS};
    use super::*;

    /// A document in which every key that is a text differs from its default.
    fn full() -> Settings {
        serde_json::from_str(
            r#"{"databaseType":"postgres","database":{"maxConnections":7,"storage":99,"extensions":["citext","hstore"],
            "allow":["192.0.2.0/24"],"pointInTime":true},"environment":{"A":"1"},"buildEnvironment":{"B":"2"},"repoSubdir":"web",
            "template":"flask","pythonVersion":"3.13","nodeVersion":"22","nodeRunScripts":"build","nodeStartScript":"go",
            "projectPath":"p","installCommand":"i","buildCommand":"b","startCommand":"s","dockerfile":"D","builderType":"paketo",
            "domains":[{"domainName":"a.example"}],"resourceConfig":{"vCpus":0.25,"memory":1024,
            "maxConcurrentRequestsPerInstance":4,"minInstances":1,"maxInstances":3},"static":{"root":"dist","singlePageApp":true},
            "idleTimeout":60,"serving":{"freeze":false,"freezeAfter":5,"protocol":"h2c","requestTimeout":9,"drainTimeout":8,
            "probePath":"/up"}}"#,
        )
        .expect("known keys")
    }

    #[test]
    fn every_key_of_a_document_is_in_the_table() {
        let value = serde_json::to_value(full()).expect("plain data");
        let mut keys = Vec::new();
        for (key, value) in value.as_object().expect("a map") {
            match value.as_object().filter(|_| !matches!(key.as_str(), "environment" | "buildEnvironment")) {
                Some(inner) => keys.extend(inner.keys().map(|inner| format!("{key}.{inner}"))),
                None => keys.push(key.clone()),
            }
        }
        let mut table: Vec<_> = FIELDS.iter().map(|field| field.key.to_owned()).collect();
        keys.sort();
        table.sort();
        assert_eq!(keys, table);
    }

    #[test]
    fn what_is_shown_is_what_is_read() {
        let (full, mut copy) = (full(), Settings::default());
        for field in FIELDS {
            let Some(text) = full.text(field.key) else {
                assert!(matches!(field.input, Input::Variables | Input::Domains), "{}", field.key);
                assert!(copy.set_text(field.key, "x").is_err(), "{}", field.key);
                continue;
            };
            assert_ne!(Some(&text), Settings::default().text(field.key).as_ref(), "{}", field.key);
            copy.set_text(field.key, &text).expect("its own text");
        }
        copy.environment.clone_from(&full.environment);
        copy.build_environment.clone_from(&full.build_environment);
        copy.domains.clone_from(&full.domains);
        assert_eq!(copy, full);
        // Emptied, it is the default again; but for a switch that is on by default.
        for field in FIELDS.iter().filter(|field| full.text(field.key).is_some()) {
            copy.set_text(field.key, "").expect("nothing");
            let default = Settings::default().text(field.key);
            assert!(copy.text(field.key) == default || field.key == "serving.freeze", "{}", field.key);
        }
    }

    #[test]
    fn what_can_not_be_read_changes_nothing() {
        let mut settings = Settings::default();
        for (key, text) in [
            ("databaseType", "oracle"),
            ("resourceConfig.memory", "much"),
            ("resourceConfig.memory", "-256"),
            ("resourceConfig.memory", "99999999999"),
            ("resourceConfig.vCpus", "NaN"),
            ("resourceConfig.vCpus", "two"),
            ("serving.freeze", "perhaps"),
            ("serving.protocol", "h3"),
            ("idleTimeout", "1.5"),
            ("static.singlePageApp", "on"),
            ("nothing", "x"),
        ] {
            assert!(settings.set_text(key, text).is_err(), "{key} {text}");
        }
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn the_templates_are_those_that_can_be_built() {
        let built: Vec<_> = super::super::TEMPLATES.iter().filter(|(_, built)| *built).map(|(name, _)| *name).collect();
        let Some(Field { input: Input::Choice(choices), .. }) = find("template") else { panic!("no choice") };
        assert_eq!(choices.iter().map(|(name, _)| *name).collect::<Vec<_>>(), built);
    }

    #[test]
    fn a_violation_finds_its_setting() {
        use super::super::fields::of_violation;
        for (key, found) in [
            ("startCommand", Some("startCommand")),
            ("environment.PORT", Some("environment")),
            ("domains[0].domainName", Some("domains")),
            ("database.allow[3]", Some("database.allow")),
            ("resourceConfig.memory", Some("resourceConfig.memory")),
            ("nonsense", None),
        ] {
            assert_eq!(of_violation(key).map(|field| field.key), found, "{key}");
        }
        assert!(Concerns::Python.includes(None) && !Concerns::Node.includes(None) && !Concerns::Python.includes(Some("go")));
    }
}
