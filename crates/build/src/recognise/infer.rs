//! The start command that a source's syntax suggests.

use crate::error::PlanError;
use crate::plan::{Generated, Template};
use crate::python::requirements::child;
use crate::shell::quote;

use super::django;
use super::entry::{self, Entry};
use super::kinds::Kind;
use super::module::{Place, Value};
use super::scripts::{self, Script};
use super::start::Context;

/// The name of a module of ours that a start command may name.
const SERVED: &str = "adaptable_served";

/// A command that was inferred.
#[derive(Debug, Clone)]
pub(crate) struct Inferred {
    pub(crate) line: String,
    pub(crate) why: String,
    pub(crate) template: Template,
    pub(crate) django: Option<django::Project>,
    /// Requirements besides the server.
    pub(crate) extra: Vec<String>,
    /// A module of ours that the command names.
    pub(crate) module_file: Option<Generated>,
    pub(crate) notes: Vec<String>,
}

impl Context<'_> {
    /// Finds what starts the app.
    pub(crate) fn infer(&self) -> Result<Inferred, PlanError> {
        let wants_asgi = self.declares("channels") || self.declares("daphne");
        if let Some(project) = django::find(self.modules, wants_asgi)
            && (self.declares("django") || self.survey.packages.contains("django"))
        {
            return Ok(self.django(project));
        }
        let best =
            self.entries.iter().find(|entry| entry.kind.is_importable() && !(entry.is_async && entry.kind != Kind::AioHttp));
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
                return Ok(self.entry(entry));
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
            return self.calls_at_import(entry, &["serve", "serve_forever", "server"]);
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
                    || call.args.iter().any(|arg| match arg {
                        Value::Name(name) | Value::Call(name, _) => *name == entry.name,
                        _ => false,
                    })
                    || call.name == "run"
                    || call.name == "bottle.run")
        })
    }

    fn script(&self, script: &Script) -> Inferred {
        let prefix = format!("{}/", self.base);
        let below = !self.base.is_empty() && script.path.starts_with(&prefix);
        let line = if below {
            format!(
                "cd {} && {}",
                quote(self.base),
                script.line.replacen(&quote(&script.path), &quote(&script.path[prefix.len()..]), 1)
            )
        } else {
            script.line.clone()
        };
        Inferred {
            line,
            why: script.why.clone(),
            template: script.template,
            django: None,
            extra: Vec::new(),
            module_file: None,
            notes: Vec::new(),
        }
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
            why: format!(
                "`{}` serves the Django project in {}",
                project.target,
                if project.dir.is_empty() { "the root" } else { &project.dir }
            ),
            line,
            template: Template::Django,
            notes: project.notes.clone(),
            django: Some(project),
            extra: Vec::new(),
            module_file: None,
        }
    }

    fn entry(&self, entry: &Entry) -> Inferred {
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
        let mut extra = Vec::new();
        let mut module_file = None;
        let loaded;
        let (entry, module) = if self.is_importable(entry, &root, &module) {
            (entry, module)
        } else {
            module_file = Some(loader(entry));
            loaded = Entry { name: "app".to_owned(), factory: false, ..entry.clone() };
            (&loaded, SERVED.to_owned())
        };
        let call = if entry.factory { "()" } else { "" };
        let target = format!("{module}:{}{call}", entry.name);
        let line = match entry.kind {
            Kind::Dash | Kind::Connexion => {
                let attribute = if entry.kind == Kind::Dash { "server" } else { "app" };
                module_file = Some(attribute_of(entry, attribute, &module, module_file));
                self.wsgi(&format!("{SERVED}:app"), &root, "--threads=4")
            }
            Kind::Flask => self.wsgi(&target, &root, &self.flask_workers(&mut extra)),
            Kind::Sanic => {
                let factory = if entry.factory { " --factory" } else { "" };
                in_dir(
                    &root,
                    &format!("sanic --host=0.0.0.0 --port=$PORT{factory} {}", quote(&format!("{module}:{}", entry.name))),
                )
            }
            Kind::AioHttp => {
                let target = format!("{module}:{}", entry.name);
                self.wsgi(&target, &root, "--worker-class=aiohttp.GunicornWebWorker")
            }
            kind if kind.is_asgi() => self.asgi(&format!("{module}:{}", entry.name), &root, entry.factory),
            _ => self.wsgi(&target, &root, "--threads=4"),
        };
        Inferred {
            line,
            why: format!("`{}` in {} {what} {article} {} application", entry.name, entry.path, entry.kind.name()),
            template: entry.kind.template(),
            django: None,
            extra,
            module_file,
            notes,
        }
    }

    /// Whether a server can import an entry's file by a name: no package of the same name comes first, and the name is one.
    fn is_importable(&self, entry: &Entry, root: &str, module: &str) -> bool {
        let stem = child(root, &module.replace('.', "/"));
        let shadowed = !entry.path.ends_with("__init__.py") && self.modules.tree.has(&format!("{stem}/__init__.py"));
        let named = format!("{stem}.py") == entry.path || entry.path.ends_with("__init__.py");
        !shadowed && named && !module.contains([' ', ':', '(', '\''])
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
            return in_dir(root, &format!("waitress-serve --host=0.0.0.0 --port=$PORT {call}{}", quote(target)));
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
            return in_dir(root, &format!("hypercorn --bind=0.0.0.0:$PORT {quoted}"));
        }
        if !uvicorn && self.declares("daphne") && !factory {
            return in_dir(root, &format!("daphne -b 0.0.0.0 -p $PORT {quoted}"));
        }
        if !uvicorn && self.declares("granian") {
            let factory = if factory { " --factory" } else { "" };
            return in_dir(root, &format!("granian --interface=asgi --host=0.0.0.0 --port=$PORT{factory} {quoted}"));
        }
        let factory = if factory { " --factory" } else { "" };
        let place = if root.ends_with("src") { format!(" --app-dir={}", quote(root)) } else { String::new() };
        let line = format!("uvicorn --host=0.0.0.0 --port=$PORT{factory}{place} {quoted}");
        if place.is_empty() { in_dir(root, &line) } else { line }
    }
}

fn in_dir(root: &str, line: &str) -> String {
    if root.is_empty() { line.to_owned() } else { format!("cd {} && {line}", quote(root)) }
}

/// gunicorn takes names and calls, no attributes: a module of ours makes the attribute a name.
fn attribute_of(entry: &Entry, attribute: &str, module: &str, loader: Option<Generated>) -> Generated {
    if let Some(loader) = loader {
        return Generated { contents: format!("{}\napp = app.{attribute}\n", loader.contents), ..loader };
    }
    let call = if entry.factory { "()" } else { "" };
    let contents = format!("from {module} import {} as made\n\napp = made{call}.{attribute}\n", entry.name);
    Generated { name: format!("{SERVED}.py"), contents }
}

/// A module of ours that loads a file by its path.
fn loader(entry: &Entry) -> Generated {
    let call = if entry.factory { "()" } else { "" };
    let path = crate::python::requirements::in_app(&entry.path).replace('\\', "\\\\").replace('"', "\\\"");
    let contents = format!(
        "import importlib.util\nimport sys\n\nspec = importlib.util.spec_from_file_location(\"served_file\", \"{path}\")\n\
         served = importlib.util.module_from_spec(spec)\nsys.modules[\"served_file\"] = served\nspec.loader.exec_module(served)\n\
         app = served.{}{call}\n",
        entry.name
    );
    Generated { name: format!("{SERVED}.py"), contents }
}
