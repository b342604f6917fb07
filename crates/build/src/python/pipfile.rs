//! Pipfile and Pipfile.lock, read without Pipenv.

use serde_json::Value as Json;
use toml::{Table, Value};

use crate::error::PlanError;
use crate::text;
use crate::tree::{READ_LIMIT, SourceTree};

use super::environment::Target;
use super::requirements::{Project, Wanted, in_app, join, parent};
use super::toml_ext::{string, strings, table};

/// The version of Python a Pipfile asks for.
pub(crate) fn python(pipfile: &Table) -> Option<&str> {
    let requires = table(pipfile, &["requires"])?;
    string(requires, "python_version").or_else(|| string(requires, "python_full_version")).filter(|text| *text != "*")
}

/// What the `[packages]` of a Pipfile ask for.
pub(crate) fn read(pipfile: &Table, path: &str, tree: &dyn SourceTree) -> Result<Wanted, PlanError> {
    let mut out = Wanted::default();
    for (name, spec) in table(pipfile, &["packages"]).into_iter().flatten() {
        let spec = match spec {
            Value::String(range) => [("version".to_owned(), Value::String(range.clone()))].into_iter().collect(),
            Value::Table(spec) => spec.clone(),
            _ => continue,
        };
        let get = |key: &str| string(&spec, key);
        let extras: Vec<String> = strings(&spec, "extras").into_iter().map(ToOwned::to_owned).collect();
        // Markers may stand alone: `sys_platform = "== 'win32'"`.
        let mut markers: Vec<String> = get("markers").map(ToOwned::to_owned).into_iter().collect();
        for key in ["sys_platform", "platform_system", "os_name", "python_version", "platform_machine"] {
            markers.extend(get(key).map(|test| format!("{key} {test}")));
        }
        let one = One {
            name,
            extras: &extras,
            version: get("version"),
            git: get("git").map(|url| (url, get("ref"), get("subdirectory"))),
            url: get("file").filter(|url| url.contains("://")),
            path: get("path").or_else(|| get("file")),
            marker: (!markers.is_empty()).then(|| markers.join(" and ")),
            hashes: &[],
        };
        one.add(&mut out, path, tree)?;
    }
    Ok(out)
}

/// What the `default` group of a Pipfile.lock pins, for this target.
pub(crate) fn read_lock(tree: &dyn SourceTree, path: &str, target: &Target) -> Result<Wanted, PlanError> {
    let decoded = text::decode(&tree.read(path, READ_LIMIT * 4)?);
    let lock: Json = serde_json::from_str(&decoded)
        .map_err(|err| PlanError::manifest(path, Some(err.line()), "it is not JSON: was a merge left unfinished?"))?;
    let mut out = Wanted::default();
    for (name, spec) in lock.get("default").and_then(Json::as_object).into_iter().flatten() {
        let get = |key: &str| spec.get(key).and_then(Json::as_str);
        let list = |key: &str| -> Vec<String> {
            spec.get(key).and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).map(ToOwned::to_owned).collect()
        };
        if get("markers").is_some_and(|marker| !target.holds_text(marker, &[])) {
            continue;
        }
        let hashes: Vec<String> = list("hashes").into_iter().map(|hash| format!("--hash={hash}")).collect();
        let extras = list("extras");
        let one = One {
            name,
            extras: &extras,
            version: get("version"),
            git: get("git").map(|url| (url, get("ref"), get("subdirectory"))),
            url: get("file").filter(|url| url.contains("://")),
            path: get("path").or_else(|| get("file")),
            marker: None,
            hashes: &hashes,
        };
        one.add(&mut out, path, tree)?;
    }
    Ok(out)
}

/// One package of either file.
struct One<'a> {
    name: &'a str,
    extras: &'a [String],
    version: Option<&'a str>,
    git: Option<(&'a str, Option<&'a str>, Option<&'a str>)>,
    url: Option<&'a str>,
    path: Option<&'a str>,
    marker: Option<String>,
    hashes: &'a [String],
}

impl One<'_> {
    fn add(&self, out: &mut Wanted, by: &str, tree: &dyn SourceTree) -> Result<(), PlanError> {
        let extras = if self.extras.is_empty() { String::new() } else { format!("[{}]", self.extras.join(",")) };
        let marker = self.marker.as_ref().map(|marker| format!(" ; {marker}")).unwrap_or_default();
        let text = if let Some((url, reference, subdirectory)) = self.git {
            let at = reference.map(|reference| format!("@{reference}")).unwrap_or_default();
            let sub = subdirectory.map(|dir| format!("#subdirectory={dir}")).unwrap_or_default();
            format!("{}{extras} @ git+{url}{at}{sub}{marker}", self.name)
        } else if let Some(url) = self.url {
            format!("{}{extras} @ {url}{marker}", self.name)
        } else if let Some(path) = self.path {
            let dir =
                join(parent(by), path).ok_or_else(|| PlanError::OutsideTree { path: path.to_owned(), by: by.to_owned() })?;
            if tree.has(&dir) {
                out.reqs.push(super::requirement::Req { line: in_app(&dir), ..super::requirement::Req::named(self.name) });
                out.files.push(dir);
            } else {
                out.projects.push(Project { dir, extras: self.extras.to_vec() });
            }
            return Ok(());
        } else {
            let version = self.version.filter(|version| version.trim() != "*").unwrap_or_default();
            let bare = version.starts_with(|c: char| c.is_ascii_digit());
            format!("{}{extras}{}{version}{marker}", self.name, if bare { "==" } else { "" })
        };
        let hashes: Vec<&str> = if self.git.is_some() { Vec::new() } else { self.hashes.iter().map(String::as_str).collect() };
        out.take(&text, &hashes, by, None)
    }
}
