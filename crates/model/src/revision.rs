//! A revision: an image with the variables, resources and command that it runs with. Numbered, and never changed.

use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::resources::Resources;
use crate::serving::Serving;

/// Where a source came from, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Commit {
    /// The commit's id, in hexadecimal.
    pub id: String,
    /// The first line of its message.
    #[serde(default)]
    pub subject: String,
    /// Its author's name.
    #[serde(default)]
    pub author: String,
    /// The branch that was deployed.
    #[serde(default)]
    pub branch: String,
    /// Whether the directory held changes beyond the commit.
    #[serde(default)]
    pub dirty: bool,
}

/// All that an instance of a revision is started from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RevisionSpec {
    /// The digest of the image's manifest.
    pub image: String,
    /// The layers of the root file system, bottom first, as the engine names them.
    pub layers: Vec<String>,
    /// The argument vector that starts the app.
    pub args: Vec<String>,
    /// The start command as a person wrote or would write it.
    pub start_command: String,
    /// The command run once before traffic switches.
    pub release: Option<Vec<String>>,
    /// Variables of the image: paths and the template's defaults.
    pub image_env: Vec<(String, String)>,
    /// The user's variables of the run time.
    pub environment: Environment,
    /// Resources and scaling.
    pub resources: Resources,
    /// The template that planned the build.
    pub template: String,
    /// Seconds without a request after which the last instance is stopped; the platform's default where not set.
    pub idle_timeout: Option<u32>,
    /// How it is served.
    #[serde(default)]
    pub serving: Serving,
    /// Where the source came from.
    pub commit: Option<Commit>,
}
