//! The start command: as set, from the Procfile, or inferred; and the server the app lacks.

use std::collections::BTreeMap;

use crate::error::PlanError;
use crate::plan::{Command, Generated, Origin, PlanRequest, Server, Start, Template};
use crate::procfile::Procfile;
use crate::python::requirements::{Wanted, child};
use crate::shell::{self, quote};
use crate::tree::READ_LIMIT;

use super::django;
use super::entry::{Entry, Survey};
use super::modules::Modules;
use super::patience;

/// All that the choice of a start command depends on.
pub(crate) struct Context<'a> {
    pub(crate) modules: &'a Modules<'a>,
    pub(crate) survey: &'a Survey,
    pub(crate) entries: &'a [Entry],
    /// The directory of the manifest; `""` is the root.
    pub(crate) base: &'a str,
    pub(crate) wanted: &'a Wanted,
    /// The text of manifests that only running them would tell of (`setup.py`).
    pub(crate) hidden: &'a str,
    /// Commands that the project's installation makes.
    pub(crate) own_commands: &'a [(String, String)],
}

/// What starts the app, and what comes with it.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    pub(crate) start: Start,
    pub(crate) template: Template,
    pub(crate) release: Option<Command>,
    /// Requirements to add.
    pub(crate) added: Vec<String>,
    /// A module of ours to install beside the dependencies.
    pub(crate) module_file: Option<Generated>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) django: Option<django::Project>,
    pub(crate) notes: Vec<String>,
}

impl Context<'_> {
    pub(crate) fn declares(&self, name: &str) -> bool {
        self.wanted.names(name) || self.hidden.contains(name)
    }

    pub(crate) fn declares_uvicorn(&self) -> bool {
        self.declares("uvicorn")
            || self
                .wanted
                .reqs
                .iter()
                .any(|req| req.name == "fastapi" && req.extras.iter().any(|extra| extra == "standard" || extra == "all"))
    }

    /// Chooses the start command.
    pub(crate) fn choose(&self, request: &PlanRequest) -> Result<Chosen, PlanError> {
        let (procfile, procfile_dir) = self.procfile()?;
        let mut notes = Vec::new();
        if !procfile.others.is_empty() {
            notes.push(format!("the Procfile's {} is not run: only web and release are", procfile.others.join(", ")));
        }
        let in_dir =
            |line: &str| if procfile_dir.is_empty() { line.to_owned() } else { format!("cd {} && {line}", quote(&procfile_dir)) };
        let given = match (&request.start_command, &procfile.web) {
            (Some(line), _) => Some((line.trim().to_owned(), Origin::Settings, "as set")),
            (None, Some(line)) => Some((in_dir(line), Origin::Procfile, "from the Procfile")),
            (None, None) => None,
        };
        let inferred = self.infer();
        let (line, origin, why, inferred) = match (given, inferred) {
            (Some((line, origin, why)), inferred) => (line, origin, why.to_owned(), inferred.ok()),
            (None, Ok(inferred)) => (inferred.line.clone(), Origin::Inferred, inferred.why.clone(), Some(inferred)),
            (None, Err(error)) => return Err(error),
        };
        let mut command = prepared(line, "start", origin)?;
        if let Some(line) = patience::without_timeout(&command.line) {
            command.args = prepared(line, "start", origin)?.args;
            notes.push(
                "gunicorn's time-out is set to 0: after a freeze it would take its workers for hung; the edge limits how long a request takes"
                    .to_owned(),
            );
        }
        let added_server = self.missing_server(&command.line);
        let mut added: Vec<String> = Vec::new();
        if let Some(server) = added_server {
            added.push(self.server_requirement(server, &command.line));
            notes.push(format!("the app brings no {server}: it is added"));
        }
        let template = inferred.as_ref().map_or(request.template.unwrap_or(Template::Python), |inferred| inferred.template);
        let mut django = None;
        let mut module_file = None;
        if let Some(inferred) = inferred {
            django = inferred.django;
            if origin == Origin::Inferred {
                notes.extend(inferred.notes);
                added.extend(inferred.extra);
                module_file = inferred.module_file;
            }
        }
        let env = Self::environment(&command.line, template, &mut notes);
        let release = procfile.release.as_deref().map(|line| prepared(in_dir(line), "release", Origin::Procfile)).transpose()?;
        Ok(Chosen {
            start: Start { command, origin, why, added_server },
            template,
            release,
            added,
            module_file,
            env,
            django,
            notes,
        })
    }

    fn procfile(&self) -> Result<(Procfile, String), PlanError> {
        for dir in [self.base, ""] {
            let path = child(dir, "Procfile");
            if self.modules.tree.has(&path) {
                let procfile = Procfile::parse(&self.modules.tree.read(&path, READ_LIMIT)?)?;
                return Ok((procfile, dir.to_owned()));
            }
        }
        Ok((Procfile::default(), String::new()))
    }

    /// The server that a command line names and the app does not bring.
    fn missing_server(&self, line: &str) -> Option<Server> {
        let words = shell::last_words(line);
        let names = |server: &str| words.iter().any(|word| word == server);
        if names("gunicorn") && !self.declares("gunicorn") {
            Some(Server::Gunicorn)
        } else if names("uvicorn") && !self.declares_uvicorn() {
            Some(Server::Uvicorn)
        } else {
            None
        }
    }

    fn server_requirement(&self, server: Server, line: &str) -> String {
        match server {
            // The eventlet worker was taken out of later releases.
            Server::Gunicorn if line.contains("eventlet") => "gunicorn<24".to_owned(),
            Server::Gunicorn => "gunicorn".to_owned(),
            Server::Uvicorn => {
                let sockets =
                    self.survey.modules.iter().any(|module| module.calls.iter().any(|call| call.name.ends_with("accept")))
                        || self.survey.modules.iter().any(|module| module.imports.contains_key("WebSocket"));
                if sockets && !self.declares("websockets") { "uvicorn[standard]".to_owned() } else { "uvicorn".to_owned() }
            }
        }
    }

    fn environment(line: &str, template: Template, notes: &mut Vec<String>) -> BTreeMap<String, String> {
        let mut env: BTreeMap<String, String> = BTreeMap::new();
        let mut set = |name: &str, value: &str| env.insert(name.to_owned(), value.to_owned());
        set("PYTHONUNBUFFERED", "1");
        // Only the edge can reach an instance, so what it says of the visitor's address and scheme is to be believed.
        set("FORWARDED_ALLOW_IPS", "*");
        patience::environment(&mut env);
        let mut set = |name: &str, value: &str| env.insert(name.to_owned(), value.to_owned());
        if template == Template::Flask {
            // `app.run()` outside of a main guard would start a second, blocking server; Flask passes over it when this is set.
            let words = shell::last_words(line);
            if !words.first().is_some_and(|word| word.starts_with("python")) || words.iter().any(|word| word == "gunicorn") {
                set("FLASK_RUN_FROM_CLI", "true");
            }
        }
        if shell::last_words(line).iter().any(|word| word == "uwsgi") {
            set("UWSGI_DIE_ON_TERM", "true");
            notes.push("uWSGI reloads on SIGTERM by default: it is told to end instead".to_owned());
        }
        env
    }
}

/// Makes a command fit to run, or says which one is not.
pub(crate) fn prepared(line: String, what: &'static str, origin: Origin) -> Result<Command, PlanError> {
    match shell::prepare(&line) {
        Ok(args) => Ok(Command { line, args }),
        Err(source) => Err(PlanError::Command { what, origin, source }),
    }
}
