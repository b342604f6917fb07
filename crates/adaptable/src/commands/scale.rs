//! `scale`: an app's resources, and how many instances there may be.

use std::time::Instant;

use api::ScalePatch;

use super::{Context, env};
use crate::cli::ScaleArgs;
use crate::explain::Failure;

/// Runs `scale`.
pub(super) async fn run(context: &Context, args: &ScaleArgs) -> Result<(), Failure> {
    let patch =
        ScalePatch { min: args.min, max: args.max, concurrency: args.concurrency, memory: args.memory, vcpus: args.vcpus };
    if patch == ScalePatch::default() {
        let help =
            "name at least one of --min, --max, --concurrency, --memory, --vcpus; adaptable settings APP get shows what is set";
        return Err(Failure::usage("nothing to change was named", help));
    }
    let client = context.client()?;
    let began = Instant::now();
    let changed = client.scale(&args.app, &patch).await?;
    env::take_effect(&client, context.printer, &changed, began).await
}
