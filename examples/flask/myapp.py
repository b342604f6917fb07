"""The smallest app that is worth deploying: a Flask factory named start_app."""

import os

from flask import Flask


def start_app():
    app = Flask(__name__)

    @app.get("/")
    def hello():
        return f"Hello {os.environ.get('NAME', 'World')}!\n"

    return app
