"""Bodies of requests, and visitors that are slow, many, or never stop: over sockets, as they come."""

import asyncio
import contextlib
import json
import socket
import threading
import time

import pytest

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

from starlette.applications import Starlette  # noqa: E402
from starlette.responses import JSONResponse, Response, StreamingResponse  # noqa: E402
from starlette.routing import Route  # noqa: E402

from experiments.studios import bodies, connections, guard  # noqa: E402
from experiments.studios.protocol import Moved, NewRun, NewSweep  # noqa: E402
from experiments.studios.server import _HANDLERS  # noqa: E402
from nst_jax.errors import UserError  # noqa: E402

MOST = 100_000


async def count(request):
    total = 0
    async for part in bodies.parts(request, most=MOST, seconds=bodies.UPLOAD_SECONDS):
        total += len(part)
    return JSONResponse(total)


async def much(_):
    async def parts():
        while True:
            yield b"x" * 65536
            await asyncio.sleep(0)

    return StreamingResponse(parts())


async def moved(request):
    found = await bodies.read(request, Moved, most=1000)
    return JSONResponse(found.dials)


@pytest.fixture
def own(monkeypatch):
    """A server with a body that is counted, and one that never ends, for impatient tests."""
    monkeypatch.setattr(connections, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(bodies, "PATIENCE", 0.5)
    monkeypatch.setattr(bodies, "UPLOAD_SECONDS", 2.0)
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 50)
    routes = [
        Route("/count", count, methods=["POST"]),
        Route("/moved", moved, methods=["POST"]),
        Route("/much", much),
        Route("/", lambda _: Response("here")),
    ]
    app = guard.Guard(Starlette(routes=routes, exception_handlers=_HANDLERS), token="t", host="127.0.0.1")
    return connections.server(app)


@pytest.fixture
def server(own):
    """The port at which it listens."""
    with contextlib.closing(connections.listen("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=lambda: own.run(sockets=[listening]))
        thread.start()
        yield listening.getsockname()[1]
        own.should_exit = True
        thread.join()


def until(wanted, seconds=60):
    """Waits until something is so."""
    ends = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < ends, "never so"
        time.sleep(0.05)


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def head(path, method="GET", **headers):
    lines = [
        f"{method} /t{path} HTTP/1.1",
        "Host: 127.0.0.1",
        *(f"{n.replace('_', '-')}: {v}" for n, v in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def answer(connection):
    """Returns the status and the rest of what comes, until the connection ends or its answer does."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while b"\r\n\r\n" not in data:
            part = connection.recv(65536)
            if not part:
                break
            data += part
    return int(data.split()[1]) if data else None


def post(port, path, body):
    with connect(port) as connection:
        connection.sendall(head(path, "POST", Content_Length=len(body)) + body)
        return answer(connection)


def is_here(port):
    with connect(port) as connection:
        connection.sendall(head("/"))
        return answer(connection) == 200


def test_bodies_are_counted(server):
    assert post(server, "/count", b"x" * MOST) == 200
    assert post(server, "/count", b"x" * (MOST + 1)) == 413


def test_endless_bodies_end(server):
    for said in ("99999999999999999999999", str(10**15), "-1", "x"):
        with connect(server) as connection:
            connection.sendall(head("/count", "POST", Content_Length=said))
            assert answer(connection) in (413, 400)
    with connect(server) as connection:  # which says no length
        connection.sendall(head("/count", "POST", Transfer_Encoding="chunked"))
        with contextlib.suppress(ConnectionError):
            for _ in range(MOST // 1000 + 10):
                connection.sendall(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        assert answer(connection) == 413
    assert is_here(server)


def test_slow_bodies_end(server):
    with connect(server) as connection:
        connection.sendall(head("/count", "POST", Content_Length=1000) + b"x")
        assert answer(connection) == 408, "silent"
    with connect(server) as connection:
        connection.sendall(head("/count", "POST", Content_Length=1000))
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for _ in range(200):  # a byte now and then
                connection.sendall(b"x")
                time.sleep(0.1)
                connection.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    if connection.recv(65536):
                        break
                connection.setblocking(True)
        assert time.monotonic() - began < 15
    assert is_here(server)


def test_whoever_does_not_take_an_answer_is_left(server, own):
    with connect(server) as connection:
        connection.sendall(head("/much"))
        until(lambda: own.server_state.connections)
        until(lambda: not own.server_state.connections)
    assert is_here(server)


def test_a_hundred_silent_connections_make_room_again(server):
    """More than there may be, some within the head of a request: they are closed, and others are answered."""
    with contextlib.ExitStack() as stack:
        for number in range(100):
            connection = stack.enter_context(connect(server))
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"GET /t/ HT" if number % 2 else b"")
        until(lambda: is_here(server))


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"\xff",
        b'{"dials": 3}',
        b'{"other": 3}',
        b'{"dials": {}, "styles": "x"}',
        b"[" * 900,
        b'{"dials": NaN}',
    ],
)
def test_what_is_not_the_json_it_should_be_is_refused(server, body):
    assert post(server, "/moved", body) == 400


def test_json_that_is_too_long_is_refused(server):
    assert post(server, "/moved", json.dumps({"dials": {"x": "y" * 1000}}).encode()) == 413
    assert post(server, "/moved", json.dumps({"dials": {"x": [1, "y"]}}).encode()) == 200


def test_json_becomes_what_it_says():
    found = bodies._as(NewRun, {"content": "a", "styles": ["b"], "dials": {"size": 3, "keep": ["red"]}})
    assert found == NewRun("a", ["b"], {"size": 3, "keep": ["red"]})
    assert bodies._as(NewSweep, {"content": "a", "styles": [], "axes": {"size": [1]}, "each_style": True}).each_style
    for wrong in (
        {"styles": []},
        {"content": 3, "styles": []},
        {"content": "a", "styles": [3]},
        {"content": "a", "styles": [], "regions": 3},
        {"content": "a", "styles": [], "name": True},
    ):
        with pytest.raises(UserError):
            bodies._as(NewRun, wrong)
