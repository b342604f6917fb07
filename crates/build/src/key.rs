//! The key of a dependencies' layer: equal keys mean that nothing has to be installed again.

use sha2::{Digest as _, Sha256};

use crate::plan::{DebianPackage, Plan};
use crate::tree::{READ_LIMIT, SourceTree, TreeError};

/// The largest file that may belong to a key; a whole tree may hold large data files.
const KEY_FILE_LIMIT: u64 = READ_LIMIT * 64;

/// A lower-case hexadecimal SHA-256 over everything the dependencies' layer is made of.
///
/// `stack` names the base (for instance its digest) and whatever else the caller's installation depends on.
pub fn dependencies_key(plan: &Plan, tree: &dyn SourceTree, stack: &str) -> Result<String, TreeError> {
    let mut hash = Hasher(Sha256::new());
    hash.part("format 1");
    hash.part(stack);
    hash.part(plan.python.version.to_string());
    hash.packages(&plan.system.build);
    hash.packages(&plan.system.run);
    let dependencies = &plan.dependencies;
    hash.count(dependencies.key_extra.len());
    for extra in &dependencies.key_extra {
        hash.part(extra);
    }
    hash.count(dependencies.generated.len());
    for file in &dependencies.generated {
        hash.part(&file.name);
        hash.part(&file.contents);
    }
    hash.count(dependencies.steps.len());
    for step in &dependencies.steps {
        hash.count(step.args.len());
        for arg in &step.args {
            hash.part(arg);
        }
        hash.count(step.env.len());
        for (name, value) in &step.env {
            hash.part(name);
            hash.part(value);
        }
    }
    hash.count(dependencies.key_files.len());
    for path in &dependencies.key_files {
        hash.part(path);
        hash.part(tree.read(path, KEY_FILE_LIMIT)?);
    }
    Ok(hex(&hash.0.finalize()))
}

struct Hasher(Sha256);

impl Hasher {
    /// Every part is preceded by its length, so that no two different lists hash alike.
    fn part(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.count(bytes.len());
        self.0.update(bytes);
    }

    fn count(&mut self, count: usize) {
        self.0.update((count as u64).to_le_bytes());
    }

    fn packages(&mut self, packages: &[DebianPackage]) {
        self.count(packages.len());
        for package in packages {
            self.part(package.as_str());
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}
