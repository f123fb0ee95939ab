"""What the tests of model files share."""

from __future__ import annotations

import http.server
import threading
from contextlib import contextmanager

import pytest

from .modelfiles import public, trainers_leftovers


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("VS_SLOMO_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "models"


class Site(http.server.ThreadingHTTPServer):
    """Serves `content`; `plan` says how: cut it off, refuse ranges, answer with a status, change the version.

    careless: send a range of any version. to: lead to these addresses first.
    """

    daemon_threads = True

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Page)
        self.content = content
        self.plan = {}
        self.asked = []

    def url(self, name="model.ckpt"):
        return f"http://127.0.0.1:{self.server_port}/files/{name}?download=1"


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, plan = self.server, self.server.plan
        asked = self.headers.get("Range")
        server.asked.append(asked)
        if status := plan.get("status"):
            self.send_error(status, plan.get("reason"))
            return
        if plan.get("to"):
            self.send_response(302)
            self.send_header("Location", plan["to"].pop(0))
            self.end_headers()
            return
        etag = plan.get("etag", '"v1"')
        start = 0
        if asked and not plan.get("no_ranges") and (plan.get("careless") or self.headers["If-Range"] == etag):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(server.content):
                self.send_error(416)
                return
            self.send_response(206)
            shown = plan.get("lie", start)
            self.send_header("Content-Range", f"bytes {shown}-{len(server.content) - 1}/{len(server.content)}")
        else:
            self.send_response(200)
        if etag:
            self.send_header("ETag", etag)
        for key, value in plan.get("headers", {}).items():
            self.send_header(key, value)
        body = server.content[start:]
        if not plan.get("no_length"):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: plan.get("cut")])

    def log_message(self, *_arguments):
        pass


@contextmanager
def serving(content):
    with Site(content) as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield site
        finally:
            site.shutdown()
            thread.join()


@pytest.fixture
def site(tmp_path):
    with serving(public(tmp_path / "served.ckpt", **trainers_leftovers()).read_bytes()) as site:
        yield site
