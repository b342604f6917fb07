//! The frameworks: what makes an application object, and what serves it.

use crate::plan::Template;

/// What an object or a script is, as far as serving it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Flask,
    /// A `Dash` object, whose attribute `server` is the Flask app.
    Dash,
    /// Connexion's older application, whose attribute `app` is the Flask app.
    Connexion,
    DjangoWsgi,
    DjangoAsgi,
    /// Any other WSGI callable.
    Wsgi,
    FastApi,
    /// Any other ASGI callable.
    Asgi,
    Sanic,
    AioHttp,
    /// Served by its own script only.
    Tornado,
    Robyn,
}

impl Kind {
    /// The framework's name for people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Flask => "Flask",
            Self::Dash => "Dash",
            Self::Connexion => "Connexion",
            Self::DjangoWsgi | Self::DjangoAsgi => "Django",
            Self::Wsgi => "WSGI",
            Self::FastApi => "FastAPI",
            Self::Asgi => "ASGI",
            Self::Sanic => "Sanic",
            Self::AioHttp => "aiohttp",
            Self::Tornado => "Tornado",
            Self::Robyn => "Robyn",
        }
    }

    pub(crate) const fn template(self) -> Template {
        match self {
            Self::Flask | Self::Dash | Self::Connexion => Template::Flask,
            Self::DjangoWsgi | Self::DjangoAsgi => Template::Django,
            Self::FastApi => Template::FastApi,
            _ => Template::Python,
        }
    }

    /// Whether a server can import and run it.
    pub(crate) const fn is_importable(self) -> bool {
        !matches!(self, Self::Tornado | Self::Robyn)
    }

    pub(crate) const fn is_asgi(self) -> bool {
        matches!(self, Self::FastApi | Self::Asgi | Self::DjangoAsgi)
    }
}

/// Constructors and functions whose result is an application: first part of the module, name, kind.
const MAKERS: &[(&str, &str, Kind)] = &[
    ("flask", "Flask", Kind::Flask),
    ("flask_openapi3", "OpenAPI", Kind::Flask),
    ("flask_api", "FlaskAPI", Kind::Flask),
    ("apiflask", "APIFlask", Kind::Flask),
    ("eve", "Eve", Kind::Flask),
    ("flask_unchained", "AppFactory", Kind::Flask),
    ("dash", "Dash", Kind::Dash),
    ("jupyter_dash", "JupyterDash", Kind::Dash),
    ("dash_extensions", "DashProxy", Kind::Dash),
    ("dash_extensions", "Dash", Kind::Dash),
    ("connexion", "FlaskApp", Kind::Connexion),
    ("connexion", "App", Kind::Connexion),
    ("connexion", "AsyncApp", Kind::Asgi),
    ("django", "get_wsgi_application", Kind::DjangoWsgi),
    ("django", "WSGIHandler", Kind::DjangoWsgi),
    ("django", "get_asgi_application", Kind::DjangoAsgi),
    ("channels", "ProtocolTypeRouter", Kind::DjangoAsgi),
    ("channels", "get_default_application", Kind::DjangoAsgi),
    ("dj_static", "Cling", Kind::DjangoWsgi),
    ("whitenoise", "DjangoWhiteNoise", Kind::DjangoWsgi),
    ("fastapi", "FastAPI", Kind::FastApi),
    ("fastapi_offline", "FastAPIOffline", Kind::FastApi),
    ("gradio", "mount_gradio_app", Kind::FastApi),
    ("starlette", "Starlette", Kind::Asgi),
    ("quart", "Quart", Kind::Asgi),
    ("quart_trio", "QuartTrio", Kind::Asgi),
    ("litestar", "Litestar", Kind::Asgi),
    ("starlite", "Starlite", Kind::Asgi),
    ("blacksheep", "Application", Kind::Asgi),
    ("fasthtml", "FastHTML", Kind::Asgi),
    ("fasthtml", "fast_app", Kind::Asgi),
    ("emmett", "App", Kind::Asgi),
    ("shiny", "App", Kind::Asgi),
    ("responder", "API", Kind::Asgi),
    ("esmerald", "Esmerald", Kind::Asgi),
    ("socketio", "ASGIApp", Kind::Asgi),
    ("socketio", "WSGIApp", Kind::Wsgi),
    ("socketio", "Middleware", Kind::Wsgi),
    ("asgiref", "WsgiToAsgi", Kind::Asgi),
    ("a2wsgi", "WSGIMiddleware", Kind::Asgi),
    ("a2wsgi", "ASGIMiddleware", Kind::Wsgi),
    ("bottle", "Bottle", Kind::Wsgi),
    ("bottle", "default_app", Kind::Wsgi),
    ("bottle", "app", Kind::Wsgi),
    ("falcon", "App", Kind::Wsgi),
    ("falcon", "API", Kind::Wsgi),
    ("webapp2", "WSGIApplication", Kind::Wsgi),
    ("hug", "API", Kind::Wsgi),
    ("cherrypy", "Application", Kind::Wsgi),
    ("cherrypy", "mount", Kind::Wsgi),
    ("molten", "App", Kind::Wsgi),
    ("sanic", "Sanic", Kind::Sanic),
    ("aiohttp", "Application", Kind::AioHttp),
    ("aiohttp_apispec", "Application", Kind::AioHttp),
    ("tornado", "Application", Kind::Tornado),
    ("robyn", "Robyn", Kind::Robyn),
];

/// Methods whose result is a WSGI application, whatever they hang on.
const WSGI_METHODS: [&str; 2] = ["make_wsgi_app", "wsgifunc"];

/// The kind of what a fully qualified name makes: `flask.Flask`, `starlette.applications.Starlette`.
pub(crate) fn maker(qualified: &str) -> Option<Kind> {
    let first = qualified.split('.').next().unwrap_or_default();
    let last = qualified.rsplit('.').next().unwrap_or_default();
    if WSGI_METHODS.contains(&last) {
        return Some(Kind::Wsgi);
    }
    if first == "falcon" && last == "App" && qualified.contains("asgi") {
        return Some(Kind::Asgi);
    }
    if first == "tornado" && qualified.ends_with("wsgi.WSGIApplication") {
        return Some(Kind::Wsgi);
    }
    MAKERS.iter().find(|(module, name, _)| *module == first && *name == last).map(|(_, _, kind)| *kind)
}

/// Whether a method by itself tells that a WSGI application is made.
pub(crate) fn is_wsgi_method(name: &str) -> bool {
    WSGI_METHODS.contains(&name)
}

/// Wrappers whose result serves as what they wrap does.
pub(crate) fn is_wrapper(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    [
        "Middleware",
        "ProxyFix",
        "WhiteNoise",
        "Cling",
        "SharedDataMiddleware",
        "Sentry",
        "OpenTelemetryMiddleware",
        "ReverseProxied",
    ]
    .iter()
    .any(|known| last.contains(known))
}

/// First parts of modules whose presence in a file makes it worth parsing.
pub(crate) const TOKENS: [&str; 36] = [
    "flask",
    "Flask",
    "dash",
    "connexion",
    "django",
    "fastapi",
    "starlette",
    "quart",
    "litestar",
    "starlite",
    "blacksheep",
    "fasthtml",
    "emmett",
    "shiny",
    "socketio",
    "asgi",
    "wsgi",
    "bottle",
    "falcon",
    "webapp2",
    "hug",
    "cherrypy",
    "sanic",
    "aiohttp",
    "tornado",
    "robyn",
    "streamlit",
    "gradio",
    "nicegui",
    "chainlit",
    "panel",
    "http.server",
    "create_app",
    "make_app",
    "eve",
    "pyramid",
];
