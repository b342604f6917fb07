//! Where the application is, whatever people call it.

use super::*;

/// Files besides `requirements.txt`, what that holds, and the start command's line.
fn check(requirements: &str, files: &[(&str, &str)], want: &str) {
    let mut all = files.to_vec();
    all.push(("requirements.txt", requirements));
    assert_eq!(line(&all), want, "{:?}", files.iter().map(|(path, _)| path).collect::<Vec<_>>());
}

fn gunicorn(target: &str) -> String {
    format!("{GUNICORN} {target}")
}

#[test]
fn flask_objects() {
    for (file, source, target) in [
        ("app.py", FLASK, "app:app"),
        ("main.py", FLASK, "main:app"),
        ("wsgi.py", "from flask import Flask\napplication = Flask(__name__)", "wsgi:application"),
        ("hello.py", "import flask\nserver: flask.Flask = flask.Flask('x')", "hello:server"),
        ("hello.py", "import flask as f\nmy_site = f.Flask('x')", "hello:my_site"),
        ("app.py", "from flask import *\napp = Flask(__name__)", "app:app"),
        (
            "app.py",
            "try:\n    from flask import Flask\nexcept ImportError:\n    Flask = None\nif True:\n    app = Flask(__name__)\n",
            "app:app",
        ),
        ("app.py", "from flask import Flask\nclass Mine(Flask):\n    pass\napp = Mine(__name__)", "app:app"),
        ("app.py", "from flask import Flask\na = b = Flask(__name__)", "app:a"),
        (
            "app.py",
            "from flask import Flask, Blueprint\nbp = Blueprint('x', __name__)\nflask_app = Flask(__name__)\nprint 'python 2'\n",
            "app:flask_app",
        ),
        ("app.py", "from apiflask import APIFlask\napp = APIFlask(__name__)", "app:app"),
        ("my-app.py", FLASK, "my-app:app"),
        (
            "app.py",
            "# -*- coding: utf-8 -*-\n\u{feff}from flask import Flask\napp = Flask(__name__)\nif __name__ == '__main__':\n    app.run(debug=True)\n",
            "app:app",
        ),
    ] {
        check("flask", &[(file, source)], &gunicorn(target));
    }
}

#[test]
fn flask_factories() {
    check("flask", &[("app.py", FACTORY)], &gunicorn("'app:create_app()'"));
    check("flask", &[("flaskr/__init__.py", FACTORY), ("flaskr/db.py", "import flask")], &gunicorn("'flaskr:create_app()'"));
    check("flask", &[("x.py", "from flask import Flask\ndef make() -> Flask:\n    return build(1)\n")], &gunicorn("'x:make()'"));
    check("flask", &[("x.py", "from flask import Flask\ndef make():\n    return Flask(__name__)\n")], &gunicorn("'x:make()'"));
    // Made by a factory of another file.
    check(
        "flask",
        &[("pkg/__init__.py", FACTORY), ("wsgi.py", "from pkg import create_app\napp = create_app('prod')\n")],
        &gunicorn("wsgi:app"),
    );
    check(
        "flask",
        &[
            ("pkg/__init__.py", FACTORY),
            ("run.py", "import pkg\nif __name__ == '__main__':\n    app = pkg.create_app()\n    app.run()\n"),
        ],
        &gunicorn("'pkg:create_app()'"),
    );
    check(
        "flask",
        &[
            ("pkg/factory.py", FACTORY),
            ("pkg/__init__.py", "from .factory import create_app\n"),
            ("manage.py", "from pkg import create_app\napp = create_app()\n"),
        ],
        &gunicorn("manage:app"),
    );
    // A factory that needs an argument is called where one is given.
    let needy = "from flask import Flask\ndef create_app(config_name):\n    app = Flask(__name__)\n    return app\n";
    check(
        "flask",
        &[
            ("app/__init__.py", needy),
            ("flasky.py", "import os\nfrom app import create_app\napp = create_app(os.getenv('X') or 'default')\n"),
        ],
        &gunicorn("flasky:app"),
    );
    // An inner import, a wrapped result.
    check(
        "flask",
        &[(
            "a.py",
            "def create_app():\n    from flask import Flask\n    from werkzeug.middleware.proxy_fix import ProxyFix\n    app = Flask('a')\n    app.wsgi_app = ProxyFix(app.wsgi_app)\n    return app\n",
        )],
        &gunicorn("'a:create_app()'"),
    );
}

#[test]
fn packages_and_layouts() {
    // The application lives in a package; a file beside it imports it.
    check(
        "flask",
        &[
            ("microblog.py", "from app import app\n"),
            ("app/__init__.py", "from flask import Flask\napp = Flask(__name__)\nfrom app import routes\n"),
            ("app/routes.py", "from app import app\n"),
        ],
        &gunicorn("app:app"),
    );
    check(
        "flask",
        &[("run.py", "from site1 import app\nif __name__ == '__main__':\n    app.run()\n"), ("site1/__init__.py", FLASK)],
        &gunicorn("run:app"),
    );
    // `src` is no package: its packages are found from it.
    check(
        "flask",
        &[("src/shop/__init__.py", FACTORY), ("src/shop/db.py", "")],
        "gunicorn --bind=0.0.0.0:$PORT --threads=4 --pythonpath=src 'shop:create_app()'",
    );
    check(
        "flask",
        &[("src/app.py", "from config import X\nfrom flask import Flask\napp = Flask(__name__)"), ("src/config.py", "X = 1")],
        "gunicorn --bind=0.0.0.0:$PORT --threads=4 --pythonpath=src app:app",
    );
    check(
        "flask",
        &[
            ("src/__init__.py", ""),
            ("src/app.py", "from src.config import X\nfrom flask import Flask\napp = Flask(__name__)"),
            ("src/config.py", "X = 1"),
        ],
        &gunicorn("src.app:app"),
    );
    // A directory that is no package, whose files import each other plainly.
    check(
        "flask",
        &[("web/app.py", "from config import X\nfrom flask import Flask\napp = Flask(__name__)"), ("web/config.py", "X = 1")],
        "gunicorn --bind=0.0.0.0:$PORT --threads=4 --chdir=web app:app",
    );
    check(
        "fastapi\nuvicorn",
        &[("app/main.py", "from app.api import r\nfrom fastapi import FastAPI\napp = FastAPI()"), ("app/api.py", "")],
        &format!("{UVICORN} app.main:app"),
    );
    check(
        "fastapi\nuvicorn",
        &[
            ("app/__init__.py", ""),
            ("app/main.py", "from .api import r\nfrom fastapi import FastAPI\napp = FastAPI()"),
            ("app/api.py", ""),
        ],
        &format!("{UVICORN} app.main:app"),
    );
    // The whole project lies in a directory.
    let below = [
        ("backend/requirements.txt", "fastapi"),
        ("backend/main.py", FASTAPI),
        ("frontend/package.json", "{}"),
        ("README.md", ""),
    ];
    assert_eq!(line(&below), format!("cd backend && {UVICORN} main:app"));
    let flask = [("server/requirements.txt", "flask"), ("server/app.py", FLASK), ("README.md", "")];
    assert_eq!(line(&flask), "gunicorn --bind=0.0.0.0:$PORT --threads=4 --chdir=server app:app");
}

#[test]
fn the_one_that_is_meant() {
    // Tests, examples and documentation are not it.
    check("flask", &[("tests/app.py", FLASK), ("examples/wsgi.py", FLASK), ("zebra.py", FLASK)], &gunicorn("zebra:app"));
    check("flask", &[("conftest.py", FACTORY), ("zebra.py", FLASK)], &gunicorn("zebra:app"));
    // Nearest to the root, conventional names first.
    check("flask", &[("a.py", FLASK), ("app.py", FLASK), ("lib/wsgi.py", "x = 1")], &gunicorn("app:app"));
    check("flask", &[("app.py", FACTORY), ("wsgi.py", "from app import create_app\napp = create_app()")], &gunicorn("wsgi:app"));
    // What the source itself says elsewhere.
    check("flask", &[("one.py", FLASK), ("two.py", FLASK), (".flaskenv", "FLASK_APP=two.py\n")], &gunicorn("two:app"));
    check(
        "flask",
        &[("one.py", FLASK), ("two.py", FLASK), ("Dockerfile", "CMD [\"gunicorn\", \"two:app\"]")],
        &gunicorn("two:app"),
    );
    let request = PlanRequest { template: Some(Template::FastApi), ..PlanRequest::default() };
    let files = [("a.py", FLASK), ("b.py", FASTAPI), ("requirements.txt", "flask\nfastapi\nuvicorn")];
    assert_eq!(plan_with(&files, &request).start.command.line, format!("{UVICORN} b:app"));
}

#[test]
fn files_that_no_name_imports() {
    // The package of the same name comes first in Python.
    let shadowed = plan_of(&[
        ("app.py", "from app import create_app\napp = create_app()\n"),
        ("app/__init__.py", "from flask import Flask\ndef create_app(x=1, *, y):\n    return Flask('x')\n"),
        ("requirements.txt", "flask"),
    ]);
    assert_eq!(shadowed.start.command.line, gunicorn("adaptable_served:app"));
    assert!(
        generated(&shadowed, "adaptable_served.py").contains("\"/app/app.py\"")
            && generated(&shadowed, "adaptable_served.py").ends_with("app = served.app\n")
    );
    let dotted = plan_of(&[("my.app.py", FACTORY), ("requirements.txt", "flask")]);
    assert!(generated(&dotted, "adaptable_served.py").ends_with("app = served.create_app()\n"));
    // Results that are unpacked.
    check(
        "flask\nflask-socketio",
        &[
            ("pkg/__init__.py", "from flask import Flask\ndef make():\n    app = Flask('x')\n    return 1, app\n"),
            ("wsgi.py", "from pkg import make\nx, app = make()\n"),
        ],
        "gunicorn --bind=0.0.0.0:$PORT --workers=1 --threads=100 wsgi:app",
    );
    // Made in a way that is not understood, but where servers look for it.
    check("gunicorn", &[("wsgi.py", "from thing import load\napplication = load('x')\n")], &gunicorn("wsgi:application"));
}

#[test]
fn asgi_frameworks() {
    check("fastapi\nuvicorn", &[("main.py", FASTAPI)], &format!("{UVICORN} main:app"));
    check(
        "fastapi\nuvicorn",
        &[("main.py", "import fastapi\ndef create_app():\n    a = fastapi.FastAPI()\n    return a\n")],
        &format!("{UVICORN} --factory main:create_app"),
    );
    check(
        "starlette\nuvicorn",
        &[("m.py", "from starlette.applications import Starlette\napp = Starlette()")],
        &format!("{UVICORN} m:app"),
    );
    check(
        "quart\nhypercorn",
        &[("m.py", "from quart import Quart\napp = Quart(__name__)")],
        "hypercorn --bind=0.0.0.0:$PORT m:app",
    );
    check(
        "litestar[standard]\nuvicorn",
        &[("m.py", "from litestar import Litestar\napp = Litestar([])")],
        &format!("{UVICORN} m:app"),
    );
    check(
        "python-fasthtml",
        &[("main.py", "from fasthtml.common import *\napp, rt = fast_app()\nserve()")],
        &format!("{UVICORN} main:app"),
    );
    check(
        "fastapi\nuvicorn",
        &[("src/main.py", "from fastapi import FastAPI\nfrom util import x\napp = FastAPI()"), ("src/util.py", "")],
        &format!("{UVICORN} --app-dir=src main:app"),
    );
    check("uvicorn", &[("m.py", "async def app(scope, receive, send):\n    pass\n")], &format!("{UVICORN} m:app"));
    check(
        "python-socketio\nfastapi\nuvicorn",
        &[(
            "m.py",
            "import socketio\nfrom fastapi import FastAPI\napi = FastAPI()\nsio = socketio.AsyncServer()\napp = socketio.ASGIApp(sio, api)",
        )],
        &format!("{UVICORN} m:app"),
    );
    check("sanic", &[("m.py", "from sanic import Sanic\napp = Sanic('x')")], "sanic --host=0.0.0.0 --port=$PORT m:app");
    let added = plan_of(&[("main.py", FASTAPI), ("requirements.txt", "fastapi==0.100.0")]);
    assert_eq!(added.start.added_server, Some(Server::Uvicorn));
    assert_eq!(added.template, Template::FastApi);
    assert!(requirements(&added).contains(&"uvicorn"));
    let standard = plan_of(&[("main.py", FASTAPI), ("requirements.txt", "fastapi[standard]")]);
    assert_eq!(standard.start.added_server, None);
    let sockets =
        plan_of(&[("main.py", "from fastapi import FastAPI, WebSocket\napp = FastAPI()"), ("requirements.txt", "fastapi")]);
    assert!(requirements(&sockets).contains(&"uvicorn[standard]"));
}

#[test]
fn other_wsgi_frameworks() {
    check(
        "bottle\ngunicorn",
        &[("m.py", "import bottle\napp = application = bottle.default_app()\n")],
        &gunicorn("m:application"),
    );
    check(
        "bottle",
        &[("m.py", "from bottle import Bottle, run\napp = Bottle()\nrun(app, host='0.0.0.0', port=8080)\n")],
        "python m.py",
    );
    check("falcon", &[("m.py", "import falcon\napi = falcon.API()")], &gunicorn("m:api"));
    check("falcon", &[("m.py", "import falcon.asgi\napp = falcon.asgi.App()")], &format!("{UVICORN} m:app"));
    check(
        "pyramid",
        &[(
            "m.py",
            "from pyramid.config import Configurator\nwith Configurator() as config:\n    app = config.make_wsgi_app()\n",
        )],
        &gunicorn("m:app"),
    );
    check("gunicorn", &[("m.py", "def application(environ, start_response):\n    return []\n")], &gunicorn("m:application"));
    check("flask\nwaitress", &[("m.py", FLASK)], "waitress-serve --host=0.0.0.0 --port=$PORT m:app");
    check("flask\nwaitress", &[("m.py", FACTORY)], "waitress-serve --host=0.0.0.0 --port=$PORT --call m:create_app");
    check("dash", &[("app.py", "import dash\napp = dash.Dash(__name__)\nserver = app.server\n")], &gunicorn("app:server"));
    let dash = plan_of(&[("app.py", "from dash import Dash\napp = Dash(__name__)\n"), ("requirements.txt", "dash")]);
    assert_eq!(dash.start.command.line, gunicorn("adaptable_served:app"));
    assert_eq!(generated(&dash, "adaptable_served.py"), "from app import app as made\n\napp = made.server\n");
    assert_eq!(dash.start.added_server, Some(Server::Gunicorn));
    check(
        "aiohttp",
        &[("m.py", "from aiohttp import web\napp = web.Application()\nif __name__ == '__main__':\n    web.run_app(app)\n")],
        "gunicorn --bind=0.0.0.0:$PORT --worker-class=aiohttp.GunicornWebWorker m:app",
    );
}

#[test]
fn web_sockets_of_flask() {
    let socket = "from flask import Flask\nfrom flask_socketio import SocketIO\napp = Flask(__name__)\nsocketio = SocketIO(app)\nif __name__ == '__main__':\n    socketio.run(app)\n";
    check("flask-socketio", &[("app.py", socket)], "gunicorn --bind=0.0.0.0:$PORT --workers=1 --threads=100 app:app");
    check(
        "Flask_SocketIO\neventlet",
        &[("app.py", socket)],
        "gunicorn --bind=0.0.0.0:$PORT --workers=1 --worker-class=eventlet app:app",
    );
    let plan = plan_of(&[("app.py", socket), ("requirements.txt", "flask-socketio")]);
    assert!(requirements(&plan).contains(&"simple-websocket"));
}

#[test]
fn programs_that_serve_by_themselves() {
    check(
        "streamlit",
        &[("app.py", "import streamlit as st\nst.title('x')"), ("pages/two.py", "import streamlit as st\nst.title('y')")],
        "streamlit run app.py --server.port=$PORT --server.address=0.0.0.0 --server.headless=true --browser.gatherUsageStats=false",
    );
    check(
        "gradio",
        &[("app.py", "import gradio as gr\ndemo = gr.Interface(f, 'text', 'text')\ndemo.launch()")],
        "GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=$PORT python app.py",
    );
    check(
        "",
        &[(
            "serve.py",
            "from http.server import HTTPServer, SimpleHTTPRequestHandler\nHTTPServer(('', 8000), SimpleHTTPRequestHandler).serve_forever()",
        )],
        "python serve.py",
    );
    check(
        "tornado",
        &[(
            "main.py",
            "import tornado.web\nfrom tornado.options import define\ndefine('port', default=8888)\napp = tornado.web.Application([])\napp.listen(8888)",
        )],
        "python main.py --port=$PORT",
    );
    check("cherrypy", &[("main.py", "import cherrypy\ncherrypy.quickstart(object())")], "python main.py");
    check("requests", &[("main.py", "print('hello')"), ("util.py", "")], "python main.py");
}

#[test]
fn django_projects() {
    const MANAGE: &str = "import os, sys\nif __name__ == '__main__':\n    os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site1.settings')\n    from django.core.management import execute_from_command_line\n";
    const WSGI: &str = "import os\nfrom django.core.wsgi import get_wsgi_application\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site1.settings')\napplication = get_wsgi_application()\n";
    const ASGI: &str = "from channels.routing import ProtocolTypeRouter\napplication = ProtocolTypeRouter({})\n";
    const SETTINGS: &str =
        "INSTALLED_APPS = ['django.contrib.staticfiles']\nSTATIC_ROOT = 'x'\nMIDDLEWARE = ['whitenoise.middleware']\n";
    let files =
        [("manage.py", MANAGE), ("site1/wsgi.py", WSGI), ("site1/settings.py", SETTINGS), ("requirements.txt", "Django==4.2")];
    let plan = plan_of(&files);
    assert_eq!(plan.template, Template::Django);
    assert_eq!(plan.start.command.line, gunicorn("site1.wsgi:application"));
    assert_eq!(plan.finish[0].args, ["python", "/app/manage.py", "collectstatic", "--noinput"]);
    assert!(!plan.finish[0].fatal);

    let below =
        [("web/manage.py", MANAGE), ("web/site1/wsgi.py", WSGI), ("web/site1/settings.py", ""), ("requirements.txt", "django")];
    let plan = plan_of(&below);
    assert_eq!(plan.start.command.line, "gunicorn --bind=0.0.0.0:$PORT --threads=4 --chdir=web site1.wsgi:application");
    assert!(plan.finish.is_empty());

    let channels = [
        ("manage.py", MANAGE),
        ("site1/asgi.py", ASGI),
        ("site1/wsgi.py", WSGI),
        ("site1/settings.py", ""),
        ("requirements.txt", "django\nchannels\ndaphne"),
    ];
    assert_eq!(line(&channels), "daphne -b 0.0.0.0 -p $PORT site1.asgi:application");

    let no_wsgi = [("manage.py", MANAGE), ("site1/settings.py", ""), ("requirements.txt", "django")];
    assert_eq!(
        line(&no_wsgi),
        "DJANGO_SETTINGS_MODULE=site1.settings gunicorn --bind=0.0.0.0:$PORT --threads=4 'django.core.wsgi:get_wsgi_application()'"
    );

    let split = [
        ("manage.py", MANAGE),
        (
            "config/wsgi.py",
            "import os\nfrom django.core.wsgi import get_wsgi_application\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'config.settings.production')\napplication = get_wsgi_application()\n",
        ),
        ("config/settings/base.py", SETTINGS),
        ("config/settings/production.py", "from .base import *\n"),
        ("requirements.txt", "django"),
    ];
    let plan = plan_of(&split);
    assert_eq!(plan.start.command.line, gunicorn("config.wsgi:application"));
    assert_eq!(plan.finish[0].env["DJANGO_SETTINGS_MODULE"], "config.settings.production");
}

#[test]
fn a_flask_app_that_runs_itself_when_imported() {
    let bare = plan_of(&[
        ("app.py", "from flask import Flask\napp = Flask(__name__)\napp.run(port=5000)\n"),
        ("requirements.txt", "flask"),
    ]);
    assert_eq!(bare.start.command.line, gunicorn("app:app"));
    assert_eq!(bare.env["FLASK_RUN_FROM_CLI"], "true");
    let waitress = "from flask import Flask\nfrom waitress import serve\napp = Flask(__name__)\nserve(app, port=80)\n";
    check("flask\nwaitress", &[("app.py", waitress)], "python app.py");
}

#[test]
fn copies_of_other_peoples_code_are_no_entries() {
    let bottle = "import sys\ndef run(app=None):\n    import tornado.web\n    tornado.httpserver.HTTPServer(app).listen(80)\nif __name__ == '__main__':\n    run()\n";
    assert_eq!(
        line(&[("web/site.py", FLASK), ("web/vendor/bottle.py", bottle), ("requirements.txt", "flask\ntornado\n")]),
        format!("{GUNICORN} web.site:app"),
    );
    assert_eq!(
        line(&[
            ("my_env/lib/python3.9/site-packages/flask/app.py", FLASK),
            ("my_env/lib/python3.9/site-packages/wsgi.py", FLASK),
            ("web/deep/down/page.py", FLASK),
            ("requirements.txt", "flask\n"),
        ]),
        format!("{GUNICORN} web.deep.down.page:app"),
    );
}

#[test]
fn an_import_that_serves_is_run_as_a_program() {
    let source = "from flask import Flask\nimport eventlet\nfrom eventlet import wsgi\napp = Flask(__name__)\nwsgi.server(eventlet.listen(('', 5000)), app)\n";
    assert_eq!(line(&[("main.py", source), ("requirements.txt", "flask\neventlet\n")]), "python main.py");
}

#[test]
fn scripts_that_take_their_port_as_an_argument_get_it() {
    let source = "import argparse\nfrom flask import Flask\ndef make(cfg):\n    return Flask(__name__)\nif __name__ == '__main__':\n    \
                  p = argparse.ArgumentParser()\n    p.add_argument('-p', '--port', type=int, default=5000)\n    \
                  p.add_argument('--host', default='127.0.0.1')\n    a = p.parse_args()\n    make(a).run(host=a.host, port=a.port)\n";
    let files = [("server.py", source), ("requirements.txt", "flask\n")];
    assert_eq!(line(&files), "python server.py --host=0.0.0.0 --port=$PORT");
}

#[test]
fn an_aiohttp_program_that_runs_what_its_factory_makes() {
    let source = "from aiohttp import web\nasync def init():\n    app = web.Application()\n    return app\nweb.run_app(init())\n";
    assert_eq!(line(&[("web_ws.py", source), ("requirements.txt", "aiohttp\n")]), "python web_ws.py");
}
