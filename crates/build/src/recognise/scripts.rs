//! Programs that serve by themselves: what their own command is, or that they are run as a script.

use crate::plan::Template;
use crate::shell::quote;

use super::entry::{Survey, is_aside};
use super::module::{Module, Place, Value};

/// A script and the command that runs it.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) path: String,
    pub(crate) line: String,
    pub(crate) why: String,
    pub(crate) template: Template,
    /// The more, the likelier it is meant.
    pub(crate) score: i32,
}

/// Likely names of main scripts.
const MAIN: [&str; 14] = [
    "main.py",
    "app.py",
    "server.py",
    "run.py",
    "start.py",
    "index.py",
    "web.py",
    "application.py",
    "__main__.py",
    "streamlit_app.py",
    "home.py",
    "Home.py",
    "bot.py",
    "hello.py",
];

/// All scripts that serve, the likeliest first.
pub(crate) fn scripts(survey: &Survey) -> Vec<Script> {
    let mut out: Vec<Script> = survey.modules.iter().filter_map(|module| script(module)).collect();
    out.sort_by(|a, b| b.score.cmp(&a.score).then_with(|| a.path.cmp(&b.path)));
    out
}

fn script(module: &Module) -> Option<Script> {
    let path = quote(&module.path);
    let named = MAIN.contains(&module.path.rsplit('/').next().unwrap_or(&module.path));
    let depth = i32::try_from(module.path.matches('/').count()).unwrap_or(9);
    let imports = |name: &str| module.packages.contains(name);
    let calls = |name: &str| module.calls.iter().any(|call| call.place != Place::Function && call.name == name);
    let ends = |name: &str| module.calls.iter().any(|call| call.name.rsplit('.').next() == Some(name));
    let local = |package: &str| {
        module.imports.iter().find(|(_, import)| import.module == package && import.name.is_none()).map(|(name, _)| name.as_str())
    };
    // Streamlit's pages are not the app: only what calls it at module level, nearest to the root.
    let (line, framework, score) = if imports("streamlit") && (local("streamlit").is_some() || ends("title") || ends("write")) {
        (
            format!(
                "streamlit run {path} --server.port=$PORT --server.address=0.0.0.0 --server.headless=true --browser.gatherUsageStats=false"
            ),
            "a Streamlit app",
            70,
        )
    } else if imports("chainlit") {
        (format!("chainlit run {path} --host 0.0.0.0 --port $PORT --headless"), "a Chainlit app", 75)
    } else if imports("shiny")
        && module.packages.contains("shiny")
        && module.imports.values().any(|import| import.module == "shiny.express")
    {
        (format!("shiny run --host 0.0.0.0 --port $PORT {path}"), "a Shiny Express app", 75)
    } else if imports("panel") && (ends("servable") || ends("show")) {
        (format!("panel serve {path} --address 0.0.0.0 --port $PORT --allow-websocket-origin='*'"), "a Panel app", 75)
    } else if imports("gradio") && ends("launch") {
        (format!("GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=$PORT python {path}"), "a Gradio app", 75)
    } else if imports("nicegui") && ends("run") {
        (format!("NICEGUI_PORT=$PORT python {path}"), "a NiceGUI app", 70)
    } else if imports("tornado") && ends("listen") {
        let port = module
            .calls
            .iter()
            .any(|call| call.name.ends_with("define") && matches!(call.args.first(), Some(Value::Text(name)) if name == "port"));
        (format!("python {path}{}", if port { " --port=$PORT" } else { "" }), "a Tornado program", 70)
    } else if imports("robyn") && ends("start") {
        (format!("python {path}"), "a Robyn program", 70)
    } else if imports("cherrypy") && (calls("cherrypy.quickstart") || ends("quickstart") || ends("start")) {
        (format!("python {path}"), "a CherryPy program", 65)
    } else if imports("aiohttp") && ends("run_app") {
        (format!("python {path}"), "an aiohttp program", 60)
    } else if imports("http") && (ends("HTTPServer") || ends("ThreadingHTTPServer"))
        || imports("socketserver") && ends("TCPServer")
    {
        (format!("python {path}"), "a program with its own HTTP server", 60)
    } else if imports("wsgiref") && ends("make_server") {
        (format!("python {path}"), "a program with its own WSGI server", 60)
    } else if imports("bottle") && ends("run") {
        (format!("python {path}"), "a Bottle program", 60)
    } else if imports("waitress") && ends("serve")
        || imports("uvicorn") && calls("uvicorn.run")
        || imports("hypercorn") && ends("serve")
    {
        (format!("python {path}"), "a program that starts its own server", 55)
    } else {
        return None;
    };
    let line = format!("{line}{}", arguments(module, &line));
    let score = score + if named { 10 } else { 0 } + if module.main_guard { 5 } else { 0 } - 8 * depth
        - if is_aside(&module.path) { 100 } else { 0 }
        // Streamlit's further pages.
        - if module.path.contains("pages/") { 30 } else { 0 };
    Some(Script {
        path: module.path.clone(),
        line,
        why: format!("{} is {framework}", module.path),
        template: Template::Python,
        score,
    })
}

/// `--host` and `--port`, where the script itself says that it takes them (`parser.add_argument("--port")`).
fn arguments(module: &Module, line: &str) -> String {
    let takes = |option: &str| {
        let names = |value: &Value| matches!(value, Value::Text(text) if text == option);
        module.calls.iter().any(|call| call.name.ends_with(".add_argument") && call.args.iter().any(names))
    };
    [("--host", "0.0.0.0"), ("--port", "$PORT")]
        .into_iter()
        .filter(|(option, _)| takes(option) && !line.contains(option))
        .fold(String::new(), |line, (option, value)| line + " " + option + "=" + value)
}

/// The plain script to run when nothing is known to serve: by name, or the only one at the root.
pub(crate) fn plain(survey: &Survey, base: &str) -> Option<Script> {
    let prefix = if base.is_empty() { String::new() } else { format!("{base}/") };
    let here: Vec<&Module> = survey
        .modules
        .iter()
        .map(AsRef::as_ref)
        .filter(|module| module.path.strip_prefix(&prefix).is_some_and(|rest| !rest.contains('/')) && !is_aside(&module.path))
        .collect();
    let by_name = MAIN.iter().find_map(|name| here.iter().copied().find(|module| module.path == format!("{prefix}{name}")));
    let guarded: Vec<&Module> = here.iter().copied().filter(|module| module.main_guard).collect();
    let only = [&here, &guarded].into_iter().find(|modules| modules.len() == 1).map(|modules| modules[0]);
    let module = by_name.or(only)?;
    Some(Script {
        path: module.path.clone(),
        line: format!("python {}{}", quote(&module.path), arguments(module, "")),
        why: format!("no application object was found, so {} is run as it is; it must listen on $PORT", module.path),
        template: Template::Python,
        score: 0,
    })
}
