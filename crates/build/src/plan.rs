//! What a build is going to do, decided before anything of the source runs.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Where the source lies inside every sandbox; also the working directory of steps and of the app.
pub const APP_DIR: &str = "/app";
/// Where the dependencies' virtual environment lies inside every sandbox.
pub const VENV_DIR: &str = "/opt/venv";
/// Where [`Dependencies::generated`] files are shown, read-only, to the steps of a build; never part of a layer.
pub const PLAN_DIR: &str = "/opt/plan";

/// A Python version as the stack knows it: `3.11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PyVersion {
    /// The first number.
    pub major: u8,
    /// The second number.
    pub minor: u8,
}

impl PyVersion {
    /// The version `major.minor`.
    pub const fn new(major: u8, minor: u8) -> Self {
        Self { major, minor }
    }
}

impl fmt::Display for PyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What the user set for this app, beyond what the source itself says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRequest {
    /// Command line that starts the app; comes before Procfile and inference.
    pub start_command: Option<String>,
    /// Python version, such as `3.11` or `3.11.4`.
    pub python_version: Option<String>,
    /// Command line that replaces the installation of dependencies (runs with the venv first on `PATH`).
    pub install_command: Option<String>,
    /// Command line that runs after the source has been laid.
    pub build_command: Option<String>,
    /// A template the user named, for instance `flask`; breaks ties, never hides what the source says.
    pub template: Option<Template>,
}

/// What the platform can offer to a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Available {
    /// The Python versions that can be had, in any order.
    pub pythons: Vec<PyVersion>,
}

/// The kind of app that was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Template {
    /// Flask (and Quart, Dash and others built on it).
    Flask,
    /// `FastAPI`, Starlette.
    FastApi,
    /// Django.
    Django,
    /// Any other Python program that serves HTTP.
    Python,
}

impl Template {
    /// The name in JSON, in settings and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flask => "flask",
            Self::FastApi => "fastapi",
            Self::Django => "django",
            Self::Python => "python",
        }
    }
}

impl Template {
    /// The template of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Flask, Self::FastApi, Self::Django, Self::Python].into_iter().find(|template| template.as_str() == name)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A checked name of a Debian package (policy 5.6.1), with no version, architecture or option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DebianPackage(String);

/// Text that is no name of a Debian package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a Debian package")]
pub struct NotAPackage(pub String);

impl DebianPackage {
    /// Checks a name: lower-case letters, digits, `+`, `-` and `.`, at least two characters, starting with a letter or digit.
    pub fn parse(name: &str) -> Result<Self, NotAPackage> {
        let mut bytes = name.bytes();
        let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let rest = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b));
        if first && rest && (2..=128).contains(&name.len()) {
            Ok(Self(name.to_owned()))
        } else {
            Err(NotAPackage(name.to_owned()))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DebianPackage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for DebianPackage {
    type Error = NotAPackage;

    fn try_from(name: String) -> Result<Self, NotAPackage> {
        Self::parse(&name)
    }
}

impl From<DebianPackage> for String {
    fn from(package: DebianPackage) -> Self {
        package.0
    }
}

/// Everything a build does, in order, and how the app is started afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What was recognised.
    pub template: Template,
    /// The Python version and the reason for it.
    pub python: PythonChoice,
    /// Debian packages beyond the stack's own.
    pub system: SystemPackages,
    /// The dependencies' layer.
    pub dependencies: Dependencies,
    /// Steps after the source has been laid at [`APP_DIR`], on top of the dependencies' layer. They may write to [`APP_DIR`]
    /// and [`VENV_DIR`]; what they write belongs to the source's layer. Usually empty.
    pub finish: Vec<Step>,
    /// How the app is started.
    pub start: Start,
    /// The Procfile's `release:` command, run once before traffic switches.
    pub release: Option<Command>,
    /// Variables of the run time that the app's own settings may override.
    pub env: BTreeMap<String, String>,
    /// Sentences for the log: what was chosen, what was left out and why.
    pub notes: Vec<String>,
}

/// A Python version and why it is this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PythonChoice {
    /// The version.
    pub version: PyVersion,
    /// For the log: `from .python-version`, `the default`, `requires-python is >=3.10`.
    pub why: String,
}

/// Debian packages, sorted and without doubles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemPackages {
    /// Needed while dependencies are installed (headers); `run` packages are to be there as well.
    pub build: Vec<DebianPackage>,
    /// Needed while the app runs: they belong into the image.
    pub run: Vec<DebianPackage>,
}

/// The dependencies' layer: everything below [`VENV_DIR`].
///
/// The layer's key is made of the stack, the Python version, the system packages, `key_files` (names and bytes), `key_extra`,
/// `generated` and `steps`: see [`crate::key::dependencies_key`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependencies {
    /// Files of the tree (relative, `/` between parts) that key the layer and must lie below [`APP_DIR`] during the steps.
    pub key_files: Vec<String>,
    /// True when the steps need a (writable, thrown away) copy of the whole tree at [`APP_DIR`], not only of the key files.
    pub needs_whole_tree: bool,
    /// Further text that belongs to the layer's key.
    pub key_extra: Vec<String>,
    /// Files the plan itself wrote, to be shown read-only below [`PLAN_DIR`] during the steps.
    pub generated: Vec<Generated>,
    /// The steps, in order; the first makes the virtual environment.
    pub steps: Vec<Step>,
}

/// A file the plan wrote, for instance requirements made from a lock file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generated {
    /// A plain file name, without `/`.
    pub name: String,
    /// Its text.
    pub contents: String,
}

impl Generated {
    /// Its path inside the sandbox.
    pub fn path(&self) -> String {
        format!("{PLAN_DIR}/{}", self.name)
    }
}

/// One program run in the build's sandbox with [`APP_DIR`] as working directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// For the log, as an activity: `install dependencies`.
    pub name: String,
    /// The argument vector; the first is looked up in `PATH` (which has [`VENV_DIR`]`/bin` first).
    pub args: Vec<String>,
    /// Variables beyond the build's own.
    pub env: BTreeMap<String, String>,
    /// When false, a failure is logged and the build goes on.
    pub fatal: bool,
}

/// How the app is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// What to run.
    pub command: Command,
    /// Who said so.
    pub origin: Origin,
    /// A sentence for the log: why this command.
    pub why: String,
    /// The server the platform adds to the app's own dependencies, if the app brings none.
    pub added_server: Option<Server>,
}

/// A command line and the argument vector that runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// As the user wrote it or as it was inferred; for people.
    pub line: String,
    /// What is executed inside the app's container: the result of [`crate::shell::prepare`].
    pub args: Vec<String>,
}

/// Where a start command came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The app's settings.
    Settings,
    /// The line `web:` of the Procfile.
    Procfile,
    /// The source's syntax.
    Inferred,
}

/// A production server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Server {
    /// For WSGI.
    Gunicorn,
    /// For ASGI.
    Uvicorn,
}

impl Server {
    /// The distribution's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gunicorn => "gunicorn",
            Self::Uvicorn => "uvicorn",
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
