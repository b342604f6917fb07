//! Dependencies of an app that lists none: what its imports are called on the package index, for packages everybody knows.
//!
//! Only names of this table are installed. An import's own name is not tried: whoever registers a misleading name must not
//! get into an app that way.

use std::collections::BTreeSet;

/// Import and distribution, where they are well known.
const KNOWN: [(&str, &str); 79] = [
    ("PIL", "pillow"),
    ("aiofiles", "aiofiles"),
    ("aiohttp", "aiohttp"),
    ("anthropic", "anthropic"),
    ("asyncpg", "asyncpg"),
    ("bcrypt", "bcrypt"),
    ("bokeh", "bokeh"),
    ("boto3", "boto3"),
    ("bottle", "bottle"),
    ("bs4", "beautifulsoup4"),
    ("celery", "celery"),
    ("chainlit", "chainlit"),
    ("cherrypy", "cherrypy"),
    ("click", "click"),
    ("connexion", "connexion"),
    ("cryptography", "cryptography"),
    ("cv2", "opencv-python-headless"),
    ("dash", "dash"),
    ("dateutil", "python-dateutil"),
    ("django", "django"),
    ("docx", "python-docx"),
    ("dotenv", "python-dotenv"),
    ("falcon", "falcon"),
    ("fastapi", "fastapi"),
    ("fasthtml", "python-fasthtml"),
    ("feedparser", "feedparser"),
    ("flask", "flask"),
    ("flask_appbuilder", "flask-appbuilder"),
    ("flask_bcrypt", "flask-bcrypt"),
    ("flask_bootstrap", "flask-bootstrap"),
    ("flask_caching", "flask-caching"),
    ("flask_cors", "flask-cors"),
    ("flask_jwt_extended", "flask-jwt-extended"),
    ("flask_limiter", "flask-limiter"),
    ("flask_login", "flask-login"),
    ("flask_mail", "flask-mail"),
    ("flask_marshmallow", "flask-marshmallow"),
    ("flask_migrate", "flask-migrate"),
    ("flask_restful", "flask-restful"),
    ("flask_restx", "flask-restx"),
    ("flask_session", "flask-session"),
    ("flask_socketio", "flask-socketio"),
    ("flask_sqlalchemy", "flask-sqlalchemy"),
    ("flask_wtf", "flask-wtf"),
    ("gradio", "gradio"),
    ("httpx", "httpx"),
    ("jinja2", "jinja2"),
    ("jwt", "pyjwt"),
    ("litestar", "litestar"),
    ("lxml", "lxml"),
    ("markdown", "markdown"),
    ("matplotlib", "matplotlib"),
    ("mysql", "mysql-connector-python"),
    ("nicegui", "nicegui"),
    ("numpy", "numpy"),
    ("openai", "openai"),
    ("openpyxl", "openpyxl"),
    ("pandas", "pandas"),
    ("passlib", "passlib"),
    ("plotly", "plotly"),
    ("psycopg2", "psycopg2-binary"),
    ("pydantic", "pydantic"),
    ("pymongo", "pymongo"),
    ("pymysql", "pymysql"),
    ("pytz", "pytz"),
    ("quart", "quart"),
    ("redis", "redis"),
    ("requests", "requests"),
    ("sanic", "sanic"),
    ("scipy", "scipy"),
    ("sklearn", "scikit-learn"),
    ("sqlalchemy", "sqlalchemy"),
    ("sqlmodel", "sqlmodel"),
    ("starlette", "starlette"),
    ("streamlit", "streamlit"),
    ("tornado", "tornado"),
    ("uvicorn", "uvicorn"),
    ("wtforms", "wtforms"),
    ("yaml", "pyyaml"),
];

/// The distributions that imports stand for, and the imports that nothing is known of.
pub(crate) fn distributions(packages: &BTreeSet<String>, is_own: impl Fn(&str) -> bool) -> (Vec<&'static str>, Vec<&str>) {
    let mut known = Vec::new();
    let mut unknown = Vec::new();
    for package in packages {
        if super::standard::is_standard(package) || is_own(package) {
            continue;
        }
        match KNOWN.iter().find(|(import, _)| import == package) {
            Some((_, distribution)) => known.push(*distribution),
            None => unknown.push(package.as_str()),
        }
    }
    (known, unknown)
}
