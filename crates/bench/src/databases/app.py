"""A page that asks no database, one that does, and one that times its queries itself."""

import os
import socket
import time

import psycopg

_connection = None


def connection():
    global _connection
    if _connection is None or _connection.closed:
        _connection = psycopg.connect("", autocommit=True)
    return _connection


def queries(count):
    cursor = connection().cursor()
    times = []
    for _ in range(count):
        began = time.perf_counter()
        cursor.execute("select 1").fetchone()
        times.append(time.perf_counter() - began)
    return " ".join(f"{one:.7f}" for one in times)


def application(environ, start_response):
    path, _, number = environ["PATH_INFO"].strip("/").partition("/")
    if path == "query":
        body = queries(1)
    elif path == "queries":
        body = queries(int(number))
    elif path == "address":
        body = socket.gethostbyname(os.environ["PGHOST"])
    else:
        body = "Hello"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body.encode()]
