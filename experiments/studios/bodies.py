"""The bodies of requests: bounded in bytes and in time, and JSON that is what it has to be."""

import asyncio
import dataclasses
import json
import types
import typing
from collections.abc import AsyncIterator
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from nst_jax.errors import UserError, one_line

PATIENCE = 30.0
"""Seconds for each part of a body."""

UPLOAD_SECONDS = 600.0
JSON_SECONDS = 30.0

Body = TypeVar("Body")


class TooLargeError(Exception):
    """A body has more bytes than there may be."""


class TooSlowError(Exception):
    """A body did not arrive in time, or its sender has gone."""


async def parts(request: Request, *, most: int, seconds: float) -> AsyncIterator[bytes]:
    """Yields the parts of a body as they arrive.

    Args:
        request: the request.
        most: the most bytes that it may have.
        seconds: within which it has to arrive; each part has `PATIENCE`.

    Raises:
        TooLargeError: it has more bytes, or says so.
        TooSlowError: it did not arrive in time.
    """
    said = request.headers.get("content-length", "0")
    if not said.isdecimal() or len(said) > 20 or int(said) > most:
        raise TooLargeError
    count, stream, ends = 0, request.stream(), asyncio.get_running_loop().time() + seconds
    try:
        while True:
            async with asyncio.timeout_at(min(ends, asyncio.get_running_loop().time() + PATIENCE)):
                part = await anext(stream, None)
            if part is None:
                return
            count += len(part)
            if count > most:
                raise TooLargeError
            yield part
    except (TimeoutError, ClientDisconnect) as error:
        raise TooSlowError from error


async def read(request: Request, kind: type[Body], *, most: int) -> Body:
    """Returns the body of a request as a dataclass.

    Raises:
        UserError: it is no JSON, or not of that kind.
        TooLargeError: see `parts`, and so TooSlowError.
    """
    data = b"".join([part async for part in parts(request, most=most, seconds=JSON_SECONDS)])
    try:
        found = json.loads(data or b"{}")
    except (ValueError, RecursionError) as error:
        raise UserError(f"expected JSON, found: {one_line(error)}") from None
    return _as(kind, found)


def _as(kind: type[Body], found: Any) -> Body:
    """Returns JSON as a dataclass; raises UserError if it is not of that kind."""
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if not isinstance(found, dict) or (unknown := next((name for name in found if name not in fields), None)):
        what = "another body" if not isinstance(found, dict) else one_line(unknown)
        raise UserError(f"expected an object with {', '.join(fields)}, found {what}")
    for name, field in fields.items():
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if name not in found and needed:
            raise UserError(f"{name}: expected one, found none")
        if name in found and not _is(hints[name], found[name]):
            raise UserError(f"{name}: expected {hints[name]}, found {one_line(found[name])}")
    return kind(**found)


def _is(hint: Any, value: Any) -> bool:
    """Returns whether a value, from JSON, is of a type."""
    origin, items = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_is(item, value) for item in items)
    if origin is list:
        return isinstance(value, list) and all(_is(items[0], item) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(_is(items[1], item) for item in value.values())
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
