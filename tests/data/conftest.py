"""A web server on the loopback that misbehaves on request."""

import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple

import pytest

PIECE = 10_000


class Mirror(NamedTuple):
    """`files` served under /<manner>/<name>; `requests` are (path, Range or None)."""

    base: str
    files: dict[str, bytes]
    requests: list[tuple[str, str | None]]

    def url(self, manner: str, name: str) -> str:
        return f"{self.base}/{manner}/{name}"


class _Handler(BaseHTTPRequestHandler):
    """Manners: plain, slow, norange, cut (half, then the connection closes; only if
    the request has no Range), wrong (other bytes), stall (silence after half),
    short and long (another length), chunked-long (more bytes, no length), shifted
    (a 206 that starts elsewhere), 404."""

    server: "_Server"

    def do_GET(self):
        _, manner, name = self.path.split("/")
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        if manner == "404":
            self.send_error(404)
            return
        content = self._content(manner, self.server.files[name])
        start = 0
        if wanted and manner != "norange":
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        self._head(manner, start, len(content))
        self._body(manner, content[start:], bool(wanted))

    def _content(self, manner, content):
        match manner:
            case "wrong":
                return content[::-1]
            case "short":
                return content[:-1]
            case "long" | "chunked-long":
                return content + b"more"
        return content

    def _head(self, manner, start, size):
        self.send_response(206 if start else 200)
        if start:
            first = start - 1 if manner == "shifted" else start
            self.send_header("Content-Range", f"bytes {first}-{size - 1}/{size}")
        if manner != "chunked-long":
            self.send_header("Content-Length", str(size - start))
        self.end_headers()

    def _body(self, manner, body, resumed):
        if manner in ("cut", "stall") and not resumed:
            body = body[: len(body) // 2]
        for first in range(0, len(body), PIECE):
            self.wfile.write(body[first : first + PIECE])
            self.wfile.flush()
            if manner == "slow":
                time.sleep(0.02)
        if manner == "stall" and not resumed:
            time.sleep(1)

    def log_message(self, format, *args):
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []

    def handle_error(self, request, client_address):
        pass  # a client that was killed


@pytest.fixture
def mirror(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with _Server() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        base = f"http://127.0.0.1:{server.server_address[1]}"
        yield Mirror(base, server.files, server.requests)
        server.shutdown()
        thread.join()
