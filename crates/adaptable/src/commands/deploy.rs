//! `deploy`: pack a directory, send it, and follow its deployment to the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use api::{Client, Commit, DeployOptions, DeployRequest, Deployment};
use model::{AppName, Settings};
use source::Packed;

use super::Context;
use crate::cli::DeployArgs;
use crate::explain::Failure;
use crate::follow::{end, follow, interrupts};
use crate::printer::{BOLD, GREEN, Printer, bytes, seconds};
use crate::progress::Progress;
use crate::upload;

/// Runs `deploy`.
pub(crate) async fn run(context: &Context, args: &DeployArgs) -> Result<(), Failure> {
    let client = context.client()?;
    let order = Order::new(args, context.printer)?;
    let began = std::time::Instant::now();
    let deployment = order.deploy(&client, context.printer).await?;
    print(context.printer, &deployment, &deployment, began.elapsed().as_secs_f64())
}

/// What the command line asks for, checked: what is wrong with it is said before anything is started or sent.
pub(crate) struct Order {
    path: PathBuf,
    app: AppName,
    options: DeployOptions,
}

/// Prints how a deployment ended: `document` is what scripts get.
pub(super) fn print(
    printer: Printer,
    deployment: &Deployment,
    document: &impl serde::Serialize,
    took: f64,
) -> Result<(), Failure> {
    if printer.json() {
        printer.document(document)?;
        return end(deployment);
    }
    end(deployment)?;
    let revision = deployment.revision.map(|revision| format!(", revision {revision}")).unwrap_or_default();
    let live = printer.err_style(&format!("{} is live", deployment.app), GREEN.bold());
    printer.note(&format!("{live}{revision}, after {}", seconds(took)));
    printer.line(&printer.out_style(&deployment.url, BOLD))
}

impl Order {
    /// Checks the command line.
    pub(crate) fn new(args: &DeployArgs, printer: Printer) -> Result<Self, Failure> {
        let options = options(args)?;
        let app = name(args, printer)?;
        Ok(Self { path: args.path.clone(), app, options })
    }

    /// Packs the directory, sends it, and follows its deployment to the end.
    pub(crate) async fn deploy(self, client: &Client, printer: Printer) -> Result<Deployment, Failure> {
        let Self { path, app, options } = self;
        if !client.is_local() {
            printer.note(&format!("platform: {}", client.place()));
        }
        let mut interrupts = interrupts()?;
        let progress = Progress::new(printer);
        let sending = async {
            progress.say("packing", &path.display().to_string());
            let packed = upload::pack(&path).await?;
            for skipped in &packed.skipped {
                progress.note(&format!("left out {}: {}", skipped.path, skipped.reason));
            }
            let commit = packed.commit.as_ref().map(commit);
            progress.say("sending", &amount(&packed));
            let upload = upload::send(client, packed).await?;
            let request = DeployRequest { upload: upload.upload, options, commit };
            Ok::<_, Failure>(client.deploy(&app, &request).await?)
        };
        let accepted = tokio::select! {
            accepted = sending => accepted,
            _ = interrupts.recv() => Err(Failure::local("interrupted before the deployment began; nothing has changed", "")),
        };
        match accepted {
            Ok(accepted) => follow(client, &accepted.app, accepted.deployment, &mut interrupts, progress).await,
            Err(failure) => {
                progress.close();
                Err(failure)
            }
        }
    }
}

fn amount(packed: &Packed) -> String {
    format!("{} in {} file{}", bytes(packed.bytes), packed.files, if packed.files == 1 { "" } else { "s" })
}

fn commit(commit: &model::Commit) -> Commit {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Commit {
        id: commit.id.clone(),
        subject: some(&commit.subject),
        author: some(&commit.author),
        branch: some(&commit.branch),
        dirty: commit.dirty,
    }
}

/// The app's name: as given, or the directory's made valid.
fn name(args: &DeployArgs, printer: Printer) -> Result<AppName, Failure> {
    let full = args.path.canonicalize().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::usage(
            format!("there is no directory {}", args.path.display()),
            "name the directory with the app's source: adaptable deploy PATH",
        ),
        _ => Failure::file("open", &args.path, error),
    })?;
    if !full.is_dir() {
        return Err(Failure::usage(
            format!("{} is not a directory", args.path.display()),
            "deploy the directory that holds the app's source",
        ));
    }
    if let Some(app) = &args.app {
        return Ok(app.clone());
    }
    let name = full.file_name().unwrap_or_default().to_string_lossy();
    let app = AppName::suggest(&name).ok_or_else(|| {
        Failure::usage(format!("the directory's name {name:?} makes no app name"), "choose one: adaptable deploy --app NAME")
    })?;
    if app.as_str() == name {
        printer.note(&format!("app: {app}"));
    } else {
        printer.note(&format!("app: {app} (from the directory's name {name:?}; --app NAME chooses another)"));
    }
    Ok(app)
}

/// What the flags ask to change on the way.
fn options(args: &DeployArgs) -> Result<DeployOptions, Failure> {
    Ok(DeployOptions {
        template: args.template.clone(),
        start_command: args.start_command.clone(),
        base_directory: args.base_directory.clone(),
        database: args.database,
        env: args.env.iter().cloned().collect(),
        build_env: args.build_env.iter().cloned().collect(),
        settings: args.settings.as_deref().map(settings).transpose()?,
    })
}

/// Reads a settings document.
pub(super) fn settings(file: &Path) -> Result<Settings, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| Failure::file("read", file, error))?;
    parse_settings(&text, &file.display().to_string())
}

pub(super) fn violations(settings: &Settings) -> Vec<String> {
    settings.violations().iter().map(|violation| format!("{}: {}", violation.key, violation.message)).collect()
}

/// What is wrong with each key of a document that can't be read as a whole.
fn violations_of(keys: BTreeMap<String, serde_json::Value>) -> Vec<String> {
    let (mut lines, mut good) = (Vec::new(), serde_json::Map::new());
    for (key, value) in keys {
        let alone = serde_json::json!({ &key: &value });
        match serde_json::from_value::<Settings>(alone) {
            Ok(_) => drop(good.insert(key, value)),
            Err(error) => lines.push(format!("{key}: {error}")),
        }
    }
    if let Ok(settings) = serde_json::from_value::<Settings>(good.into()) {
        lines.extend(violations(&settings));
    }
    lines
}

/// Reads a settings document, and names everything that is wrong with it.
pub(super) fn parse_settings(text: &str, name: &str) -> Result<Settings, Failure> {
    // An empty document, or one of comments, is all defaults.
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Settings::default());
    }
    let parsed = serde_saphyr::from_str::<Settings>(text);
    let lines = match &parsed {
        Ok(settings) => violations(settings),
        // The first key that is wrong hides the others: each is read by itself.
        Err(error) => {
            if let Ok(keys) = serde_saphyr::from_str::<BTreeMap<String, serde_json::Value>>(text) {
                violations_of(keys)
            } else {
                let message = error.to_string();
                vec![message.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()]
            }
        }
    };
    match lines.as_slice() {
        [] => parsed.map_err(|error| Failure::usage(format!("{name}: {error}"), "")),
        [one] => Err(Failure::usage(format!("{name}: {one}"), "")),
        [first, rest @ ..] => Err(Failure::usage(format!("{name}: {first} (and {} more)", rest.len()), rest.join("\n"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settings_document_is_yaml_or_json() {
        let settings = parse_settings("pythonVersion: '3.11'\nenvironment:\n  A: '1'\nresourceConfig: {memory: 256}\n", "s.yaml")
            .expect("good");
        assert_eq!(settings.python_version.as_deref(), Some("3.11"));
        assert_eq!(settings.resource_config.memory, 256);
        assert_eq!(
            parse_settings("{\"startCommand\": \"python a.py\"}", "s.json").expect("good").start_command.as_deref(),
            Some("python a.py")
        );
        assert_eq!(parse_settings("# nothing\n\n", "s.yaml").expect("good"), Settings::default());
    }

    #[test]
    fn what_is_wrong_with_a_document_is_named() {
        for (text, part) in [
            ("startcommand: x\n", "startcommand"),
            ("resourceConfig: {memory: 300}\ntemplate: cobol\n", "and 1 more"),
            ("a: [\n", "s.yaml"),
            ("databaseType: oracle\npythonVersion: 3\nunknown: 1\nresourceConfig: {memory: 300}\n", "and 3 more"),
        ] {
            let Failure::Error(error) = parse_settings(text, "s.yaml").expect_err("it is wrong") else {
                panic!("an error is shown")
            };
            assert!(error.message.contains(part), "{}", error.message);
            assert_eq!(error.code.exit_code(), 2);
        }
    }
}
