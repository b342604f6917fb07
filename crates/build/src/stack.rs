//! Stacks: a Debian release with its Python, made once per machine and shared by all apps.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use image::oci::{Descriptor, STACK_ANNOTATION};
use image::{Digest, layers::LayerBlob};
use serde::{Deserialize, Serialize};

use crate::plan::{DebianPackage, PyVersion};

mod chroot;
pub mod make;
mod packages;

/// Where stacks lie unless a setting says otherwise.
pub const DEFAULT_DIR: &str = "/var/cache/adaptable";
/// The releases that a new machine makes: Python 3.11 and 3.13.
pub const DEFAULT_RELEASES: [&str; 2] = ["bookworm", "trixie"];
/// The format of `meta.json` and of what lies beside it; stacks of another format are made anew.
const FORMAT: u32 = 1;

/// A Debian release's code name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Release(String);

/// Text that is no release's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a Debian release: 2 to 20 letters a-z, such as bookworm")]
pub struct NotARelease(String);

impl Release {
    /// Checks a text from outside.
    pub fn parse(text: &str) -> Result<Self, NotARelease> {
        if (2..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotARelease(text.chars().take(40).collect()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Release {
    type Error = NotARelease;
    fn try_from(text: String) -> Result<Self, NotARelease> {
        Self::parse(&text)
    }
}

impl From<Release> for String {
    fn from(release: Release) -> Self {
        release.0
    }
}

/// A stack that lies on this machine, as its `meta.json` describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// The format of this description.
    pub format: u32,
    /// The directory's name: the release and the first digits of the content's digest.
    pub id: String,
    /// The Debian release.
    pub release: Release,
    /// The Pythons at `/usr/bin`.
    pub pythons: Vec<PyVersion>,
    /// The content as a blob of an image.
    pub blob: LayerBlob,
    /// When it was made, in seconds since 1970.
    pub made_at: i64,
    /// The packages of the running system.
    pub packages: BTreeMap<String, String>,
    /// The packages there are in builds: those of the running system and more.
    pub build_packages: BTreeMap<String, String>,
    /// What uv calls itself.
    pub uv: String,
}

impl Stack {
    /// The id of the layer that builds lay on top.
    pub fn build_id(&self) -> String {
        build_id(&self.id)
    }

    /// How a manifest names the stack's blob.
    pub fn descriptor(&self) -> Descriptor {
        self.blob.descriptor(STACK_ANNOTATION, &self.id)
    }

    /// The digest of the content, which keys every layer above.
    pub fn diff_id(&self) -> Digest {
        self.blob.diff_id
    }

    /// Of these packages, those that the running system lacks.
    pub fn missing<'a>(&self, packages: &'a [DebianPackage]) -> Vec<&'a DebianPackage> {
        packages.iter().filter(|package| !self.packages.contains_key(package.as_str())).collect()
    }

    /// Of these packages, those that builds lack.
    pub fn missing_in_builds<'a>(&self, packages: impl IntoIterator<Item = &'a DebianPackage>) -> Vec<&'a DebianPackage> {
        packages.into_iter().filter(|package| !self.build_packages.contains_key(package.as_str())).collect()
    }
}

fn build_id(id: &str) -> String {
    format!("{id}-build")
}

/// The directory of the machine's stacks.
#[derive(Debug, Clone)]
pub struct Stacks {
    dir: PathBuf,
}

impl Stacks {
    /// The stacks in this directory. It need not exist.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The newest stack of each release, oldest Python first. Looked up anew each time: others may be made meanwhile.
    pub fn all(&self) -> io::Result<Vec<Stack>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut newest: BTreeMap<Release, Stack> = BTreeMap::new();
        for entry in entries {
            let path = entry?.path();
            let Some(stack) = read(&path) else { continue };
            let known = newest.get(&stack.release).is_some_and(|known| known.made_at >= stack.made_at);
            if !known {
                newest.insert(stack.release.clone(), stack);
            }
        }
        let mut stacks: Vec<Stack> = newest.into_values().collect();
        stacks.sort_by_key(|stack| stack.pythons.first().copied());
        Ok(stacks)
    }

    /// The stack with this Python.
    pub fn with_python(&self, version: PyVersion) -> io::Result<Option<Stack>> {
        Ok(self.all()?.into_iter().find(|stack| stack.pythons.contains(&version)))
    }

    /// The Pythons that can be had.
    pub fn available(&self) -> io::Result<crate::plan::Available> {
        Ok(crate::plan::Available { pythons: self.all()?.into_iter().flat_map(|stack| stack.pythons).collect() })
    }

    /// The file of a stack's blob.
    pub fn blob_path(&self, stack: &Stack) -> PathBuf {
        self.dir.join(&stack.id).join(BLOB)
    }
}

/// Makes the default stacks where they are missing; as root. Tells what it does, a line per activity. Fails only when there is none.
pub fn ensure(
    dir: &Path,
    host: &crate::host::HostSettings,
    tell: &mut (dyn FnMut(&str) + Send),
) -> Result<Stacks, make::MakeError> {
    let releases = DEFAULT_RELEASES.map(|name| Release(name.to_owned()));
    let told = std::sync::Mutex::new((tell, BTreeMap::new()));
    let progress = |release: &Release, doing: &str, line: &str| {
        let mut told = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (tell, last) = &mut *told;
        if last.insert(release.clone(), doing.to_owned()).as_deref() != Some(doing) {
            let line = if doing == "done" { line } else { "" };
            tell(format!("{release}: {doing} {line}").trim_end());
        }
    };
    let made = make::make(dir, &releases, false, host, &progress);
    let stacks = Stacks::new(dir);
    match made {
        // A machine without its mirrors goes on with what it has.
        Err(error) if stacks.all().is_ok_and(|stacks| !stacks.is_empty()) => {
            let (tell, _) = told.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
            tell(&format!("not every base system could be made, the others serve: {error}"));
        }
        made => drop(made?),
    }
    Ok(stacks)
}

/// The name of the packed content beside `fs`.
const BLOB: &str = "layer.tar.gz";

/// A directory that holds a whole stack: both layers, the blob and its description, which is written last.
fn read(path: &Path) -> Option<Stack> {
    let stack: Stack = serde_json::from_slice(&fs::read(path.join("meta.json")).ok()?).ok()?;
    let named = path.file_name().is_some_and(|name| *name == *stack.id);
    let build = path.with_file_name(stack.build_id()).join("fs");
    let whole = named && stack.format == FORMAT && path.join("fs").is_dir() && path.join(BLOB).is_file() && build.is_dir();
    whole.then_some(stack)
}

#[cfg(test)]
mod tests;
