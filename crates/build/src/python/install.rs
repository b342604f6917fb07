//! The steps that make the dependencies' layer.

use std::collections::BTreeMap;

use crate::plan::{Dependencies, Generated, PLAN_DIR, PlanRequest, PyVersion, Step, VENV_DIR};
use crate::shell;
use crate::text::has_extension;
use crate::tree::SourceTree;

use super::manifest::Manifest;
use super::requirement::Req;
use super::requirements::{Project, Wanted, child, in_app, parent};

/// A module that mends modules of Python's own; `.pth` files have it loaded whenever Python starts.
const OLDER: &str = include_str!("older.py");

/// From this release on setuptools has no `pkg_resources`, which setup scripts and older packages import.
const SETUPTOOLS: &str = "setuptools<81";

/// Packages that setuptools before 58 makes fit for Python 3 while it builds them, and the release from which on that is not needed.
const CONVERTED: [(&str, Option<&str>); 16] = [
    ("anyjson", None),
    ("beautifulsoup4", Some("4.4")),
    ("bunch", None),
    ("celery", Some("3.1")),
    ("demjson", None),
    ("feedparser", Some("6.0")),
    ("flask-mongoengine", Some("0.9")),
    ("jsmin", Some("3.0")),
    ("kombu", Some("3.0")),
    ("mongoengine", Some("0.19")),
    ("pystache", Some("0.6")),
    ("rdflib", Some("5.0")),
    ("sqlalchemy", Some("0.9")),
    ("suds-jurko", None),
    ("unicodecsv", Some("0.10")),
    ("xlwt", Some("1.0")),
];

/// All that the steps depend on.
pub(crate) struct Install<'a> {
    pub(crate) tree: &'a dyn SourceTree,
    pub(crate) manifest: &'a Manifest,
    pub(crate) wanted: &'a Wanted,
    /// Whether `wanted` is complete and exact.
    pub(crate) locked: bool,
    pub(crate) python: PyVersion,
    /// Requirements the platform adds: a server.
    pub(crate) added: Vec<String>,
    /// A module of ours to lay beside them.
    pub(crate) module_file: Option<Generated>,
    /// Whether the pins are of before this Python, so that names it has dropped are put back.
    pub(crate) older: bool,
    /// The app itself, when it has to be installed as a project.
    pub(crate) itself: Option<Project>,
    pub(crate) request: &'a PlanRequest,
}

impl Install<'_> {
    /// The layer's steps and what keys it.
    pub(crate) fn dependencies(&self) -> Dependencies {
        let mut out = Dependencies::default();
        let custom = self.request.install_command.as_deref();
        let mut venv = vec!["uv", "--directory", "/", "venv", "--no-project", "--python"];
        let interpreter = format!("/usr/bin/python{}", self.python);
        venv.extend([interpreter.as_str(), VENV_DIR]);
        if custom.is_some() {
            // The command may well call pip.
            venv.push("--seed");
        }
        out.steps.push(step("create the virtual environment", &venv));
        if let Some(command) = custom {
            self.custom(command, &mut out);
            return out;
        }
        self.generated(&mut out);
        if self.locked {
            self.locked_steps(&mut out);
        } else {
            self.resolved_steps(&mut out);
        }
        if let Some(file) = &self.module_file {
            self.lay(&mut out, "name the application for the server", std::slice::from_ref(file));
        }
        if self.older {
            let file = |name: &str, contents: &str| Generated { name: name.to_owned(), contents: contents.to_owned() };
            let files = [file("adaptable_older.py", OLDER), file("adaptable_older.pth", "import adaptable_older\n")];
            self.lay(&mut out, "put back names of older Pythons", &files);
        }
        self.keys(&mut out);
        out
    }

    /// Lays files of ours among the installed modules.
    fn lay(&self, out: &mut Dependencies, name: &str, files: &[Generated]) {
        let target = format!("{VENV_DIR}/lib/python{}/site-packages/", self.python);
        let paths: Vec<String> = files.iter().map(Generated::path).collect();
        let args: Vec<&str> = std::iter::once("cp").chain(paths.iter().map(String::as_str)).chain([target.as_str()]).collect();
        out.steps.push(step(name, &args));
        out.generated.extend_from_slice(files);
    }

    fn projects(&self) -> Vec<&Project> {
        let mut all: Vec<&Project> = self.wanted.projects.iter().collect();
        all.extend(self.itself.iter().filter(|itself| !self.wanted.projects.iter().any(|project| project.dir == itself.dir)));
        all
    }

    fn custom(&self, command: &str, out: &mut Dependencies) {
        // `plan` has prepared it once already, so that it is known to be fit.
        if let Ok(args) = shell::prepare(command) {
            let mut env = environment();
            env.insert("VIRTUAL_ENV".to_owned(), VENV_DIR.to_owned());
            out.steps.push(Step { name: "install dependencies (as set)".to_owned(), args, env, fatal: true });
        }
        out.needs_whole_tree = true;
        out.key_files = all_files(self.tree, "");
    }

    /// Constraints for what is installed and for what builds it.
    fn generated(&self, out: &mut Dependencies) {
        let mut constraints = self.wanted.constraints.clone();
        if !self.wanted.names("setuptools") {
            constraints.push(SETUPTOOLS.to_owned());
        }
        push(out, "constraints.txt", &constraints);
        let mut build = Vec::new();
        // Psycopg's C extension names the very release it is built with.
        let exact = |req: &Req| req.name == "psycopg-c" || req.name == "psycopg" && req.extras.iter().any(|extra| extra == "c");
        let converted =
            self.wanted.reqs.iter().any(|req| {
                CONVERTED.iter().any(|(name, bound)| *name == req.name && bound.is_none_or(|bound| req.is_below(bound)))
            });
        if converted && self.python < PyVersion::new(3, 12) {
            build.push("setuptools<58".to_owned());
        } else if !self.local_builds_want_newer_setuptools() && !self.wanted.reqs.iter().any(exact) {
            build.push(SETUPTOOLS.to_owned());
        }
        if self.wanted.reqs.iter().any(|req| req.name == "pyyaml" && req.is_below("6.0.1")) {
            build.push("cython<3".to_owned());
        }
        push(out, "build-constraints.txt", &build);
    }

    fn local_builds_want_newer_setuptools(&self) -> bool {
        self.projects().iter().any(|project| {
            let path = child(&project.dir, "pyproject.toml");
            let text =
                self.tree.read(&path, crate::tree::READ_LIMIT).map(|bytes| crate::text::decode(&bytes)).unwrap_or_default();
            text.lines().any(|line| {
                let version = line.split("setuptools").nth(1).and_then(|rest| rest.trim_start().strip_prefix(">="));
                version.is_some_and(|rest| {
                    let major: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
                    major.parse::<u32>().is_ok_and(|major| major >= 81)
                })
            })
        })
    }

    /// What Python before 3.12 always brought along, and much software imports without asking for it.
    fn seeds(&self) -> Vec<String> {
        let old = self.python < PyVersion::new(3, 12);
        if old && !self.wanted.names("setuptools") { vec![SETUPTOOLS.to_owned()] } else { Vec::new() }
    }

    /// Everything in one resolution: the server suits the app, not the other way round.
    fn resolved_steps(&self, out: &mut Dependencies) {
        let strict = self.wanted.args.iter().any(|arg| arg == "--require-hashes");
        let mut lines = self.wanted.options.clone();
        lines.extend(self.wanted.reqs.iter().map(|req| req.line.clone()));
        for project in self.projects() {
            lines.push(self.project_line(project));
        }
        let more: Vec<String> = self.added.iter().cloned().chain(self.seeds()).collect();
        if !strict {
            lines.extend(more.iter().cloned());
        }
        let anything = lines.iter().any(|line| !line.starts_with("--"));
        if anything {
            push(out, "requirements.txt", &lines);
            let args = Self::pip(&["-r", "requirements.txt", "-c", "constraints.txt"], &self.wanted.args);
            out.steps.push(install(self.name(), &args, self.project_environment()));
        }
        if strict && !more.is_empty() {
            // No hashes are known for what is added, so it is resolved around what is pinned.
            let pins: Vec<String> = self.wanted.reqs.iter().map(|req| without_hashes(&req.line)).collect();
            push(out, "pinned.txt", &pins);
            self.more(out, &more, "pinned.txt");
        }
    }

    /// Exactly what is locked, then what is added around it.
    fn locked_steps(&self, out: &mut Dependencies) {
        let mut lines = self.wanted.options.clone();
        lines.extend(self.wanted.reqs.iter().map(|req| req.line.clone()));
        if !self.wanted.reqs.is_empty() {
            push(out, "requirements.txt", &lines);
            let args = Self::pip(&["--no-deps", "-r", "requirements.txt"], &self.wanted.args);
            out.steps.push(install(self.name(), &args, environment()));
        }
        let projects = self.projects();
        if !projects.is_empty() {
            let lines: Vec<String> = projects.iter().map(|project| self.project_line(project)).collect();
            push(out, "projects.txt", &lines);
            let args = Self::pip(&["--no-deps", "-r", "projects.txt"], &[]);
            out.steps.push(install("install the project".to_owned(), &args, self.project_environment()));
        }
        let more: Vec<String> = self.added.iter().cloned().chain(self.seeds()).collect();
        if !more.is_empty() {
            let named: Vec<String> =
                self.wanted.reqs.iter().filter(|req| !req.name.is_empty()).map(|req| without_hashes(&req.line)).collect();
            push(out, "pinned.txt", &named);
            self.more(out, &more, "pinned.txt");
        }
    }

    fn more(&self, out: &mut Dependencies, more: &[String], pinned: &str) {
        push(out, "added.txt", more);
        let args = Self::pip(&["-r", "added.txt", "-c", pinned], &[]);
        let name =
            if self.added.is_empty() { "install setuptools".to_owned() } else { format!("install {}", self.added.join(", ")) };
        out.steps.push(install(name, &args, environment()));
    }

    fn name(&self) -> String {
        match self.manifest.path() {
            Some(path) => format!("install dependencies from {path}"),
            None => "install dependencies".to_owned(),
        }
    }

    /// `uv pip install` with files of the plan. It is run from `/`, where no settings of the source change what it does.
    fn pip(files: &[&str], more: &[String]) -> Vec<String> {
        let mut args: Vec<String> =
            ["uv", "--directory", "/", "pip", "install", "--python"].iter().map(|arg| (*arg).to_owned()).collect();
        args.push(format!("{VENV_DIR}/bin/python"));
        args.push("--compile-bytecode".to_owned());
        args.extend(["--build-constraints".to_owned(), format!("{PLAN_DIR}/build-constraints.txt")]);
        for file in files {
            args.push(if has_extension(file, "txt") { format!("{PLAN_DIR}/{file}") } else { (*file).to_owned() });
        }
        args.extend(more.iter().cloned());
        args
    }

    fn project_line(&self, project: &Project) -> String {
        let extras = if project.extras.is_empty() { String::new() } else { format!("[{}]", project.extras.join(",")) };
        let editable = if self.is_compiled(&project.dir) { "" } else { "-e " };
        format!("{editable}{}{extras}", in_app(&project.dir))
    }

    /// Whether installing a project makes files that its source does not have.
    fn is_compiled(&self, dir: &str) -> bool {
        let text = |name: &str| {
            let bytes = self.tree.read(&child(dir, name), crate::tree::READ_LIMIT).unwrap_or_default();
            crate::text::decode(&bytes)
        };
        let setup = text("setup.py");
        ["ext_modules", "Extension(", "cythonize", "cffi_modules", "CMake", "rust_extensions"]
            .iter()
            .any(|sign| setup.contains(sign))
            || ["maturin", "scikit_build", "mesonpy", "ext-modules"].iter().any(|sign| text("pyproject.toml").contains(sign))
    }

    fn project_environment(&self) -> BTreeMap<String, String> {
        let mut env = environment();
        if !self.projects().is_empty() {
            // Versions that come from git's history: there is none in a build.
            for name in ["SETUPTOOLS_SCM_PRETEND_VERSION", "PDM_BUILD_SCM_VERSION", "PBR_VERSION", "UV_DYNAMIC_VERSIONING_BYPASS"]
            {
                env.insert(name.to_owned(), "0.0.0".to_owned());
            }
            env.insert("POETRY_DYNAMIC_VERSIONING_BYPASS".to_owned(), "0.0.0".to_owned());
        }
        env
    }

    fn keys(&self, out: &mut Dependencies) {
        let mut files = self.wanted.files.clone();
        for project in self.projects() {
            out.needs_whole_tree = true;
            if self.is_compiled(&project.dir) {
                files.extend(all_files(self.tree, &project.dir));
            } else {
                files.extend(packaging_files(self.tree, &project.dir));
                // A package that comes or goes changes what an editable project maps to.
                out.key_extra.extend(packages(self.tree, &project.dir));
            }
        }
        files.sort();
        files.dedup();
        out.key_files = files;
    }
}

fn environment() -> BTreeMap<String, String> {
    [("UV_PYTHON_DOWNLOADS", "never"), ("UV_NO_PROGRESS", "1")]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn step(name: &str, args: &[&str]) -> Step {
    install(name.to_owned(), &args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>(), environment())
}

fn install(name: String, args: &[String], env: BTreeMap<String, String>) -> Step {
    Step { name, args: args.to_vec(), env, fatal: true }
}

fn push(out: &mut Dependencies, name: &str, lines: &[String]) {
    let mut contents = lines.join("\n");
    if !contents.is_empty() {
        contents.push('\n');
    }
    out.generated.push(Generated { name: name.to_owned(), contents });
}

fn without_hashes(line: &str) -> String {
    line.split(" --hash=").next().unwrap_or(line).to_owned()
}

fn all_files(tree: &dyn SourceTree, dir: &str) -> Vec<String> {
    let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
    let files = tree.entries().iter().filter(|entry| !entry.symlink && entry.path.starts_with(&prefix));
    files.map(|entry| entry.path.clone()).collect()
}

/// The files that tell how a project is packaged: its manifests and what they commonly read.
fn packaging_files(tree: &dyn SourceTree, dir: &str) -> Vec<String> {
    let names = ["setup.py", "setup.cfg", "pyproject.toml", "MANIFEST.in", "hatch.toml", "pdm.lock"];
    let mut files = all_files(tree, dir);
    files.retain(|path| {
        let inner = if dir.is_empty() { path.as_str() } else { &path[dir.len() + 1..] };
        let file = inner.rsplit('/').next().unwrap_or(inner);
        let depth = inner.matches('/').count();
        let lower = file.to_ascii_lowercase();
        depth == 0
            && (names.contains(&file)
                || has_extension(&lower, "txt")
                || ["readme", "license", "licence", "version", "requirements"].iter().any(|start| lower.starts_with(start)))
            || depth == 1 && parent(inner).contains("requirements")
            || depth <= 2 && matches!(file, "version.py" | "_version.py" | "__about__.py" | "__version__.py" | "about.py")
    });
    files
}

fn packages(tree: &dyn SourceTree, dir: &str) -> Vec<String> {
    let mut out: Vec<String> = all_files(tree, dir)
        .into_iter()
        .filter(|path| path.ends_with("/__init__.py"))
        .map(|path| parent(&path).to_owned())
        .collect();
    out.retain(|path| path.matches('/').count() <= dir.matches('/').count() + 3);
    out
}
