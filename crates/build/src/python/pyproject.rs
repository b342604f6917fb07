//! `pyproject.toml`: what PEP 621 and Poetry projects ask for, without running their build tools.

use toml::{Table, Value};

use crate::error::PlanError;
use crate::tree::SourceTree;

use super::lock::Need;
use super::lock::poetry::{needed, python_marker};
use super::requirement::normalise;
use super::requirements::{self, Project, Wanted, child, join};
use super::toml_ext::{self, string, strings, table};
use super::version::{Range, poetry_range};

/// A parsed `pyproject.toml` and where it lies.
#[derive(Debug, Clone)]
pub(crate) struct Pyproject {
    /// Its path in the tree.
    pub(crate) path: String,
    /// Its directory.
    pub(crate) dir: String,
    doc: Table,
}

impl Pyproject {
    /// Reads the `pyproject.toml` of a directory, if there is one.
    pub(crate) fn read(tree: &dyn SourceTree, dir: &str) -> Result<Option<Self>, PlanError> {
        let path = child(dir, "pyproject.toml");
        if !tree.has(&path) {
            return Ok(None);
        }
        let doc = toml_ext::read(tree, &path)?;
        Ok(Some(Self { path, dir: dir.to_owned(), doc }))
    }

    fn project(&self) -> Option<&Table> {
        table(&self.doc, &["project"])
    }

    fn poetry(&self) -> Option<&Table> {
        table(&self.doc, &["tool", "poetry"])
    }

    /// Whether it describes a project, not only the settings of tools.
    pub(crate) fn is_project(&self) -> bool {
        self.project().is_some()
            || self.poetry().is_some_and(|poetry| poetry.contains_key("dependencies") || poetry.contains_key("name"))
    }

    /// Whether the project's dependencies are known only by running its build backend.
    pub(crate) fn has_hidden_dependencies(&self) -> bool {
        self.is_dynamic("dependencies") && self.dynamic_files().is_none()
    }

    fn is_dynamic(&self, field: &str) -> bool {
        self.project().is_some_and(|project| strings(project, "dynamic").contains(&field))
    }

    /// The requirements files that setuptools reads a dynamic field from.
    fn dynamic_files(&self) -> Option<Vec<&str>> {
        let dynamic = table(&self.doc, &["tool", "setuptools", "dynamic", "dependencies"])?;
        match dynamic.get("file")? {
            Value::String(file) => Some(vec![file]),
            Value::Array(_) => Some(strings(dynamic, "file")),
            _ => None,
        }
    }

    /// The build backend's module, if a build system is declared.
    pub(crate) fn backend(&self) -> Option<&str> {
        let build = table(&self.doc, &["build-system"])?;
        Some(string(build, "build-backend").unwrap_or("setuptools.build_meta"))
    }

    /// Whether building the project compiles something.
    pub(crate) fn compiles(&self) -> bool {
        let backend = self.backend().unwrap_or_default();
        backend.contains("maturin")
            || backend.contains("scikit_build")
            || backend.contains("mesonpy")
            || self.poetry().is_some_and(|poetry| poetry.contains_key("build"))
            || table(&self.doc, &["tool", "setuptools"]).is_some_and(|tool| tool.contains_key("ext-modules"))
    }

    /// Whether the project is one that is never installed itself.
    pub(crate) fn is_virtual(&self) -> bool {
        let uv = table(&self.doc, &["tool", "uv"]).and_then(|uv| uv.get("package")).and_then(Value::as_bool);
        let poetry = self.poetry().and_then(|poetry| poetry.get("package-mode")).and_then(Value::as_bool);
        uv == Some(false) || poetry == Some(false) || (self.backend().is_none() && uv != Some(true))
    }

    /// Names of the commands that installing the project makes, and what each calls.
    pub(crate) fn scripts(&self) -> Vec<(String, String)> {
        let of = |table: Option<&Table>| -> Vec<(String, String)> {
            let scripts = table.and_then(|table| table.get("scripts")).and_then(Value::as_table);
            scripts.into_iter().flatten().filter_map(|(name, call)| Some((name.clone(), call.as_str()?.to_owned()))).collect()
        };
        [of(self.project()), of(self.poetry())].concat()
    }

    /// Whether it declares entry points for plugins.
    pub(crate) fn has_plugins(&self) -> bool {
        self.project().is_some_and(|project| project.contains_key("entry-points"))
            || self.poetry().is_some_and(|poetry| poetry.contains_key("plugins"))
    }

    /// The allowed versions of Python.
    pub(crate) fn python(&self) -> Result<Option<Range>, PlanError> {
        if let Some(text) = self.project().and_then(|project| string(project, "requires-python")) {
            return Range::pep440(text, &format!("requires-python in {}", self.path)).map(Some);
        }
        let python = self.poetry().and_then(|poetry| table(poetry, &["dependencies"])?.get("python"));
        match python.and_then(Value::as_str) {
            Some(text) => Range::poetry(text, &format!("python in {}", self.path)).map(Some),
            None => Ok(None),
        }
    }

    /// The direct dependencies as edges into a lock.
    pub(crate) fn roots(&self) -> Vec<Need> {
        let mut out: Vec<Need> = Vec::new();
        for text in self.project().map(|project| strings(project, "dependencies")).unwrap_or_default() {
            if let Ok(super::requirement::Parsed::Keep(req, _)) = super::requirement::parse(text, &[]) {
                out.push(Need { extras: req.extras, marker: req.marker.try_to_string(), ..Need::named(&req.name) });
            }
        }
        for (name, spec) in self.poetry_dependencies() {
            let edges = needed(name, spec);
            // A table that only enriches a dependency of `[project]` adds no second one.
            out.extend(edges.into_iter().filter(|(_, optional)| !optional).map(|(need, _)| need));
        }
        out
    }

    fn poetry_dependencies(&self) -> impl Iterator<Item = (&String, &Value)> {
        let main = self.poetry().and_then(|poetry| table(poetry, &["dependencies"]));
        main.into_iter().flatten().filter(|(name, _)| name.as_str() != "python")
    }

    /// The direct dependencies for the installer to resolve.
    pub(crate) fn wanted(&self, tree: &dyn SourceTree) -> Result<Wanted, PlanError> {
        let mut out = Wanted::default();
        for text in self.project().map(|project| strings(project, "dependencies")).unwrap_or_default() {
            match self.source(text) {
                Some(Source::Text(text)) => out.take(&text, &[], &self.path, None)?,
                Some(Source::Dir(path)) => out.projects.push(self.member(&path)?),
                None => out.take(text, &[], &self.path, None)?,
            }
        }
        if self.is_dynamic("dependencies") {
            for file in self.dynamic_files().unwrap_or_default() {
                let path = join(&self.dir, file)
                    .ok_or_else(|| PlanError::OutsideTree { path: file.to_owned(), by: self.path.clone() })?;
                let more = requirements::read(tree, &path)?;
                out.reqs.extend(more.reqs);
                out.options.extend(more.options);
                out.args.extend(more.args);
                out.projects.extend(more.projects);
                out.files.extend(more.files);
                out.notes.extend(more.notes);
            }
        }
        for (name, spec) in self.poetry_dependencies() {
            for spec in spec.as_array().map_or_else(|| vec![spec], |all| all.iter().collect()) {
                self.take_poetry(&mut out, name, spec)?;
            }
        }
        for index in table(&self.doc, &["tool", "uv"]).map(|uv| toml_ext::tables(uv, "index")).unwrap_or_default() {
            let plain = index.get("explicit").and_then(Value::as_bool) != Some(true);
            if let Some(url) = string(index, "url").filter(|_| plain) {
                let default = index.get("default").and_then(Value::as_bool) == Some(true);
                out.options.push(format!("{} {url}", if default { "--index-url" } else { "--extra-index-url" }));
            }
        }
        Ok(out)
    }

    fn member(&self, path: &str) -> Result<Project, PlanError> {
        let dir = join(&self.dir, path).ok_or_else(|| PlanError::OutsideTree { path: path.to_owned(), by: self.path.clone() })?;
        Ok(Project { dir, extras: Vec::new() })
    }

    /// Where `[tool.uv.sources]` says that a dependency comes from.
    fn source(&self, text: &str) -> Option<Source> {
        let end = text.find(|c: char| !(c.is_alphanumeric() || "._-".contains(c))).unwrap_or(text.len());
        let name = &text[..end];
        let sources = table(&self.doc, &["tool", "uv", "sources"])?;
        let source = sources.iter().find(|(key, _)| normalise(key) == normalise(name))?.1.as_table()?;
        let extras =
            text[end..].trim().strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(extras, _)| format!("[{extras}]"));
        let extras = extras.unwrap_or_default();
        if let Some(git) = string(source, "git") {
            let at = ["rev", "tag", "branch"].iter().find_map(|key| string(source, key)).map(|at| format!("@{at}"));
            let sub = string(source, "subdirectory").map(|dir| format!("#subdirectory={dir}"));
            return Some(Source::Text(format!(
                "{name}{extras} @ git+{git}{}{}",
                at.unwrap_or_default(),
                sub.unwrap_or_default()
            )));
        }
        if let Some(url) = string(source, "url") {
            return Some(Source::Text(format!("{name}{extras} @ {url}")));
        }
        string(source, "path").map(|path| Source::Dir(path.to_owned()))
    }

    fn take_poetry(&self, out: &mut Wanted, name: &str, spec: &Value) -> Result<(), PlanError> {
        let spec = match spec {
            Value::String(range) => [("version".to_owned(), Value::String(range.clone()))].into_iter().collect(),
            Value::Table(spec) => spec.clone(),
            _ => return Ok(()),
        };
        if spec.get("optional").and_then(Value::as_bool) == Some(true) {
            return Ok(());
        }
        let extras = strings(&spec, "extras");
        let extras = if extras.is_empty() { String::new() } else { format!("[{}]", extras.join(",")) };
        let mut markers: Vec<String> = string(&spec, "markers").map(|marker| format!("({marker})")).into_iter().collect();
        markers.extend(string(&spec, "python").and_then(python_marker).map(|marker| format!("({marker})")));
        let marker = if markers.is_empty() { String::new() } else { format!(" ; {}", markers.join(" and ")) };
        let text = if let Some(git) = string(&spec, "git") {
            let at = ["rev", "tag", "branch"].iter().find_map(|key| string(&spec, key)).map(|at| format!("@{at}"));
            let sub = string(&spec, "subdirectory").map(|dir| format!("#subdirectory={dir}"));
            format!("{name}{extras} @ git+{git}{}{}{marker}", at.unwrap_or_default(), sub.unwrap_or_default())
        } else if let Some(url) = string(&spec, "url") {
            format!("{name}{extras} @ {url}{marker}")
        } else if let Some(path) = string(&spec, "path").or_else(|| string(&spec, "file")) {
            out.projects.push(self.member(path)?);
            return Ok(());
        } else {
            let written = string(&spec, "version").unwrap_or("*");
            // One of several alternatives: the last is the newest by custom.
            let range = poetry_range(written.rsplit("||").next().unwrap_or(written).trim()).ok_or_else(|| {
                PlanError::manifest(&self.path, None, format!("`{written}` of {name} is not a range of versions"))
            })?;
            if self.project().is_some() && range.is_empty() && extras.is_empty() && out.names(&normalise(name)) {
                return Ok(());
            }
            format!("{name}{extras}{range}{marker}")
        };
        out.take(&text, &[], &self.path, None)
    }
}

enum Source {
    Text(String),
    Dir(String),
}
