//! Django projects: from `manage.py` to the settings, the server's entry and the static files.

use crate::python::requirements::{child, parent};

use super::entry::is_aside;
use super::kinds::Kind;
use super::modules::Modules;

/// A Django project.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    /// Where `manage.py` lies; `""` is the root.
    pub(crate) dir: String,
    /// The module a server imports, with the object's name: `mysite.wsgi:application`.
    pub(crate) target: String,
    pub(crate) asgi: bool,
    /// The settings module the server uses.
    pub(crate) settings: String,
    /// Set when no wsgi.py tells the settings.
    pub(crate) needs_settings: bool,
    /// Whether `collectstatic` has somewhere to put files.
    pub(crate) collects_static: bool,
    /// Remarks for the log.
    pub(crate) notes: Vec<String>,
}

/// Finds the project nearest to the root.
pub(crate) fn find(modules: &Modules<'_>, wants_asgi: bool) -> Option<Project> {
    let mut managers: Vec<&str> = modules
        .tree
        .entries()
        .iter()
        .map(|entry| entry.path.as_str())
        .filter(|path| path.rsplit('/').next() == Some("manage.py"))
        .collect();
    managers.sort_by_key(|path| (is_aside(path), path.matches('/').count()));
    managers.into_iter().find_map(|path| project(modules, path, wants_asgi))
}

fn project(modules: &Modules<'_>, manage: &str, wants_asgi: bool) -> Option<Project> {
    let module = modules.get(manage)?;
    let dir = parent(manage).to_owned();
    let mut settings = module.environment_default("DJANGO_SETTINGS_MODULE").map(ToOwned::to_owned);
    let uses_django = module.packages.contains("django") || settings.is_some();
    if !uses_django {
        return None;
    }
    let wsgi = server_module(modules, &dir, settings.as_deref(), "wsgi.py", Kind::DjangoWsgi);
    let asgi = server_module(modules, &dir, settings.as_deref(), "asgi.py", Kind::DjangoAsgi);
    let asgi_first = wants_asgi && asgi.is_some() || wsgi.is_none();
    let chosen = if asgi_first { asgi.or(wsgi) } else { wsgi };
    let (target, is_asgi, needs_settings) = match &chosen {
        Some((path, name)) => {
            let server = modules.get(path);
            // What is served may use other settings than what is developed.
            if let Some(served) = server.as_ref().and_then(|module| module.environment_default("DJANGO_SETTINGS_MODULE")) {
                settings = Some(served.to_owned());
            }
            let kind = server.as_ref().and_then(|module| modules.kind_of_name(module, name, 0));
            (format!("{}:{name}", dotted_below(path, &dir)), kind == Some(Kind::DjangoAsgi), false)
        }
        None => ("django.core.wsgi:get_wsgi_application()".to_owned(), false, true),
    };
    let settings = settings.or_else(|| guess_settings(modules, &dir))?;
    let text = settings_text(modules, &dir, &settings);
    let collects_static = text.contains("STATIC_ROOT") && text.contains("django.contrib.staticfiles");
    let mut notes = Vec::new();
    if !text.contains("whitenoise") && text.contains("django.contrib.staticfiles") && !text.contains("storages") {
        notes.push(
            "Django serves no static files under a production server: add WhiteNoise to MIDDLEWARE if pages miss their styles"
                .to_owned(),
        );
    }
    if refuses_other_hosts(&text) {
        notes.push(
            "ALLOWED_HOSTS lists hosts by name: add the name in this app's address, or Django answers 400 to every visitor"
                .to_owned(),
        );
    }
    Some(Project { dir, target, asgi: is_asgi, settings, needs_settings, collects_static, notes })
}

/// Whether the settings, as they are written, let in none but some hosts that can't include this app's.
fn refuses_other_hosts(settings: &str) -> bool {
    let value = settings.lines().rev().find_map(|line| {
        let value = line.strip_prefix("ALLOWED_HOSTS")?.trim_start().strip_prefix('=')?;
        Some(value.split('#').next().unwrap_or_default().trim())
    });
    let Some(list) = value.and_then(|value| value.strip_prefix('[')?.strip_suffix(']')) else { return false };
    let debugs = settings.lines().any(|line| line.starts_with("DEBUG") && !line.contains("False"));
    let open = list.contains('*') || list.contains("localhost'") || list.contains("localhost\"") || list.contains('(');
    let changed = ["ALLOWED_HOSTS +=", "ALLOWED_HOSTS.", "django_heroku", "import *"].iter().any(|sign| settings.contains(sign));
    // While it debugs, an empty list lets in this machine's own names.
    let harmless = list.trim().is_empty() && debugs;
    !(open || changed || harmless)
}

/// The `wsgi.py` or `asgi.py` of a project, and the application's name in it.
fn server_module(modules: &Modules<'_>, dir: &str, settings: Option<&str>, file: &str, kind: Kind) -> Option<(String, String)> {
    let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
    let package = settings.and_then(|settings| settings.split('.').next()).map(|first| format!("{prefix}{first}/"));
    let mut files: Vec<&str> = modules
        .tree
        .entries()
        .iter()
        .map(|entry| entry.path.as_str())
        .filter(|path| path.starts_with(&prefix) && path.rsplit('/').next() == Some(file) && !is_aside(path))
        .collect();
    // The one beside the settings comes first.
    files.sort_by_key(|path| (package.as_ref().is_none_or(|package| !path.starts_with(package)), path.matches('/').count()));
    files.into_iter().find_map(|path| {
        let module = modules.get(path)?;
        let names = ["application", "app"];
        let name = names.into_iter().find(|name| {
            let found = modules.kind_of_name(&module, name, 0);
            let bound = module.binds.iter().any(|bind| bind.name == *name);
            // ASGI applications are wrapped in ways that need not be known here.
            found == Some(kind) || (bound && (module.packages.contains("django") || module.packages.contains("channels")))
        })?;
        Some((path.to_owned(), name.to_owned()))
    })
}

fn dotted_below(path: &str, dir: &str) -> String {
    let inner = if dir.is_empty() { path } else { path.strip_prefix(&format!("{dir}/")).unwrap_or(path) };
    super::entry::dotted(inner)
}

fn guess_settings(modules: &Modules<'_>, dir: &str) -> Option<String> {
    let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
    let found = modules.tree.entries().iter().map(|entry| entry.path.as_str()).find(|path| {
        path.strip_prefix(&prefix)
            .is_some_and(|rest| rest.matches('/').count() <= 1 && rest.rsplit('/').next() == Some("settings.py"))
    })?;
    Some(dotted_below(found, dir))
}

/// The text of a settings module and of those beside it, which it may import.
fn settings_text(modules: &Modules<'_>, dir: &str, settings: &str) -> String {
    let stem = child(dir, &settings.replace('.', "/"));
    let mut text = modules.text(&format!("{stem}.py")).unwrap_or_default();
    let package = if modules.tree.has(&format!("{stem}/__init__.py")) { stem.clone() } else { parent(&stem).to_owned() };
    let beside = package.rsplit('/').next().is_some_and(|name| name.contains("settings") || name.contains("config"));
    if beside {
        let prefix = format!("{package}/");
        for entry in modules.tree.entries().iter().filter(|entry| entry.path.starts_with(&prefix)) {
            let inner = &entry.path[prefix.len()..];
            if crate::text::has_extension(inner, "py") && inner.matches('/').count() <= 1 {
                text.push_str(&modules.text(&entry.path).unwrap_or_default());
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_shut_out_visitors_are_seen() {
        for shut in [
            "ALLOWED_HOSTS = ['blog.example.com', '127.0.0.1']\nDEBUG = True\n",
            "DEBUG = False\nALLOWED_HOSTS = []  # later\n",
            "ALLOWED_HOSTS=[\"a.example\"]\n",
        ] {
            assert!(refuses_other_hosts(shut), "{shut}");
        }
        for open in [
            "DEBUG = True\nALLOWED_HOSTS = []\n",
            "ALLOWED_HOSTS = ['*']\n",
            "ALLOWED_HOSTS = ['.localhost']\n",
            "ALLOWED_HOSTS = os.environ['HOSTS'].split(',')\n",
            "ALLOWED_HOSTS = [os.getenv('HOST')]\n",
            "ALLOWED_HOSTS = ['a.example']\nimport django_heroku\ndjango_heroku.settings(locals())\n",
            "SECRET_KEY = 'x'\n",
        ] {
            assert!(!refuses_other_hosts(open), "{open}");
        }
    }
}
