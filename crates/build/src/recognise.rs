//! From a source tree to a plan; nothing of the source is run for it.

use std::collections::BTreeMap;

use crate::error::PlanError;
use crate::plan::{Available, DebianPackage, Origin, Plan, PlanRequest, PythonChoice, Step, Template};
use crate::python::environment::Target;
use crate::python::install::Install;
use crate::python::manifest::{self, Kind, Manifest, Tool};
use crate::python::pyproject::Pyproject;
use crate::python::requirement::Req;
use crate::python::requirements::{Project, Wanted, child, in_app, parent};
use crate::python::{companions, imports, pins, standard, system, version};
use crate::text;
use crate::tree::{READ_LIMIT, SourceTree};

pub(crate) mod depth;
mod django;
pub(crate) mod entry;
mod infer;
pub(crate) mod kinds;
pub(crate) mod module;
pub(crate) mod modules;
mod patience;
mod removed;
mod scripts;
pub(crate) mod start;

use entry::{Entry, Survey};
use modules::Modules;
use start::{Chosen, Context};

/// Plans the build of a source tree.
pub fn plan(tree: &dyn SourceTree, request: &PlanRequest, available: &Available) -> Result<Plan, PlanError> {
    plan_of(&Seen::look(tree, request.template), request, available)
}

/// What a look over a tree's syntax finds, before anything is decided.
pub(crate) struct Seen<'a> {
    pub(crate) modules: Modules<'a>,
    pub(crate) survey: Survey,
    pub(crate) entries: Vec<Entry>,
    /// The directory whose manifest counts; `""` is the root.
    pub(crate) base: String,
}

impl<'a> Seen<'a> {
    pub(crate) fn look(tree: &'a dyn SourceTree, template: Option<Template>) -> Self {
        let modules = Modules::new(tree);
        let survey = entry::survey(&modules);
        let entries = entry::entries(&modules, &survey, template);
        let base = base_dir(tree, &entries, &survey);
        Self { modules, survey, entries, base }
    }
}

/// Plans the build of a source tree that was looked over.
pub(crate) fn plan_of(seen: &Seen<'_>, request: &PlanRequest, available: &Available) -> Result<Plan, PlanError> {
    let Seen { modules, survey, entries, base } = seen;
    let tree = modules.tree;
    let manifest = Manifest::find(tree, base)?;
    if manifest.kind == Kind::Nothing && survey.modules.is_empty() {
        return Err(nothing_recognised(tree));
    }
    check_commands(request)?;
    // What is wanted tells the Python version, and the version decides what is wanted.
    let first = Target::new(version::DEFAULT);
    let (mut wanted, mut locked) = manifest.wanted(tree, &first)?;
    let mut wishes = manifest.wishes(tree, request.python_version.as_deref())?;
    wishes.at_most = pins::at_most(&wanted.reqs);
    wishes.at_least = pins::at_least(&wanted.reqs);
    let (python, mut notes) = version::choose(&wishes, &available.pythons)?;
    if python.version != first.python {
        (wanted, locked) = manifest.wanted(tree, &Target::new(python.version))?;
    }
    // An app that names no Python was made for whatever was current then.
    let made_for_older = wishes.at_most.as_ref().is_some_and(|(limit, _)| *limit < python.version);
    if made_for_older && python.version == version::DEFAULT && is_replaceable(&manifest, &wishes, locked, request) {
        let mut reqs = wanted.reqs.clone();
        if locked {
            reqs.iter_mut().for_each(Req::forget_hashes);
        }
        let replaced = pins::stand_in(&mut reqs);
        if !replaced.is_empty() {
            // What is locked for another Python is resolved again around the stand-ins.
            (wanted.reqs, locked) = (reqs, false);
            notes.extend(replaced);
        }
    }
    let dated = removed::find(modules, &wanted.reqs);
    let older = made_for_older || dated.older_python;
    note_older(older, &python, &mut notes);
    notes.extend(manifest.notes.iter().cloned());
    if manifest.kind == Kind::Nothing {
        from_imports(tree, survey, &mut wanted, &mut notes);
    }
    notes.append(&mut wanted.notes);
    keep_companions(&mut wanted, locked, &dated, &mut notes);
    let own_commands = manifest.pyproject.as_ref().map(Pyproject::scripts).unwrap_or_default();
    let hidden = hidden_text(tree, &manifest);
    let context = Context { modules, survey, entries, base, wanted: &wanted, hidden: &hidden, own_commands: &own_commands };
    let chosen = context.choose(request)?;
    notes.extend(chosen.notes.iter().cloned());
    let install = Install {
        tree,
        manifest: &manifest,
        wanted: &wanted,
        locked,
        python: python.version,
        added: chosen.added.clone(),
        module_file: chosen.module_file.clone(),
        older,
        itself: itself(&manifest, survey, &chosen, &own_commands),
        request,
    };
    let aptfile = aptfiles(tree, base)?;
    let mut env = chosen.env.clone();
    if let Some(path) = python_path(tree, base, &wanted.projects) {
        env.insert("PYTHONPATH".to_owned(), path);
    }
    Ok(Plan {
        template: chosen.template,
        system: system::packages(&wanted.reqs, &aptfile, python.version),
        dependencies: install.dependencies(),
        finish: finish(&chosen, request),
        python,
        start: chosen.start,
        release: chosen.release,
        env,
        notes,
    })
}

/// What the Aptfiles of the root and of the app's own directory name.
fn aptfiles(tree: &dyn SourceTree, base: &str) -> Result<Vec<DebianPackage>, PlanError> {
    let mut packages = system::aptfile(tree, "Aptfile")?;
    if !base.is_empty() {
        packages.extend(system::aptfile(tree, &child(base, "Aptfile"))?);
    }
    Ok(packages)
}

/// Refuses commands of the settings that no shell can run, before anything else is done.
fn check_commands(request: &PlanRequest) -> Result<(), PlanError> {
    for (what, line) in [("install", &request.install_command), ("build", &request.build_command)] {
        if let Some(line) = line {
            start::prepared(line.clone(), what, Origin::Settings)?;
        }
    }
    Ok(())
}

/// Whether other releases may take the place of pins that can't be had for the Python that was chosen.
fn is_replaceable(manifest: &Manifest, wishes: &version::Wishes, locked: bool, request: &PlanRequest) -> bool {
    match manifest.kind {
        // Whoever sets a version by hand wants the app to run with it.
        Kind::Requirements(_) => wishes.written.is_empty() || request.python_version.is_some(),
        // The Python of a conda environment is conda's own, and so are its builds of what it pins.
        Kind::Conda(_) => true,
        _ => locked,
    }
}

/// Says in the log that names of older Pythons are put back.
fn note_older(older: bool, python: &PythonChoice, notes: &mut Vec<String>) {
    if older {
        notes.push(format!(
            "pins or lines of before Python {}: names that its own modules have dropped (collections.Mapping, inspect.getargspec …) are put back",
            python.version
        ));
    }
}

/// Constrains what old pins depend on to releases that suit them, and what the source needs to those that have it.
fn keep_companions(wanted: &mut Wanted, locked: bool, dated: &removed::Findings, notes: &mut Vec<String>) {
    // With a lock or hashes everything is named already.
    if !locked && !wanted.args.iter().any(|arg| arg == "--require-hashes") {
        let (bounds, remarks) = companions::of(&wanted.reqs, &dated.bounds);
        wanted.constraints.extend(bounds);
        notes.extend(dated.notes.iter().cloned());
        notes.extend(remarks);
    }
}

/// The directory whose manifest counts: the root, or where the likeliest entry lies.
fn base_dir(tree: &dyn SourceTree, entries: &[Entry], survey: &Survey) -> String {
    if manifest::is_marked(tree, "") {
        return String::new();
    }
    let script = scripts::scripts(survey).into_iter().next().map(|script| script.path);
    if let Some(path) = entries.first().map(|entry| entry.path.clone()).or(script) {
        let mut dir = parent(&path);
        while !dir.is_empty() {
            if manifest::is_marked(tree, dir) {
                return dir.to_owned();
            }
            dir = parent(dir);
        }
    }
    let mut marked: Vec<&str> = tree
        .entries()
        .iter()
        .filter(|entry| (1..=2).contains(&entry.path.matches('/').count()) && !entry::is_aside(&entry.path))
        .map(|entry| parent(&entry.path))
        .filter(|dir| manifest::is_marked(tree, dir))
        .collect();
    marked.dedup();
    match marked.as_slice() {
        [only] if !tree.entries().iter().any(|entry| text::has_extension(&entry.path, "py") && !entry.path.contains('/')) => {
            (*only).to_owned()
        }
        _ => String::new(),
    }
}

pub(crate) fn nothing_recognised(tree: &dyn SourceTree) -> PlanError {
    let others = [
        ("package.json", "Node.js"),
        ("go.mod", "Go"),
        ("Cargo.toml", "Rust"),
        ("Gemfile", "Ruby"),
        ("composer.json", "PHP"),
        ("pom.xml", "Java"),
        ("build.gradle", "Java"),
        ("index.php", "PHP"),
        ("index.html", "a static site"),
        ("Dockerfile", "a Dockerfile"),
    ];
    let other = others.iter().find(|(file, _)| tree.has(file)).map(|(file, language)| (*language, (*file).to_owned()));
    PlanError::NothingRecognised { other, files: tree.entries().len() }
}

/// An app without any manifest gets what its imports are known to need.
pub(crate) fn from_imports(tree: &dyn SourceTree, survey: &Survey, wanted: &mut Wanted, notes: &mut Vec<String>) {
    let own = |name: &str| {
        let file = format!("{name}.py");
        let ends = format!("/{file}");
        let inside = format!("{name}/");
        tree.entries().iter().any(|entry| {
            entry.path == file
                || entry.path.ends_with(&ends)
                || entry.path.starts_with(&inside)
                || entry.path.contains(&format!("/{inside}"))
        })
    };
    let (known, unknown) = imports::distributions(&survey.packages, own);
    if !known.is_empty() {
        notes.push(format!(
            "the source lists no dependencies: {} come from its imports; add a requirements.txt to fix their versions",
            known.join(", ")
        ));
    }
    if !unknown.is_empty() {
        notes.push(format!("nothing is known of the imports {}: list what they need in a requirements.txt", unknown.join(", ")));
    }
    for name in known {
        wanted.reqs.push(Req::named(name));
    }
}

/// Dependencies that stand in files which only running them would evaluate.
pub(crate) fn hidden_text(tree: &dyn SourceTree, manifest: &Manifest) -> String {
    let hidden =
        matches!(manifest.kind, Kind::Setup(_)) || manifest.pyproject.as_ref().is_some_and(Pyproject::has_hidden_dependencies);
    if !hidden {
        return String::new();
    }
    let read =
        |name: &str| tree.read(&child(&manifest.dir, name), READ_LIMIT).map(|bytes| text::decode(&bytes)).unwrap_or_default();
    ["setup.py", "setup.cfg", "requirements.txt"].map(read).concat().to_lowercase()
}

/// The app as a project to install, when it only works installed: its own commands, plugins, its own metadata.
fn itself(manifest: &Manifest, survey: &Survey, chosen: &Chosen, own_commands: &[(String, String)]) -> Option<Project> {
    let pyproject = manifest.pyproject.as_ref()?;
    let project = matches!(manifest.kind, Kind::Pyproject | Kind::Lock(Tool::Poetry | Tool::Uv | Tool::Pdm, _));
    if !project || pyproject.is_virtual() {
        return None;
    }
    let lines = [Some(chosen.start.command.line.as_str()), chosen.release.as_ref().map(|command| command.line.as_str())];
    let calls_own = own_commands.iter().any(|(name, _)| {
        lines.iter().flatten().any(|line| line.split(|c: char| c.is_whitespace() || "|&;".contains(c)).any(|word| word == name))
    });
    let reads_metadata = survey.modules.iter().any(|module| {
        module.imports.values().any(|import| {
            let whole = import.name.as_ref().map_or(import.module.clone(), |name| format!("{}.{name}", import.module));
            whole.starts_with("importlib.metadata")
                || whole.starts_with("importlib_metadata")
                || whole.starts_with("pkg_resources")
        })
    });
    (calls_own || reads_metadata || pyproject.has_plugins() || pyproject.compiles())
        .then(|| Project { dir: manifest.dir.clone(), extras: Vec::new() })
}

/// Where Python looks for the app's modules, whoever starts it. A tree whose own files would hide modules of Python's library
/// is left to what its start command does.
fn python_path(tree: &dyn SourceTree, base: &str, projects: &[Project]) -> Option<String> {
    let hides = |dir: &str| {
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        tree.entries().iter().filter_map(|entry| entry.path.strip_prefix(&prefix)).any(|inner| match inner.split_once('/') {
            None => inner.strip_suffix(".py").is_some_and(standard::is_standard),
            Some((package, rest)) => rest == "__init__.py" && standard::is_standard(package),
        })
    };
    let src = child(base, "src");
    let mut dirs = vec![base.to_owned()];
    if tree.has_dir(&src) && !tree.has(&child(&src, "__init__.py")) {
        dirs.push(src);
    }
    // A project's directory that has its package's name would else be taken for the package.
    for project in projects.iter().filter(|project| !project.dir.is_empty()) {
        let name = project.dir.rsplit('/').next().unwrap_or_default();
        if tree.has(&child(&project.dir, &format!("{name}/__init__.py"))) {
            dirs.push(project.dir.clone());
        }
    }
    dirs.retain(|dir| !hides(dir));
    (!dirs.is_empty()).then(|| dirs.iter().map(|dir| in_app(dir)).collect::<Vec<_>>().join(":"))
}

/// What is done once the source lies in its place.
fn finish(chosen: &Chosen, request: &PlanRequest) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some(project) = chosen.django.as_ref().filter(|project| project.collects_static) {
        // Settings often refuse to load without a secret; this one ends with the step.
        let mut env: BTreeMap<String, String> = ["SECRET_KEY", "DJANGO_SECRET_KEY"]
            .into_iter()
            .map(|name| (name.to_owned(), "only-for-collectstatic".to_owned()))
            .collect();
        env.insert("DJANGO_SETTINGS_MODULE".to_owned(), project.settings.clone());
        let manage = in_app(&child(&project.dir, "manage.py"));
        let args = ["python", &manage, "collectstatic", "--noinput"].map(ToOwned::to_owned).to_vec();
        steps.push(Step { name: "collect Django's static files".to_owned(), args, env, fatal: false });
    }
    if let Some(args) = request.build_command.as_deref().and_then(|line| crate::shell::prepare(line).ok()) {
        let env = [("VIRTUAL_ENV".to_owned(), crate::plan::VENV_DIR.to_owned())].into_iter().collect();
        steps.push(Step { name: "run the build command".to_owned(), args, env, fatal: true });
    }
    steps
}

#[cfg(test)]
mod tests;
