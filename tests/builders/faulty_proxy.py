"""Stands between MLflow's client and its server, and answers some requests in its own way."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Fault = Callable[[BaseHTTPRequestHandler, bytes], bool]
"""Answers a request in its own way, given the server's true reply as bytes, and returns True; or returns False."""


@contextmanager
def proxy(port: int, fault: Fault) -> Iterator[str]:
    """Forward requests to the server; let `fault` answer in its place."""

    class Forward(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            headers = {key: value for key, value in self.headers.items() if key.lower() != "host"}
            upstream.request(self.command, self.path, body, headers)
            reply = upstream.getresponse()
            content = reply.read()
            upstream.close()
            self.close_connection = True
            if not fault(self, content):
                answer(self, reply.status, content, reply.getheader("Content-Type") or "")

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward  # noqa: N815 (http.server's names)

    with ThreadingHTTPServer(("127.0.0.1", 0), Forward) as listener:
        listener.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up is the point
        thread = threading.Thread(target=listener.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.server_address[1]}"
        finally:
            listener.shutdown()
            thread.join()


def answer(handler: BaseHTTPRequestHandler, status: int, content: bytes, kind: str, **headers: str) -> bool:
    handler.send_response(status)
    for key, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
        handler.send_header(key, value)
    handler.end_headers()
    handler.wfile.write(content)
    return True


def hang_up(handler: BaseHTTPRequestHandler, _: bytes) -> bool:
    handler.connection.shutdown(socket.SHUT_RDWR)
    return True


def truncated(handler: BaseHTTPRequestHandler, content: bytes) -> bool:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])
    return hang_up(handler, content)


HTML = b"<html><body>Please log in</body></html>"
FAULTS: dict[str, Fault] = {
    "lost reply": hang_up,
    "truncated reply": truncated,
    "500": lambda handler, _: answer(handler, 500, b"{}", "application/json"),
    "503 page": lambda handler, _: answer(handler, 503, HTML, "text/html"),
    "429": lambda handler, _: answer(handler, 429, b"slow down", "text/plain", **{"Retry-After": "0"}),
    "200 page": lambda handler, _: answer(handler, 200, HTML, "text/html"),
    "half JSON": lambda handler, content: answer(handler, 200, content[: len(content) // 2], "application/json"),
    "empty JSON": lambda handler, _: answer(handler, 200, b"{}", "application/json"),
    "list": lambda handler, _: answer(handler, 200, b"[1, 2]", "application/json"),
    "empty": lambda handler, _: answer(handler, 200, b"", "application/json"),
    "not UTF-8": lambda handler, _: answer(handler, 200, b"\xff\xfe{}", "application/json"),
}
