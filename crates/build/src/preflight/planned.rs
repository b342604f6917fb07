//! The checks that follow from planning: each step of a plan by itself, so that one that fails hides as little as possible.

use super::code::Code;
use super::database;
use super::start::Line;
use super::{Check, Report, Request, disk, listed, listens, start, target, variables};
use crate::error::PlanError;
use crate::explain;
use crate::plan::{Available, Origin, Template};
use crate::procfile::ProcfileError;
use crate::python::environment::Target;
use crate::python::manifest::{Kind, Manifest};
use crate::python::pyproject::Pyproject;
use crate::python::requirement::Req;
use crate::python::requirements::{Wanted, child};
use crate::python::version;
use crate::recognise::start::{Chosen, Context};
use crate::recognise::{self, Seen};
use crate::text;
use crate::tree::{READ_LIMIT, SourceTree};

/// Everything but the size, the Base Directory and the secrets. `code` waits for what is read at the same time.
pub(super) fn checks(tree: &(dyn SourceTree + Sync), request: &Request, code: impl FnOnce() -> Code) -> Report {
    let seen = Seen::look(tree, request.plan.template);
    let manifest = Manifest::find(tree, &seen.base);
    let nothing = manifest.as_ref().is_ok_and(|manifest| manifest.kind == Kind::Nothing) && seen.survey.modules.is_empty();
    if nothing {
        let words = explain::plan_error(&recognise::nothing_recognised(tree));
        let check = Check::failed("template", format!("{}: {}", words.title, words.cause), words.fix);
        return Report::ended(vec![check], "nothing was recognised");
    }
    let mut checks = Vec::new();
    let wanted = wanted(tree, &seen, &manifest, &mut checks);
    if let Ok(manifest) = &manifest {
        checks.push(runtime(tree, manifest, &wanted, request));
    }
    let manifest = manifest.ok();
    let hidden = manifest.as_ref().map(|manifest| recognise::hidden_text(tree, manifest)).unwrap_or_default();
    let own_commands =
        manifest.as_ref().and_then(|manifest| manifest.pyproject.as_ref()).map(Pyproject::scripts).unwrap_or_default();
    let context = Context {
        modules: &seen.modules,
        survey: &seen.survey,
        entries: &seen.entries,
        base: &seen.base,
        wanted: &wanted,
        hidden: &hidden,
        own_commands: &own_commands,
    };
    let listing = manifest.as_ref().and_then(Manifest::path);
    let chosen = context.choose(&request.plan);
    checks.push(template(&context, chosen.as_ref().ok(), request));
    checks.push(database::check(tree, &wanted, listing, request));
    let code = &code();
    checks.push(disk::check(code, request));
    let wants = database::drivers(&wanted).first().map(|(_, wants)| *wants);
    checks.push(variables::check(tree, code, request, wants));
    match &chosen {
        Ok(chosen) => started(&context, chosen, listing, code, request, &mut checks),
        Err(error) => {
            checks.push(failed("start-command", error));
            for id in ["server", "start-target", "listens"] {
                checks.push(Check::skipped(id, "there is no start command"));
            }
        }
    }
    if !checks.iter().any(|check| check.state == super::State::Failed) {
        whole(&seen, request, &mut checks);
    }
    let chosen = chosen.ok();
    Report {
        template: chosen.as_ref().map(|chosen| chosen.template),
        start_command: chosen.map(|chosen| chosen.start.command.line),
        checks,
    }
}

/// The dependencies, and the check of them.
fn wanted(tree: &dyn SourceTree, seen: &Seen<'_>, manifest: &Result<Manifest, PlanError>, checks: &mut Vec<Check>) -> Wanted {
    const ID: &str = "dependencies";
    let manifest = match manifest {
        Ok(manifest) => manifest,
        Err(error) => {
            checks.push(failed(ID, error));
            checks.push(Check::skipped("runtime", "the dependencies could not be read"));
            return Wanted::default();
        }
    };
    let mut wanted = match manifest.wanted(tree, &Target::new(version::DEFAULT)) {
        Ok((wanted, _)) => wanted,
        Err(error) => {
            checks.push(failed(ID, &error));
            return Wanted::default();
        }
    };
    if manifest.kind == Kind::Nothing {
        let mut notes = Vec::new();
        recognise::from_imports(tree, &seen.survey, &mut wanted, &mut notes);
        let help = "add a requirements.txt that names them, with versions";
        checks.push(if notes.is_empty() {
            Check::ok(ID, "the source lists none, and imports nothing but Python's own modules")
        } else {
            Check::warning(ID, notes.join("; "), help)
        });
        return wanted;
    }
    let path = manifest.path().unwrap_or_default();
    let count = wanted.reqs.len() + wanted.projects.len();
    let pinned = wanted.reqs.iter().filter(|req| Req::pin(req).is_some()).count();
    let reason = match &manifest.kind {
        Kind::Setup(_) => format!("{path}, which the build asks what it needs"),
        _ => format!("{path} names {count} package{}, {pinned} of them by version", super::plural(count)),
    };
    checks.push(Check::ok(ID, reason).at(path, None));
    wanted
}

/// The Python version: one that is there, one that can be had, or none.
fn runtime(tree: &dyn SourceTree, manifest: &Manifest, wanted: &Wanted, request: &Request) -> Check {
    const ID: &str = "runtime";
    let mut wishes = match manifest.wishes(tree, request.plan.python_version.as_deref()) {
        Ok(wishes) => wishes,
        Err(error) => return failed(ID, &error),
    };
    wishes.at_most = crate::python::pins::at_most(&wanted.reqs);
    wishes.at_least = crate::python::pins::at_least(&wanted.reqs);
    let error = match version::choose(&wishes, &request.available.pythons) {
        Ok((python, _)) => return Check::ok(ID, format!("Python {} ({})", python.version, python.why)),
        Err(error) => error,
    };
    let more: Vec<_> =
        request.available.pythons.iter().copied().chain(request.obtainable.iter().map(|(python, _)| *python)).collect();
    if let Ok((python, _)) = version::choose(&wishes, &more)
        && let Some((_, stack)) = request.obtainable.iter().find(|(known, _)| *known == python.version)
    {
        let reason = format!("Python {} ({}) is not there from the start", python.version, python.why);
        let help = format!("have it made on the platform's machine: sudo adaptable stack {stack}; or ask for another version");
        return Check::warning(ID, reason, help);
    }
    failed(ID, &error)
}

/// What was recognised, and why.
fn template(context: &Context<'_>, chosen: Option<&Chosen>, request: &Request) -> Check {
    const ID: &str = "template";
    let inferred = context.infer().ok();
    let Some(inferred) = inferred else {
        let files = context.survey.modules.len();
        if chosen.is_some() {
            return Check::ok(ID, "Python: no framework was recognised, the start command counts");
        }
        let looked = "Flask, FastAPI, Django and others by their syntax, a manage.py, a script that serves";
        let help = "if the app lies in a directory of the repository, set it as the Base Directory";
        return Check::warning(ID, format!("Python, but nothing known in {files} files; looked for {looked}"), help);
    };
    let check = match request.plan.template.filter(|wish| *wish != inferred.template && *wish != Template::Python) {
        Some(wish) => {
            let reason = format!("{wish} is set, but the source is recognised as {}: {}", inferred.template, inferred.why);
            Check::warning(ID, reason, format!("leave the template out, or set {}", inferred.template))
        }
        None => Check::ok(ID, format!("{}: {}", inferred.template, inferred.why)),
    };
    match (inferred.django, context.entries.iter().find(|entry| entry.kind.is_importable())) {
        (Some(project), _) => check.at(child(&project.dir, "manage.py"), None),
        (None, Some(entry)) if inferred.why.contains(&entry.path) => check.at(entry.path.clone(), None),
        _ => check,
    }
}

/// The checks of the start command.
fn started(
    context: &Context<'_>,
    chosen: &Chosen,
    listing: Option<&str>,
    code: &Code,
    request: &Request,
    checks: &mut Vec<Check>,
) {
    let command = &chosen.start.command.line;
    let why = match chosen.start.origin {
        Origin::Inferred => format!("`{command}`, since {}", chosen.start.why),
        Origin::Settings | Origin::Procfile => format!("`{command}`, {}", chosen.start.why),
    };
    let tree = context.modules.tree;
    let origin = (chosen.start.origin == Origin::Procfile).then(|| {
        let path = [child(context.base, "Procfile"), "Procfile".to_owned()].into_iter().find(|path| tree.has(path));
        let path = path.unwrap_or_else(|| "Procfile".to_owned());
        let line = procfile_line(tree, &path);
        (path, line)
    });
    let check = Check::ok("start-command", why);
    checks.push(match &origin {
        Some((path, line)) => check.at(path.clone(), *line),
        None => check,
    });
    let line = Line::read(command);
    checks.push(start::server(context, chosen, line.as_ref(), listing, code, request));
    checks.push(target::check(context, line.as_ref(), chosen.module_file.is_some()));
    checks.push(listens::check(tree, line.as_ref(), code, request, origin.as_ref()));
}

fn procfile_line(tree: &dyn SourceTree, path: &str) -> Option<usize> {
    let text = text::decode(&tree.read(path, READ_LIMIT).ok()?);
    text::lines(&text)
        .position(|line| line.trim().get(..3).is_some_and(|start| start.eq_ignore_ascii_case("web")))
        .map(|index| index + 1)
}

/// The plan as a whole, for what no check by itself has seen.
fn whole(seen: &Seen<'_>, request: &Request, checks: &mut Vec<Check>) {
    let pythons = request.available.pythons.iter().copied().chain(request.obtainable.iter().map(|(python, _)| *python)).collect();
    if let Err(error) = recognise::plan_of(seen, &request.plan, &Available { pythons }) {
        let id = match &error {
            PlanError::PythonUnavailable { .. } | PlanError::PythonMalformed { .. } => "runtime",
            PlanError::NothingRecognised { .. } => "template",
            PlanError::NoStart { .. } | PlanError::Procfile(_) | PlanError::Command { .. } => "start-command",
            _ => "dependencies",
        };
        checks.retain(|check| check.id != id);
        checks.push(failed(id, &error));
    }
}

/// An error of planning as a check, with the place it speaks of.
fn failed(id: &'static str, error: &PlanError) -> Check {
    let words = explain::plan_error(error);
    let reason = format!("{}: {}", words.title, words.cause.trim_end_matches('.'));
    let check = Check::failed(id, reason, words.fix.replace(" and deploy again", ""));
    match error {
        PlanError::Manifest { file, line, .. } => check.at(file.clone(), *line),
        PlanError::MissingFile { by, .. } | PlanError::OutsideTree { by, .. } => check.at(by.clone(), None),
        PlanError::Misspelled { found, .. } => check.at(found.clone(), None),
        PlanError::StaleLock { lock, .. } => check.at(lock.clone(), None),
        PlanError::Aptfile { line, .. } => check.at("Aptfile", Some(*line)),
        PlanError::Procfile(ProcfileError { line, .. }) => check.at("Procfile", Some(*line)),
        PlanError::PythonUnavailable { origin, .. } | PlanError::PythonMalformed { origin, .. } => {
            let file = origin.strip_prefix("from ").or_else(|| origin.rsplit_once(" in ").map(|(_, file)| file));
            match file.filter(|file| *file != "the settings") {
                Some(file) => check.at(file, None),
                None => check,
            }
        }
        PlanError::NoStart { looked_at, .. } if id != "start-command" => check.at(listed(looked_at), None),
        _ => check,
    }
}
