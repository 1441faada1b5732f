"""A small web server on this computer that serves model files, well or badly."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from collections.abc import Iterator


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: ModelServer = self.server.owner
        server.requests.append((self.path, self.headers.get("Range")))
        name = self.path.rsplit("/", 1)[-1]
        if self.path.startswith("/redirect-to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/redirect-to/"))
            self.end_headers()
        elif name not in server.files:
            self.send_error(404)
        elif server.failures:
            self.send_error(server.failures.pop(0))
        else:
            self._send(server, server.files[name])

    def _send(self, server: ModelServer, data: bytes) -> None:
        start = 0
        wanted = self.headers.get("Range")
        if wanted and server.ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        if server.tells_length:
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        end = start + server.cuts.pop(0) if server.cuts else len(data)
        with contextlib.suppress(ConnectionError):
            for position in range(start, min(end, len(data)), 65536):
                self.wfile.write(data[position : min(position + 65536, end)])
                time.sleep(server.pause)

    def log_message(self, *_arguments: object) -> None:
        """Keep the test output clean."""


class ModelServer:
    """Serves ``files`` (name -> bytes) at ``url``.

    ``cuts`` lists after how many bytes the next answers break off, ``failures`` the error codes of the next
    answers; ``ranges`` tells whether parts can be asked for, ``pause`` slows down (seconds per 64 kB).
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.cuts: list[int] = []
        self.failures: list[int] = []
        self.ranges, self.tells_length, self.pause = True, True, 0.0
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.owner = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextlib.contextmanager
    def running(self) -> Iterator[ModelServer]:
        """Serve until the end of the block."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()
