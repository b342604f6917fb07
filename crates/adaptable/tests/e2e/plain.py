"""Answers TEXT, and does what a test asks for."""

import json
import os
import socket
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

TEXT = "@TEXT@"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body go out as two packets, the second of which would wait for the first one's acknowledgement.
    disable_nagle_algorithm = True

    def do_GET(self):
        with LOCK:
            BUSY["now"] += 1
            BUSY["peak"] = max(BUSY["now"], BUSY["peak"])
        try:
            url = urlsplit(self.path)
            if url.path == "/echo":
                return self.echo()
            action = getattr(self, "on_" + url.path.strip("/"), None)
            body = (TEXT if action is None else str(action(dict(parse_qsl(url.query))))).encode()
        finally:
            # Before the answer leaves: whoever has it may send the next request before this thread goes on.
            with LOCK:
                BUSY["now"] -= 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def echo(self):
        """A WebSocket as far as the edge can see: a switch, and then bytes."""
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "websocket")
        self.end_headers()
        self.close_connection = True
        while piece := self.connection.recv(1024):
            self.connection.sendall(piece)

    def on_env(self, query):
        return json.dumps(dict(os.environ))

    def on_headers(self, query):
        return json.dumps({name.lower(): value for name, value in self.headers.items()})

    def on_exit(self, query):
        os._exit(3)

    def on_slow(self, query):
        time.sleep(float(query["seconds"]))
        return TEXT

    def on_work(self, query):
        time.sleep(float(query["seconds"]))
        return json.dumps({"boot": BOOT, "peak": BUSY["peak"]})

    def on_spin(self, query):
        threading.Thread(target=spin, daemon=True).start()
        return "spinning"

    def on_take(self, query):
        size = int(query["mb"]) << 20
        TAKEN.append(bytearray(size))
        TAKEN[-1][::4096] = b"x" * (size // 4096)
        return "taken"

    def on_print(self, query):
        print(query["text"], flush=True)
        print("err-" + query["text"], file=sys.stderr, flush=True)
        return "printed"

    def on_file(self, query):
        with open(query["path"]) as file:
            return file.read()

    def on_boot(self, query):
        return BOOT

    def on_address(self, query):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))
            return probe.getsockname()[0]

    def on_connect(self, query):
        try:
            socket.create_connection((query["host"], int(query["port"])), 2).close()
            return "connected"
        except OSError as error:
            return f"failed: {error}"

    def on_who(self, query):
        with open("/proc/self/status") as file:
            status = dict(line.strip().split(":", 1) for line in file)
        try:
            os.mknod("/tmp/device", 0o20600, os.makedev(1, 3))
            mknod = "made"
        except OSError as error:
            mknod = type(error).__name__
        return json.dumps(
            {
                "uid": os.getuid(),
                "cap_eff": status["CapEff"].strip(),
                "cap_bnd": status["CapBnd"].strip(),
                "no_new_privs": status["NoNewPrivs"].strip(),
                "seccomp": status["Seccomp"].strip(),
                "pids": sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),
                "mknod": mknod,
                "cwd": os.getcwd(),
                "root": sorted(os.listdir("/")),
            }
        )

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    # As servers for production have it: with five, the sixth visitor at once would come again a second later.
    request_queue_size = 128


def spin():
    while True:
        pass


def bye(number, frame):
    print("told to end", flush=True)
    os._exit(0)


LOCK, BUSY, TAKEN = threading.Lock(), {"now": 0, "peak": 0}, []
signal.signal(signal.SIGTERM, bye)
BOOT = f"{time.time()} {os.urandom(4).hex()}"
server = Server(("0.0.0.0", int(os.environ["PORT"])), Handler)
# It listens already, like a server that has yet to read its app.
time.sleep(float(os.environ.get("SLOW_START", "0")))
server.serve_forever()
