"""Servers of S3 and of Google Cloud Storage for a test, and a proxy before them that behaves as badly as it is told."""
import contextlib
import http.client
import http.server
import json
import logging
import threading
import time
import types
import urllib.parse

import boto3
import gcp_storage_emulator.server as emulator
from gcp_storage_emulator.handlers import objects
import moto.server

BUCKET = "bucket"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "us-east-1",
               "AWS_EC2_METADATA_DISABLED": "true"}


class S3:
    """moto's server; `client` is Amazon's own."""
    scheme = "s3"

    def __init__(self):
        self.server = moto.server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self.server.start()
        self.port = self.server.get_host_and_port()[1]
        self.client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{self.port}", aws_access_key_id="any",
                                   aws_secret_access_key="any", region_name="us-east-1")
        self.client.create_bucket(Bucket=BUCKET)

    def environment(self, port=None):
        return CREDENTIALS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port or self.port}"}

    def put(self, key, data):
        self.client.put_object(Bucket=BUCKET, Key=key, Body=data)

    def get(self, key):
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def keys(self, prefix=""):
        """Those of objects with something in them; an empty one whose name ends in '/' marks a folder."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [o["Key"] for page in pages for o in page.get("Contents", []) if not o["Key"].endswith("/")]


class QuietServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100

    def handle_error(self, *_):
        pass  # a client that has gone


def one_at_a_time(kind):
    """The emulator's store is not made for several threads."""
    lock = threading.RLock()

    def locked(method):
        def call(*args, **kwargs):
            with lock:
                return method(*args, **kwargs)
        return call
    for name, method in list(vars(kind).items()):
        if isinstance(method, types.FunctionType) and not name.startswith("__"):
            setattr(kind, name, locked(method))


emulator.server = types.SimpleNamespace(HTTPServer=QuietServer)
emulator.RequestHandler.log_message = lambda *_: None
one_at_a_time(emulator.Storage)
logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)
logging.getLogger("werkzeug").setLevel(logging.ERROR)


def incomplete(response, storage, upload_id, fallback_end=0, original=objects._resumable_incomplete):
    """Of an upload of which it has nothing yet, the emulator says that it has a byte; Google's store says nothing."""
    original(response, storage, upload_id, fallback_end)
    if not storage.get_resumable_byte_count(upload_id):
        response._headers.pop("Range")


objects._resumable_incomplete = incomplete


class Google:
    """gcp-storage-emulator, with a thread a connection: Arrow's client begins a read of all while it reads a range."""
    scheme = "gs"

    def __init__(self):
        self.server = emulator.create_server("localhost", 0, in_memory=True, default_bucket=BUCKET)
        self.server.start()
        self.port = self.server._api._httpd.server_address[1]  # the one that was free

    def environment(self, port=None):
        return {"STORAGE_EMULATOR_HOST": f"http://localhost:{port or self.port}"}

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("localhost", self.port)
        connection.request(method, path, body, {"Content-Type": "application/octet-stream"})
        answer = connection.getresponse()
        data = answer.read()
        assert answer.status < 300, (path, answer.status, data)
        return data

    def put(self, key, data):
        name = urllib.parse.quote(key, safe="")
        self.ask("POST", f"/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={name}", data)

    def get(self, key):
        return self.ask("GET", f"/download/storage/v1/b/{BUCKET}/o/{urllib.parse.quote(key, safe='')}?alt=media")

    def keys(self, prefix=""):
        answer = json.loads(self.ask("GET", f"/storage/v1/b/{BUCKET}/o?prefix={urllib.parse.quote(prefix, safe='')}"))
        return [item["name"] for item in answer.get("items", [])]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        out = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            out += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return out

    def answer(self, status, headers, data):
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        length = next((v for n, v in headers if n.lower() == "content-length"), 0)
        self.send_header("Content-Length", length if self.command == "HEAD" else len(data))
        self.end_headers()
        if self.command != "HEAD":
            self.server.send(self.wfile, data)

    def handle_any(self):
        data = self.body()
        refusal = self.server.before(len(data))
        if refusal is not None:
            return self.answer(refusal[0], [("Content-Type", "application/xml")], refusal[1].encode())
        connection = http.client.HTTPConnection("localhost", self.server.target)
        headers = {n: v for n, v in self.headers.items() if n.lower() not in ("transfer-encoding", "expect")}
        headers["Content-Length"] = str(len(data))
        connection.request(self.command, self.path, data, headers)
        said = connection.getresponse()
        self.answer(said.status, said.getheaders(), said.read())
        connection.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = handle_any


class BadProxy(QuietServer):
    """`mode` is what goes wrong: None; "busy": every `busy_each`-th request gets a 503; "always_busy"; "silent": no answer at
    all; "stalls": bodies of 100,000 bytes or more stop half way, and are never taken; an (HTTP status, code of S3)."""
    def __init__(self, target, mode=None, busy_each=3):
        super().__init__(("127.0.0.1", 0), Handler)
        self.target, self.mode, self.busy_each, self.requests, self.refused = target, mode, busy_each, 0, 0
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]

    def before(self, size):
        with self.lock:
            self.requests += 1
            number = self.requests
        if self.mode == "silent" or (self.mode == "stalls" and size >= 100_000):
            time.sleep(3600)
        if self.mode == "always_busy" or (self.mode == "busy" and number % self.busy_each == 2):
            return self.refuse(503, "SlowDown")
        return self.refuse(*self.mode) if isinstance(self.mode, tuple) else None

    def refuse(self, status, code):
        with self.lock:
            self.refused += 1
        return status, f"<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{code}</Message></Error>"

    def send(self, stream, data):
        if self.mode != "stalls" or len(data) < 100_000:
            return stream.write(data)
        stream.write(data[:len(data) // 2])
        stream.flush()
        time.sleep(3600)


@contextlib.contextmanager
def bad_proxy(server, mode):
    # Google's client waits for seconds before it asks again.
    proxy = BadProxy(server.port, mode, busy_each=3 if server.scheme == "s3" else 9)
    try:
        yield proxy
    finally:
        proxy.shutdown()
