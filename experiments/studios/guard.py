"""Who may ask: the token in the address, the name of the host, the origin, a password; and what a page may load.

A page anywhere on the web can have a browser send requests to this machine. It does not know the token; its requests
carry its own origin, and where it makes its name mean this machine (DNS rebinding), they carry that name.
"""

import asyncio
import base64
import binascii
import ipaddress
import secrets
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from hmac import compare_digest
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_SLOW_DOWN = 0.5
"""Seconds before a wrong password is answered."""

_TOKEN_BYTES = 24

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load: its own files, and pictures that it makes itself."""

DOCUMENT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What a self-contained document may load: what it has in it, and pictures beside it; it can ask for nothing."""

_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cache-control": b"no-store",
}


def new_token() -> str:
    """Returns a token that nobody can guess."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def is_loopback(host: str) -> bool:
    """Returns whether a host is this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """An ASGI application that lets through to another one who may ask, under the path of the token."""

    def __init__(self, app: App, *, token: str, host: str, password: str | None = None) -> None:
        """Takes what it guards.

        Args:
            app: the application; its paths begin behind the token.
            token: the first part of every path.
            host: the host at which the server listens.
            password: what visitors have to give, if anything.
        """
        self._app, self._token, self._password = app, token.encode(), password
        self._only = {host.lower(), "localhost", "127.0.0.1", "::1"}
        # A name can be made to mean any machine, a number cannot.
        self._numbers = not is_loopback(host)
        if self._numbers:
            self._only.add(socket.gethostname().lower())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or has it answered."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = dict(message.get("headers", ()))
                added = {**_HEADERS, b"content-security-policy": POLICY.encode()}
                message = {**message, "headers": [*({**added, **own}).items()]}
            await send(message)

        refused = await self._why_not(scope, headers)
        if refused:
            await _answer(guarded, *refused)
            return
        rest = scope["path"][len(self._token) + 1 :]
        if not rest:  # without its last slash, the page would look for its files above the token
            await _answer(guarded, 307, "", (b"location", b"/" + self._token + b"/"))
            return
        await self._app({**scope, "path": rest, "raw_path": rest.encode()}, receive, guarded)

    async def _why_not(self, scope: Scope, headers: MutableMapping[bytes, str]) -> tuple[Any, ...] | None:
        """Returns the status and the text, and perhaps a header, with which a request is refused; None if it is not."""
        host = headers.get(b"host", "")
        if not self._knows(host):
            return 403, "this is not the address of the studio"
        first = scope["path"].removeprefix("/").partition("/")[0]
        if not compare_digest(first.encode(errors="replace"), self._token):
            return 404, "nothing here; the studio has printed its address"
        if self._password is not None and not compare_digest(_password_in(headers), self._password.encode()):
            if b"authorization" in headers:
                await asyncio.sleep(_SLOW_DOWN)
            return 401, "expected the password of the studio", (b"www-authenticate", b'Basic realm="studio"')
        origin = headers.get(b"origin")
        if origin is not None and origin != f"http://{host}":
            return 403, "asked by another origin"
        # A link to the page is one thing, a request that another page sends is another.
        followed = scope["method"] == "GET" and headers.get(b"sec-fetch-mode") == "navigate"
        if headers.get(b"sec-fetch-site", "none") not in ("none", "same-origin") and not followed:
            return 403, "asked by another site"
        return None

    def _knows(self, host: str) -> bool:
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        name = name.removeprefix("[").removesuffix("]").lower()
        if name in self._only:
            return True
        if not self._numbers:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _password_in(headers: MutableMapping[bytes, str]) -> bytes:
    """Returns the password that a visitor has given, whatever the name before it."""
    kind, _, encoded = headers.get(b"authorization", "").partition(" ")
    if kind.lower() != "basic":
        return b""
    try:
        return base64.b64decode(encoded, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""


async def _answer(send: Send, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
    plain = (b"content-type", b"text/plain; charset=utf-8")
    await send({"type": "http.response.start", "status": status, "headers": [plain, *headers]})
    await send({"type": "http.response.body", "body": text.encode()})
