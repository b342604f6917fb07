"""A page for each client of PostgreSQL: it connects with the instance's variables, some of them changed where the query says so."""

import json
import os
import socket
import subprocess
import threading
import traceback
from contextlib import contextmanager
from urllib.parse import parse_qs

import python

HERE = os.path.dirname(os.path.abspath(__file__))
# What npm installs goes into memory.
NODE = "/tmp/node"
ONE_AT_A_TIME = threading.Lock()


@contextmanager
def variables(case):
    """The process's variables, as the platform sets them but for what the case says."""
    before = dict(os.environ)
    # An address is a host name that the certificate does not bear, and under which the server is there all the same.
    if "host" in case:
        address = socket.gethostbyname(before["PGHOST"])
        os.environ["DATABASE_URL"] = before["DATABASE_URL"].replace("@" + before["PGHOST"], "@" + address)
        os.environ["PGHOST"] = address
    if "authority" in case:
        os.environ["PGSSLROOTCERT"] = os.environ["NODE_EXTRA_CA_CERTS"] = os.path.join(HERE, "other.pem")
    if "unchecked" in case:
        os.environ["PGSSLMODE"] = "no-verify" if "node" in case else "require"
        del os.environ["PGSSLROOTCERT"]
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def install():
    """Clients in JavaScript, by npm, as an app's build would have them."""
    os.makedirs(NODE, exist_ok=True)
    for name in ("package.json", "clients.mjs"):
        with open(os.path.join(HERE, name)) as source, open(os.path.join(NODE, name), "w") as target:
            target.write(source.read())
    # The registry's certificate is the business of the authorities that the machine trusts.
    trusting = {**os.environ, "NODE_EXTRA_CA_CERTS": os.environ["SSL_CERT_FILE"]}
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--cache", "/tmp/npm"]
    return output(command, cwd=NODE, env=trusting)


def output(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=55, **more)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def ask(client):
    if client == "install":
        return install()
    if client.startswith("node-"):
        return output(["node", "clients.mjs", client.removeprefix("node-")], cwd=NODE)
    return python.CLIENTS[client]()


def application(environ, start_response):
    client = environ["PATH_INFO"].strip("/")
    case = parse_qs(environ["QUERY_STRING"]).get("case", [""])[0]
    status, document = "200 OK", {}
    if client:
        with ONE_AT_A_TIME, variables(case):
            try:
                document["told"] = ask(client).strip()
            except Exception:
                document["refused"] = traceback.format_exc()
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(document).encode()]
