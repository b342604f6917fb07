//! Use cases on settings: read and replace the document, set variables, scale. Changes that need no build make a revision at once.

use api::{EnvKind, EnvPatch, EnvVariables, ErrorBody, ErrorCode, ScalePatch, SettingsChanged};
use model::database::DatabaseSettings;
use model::environment::Environment;
use model::{AppName, DatabaseType, DeploymentNumber, Resources, Serving, Settings};
use store::DeploymentKind;

use sha2::{Digest as _, Sha256};

use crate::deploy::Request;
use crate::error::{Result, app_not_found, invalid_settings};
use crate::registry::Entry;
use crate::{Control, databases};

/// When changed settings take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// With a deployment that is made for them now, where something is live.
    Now,
    /// With whatever is deployed next.
    Later,
}

/// The version of a settings document: another one for each that differs.
pub fn settings_version(settings: &Settings) -> String {
    // A document of plain data can always be written; if it could not, no version would be any other's.
    let text = serde_json::to_vec(settings).unwrap_or_default();
    Sha256::digest(&text).iter().take(12).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

impl Control {
    /// Replaces the settings document of a version: where it has another one by now, nothing is changed, and the error's code is
    /// [`ErrorCode::Conflict`].
    pub async fn save_settings(&self, name: &AppName, base: &str, settings: Settings, effect: Effect) -> Result<SettingsChanged> {
        let base = base.to_owned();
        let edit = move |document: &mut Settings| {
            if settings_version(document) != base {
                return Err(ErrorBody::new(ErrorCode::Conflict, "the settings were changed by somebody else meanwhile")
                    .help("look at what is stored now, and save again"));
            }
            *document = settings;
            Ok(())
        };
        self.change_with(name, edit, effect).await
    }

    /// Makes what is saved live: without a build where that will do, or else from the app's source, as `update_deployment` does.
    pub async fn deploy_saved(&self, name: &AppName, build: bool) -> Result<DeploymentNumber> {
        let entry = self.entry(name)?;
        let lookup = name.clone();
        let live = self.read(move |tx| Ok(tx.app(&lookup)?.and_then(|app| app.live))).await?;
        if build || live.is_none() {
            match self.update_deployment(name).await {
                Ok(accepted) => return Ok(accepted.deployment),
                // The source is not kept any more: what needs no build can be had all the same.
                Err(error) if live.is_none() || error.code != ErrorCode::Conflict => return Err(error),
                Err(_) => {}
            }
        }
        self.enqueue(&entry, DeploymentKind::Settings, Request::Settings, None).await
    }

    /// Whether something is saved that what is live was not started with, and that needs no build.
    pub async fn settings_wait(&self, name: &AppName) -> Result<bool> {
        let name = name.clone();
        self.read(move |tx| {
            let Some(app) = tx.app(&name)? else { return Ok(false) };
            let Some(live) = app.live.map(|live| tx.revision(app.id, live)).transpose()?.flatten() else { return Ok(false) };
            let (spec, settings) = (&live.spec, &app.settings);
            Ok(spec.environment != settings.environment
                || spec.resources != settings.resource_config
                || spec.idle_timeout != settings.idle_timeout
                || spec.serving != settings.serving)
        })
        .await
    }

    /// The settings document.
    pub async fn settings(&self, name: &AppName) -> Result<Settings> {
        let name = name.clone();
        let not_found = app_not_found(&name);
        self.read(move |tx| tx.app(&name)).await?.map(|app| app.settings).ok_or(not_found)
    }

    /// Replaces the settings document; where versions are named, only one of these, and otherwise nothing is changed and the error's code
    /// is [`ErrorCode::PreconditionFailed`].
    pub async fn put_settings(&self, name: &AppName, settings: Settings, of: Option<&[String]>) -> Result<SettingsChanged> {
        self.change(name, move |document| {
            if of.is_some_and(|of| !of.contains(&settings_version(document))) {
                return Err(ErrorBody::new(
                    ErrorCode::PreconditionFailed,
                    "the settings were changed since that version was read",
                )
                .help("get them again, put what you want to change into them, and send them with their ETag"));
            }
            *document = settings;
            Ok(())
        })
        .await
    }

    /// Variables of the run time, or of the build.
    pub async fn variables(&self, name: &AppName, kind: EnvKind) -> Result<EnvVariables> {
        let settings = self.settings(name).await?;
        let variables = match kind {
            EnvKind::Run => settings.environment,
            EnvKind::Build => settings.build_environment,
        };
        Ok(EnvVariables { kind, variables })
    }

    /// Sets and removes variables.
    pub async fn set_variables(&self, name: &AppName, patch: EnvPatch) -> Result<SettingsChanged> {
        self.change(name, move |document| {
            let variables = match patch.kind {
                EnvKind::Run => &mut document.environment,
                EnvKind::Build => &mut document.build_environment,
            };
            variables.extend(patch.set);
            for name in &patch.unset {
                if variables.remove(name.as_str()).is_none() {
                    return Err(ErrorBody::new(
                        ErrorCode::BadRequest,
                        format!("the variable {name} is not set; nothing was changed"),
                    )
                    .help("`adaptable env APP list` shows those that are"));
                }
            }
            Ok(())
        })
        .await
    }

    /// Changes resources and scaling; what is not named stays.
    pub async fn scale(&self, name: &AppName, patch: ScalePatch) -> Result<SettingsChanged> {
        self.change(name, move |document| {
            let resources = &mut document.resource_config;
            resources.min_instances = patch.min.unwrap_or(resources.min_instances);
            resources.max_instances = patch.max.unwrap_or(resources.max_instances);
            resources.max_concurrent_requests_per_instance =
                patch.concurrency.unwrap_or(resources.max_concurrent_requests_per_instance);
            resources.memory = patch.memory.unwrap_or(resources.memory);
            resources.v_cpus = patch.vcpus.unwrap_or(resources.v_cpus);
            Ok(())
        })
        .await
    }

    async fn change(&self, name: &AppName, edit: impl FnOnce(&mut Settings) -> Result<()> + Send) -> Result<SettingsChanged> {
        self.change_with(name, edit, Effect::Now).await
    }

    async fn change_with(
        &self,
        name: &AppName,
        edit: impl FnOnce(&mut Settings) -> Result<()> + Send,
        effect: Effect,
    ) -> Result<SettingsChanged> {
        let entry = self.entry(name)?;
        let before = entry.settings.lock().await;
        let old = self.settings(name).await?;
        let mut new = old.clone();
        edit(&mut new)?;
        check(&new)?;
        self.check_kind(Some(&entry), &old, &new).await?;
        if new == old {
            return Ok(SettingsChanged { app: name.clone(), settings: new, deployment: None, needs_deploy: false });
        }
        self.save(&entry, &new).await?;
        drop(before);
        let runs = runtime_part(&new) != runtime_part(&old);
        let needs_deploy = build_part(&new) != build_part(&old);
        let live = {
            let name = name.clone();
            self.read(move |tx| Ok(tx.app(&name)?.and_then(|app| app.live))).await?
        };
        let deployment = match (runs && effect == Effect::Now, live) {
            (true, Some(_)) => Some(self.enqueue(&entry, DeploymentKind::Settings, Request::Settings, None).await?),
            _ => None,
        };
        Ok(SettingsChanged { app: name.clone(), settings: new, deployment, needs_deploy })
    }

    /// Writes a checked document.
    pub(crate) async fn save(&self, entry: &Entry, settings: &Settings) -> Result<()> {
        let (name, settings) = (entry.name.clone(), settings.clone());
        self.write(move |tx| match tx.app(&name)? {
            Some(app) => tx.set_settings(&app, &settings),
            None => Ok(()),
        })
        .await
    }
}

/// Refuses a document that breaks a rule.
pub(crate) fn check(new: &Settings) -> Result<()> {
    let violations = new.violations();
    if violations.is_empty() { Ok(()) } else { Err(invalid_settings(&violations)) }
}

/// What an instance is started from: changes of it make a revision without a build.
fn runtime_part(settings: &Settings) -> impl PartialEq + use<'_> {
    (&settings.environment, settings.resource_config, settings.idle_timeout, &settings.serving, databases::part(settings))
}

/// Everything else waits for the next `deploy`.
fn build_part(settings: &Settings) -> Settings {
    Settings {
        environment: Environment::default(),
        resource_config: Resources::default(),
        idle_timeout: None,
        serving: Serving::default(),
        database_type: DatabaseType::None,
        database: DatabaseSettings::default(),
        ..settings.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_another_version() {
        let plain = Settings::default();
        let mut other = plain.clone();
        assert_eq!(settings_version(&plain), settings_version(&other));
        other.start_command = Some("x".to_owned());
        let first = settings_version(&other);
        assert_ne!(settings_version(&plain), first);
        other.set_environment([(model::EnvName::parse("A").expect("a name"), String::new())]);
        assert_ne!(settings_version(&other), first);
        assert_eq!(first.len(), 24);
    }
}
