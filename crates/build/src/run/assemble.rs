//! Writes the image of a build: its configuration, its manifest, its name in the index.

use image::ImageId;
use image::oci::{Config, Execution, History, Platform, RootFs};

use super::{Build, BuildError, Part};
use crate::plan::APP_DIR;

/// Writes the image. The same layers and plan give the same image: nothing of the clock is in it.
pub(super) async fn write(build: &Build<'_>, parts: &[Part], env: &[(String, String)]) -> Result<ImageId, BuildError> {
    let Platform { architecture, os } = Platform::host();
    let execution = Execution {
        env: env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        cmd: build.request.plan.start.command.args.clone(),
        working_dir: APP_DIR.to_owned(),
        labels: build.request.labels.clone(),
        stop_signal: Some("SIGTERM".to_owned()),
        ..Execution::default()
    };
    let config = Config {
        created: None,
        architecture,
        os,
        execution,
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: parts.iter().map(|part| part.diff_id).collect() },
        history: parts.iter().map(|part| History { created_by: part.about.to_owned() }).collect(),
    };
    let layers = parts.iter().map(|part| part.descriptor.clone()).collect();
    let name = build.request.name.clone();
    build.on_disk(move |layout, pin| layout.write_image(pin, &name, &config, layers)).await
}
