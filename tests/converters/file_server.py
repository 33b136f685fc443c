"""A server of files on this machine that behaves as badly as it is told to."""

import re
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

BLOCK = 1 << 14


class Server(ThreadingHTTPServer):
    """Gives one answer after the other, the last one again and again, and remembers what it was asked."""

    daemon_threads = True
    answers = ()

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []
        self.stopped = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/weights.bin"

    @property
    def ranges(self):
        return [headers.get("Range") for headers in self.asked]

    def handle_error(self, request, client_address):
        """Clients that hang up are what is tested."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        number = len(self.server.asked)
        self.server.asked.append(self.headers)
        self.server.answers[min(number, len(self.server.answers) - 1)](self)

    def log_message(self, *_):
        pass


def answer(handler, status, headers, content=b"", reason=None):
    handler.send_response(status, reason)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(content)


def reply(status=200, content=b"", reason=None, **headers):
    """An answer that takes no notice of what it was asked."""
    return lambda handler: answer(
        handler, status, {k.replace("_", "-"): v for k, v in headers.items()}, content, reason
    )


def serve(data, *, sent=None, wait=False, ranges=True, **headers):
    """The answer of a server of files, cut off after `sent` bytes or, with `wait`, stuck there."""

    def give(handler):
        start, status = 0, 200
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        condition = handler.headers.get("If-Range", "")
        if asked and ranges and condition in ("", *headers.values()):
            start, status = int(asked[1]), 206
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            if start >= len(data):
                answer(handler, 416, {"Content-Range": f"bytes */{len(data)}"})
                return
        rest = data[start:]
        answer(handler, status, {"Content-Length": len(rest), **headers}, rest[:sent])
        if wait:
            handler.server.stopped.wait(10)

    return give


def endless(status=200, **headers):
    def give(handler):
        answer(handler, status, headers)
        with suppress(OSError):
            while True:
                handler.wfile.write(bytes(100_000))

    return give


@contextmanager
def running_server():
    """A server for as long as the block runs, asked without a proxy."""
    with pytest.MonkeyPatch.context() as patch, Server() as running:
        patch.setenv("NO_PROXY", "*")
        patch.delenv("no_proxy", raising=False)
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield running
        finally:
            running.stopped.set()
            running.shutdown()
            thread.join()


def wait_for(path, size):
    """Waits until a file has a size."""
    end = time.monotonic() + 20
    while not path.exists() or path.stat().st_size < size:
        assert time.monotonic() < end
        time.sleep(0.01)
