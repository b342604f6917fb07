//! `settings`: the document, in and out.

use std::io::Read;
use std::path::Path;
use std::time::Instant;

use model::AppName;

use super::{Context, deploy, env};
use crate::cli::SettingsAction;
use crate::explain::Failure;

/// The largest document read.
const LARGEST: u64 = 4 * 1024 * 1024;

/// Runs `settings`.
pub(super) async fn run(context: &Context, app: &AppName, action: SettingsAction) -> Result<(), Failure> {
    let client = context.client()?;
    match action {
        SettingsAction::Get if context.printer.json() => context.printer.document(&client.settings(app).await?),
        SettingsAction::Get => context.printer.text(&client.settings_yaml(app).await?),
        SettingsAction::Apply { file } => {
            let (text, name) = read(&file)?;
            if text.trim().is_empty() {
                // More likely a mistake than a wish: every variable would be gone.
                return Err(Failure::usage(
                    format!("{name} is empty; nothing was changed"),
                    "'{}' sets everything back to its default",
                ));
            }
            // Checked here, too: an error then has the file's name and needs no platform.
            deploy::parse_settings(&text, &name)?;
            let began = Instant::now();
            let changed = client.apply_settings(app, text).await?;
            env::take_effect(&client, context.printer, &changed, began).await
        }
    }
}

fn read(file: &Path) -> Result<(String, String), Failure> {
    let fail = |error| Failure::file("read", file, error);
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin().lock().take(LARGEST).read_to_string(&mut text).map_err(fail)?;
        return Ok((text, "standard input".to_owned()));
    }
    std::fs::File::open(file).and_then(|handle| handle.take(LARGEST).read_to_string(&mut text)).map_err(fail)?;
    Ok((text, file.display().to_string()))
}
