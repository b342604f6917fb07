"""Clients in Python, and psql: each as one would write it, with nothing but the variables of the platform."""

import asyncio
import glob
import os
import subprocess

import asyncpg
import dj_database_url
import django
import psycopg
import psycopg2
import sqlalchemy
from django.conf import settings
from django.db.utils import ConnectionHandler
from sqlalchemy.ext.asyncio import create_async_engine

WHO = "select current_user::text, ssl, version from pg_stat_ssl where pid = pg_backend_pid()"
HERE = os.path.dirname(os.path.abspath(__file__))

settings.configure()
django.setup()


def url():
    return os.environ["DATABASE_URL"]


def told(version, row):
    user, tls, protocol = row
    return f"{user} {'TLS' if tls else 'plain'} {protocol} {version}"


def psql(*target):
    # The machine's own, with its libraries beside it.
    (loader,) = glob.glob(os.path.join(HERE, "psql/ld-linux*"))
    program = [loader, "--library-path", os.path.join(HERE, "psql"), os.path.join(HERE, "psql/psql")]
    done = subprocess.run([*program, "-XAtqc", WHO, "-c", "\\echo :VERSION_NAME", *target], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    row, version = done.stdout.strip().splitlines()
    user, tls, protocol = row.split("|")
    return told(version, (user, tls == "t", protocol))


def with_psycopg2(target):
    connection = psycopg2.connect(target)
    with connection, connection.cursor() as cursor:
        cursor.execute(WHO)
        row = cursor.fetchone()
    connection.close()
    return told(psycopg2.__version__.split()[0], row)


def with_psycopg3(target):
    with psycopg.connect(target) as connection:
        return told(psycopg.__version__, connection.execute(WHO).fetchone())


async def with_asyncpg(*target):
    connection = await asyncpg.connect(*target)
    row = await connection.fetchrow(WHO)
    await connection.close()
    return told(asyncpg.__version__, row)


def with_sqlalchemy(scheme):
    engine = sqlalchemy.create_engine(url().replace("postgres://", scheme, 1))
    with engine.connect() as connection:
        row = connection.execute(sqlalchemy.text(WHO)).one()
    engine.dispose()
    return told(sqlalchemy.__version__, row)


async def with_async_sqlalchemy(scheme):
    engine = create_async_engine(url().replace("postgres://", scheme, 1))
    async with engine.connect() as connection:
        row = (await connection.execute(sqlalchemy.text(WHO))).one()
    await engine.dispose()
    return told(sqlalchemy.__version__, row)


def with_django(database):
    connection = ConnectionHandler({"default": database})["default"]
    with connection.cursor() as cursor:
        cursor.execute(WHO)
        row = cursor.fetchone()
    connection.close()
    return told(django.__version__, row)


def parts():
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ["PGHOST"],
        "PORT": os.environ["PGPORT"],
        "NAME": os.environ["PGDATABASE"],
        "USER": os.environ["PGUSER"],
        "PASSWORD": os.environ["PGPASSWORD"],
    }


CLIENTS = {
    "psql": psql,
    "psql-url": lambda: psql(url()),
    "psycopg2": lambda: with_psycopg2(""),
    "psycopg2-url": lambda: with_psycopg2(url()),
    "psycopg3": lambda: with_psycopg3(""),
    "psycopg3-url": lambda: with_psycopg3(url()),
    "asyncpg": lambda: asyncio.run(with_asyncpg()),
    "asyncpg-url": lambda: asyncio.run(with_asyncpg(url())),
    "sqlalchemy-psycopg2": lambda: with_sqlalchemy("postgresql+psycopg2://"),
    "sqlalchemy-psycopg3": lambda: with_sqlalchemy("postgresql+psycopg://"),
    "sqlalchemy-asyncpg": lambda: asyncio.run(with_async_sqlalchemy("postgresql+asyncpg://")),
    "sqlalchemy-async-psycopg3": lambda: asyncio.run(with_async_sqlalchemy("postgresql+psycopg://")),
    "django": lambda: with_django(parts()),
    "django-url": lambda: with_django(dj_database_url.config()),
}
