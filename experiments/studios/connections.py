"""Connections: how many there may be, and how long one may keep silent."""

import asyncio
import contextlib
import os
import signal
import socket
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from nst_jax.errors import UserError, one_line

from ..cli import stopping
from .guard import App

MOST_CONNECTIONS = 200
"""Beyond, connections are answered with status 503."""

HEAD_SECONDS = 10.0
"""Within which the head of a request has to arrive."""

ANSWER_SECONDS = 30.0
"""Within which some of an answer has to be taken."""

_SHUTDOWN_SECONDS = 2

_AT_ONCE = 3
"""Signals after which nothing is waited for."""


class PromptProtocol(H11Protocol):
    """HTTP over a connection that ends where the head of a request does not arrive in time, or an answer is not taken.

    Uvicorn has a time for connections between two requests, none for those that begin one and keep silent: two hundred
    of these would leave no room for a page.
    """

    _waiting: asyncio.TimerHandle | None = None
    _full: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Takes a new connection."""
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        """Takes bytes that have arrived."""
        super().data_received(data)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Notes the end of the connection."""
        self._wait_no_longer()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begins to wait for a visitor that takes nothing."""
        super().pause_writing()
        # What is left to send would keep a connection that is only closed.
        self._full = self.loop.call_later(ANSWER_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Waits no longer for one that has taken something."""
        if self._full is not None:
            self._full.cancel()
            self._full = None
            super().resume_writing()

    def _look(self) -> None:
        """Begins to wait where a head is still to come, and ends it where one is there."""
        if self.conn.their_state is not h11.IDLE:
            self._wait_no_longer()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(HEAD_SECONDS, self._close_if_idle)

    def _close_if_idle(self) -> None:
        self._waiting = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()

    def _wait_no_longer(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


def listen(host: str, port: int) -> socket.socket:
    """Returns a socket that listens.

    Args:
        host: the address.
        port: 0 for a free one.

    Raises:
        UserError: the address is none of this machine, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    own = socket.socket(family, socket.SOCK_STREAM)
    try:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.bind((host, port))
        own.listen()  # so that a browser that is quick waits
    except (OSError, UnicodeError) as error:  # the latter for what is no name of a host
        own.close()
        raise UserError(
            f"--host, --port: expected an address of this machine and a free port, found {one_line(host)} {port} "
            f"({getattr(error, 'strerror', None) or error}); choose others"
        ) from None
    return own


def serve(app: App, listening: socket.socket) -> None:
    """Serves an application until a signal comes."""
    serving = server(app)
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none, and Uvicorn leaves it alone
    with contextlib.closing(listening), contextlib.ExitStack() as stack:
        if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:  # as it is under `nohup`
            stack.callback(signal.signal, hangup, signal.signal(hangup, serving.handle_hangup))
        serving.run(sockets=[listening])


def server(app: App) -> "_Server":
    """Returns what serves an application."""
    config = uvicorn.Config(
        app,
        http=PromptProtocol,
        ws="none",
        lifespan="on",
        access_log=False,  # the token is in every address
        log_level="error",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        server_header=False,
        proxy_headers=False,
    )
    return _Server(config)


class _Server(uvicorn.Server):
    """A server that ends in its own time when a signal comes, and at once when a third one does.

    The picture at work is to be kept, also by somebody who is impatient.
    """

    _signals = 0

    def handle_exit(self, sig: int, _: FrameType | None) -> None:
        """Takes a signal that Uvicorn sends on when all has ended."""
        self._captured_signals.append(sig)
        self._stop(sig)

    def handle_hangup(self, sig: int, _: FrameType | None) -> None:
        """Takes the signal of a terminal that closes."""
        if stopping.note(sig):
            self._stop(sig)

    def _stop(self, sig: int) -> None:
        self.should_exit = True
        self._signals += 1
        if self._signals == 1:
            stopping.say("stopping as soon as the picture at work is kept")
        elif self._signals < _AT_ONCE:
            stopping.say("still stopping; another signal ends the studio at once, and the last steps are lost")
        else:
            os._exit(128 + sig)
