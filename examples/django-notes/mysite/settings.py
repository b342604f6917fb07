"""Settings of a site with a PostgreSQL database: everything it needs comes from its environment."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

# `adaptable env APP set SECRET_KEY=…`; a new one at every start logs visitors out, nothing worse.
SECRET_KEY = os.environ.get("SECRET_KEY") or os.urandom(32).hex()
DEBUG = os.environ.get("DEBUG") == "1"
# Only the platform's edge reaches the app, and it routes by host name.
ALLOWED_HOSTS = ["*"]
CSRF_TRUSTED_ORIGINS = [url for url in [os.environ.get("EXTERNAL_URL")] if url]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

INSTALLED_APPS = ["notes"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
ROOT_URLCONF = "mysite.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]
WSGI_APPLICATION = "mysite.wsgi.application"

# PGSSLMODE and PGSSLROOTCERT are read by libpq itself.
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ.get("PGHOST", "localhost"),
        "PORT": os.environ.get("PGPORT", "5432"),
        "NAME": os.environ.get("PGDATABASE", "notes"),
        "USER": os.environ.get("PGUSER", "notes"),
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
