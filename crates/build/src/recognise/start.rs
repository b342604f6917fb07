//! The start command: as set, from the Procfile, or inferred; and the server the app lacks.

use std::collections::BTreeMap;

use crate::error::PlanError;
use crate::plan::{Command, Generated, Origin, PlanRequest, Server, Start, Template};
use crate::procfile::Procfile;
use crate::python::requirements::{Wanted, child};
use crate::shell::{self, quote};
use crate::tree::READ_LIMIT;

use super::django;
use super::entry::{self, Entry, Survey};
use super::kinds::Kind;
use super::module::Place;
use super::modules::Modules;
use super::scripts::{self, Script};

/// The name of a module of ours that a start command may name.
const SERVED: &str = "adaptable_served";

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

/// A command that was inferred.
#[derive(Debug, Clone)]
struct Inferred {
    line: String,
    why: String,
    template: Template,
    django: Option<django::Project>,
    /// Requirements besides the server.
    extra: Vec<String>,
    /// A module of ours that the command names.
    module_file: Option<Generated>,
    notes: Vec<String>,
}

impl Context<'_> {
    fn declares(&self, name: &str) -> bool {
        self.wanted.names(name) || self.hidden.contains(name)
    }

    fn declares_uvicorn(&self) -> bool {
        self.declares("uvicorn")
            || self.wanted.reqs.iter().any(|req| req.name == "fastapi" && req.extras.iter().any(|extra| extra == "standard" || extra == "all"))
    }

    /// Chooses the start command.
    pub(crate) fn choose(&self, request: &PlanRequest) -> Result<Chosen, PlanError> {
        let (procfile, procfile_dir) = self.procfile()?;
        let mut notes = Vec::new();
        if !procfile.others.is_empty() {
            notes.push(format!("the Procfile's {} is not run: only web and release are", procfile.others.join(", ")));
        }
        let in_dir = |line: &str| if procfile_dir.is_empty() { line.to_owned() } else { format!("cd {} && {line}", quote(&procfile_dir)) };
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
        let command = prepared(line, "start", origin)?;
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
        let env = self.environment(&command.line, template, &mut notes);
        let release = procfile.release.as_deref().map(|line| prepared(in_dir(line), "release", Origin::Procfile)).transpose()?;
        Ok(Chosen { start: Start { command, origin, why, added_server }, template, release, added, module_file, env, django, notes })
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
                let sockets = self.survey.modules.iter().any(|module| module.calls.iter().any(|call| call.name.ends_with("accept")))
                    || self.survey.modules.iter().any(|module| module.imports.contains_key("WebSocket"));
                if sockets && !self.declares("websockets") { "uvicorn[standard]".to_owned() } else { "uvicorn".to_owned() }
            }
        }
    }

    fn environment(&self, line: &str, template: Template, notes: &mut Vec<String>) -> BTreeMap<String, String> {
        let mut env: BTreeMap<String, String> = BTreeMap::new();
        let mut set = |name: &str, value: &str| env.insert(name.to_owned(), value.to_owned());
        set("PYTHONUNBUFFERED", "1");
        // Only the edge can reach an instance, so what it says of the visitor's address and scheme is to be believed.
        set("FORWARDED_ALLOW_IPS", "*");
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

    fn infer(&self) -> Result<Inferred, PlanError> {
        let wants_asgi = self.declares("channels") || self.declares("daphne");
        if let Some(project) = django::find(self.modules, wants_asgi)
            && (self.declares("django") || self.survey.packages.contains("django"))
        {
            return Ok(self.django(project));
        }
        let best = self.entries.iter().find(|entry| entry.kind.is_importable() && !(entry.is_async && entry.kind != Kind::AioHttp));
        let script = scripts::scripts(self.survey).into_iter().next();
        if let Some(entry) = best {
            let better_script = script.as_ref().is_some_and(|script| script.score > entry.score);
            if self.blocks_on_import(entry) {
                return Ok(self.script(&Script {
                    path: entry.path.clone(),
                    line: format!("python {}", quote(&entry.path)),
                    why: format!("{} starts its own server when it is imported", entry.path),
                    template: entry.kind.template(),
                    score: entry.score,
                }));
            }
            if !better_script {
                return self.entry(entry);
            }
        }
        if let Some(script) = script {
            return Ok(self.script(&script));
        }
        if let Some(command) = self.own_command() {
            return Ok(command);
        }
        if let Some(script) = scripts::plain(self.survey, self.base).or_else(|| scripts::plain(self.survey, "")) {
            return Ok(self.script(&script));
        }
        Err(self.nothing())
    }

    fn nothing(&self) -> PlanError {
        let looked_at = self.survey.modules.iter().take(8).map(|module| module.path.clone()).collect();
        let factory = self.survey.modules.iter().find_map(|module| {
            let (name, function) = module.functions.iter().find(|(_, function)| {
                !function.required.is_empty() && self.modules.kind_of_result(module, function, 0).is_some()
            })?;
            Some(format!("`{name}` in {} makes the app, but needs {}", module.path, function.required.join(", ")))
        });
        let broken = || {
            let module = self.survey.modules.iter().find(|module| module.error.is_some())?;
            let (line, why) = module.error.as_ref()?;
            Some(format!("{} line {line} is not Python 3: {why}", module.path))
        };
        PlanError::NoStart { looked_at, nearest: factory.or_else(broken) }
    }

    /// A command that `[project.scripts]` declares.
    fn own_command(&self) -> Option<Inferred> {
        let likely = ["start", "serve", "server", "web", "app"];
        let (name, call) = self
            .own_commands
            .iter()
            .find(|(name, _)| likely.contains(&name.as_str()))
            .or_else(|| self.own_commands.first().filter(|_| self.own_commands.len() == 1))?;
        Some(Inferred {
            line: quote(name),
            why: format!("`{name}` is the project's own command ({call}); it must listen on $PORT"),
            template: Template::Python,
            django: None,
            extra: Vec::new(),
            module_file: None,
            notes: Vec::new(),
        })
    }

    /// Whether importing an entry's file would start a server that never returns.
    fn blocks_on_import(&self, entry: &Entry) -> bool {
        // Flask's own `run` is told to do nothing.
        if matches!(entry.kind, Kind::Flask | Kind::Dash) {
            return self.calls_at_import(entry, &["serve", "serve_forever"]);
        }
        self.calls_at_import(entry, &["run", "serve", "run_app", "serve_forever"])
    }

    fn calls_at_import(&self, entry: &Entry, names: &[&str]) -> bool {
        let Some(module) = self.modules.get(&entry.path) else { return false };
        module.calls.iter().any(|call| {
            let last = call.name.rsplit('.').next().unwrap_or_default();
            call.place == Place::Module
                && names.contains(&last)
                && (call.name == format!("{}.{last}", entry.name)
                    || call.args.iter().any(|arg| *arg == super::module::Value::Name(entry.name.clone()))
                    || call.name == "run"
                    || call.name == "bottle.run")
        })
    }

    fn script(&self, script: &Script) -> Inferred {
        let prefix = format!("{}/", self.base);
        let below = !self.base.is_empty() && script.path.starts_with(&prefix);
        let line = if below {
            format!("cd {} && {}", quote(self.base), script.line.replacen(&quote(&script.path), &quote(&script.path[prefix.len()..]), 1))
        } else {
            script.line.clone()
        };
        Inferred { line, why: script.why.clone(), template: script.template, django: None, extra: Vec::new(), module_file: None, notes: Vec::new() }
    }

    fn django(&self, project: django::Project) -> Inferred {
        let mut line = if project.asgi {
            self.asgi(&project.target, &project.dir, false)
        } else {
            self.wsgi(&project.target, &project.dir, "--threads=4")
        };
        if project.needs_settings {
            line = format!("DJANGO_SETTINGS_MODULE={} {line}", project.settings);
        }
        Inferred {
            why: format!("`{}` serves the Django project in {}", project.target, if project.dir.is_empty() { "the root" } else { &project.dir }),
            line,
            template: Template::Django,
            notes: project.notes.clone(),
            django: Some(project),
            extra: Vec::new(),
            module_file: None,
        }
    }

    fn entry(&self, entry: &Entry) -> Result<Inferred, PlanError> {
        let (root, module) = entry::import_root(self.modules, &entry.path, self.base);
        let what = if entry.factory { "makes" } else { "is" };
        let article = if matches!(entry.kind, Kind::AioHttp | Kind::Asgi) { "an" } else { "a" };
        let mut notes = Vec::new();
        if entry::is_aside(&entry.path) {
            notes.push(format!("only {} holds an application: if that is not the one to serve, set a start command", entry.path));
        }
        if let Some((line, why)) = self.modules.get(&entry.path).and_then(|module| module.error.clone()) {
            notes.push(format!("{} line {line} is not Python 3: {why}", entry.path));
        }
        let call = if entry.factory { "()" } else { "" };
        let target = format!("{module}:{}{call}", entry.name);
        let mut extra = Vec::new();
        let mut module_file = None;
        let line = match entry.kind {
            Kind::Dash | Kind::Connexion => {
                let attribute = if entry.kind == Kind::Dash { "server" } else { "app" };
                let Some((line, file)) = self.attribute_of(entry, attribute, &root, &module) else { return Err(self.nothing()) };
                module_file = Some(file);
                line
            }
            Kind::Flask => self.wsgi(&target, &root, &self.flask_workers(&mut extra)),
            Kind::Sanic => {
                let factory = if entry.factory { " --factory" } else { "" };
                self.in_dir(&root, &format!("sanic --host=0.0.0.0 --port=$PORT{factory} {}", quote(&format!("{module}:{}", entry.name))))
            }
            Kind::AioHttp => {
                let target = format!("{module}:{}", entry.name);
                self.wsgi(&target, &root, "--worker-class=aiohttp.GunicornWebWorker")
            }
            kind if kind.is_asgi() => self.asgi(&format!("{module}:{}", entry.name), &root, entry.factory),
            _ => self.wsgi(&target, &root, "--threads=4"),
        };
        Ok(Inferred {
            line,
            why: format!("`{}` in {} {what} {article} {} application", entry.name, entry.path, entry.kind.name()),
            template: entry.kind.template(),
            django: None,
            extra,
            module_file,
            notes,
        })
    }

    /// gunicorn takes names and calls, no attributes: a module of ours makes the attribute a name.
    fn attribute_of(&self, entry: &Entry, attribute: &str, root: &str, module: &str) -> Option<(String, Generated)> {
        if !module.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.') {
            return None;
        }
        let call = if entry.factory { "()" } else { "" };
        let contents = format!("from {module} import {} as made\n\napp = made{call}.{attribute}\n", entry.name);
        let line = self.wsgi(&format!("{SERVED}:app"), root, "--threads=4");
        Some((line, Generated { name: format!("{SERVED}.py"), contents }))
    }

    /// How many threads, or which worker: web sockets hold a thread each.
    fn flask_workers(&self, extra: &mut Vec<String>) -> String {
        if !self.declares("flask-socketio") {
            return "--threads=4".to_owned();
        }
        if self.declares("eventlet") {
            "--workers=1 --worker-class=eventlet".to_owned()
        } else if self.declares("gevent-websocket") {
            "--workers=1 --worker-class=geventwebsocket.gunicorn.workers.GeventWebSocketWorker".to_owned()
        } else if self.declares("gevent") {
            "--workers=1 --worker-class=gevent".to_owned()
        } else {
            if !self.declares("simple-websocket") {
                extra.push("simple-websocket".to_owned());
            }
            "--workers=1 --threads=100".to_owned()
        }
    }

    fn wsgi(&self, target: &str, root: &str, workers: &str) -> String {
        if self.declares("waitress") && !self.declares("gunicorn") && workers == "--threads=4" {
            let (call, target) = target.strip_suffix("()").map_or(("", target), |target| ("--call ", target));
            return self.in_dir(root, &format!("waitress-serve --host=0.0.0.0 --port=$PORT {call}{}", quote(target)));
        }
        let place = match root {
            "" => String::new(),
            // `src` is where packages are looked for, not where the app is run.
            root if root.ends_with("src") => format!(" --pythonpath={}", quote(root)),
            root => format!(" --chdir={}", quote(root)),
        };
        format!("gunicorn --bind=0.0.0.0:$PORT {workers}{place} {}", quote(target))
    }

    fn asgi(&self, target: &str, root: &str, factory: bool) -> String {
        let quoted = quote(target);
        let uvicorn = self.declares_uvicorn();
        if !uvicorn && self.declares("hypercorn") && !factory {
            return self.in_dir(root, &format!("hypercorn --bind=0.0.0.0:$PORT {quoted}"));
        }
        if !uvicorn && self.declares("daphne") && !factory {
            return self.in_dir(root, &format!("daphne -b 0.0.0.0 -p $PORT {quoted}"));
        }
        if !uvicorn && self.declares("granian") {
            let factory = if factory { " --factory" } else { "" };
            return self.in_dir(root, &format!("granian --interface=asgi --host=0.0.0.0 --port=$PORT{factory} {quoted}"));
        }
        let factory = if factory { " --factory" } else { "" };
        let place = if root.ends_with("src") { format!(" --app-dir={}", quote(root)) } else { String::new() };
        let line = format!("uvicorn --host=0.0.0.0 --port=$PORT{factory}{place} {quoted}");
        if place.is_empty() { self.in_dir(root, &line) } else { line }
    }

    fn in_dir(&self, root: &str, line: &str) -> String {
        if root.is_empty() { line.to_owned() } else { format!("cd {} && {line}", quote(root)) }
    }
}

/// Makes a command fit to run, or says which one is not.
pub(crate) fn prepared(line: String, what: &'static str, origin: Origin) -> Result<Command, PlanError> {
    match shell::prepare(&line) {
        Ok(args) => Ok(Command { line, args }),
        Err(source) => Err(PlanError::Command { what, origin, source }),
    }
}
