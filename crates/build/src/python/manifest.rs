//! Which file says what the app needs, where several do, and what it says.

use toml::Table;

use crate::error::PlanError;
use crate::text;
use crate::tree::{READ_LIMIT, SourceTree};

use super::environment::Target;
use super::lock::{self, Locked, Need, Source};
use super::pyproject::Pyproject;
use super::requirement::normalise;
use super::requirements::{self, Project, Wanted, child};
use super::version::{Range, SETTINGS, Wishes, Written};
use super::{conda, pipfile, toml_ext};

/// The file that is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Requirements(String),
    Lock(Tool, String),
    PipfileLock(String),
    Pipfile(String),
    Pyproject,
    /// `setup.py` or `setup.cfg`: only running it tells what it needs.
    Setup(String),
    Conda(String),
    Nothing,
}

/// Whose lock it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    Poetry,
    Uv,
    Pdm,
    Pylock,
}

/// The manifests of one directory.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    pub(crate) kind: Kind,
    /// Its directory in the tree; `""` is the root.
    pub(crate) dir: String,
    pub(crate) pyproject: Option<Pyproject>,
    pipfile: Option<Table>,
    pub(crate) notes: Vec<String>,
}

/// Requirements files that stand in for `requirements.txt`, the likeliest first.
const ALTERNATIVES: [&str; 27] = [
    "requirements/production.txt",
    "requirements/prod.txt",
    "requirements/requirements.txt",
    "requirements/main.txt",
    "requirements/base.txt",
    "requirements/common.txt",
    "requirements/deploy.txt",
    "requirements/heroku.txt",
    "requirements/app.txt",
    "requirements/web.txt",
    "requirements/default.txt",
    "requirements-prod.txt",
    "requirements-production.txt",
    "requirements_prod.txt",
    "requirements.prod.txt",
    "requirements-base.txt",
    "requirements_base.txt",
    "requirements-app.txt",
    "prod-requirements.txt",
    "reqs.txt",
    "requirements.in",
    "requirements/base.in",
    "requirements/main.in",
    "requirements/local.txt",
    "requirements/dev.txt",
    "requirements/development.txt",
    "requirements-dev.txt",
];

const MISSPELLED: [&str; 17] = [
    "requirement.txt",
    "requirments.txt",
    "requirements.text",
    "requirements",
    "requirements.tx",
    "requirements.tct",
    "reqirements.txt",
    "requriements.txt",
    "requiremnts.txt",
    "requirementss.txt",
    "requirments.text",
    "reqiurements.txt",
    "requeriments.txt",
    "requierments.txt",
    "requirements.txt.txt",
    "requiremets.txt",
    "requiriments.txt",
];

/// Files any of which makes a directory the place of a Python project.
const MARKS: [&str; 13] = [
    "requirements.txt",
    "pyproject.toml",
    "Pipfile",
    "Pipfile.lock",
    "poetry.lock",
    "uv.lock",
    "pdm.lock",
    "pylock.toml",
    "setup.py",
    "setup.cfg",
    "environment.yml",
    "environment.yaml",
    "requirements.in",
];

/// Whether a directory holds a manifest of Python.
pub(crate) fn is_marked(tree: &dyn SourceTree, dir: &str) -> bool {
    MARKS.iter().chain(&ALTERNATIVES).any(|mark| tree.has(&child(dir, mark)))
}

impl Manifest {
    /// Finds the manifest of a directory.
    pub(crate) fn find(tree: &dyn SourceTree, dir: &str) -> Result<Self, PlanError> {
        let pyproject = Pyproject::read(tree, dir)?;
        let at = |name: &str| Some(child(dir, name)).filter(|path| tree.has(path));
        let pipfile = at("Pipfile").map(|path| toml_ext::read(tree, &path)).transpose()?;
        let mut found = Self { kind: Kind::Nothing, dir: dir.to_owned(), pyproject, pipfile, notes: Vec::new() };
        let project = found.pyproject.as_ref().is_some_and(Pyproject::is_project);
        found.kind = if let Some(path) = at("requirements.txt").filter(|path| says_something(tree, path)) {
            Kind::Requirements(path)
        } else if let Some(path) = at("uv.lock").filter(|_| project) {
            Kind::Lock(Tool::Uv, path)
        } else if let Some(path) = at("poetry.lock").filter(|_| project) {
            Kind::Lock(Tool::Poetry, path)
        } else if let Some(path) = at("pdm.lock").filter(|_| project) {
            Kind::Lock(Tool::Pdm, path)
        } else if let Some(path) = at("pylock.toml") {
            Kind::Lock(Tool::Pylock, path)
        } else if let Some(path) = at("Pipfile.lock") {
            Kind::PipfileLock(path)
        } else if let Some(path) = at("Pipfile") {
            Kind::Pipfile(path)
        } else if project {
            Kind::Pyproject
        } else if let Some(path) = ALTERNATIVES.iter().find_map(|name| at(name)) {
            found.notes.push(format!("there is no requirements.txt; {path} is taken"));
            Kind::Requirements(path)
        } else if let Some(path) = at("setup.py").or_else(|| at("setup.cfg").filter(|path| is_setup(tree, path))) {
            Kind::Setup(path)
        } else if let Some(path) = at("environment.yml").or_else(|| at("environment.yaml")) {
            Kind::Conda(path)
        } else {
            found.by_another_name(tree)?
        };
        found.mention_passed_over(tree);
        Ok(found)
    }

    /// `Requirements.txt` is taken; a misspelled name is an error, for nothing else says what is needed.
    fn by_another_name(&mut self, tree: &dyn SourceTree) -> Result<Kind, PlanError> {
        let prefix = if self.dir.is_empty() { String::new() } else { format!("{}/", self.dir) };
        let here: Vec<&str> = tree
            .entries()
            .iter()
            .filter_map(|entry| entry.path.strip_prefix(&prefix))
            .filter(|name| !name.contains('/'))
            .collect();
        if let Some(name) = here.iter().find(|name| name.eq_ignore_ascii_case("requirements.txt")) {
            let path = child(&self.dir, name);
            if *name != "requirements.txt" {
                self.notes.push(format!("`{path}` is taken as requirements.txt"));
            }
            return Ok(Kind::Requirements(path));
        }
        match here.iter().find(|name| MISSPELLED.contains(&name.to_ascii_lowercase().as_str())) {
            Some(name) => Err(PlanError::Misspelled { found: child(&self.dir, name), meant: "requirements.txt" }),
            None => Ok(Kind::Nothing),
        }
    }

    fn mention_passed_over(&mut self, tree: &dyn SourceTree) {
        let Some(taken) = self.path().map(ToOwned::to_owned) else { return };
        let family = |path: &str| match path.rsplit('/').next().unwrap_or(path) {
            "Pipfile" | "Pipfile.lock" => "pipenv",
            "pyproject.toml" | "uv.lock" | "poetry.lock" | "pdm.lock" => "project",
            _ => "other",
        };
        let others: Vec<String> = ["uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "Pipfile"]
            .iter()
            .map(|name| child(&self.dir, name))
            .filter(|path| {
                tree.has(path) && *path != taken && (family(path) != family(&taken) || text::has_extension(path, "lock"))
            })
            .filter(|path| !(path.ends_with("Pipfile.lock") && taken.ends_with("Pipfile")))
            .collect();
        if !others.is_empty() {
            self.notes.push(format!("dependencies come from {taken}; {} is passed over", others.join(" and ")));
        }
    }

    /// The file that is believed.
    pub(crate) fn path(&self) -> Option<&str> {
        match &self.kind {
            Kind::Requirements(path)
            | Kind::Lock(_, path)
            | Kind::PipfileLock(path)
            | Kind::Pipfile(path)
            | Kind::Setup(path)
            | Kind::Conda(path) => Some(path),
            Kind::Pyproject => self.pyproject.as_ref().map(|pyproject| pyproject.path.as_str()),
            Kind::Nothing => None,
        }
    }

    /// All that the source says of the Python version.
    pub(crate) fn wishes(&self, tree: &dyn SourceTree, setting: Option<&str>) -> Result<Wishes, PlanError> {
        let mut wishes = Wishes::default();
        let mut write = |text: &str, origin: &str| {
            wishes.written.push(Written { text: text.to_owned(), origin: origin.to_owned() });
        };
        if let Some(text) = setting {
            write(text, SETTINGS);
        }
        let mut dirs = vec![self.dir.as_str()];
        if !self.dir.is_empty() {
            dirs.push("");
        }
        for name in [".python-version", "runtime.txt", ".tool-versions"] {
            for dir in &dirs {
                let path = child(dir, name);
                if !tree.has(&path) {
                    continue;
                }
                let decoded = text::decode(&tree.read(&path, READ_LIMIT)?);
                // pyenv allows several lines, of which the first counts.
                let mut lines = text::lines(&decoded).map(|line| line.split('#').next().unwrap_or_default().trim());
                let line = match name {
                    ".tool-versions" => lines.find_map(|line| line.strip_prefix("python ")),
                    _ => lines.find(|line| !line.is_empty()),
                };
                if let Some(line) = line {
                    write(line, &format!("from {path}"));
                    break;
                }
            }
        }
        if let Some(version) = self.pipfile.as_ref().and_then(pipfile::python) {
            wishes.soft = Some(Written { text: version.to_owned(), origin: "python_version of the Pipfile".to_owned() });
        } else if let Kind::Conda(path) = &self.kind
            && let Some(version) = conda::python(&text::decode(&tree.read(path, READ_LIMIT)?))
        {
            wishes.soft = Some(Written { text: version, origin: format!("python in {path}") });
        }
        wishes.ranges.extend(self.pyproject.as_ref().map(Pyproject::python).transpose()?.flatten());
        wishes.ranges.extend(self.setup_range(tree)?);
        Ok(wishes)
    }

    /// `python_requires` of setup.cfg or a literal one of setup.py.
    fn setup_range(&self, tree: &dyn SourceTree) -> Result<Option<Range>, PlanError> {
        let Kind::Setup(_) = self.kind else { return Ok(None) };
        for name in ["setup.cfg", "setup.py"] {
            let path = child(&self.dir, name);
            if !tree.has(&path) {
                continue;
            }
            let decoded = text::decode(&tree.read(&path, READ_LIMIT)?);
            let said = text::lines(&decoded).find_map(|line| {
                let value = line.trim().strip_prefix("python_requires")?.trim_start().strip_prefix('=')?;
                let value = value.trim().trim_end_matches(',').trim_matches(['"', '\'']);
                (value.starts_with(['<', '>', '=', '~', '!'])).then(|| value.to_owned())
            });
            if let Some(said) = said {
                // Old setup files hold ranges that nobody checks any more.
                return Ok(Range::pep440(&said, &format!("python_requires in {path}")).ok());
            }
        }
        Ok(None)
    }

    /// What is to be installed on a target; the flag tells whether it is complete (a lock).
    pub(crate) fn wanted(&self, tree: &dyn SourceTree, target: &Target) -> Result<(Wanted, bool), PlanError> {
        match &self.kind {
            Kind::Requirements(path) => Ok((requirements::read(tree, path)?, false)),
            Kind::Lock(tool, path) => Ok((self.locked(tree, *tool, path, target)?, true)),
            Kind::PipfileLock(path) => Ok((pipfile::read_lock(tree, path, target)?, true)),
            Kind::Pipfile(path) => {
                let doc = self.pipfile.as_ref().expect("a Pipfile that was found was read");
                Ok((pipfile::read(doc, path, tree)?, false))
            }
            Kind::Pyproject => {
                let pyproject = self.pyproject.as_ref().expect("a pyproject.toml that was found was read");
                let mut wanted = pyproject.wanted(tree)?;
                if pyproject.has_hidden_dependencies() {
                    wanted.projects.push(Project { dir: self.dir.clone(), extras: Vec::new() });
                }
                Ok((wanted, false))
            }
            Kind::Setup(_) => {
                let project = Project { dir: self.dir.clone(), extras: Vec::new() };
                Ok((Wanted { projects: vec![project], ..Wanted::default() }, false))
            }
            Kind::Conda(path) => Ok((conda::read(&text::decode(&tree.read(path, READ_LIMIT)?), path)?, false)),
            Kind::Nothing => Ok((Wanted::default(), false)),
        }
    }

    fn locked(&self, tree: &dyn SourceTree, tool: Tool, path: &str, target: &Target) -> Result<Wanted, PlanError> {
        let doc = toml_ext::read(tree, path)?;
        let pyproject = self.pyproject.as_ref();
        let mut roots: Vec<Need> = pyproject.map(Pyproject::roots).unwrap_or_default();
        let mut out = Wanted::default();
        let entries: Vec<Locked> = match tool {
            Tool::Poetry => lock::poetry::entries(&doc),
            Tool::Pdm => lock::pdm::entries(&doc),
            Tool::Uv => {
                if let Some(root) = lock::uv::root(&doc) {
                    self.check_fresh(path, &roots, lock::uv::known_names(root))?;
                    let name = toml_ext::string(root, "name").unwrap_or_default();
                    roots = vec![Need::named(name)];
                }
                lock::uv::entries(&doc, &self.dir)
            }
            Tool::Pylock => {
                let entries = lock::pdm::pylock(&doc);
                let here = |entry: &Locked| entry.marker.as_deref().is_none_or(|marker| target.holds_text(marker, &[]));
                for entry in entries.iter().filter(|entry| here(entry)) {
                    self.install(&mut out, entry)?;
                }
                return Ok(out);
            }
        };
        let walked = lock::walk(&entries, &roots, target);
        if !walked.missing.is_empty() {
            return Err(self.stale(path, walked.missing));
        }
        for at in walked.chosen.values() {
            self.install(&mut out, &entries[*at])?;
        }
        Ok(out)
    }

    fn check_fresh(&self, path: &str, roots: &[Need], known: Option<Vec<String>>) -> Result<(), PlanError> {
        let Some(known) = known else { return Ok(()) };
        let missing: Vec<String> =
            roots.iter().map(|need| need.name.clone()).filter(|name| !known.contains(&normalise(name))).collect();
        if missing.is_empty() { Ok(()) } else { Err(self.stale(path, missing)) }
    }

    fn stale(&self, path: &str, missing: Vec<String>) -> PlanError {
        PlanError::StaleLock { lock: path.to_owned(), manifest: child(&self.dir, "pyproject.toml"), missing }
    }

    fn install(&self, out: &mut Wanted, entry: &Locked) -> Result<(), PlanError> {
        match &entry.source {
            Source::Path(path) if *path == self.dir => {}
            Source::Path(path) => {
                let dir = requirements::join("", path).ok_or_else(|| PlanError::OutsideTree {
                    path: path.clone(),
                    by: self.path().unwrap_or_default().to_owned(),
                })?;
                let archive = [".whl", ".gz", ".zip"].iter().any(|end| dir.ends_with(end));
                if archive {
                    out.reqs.push(super::requirement::Req {
                        line: requirements::in_app(&dir),
                        ..super::requirement::Req::named(&entry.name)
                    });
                    out.files.push(dir);
                } else {
                    out.projects.push(Project { dir, extras: Vec::new() });
                }
            }
            _ => {
                if let Some(why) = super::drop::why(&entry.name, None) {
                    out.notes.push(format!("`{}` is left out: {}", entry.name, why.reason()));
                } else {
                    out.reqs.extend(lock::requirement(entry));
                }
            }
        }
        Ok(())
    }
}

/// Whether a requirements file has a line that is no comment.
fn says_something(tree: &dyn SourceTree, path: &str) -> bool {
    // One that can't be read is to be reported, not passed over.
    tree.read(path, READ_LIMIT).map_or(true, |bytes| {
        text::lines(&text::decode(&bytes)).any(|line| !line.trim().is_empty() && !line.trim().starts_with('#'))
    })
}

fn is_setup(tree: &dyn SourceTree, path: &str) -> bool {
    tree.read(path, READ_LIMIT)
        .is_ok_and(|bytes| text::lines(&text::decode(&bytes)).any(|line| matches!(line.trim(), "[metadata]" | "[options]")))
}
