"""The server: the routes of `protocol`, over the desk."""

import asyncio
import contextlib
import dataclasses
import functools
import importlib.resources
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

import nst_jax
from nst_jax import presets
from nst_jax.backbones import pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.commands import command
from nst_jax.errors import UserError, one_line

from ..sweeping.outcome import CELLS, PAGE
from . import bodies, dials, first_looks
from .curves import NOTHING
from .desk import Desk, NotNowError
from .folders import DEEP_PICTURE, PICTURE, RECORD, SWEEP, THUMBNAIL, stage_folder
from .guard import DOCUMENT_POLICY, Guard
from .protocol import MOST_BYTES, MOST_JSON, MOST_MOVES, MOST_PIXELS, Entry, Moved, NewRun, NewSweep, State, Studio

MOST_LISTENERS = 24
"""Pages that may listen to news at once."""

MOST_UPLOADS = 4
"""Uploads that may arrive at once."""

_NEWS_SECONDS = 0.1
"""Between two pieces of news at least."""

_QUIET_SECONDS = 15.0
"""After which a listener is sent a comment, by which a connection that has gone is found."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".png": "image/png",
    ".woff2": "font/woff2",
}
"""Of the page's files; there are no others."""


class _Busy(Exception):  # noqa: N818 - it is no error of anyone
    """Too many ask for the same at once."""


def application(workdir: Path, *, token: str, host: str, password: str | None = None) -> Guard:
    """Returns the ASGI application.

    Args:
        workdir: the folder of the studio.
        token: see `guard.Guard`, and so the next ones.
        host: the host at which it listens.
        password: what visitors have to give.
    """
    desk = Desk(workdir)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        desk.open()
        yield
        await desk.close()

    routes = _Routes(desk)
    app = Starlette(routes=routes.all(), lifespan=lifespan, exception_handlers=_HANDLERS)
    app.router.redirect_slashes = False  # it would leave out the token
    return Guard(app, token=token, host=host, password=password)


class _Routes:
    """What is answered."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._listeners = 0
        self._uploading = 0
        self._one_at_a_time = asyncio.Lock()

    def all(self) -> list[Route]:
        """Returns all routes."""
        desk = self._desk
        posts = {
            "pause": lambda run, _: desk.pause(run),
            "go_on": lambda run, _: desk.go_on(run),
            "stop": lambda run, _: desk.stop(run),
            "restart": lambda run, _: desk.restart(run),
            "mark": lambda run, _: {"mark": desk.mark(run)},
            "undo": lambda run, request: desk.undo(run, _number(request, "mark", 0)),
            "first": lambda run, _: desk.first(run),
        }
        return [
            Route("/", self.page),
            Route("/page/{name}", self.page),
            Route("/api/studio", self.studio),
            Route("/api/defaults", self.defaults),
            Route("/api/state", self.state),
            Route("/api/news", self.news),
            Route("/api/images", self.upload, methods=["POST"]),
            Route("/api/images/{image}", self.image),
            Route("/api/images/{image}/details", self.image_details),
            Route("/api/runs", self.gallery),
            Route("/api/runs", self.new_run, methods=["POST"]),
            Route("/api/sweeps", self.new_sweep, methods=["POST"]),
            Route("/api/runs/{run}", self.entry),
            Route("/api/runs/{run}", self.remove, methods=["DELETE"]),
            Route("/api/runs/{run}/dials", self.move, methods=["POST"]),
            Route("/api/runs/{run}/frame", self.frame),
            Route("/api/runs/{run}/losses", self.losses),
            Route(f"/api/runs/{{run}}/{PICTURE}", functools.partial(self.picture, name=PICTURE)),
            Route(f"/api/runs/{{run}}/{DEEP_PICTURE}", functools.partial(self.picture, name=DEEP_PICTURE)),
            Route(f"/api/runs/{{run}}/{RECORD}", self.record),
            Route("/api/runs/{run}/thumbnail", self.thumbnail),
            Route(f"/api/runs/{{run}}/sweep/{PAGE}", self.sweep_page),
            Route(f"/api/runs/{{run}}/sweep/{CELLS}/{{name}}", self.sweep_cell),
            *(
                Route(f"/api/runs/{{run}}/{name}", self._posted(action), methods=["POST"])
                for name, action in posts.items()
            ),
        ]

    def _posted(self, action: Callable[[str, Request], Any]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return JSONResponse(action(request.path_params["run"], request) or {})

        return answer

    # The page.

    async def page(self, request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        kind = _TYPES.get(Path(name).suffix)
        data = _page_files().get(name)
        if kind is None or data is None:
            raise LookupError("there is no such file")
        return Response(data, media_type=kind)

    async def studio(self, _: Request) -> Response:
        return _json(await asyncio.to_thread(_studio, self._desk))

    async def defaults(self, request: Request) -> Response:
        query = request.query_params
        return _json(dials.defaults(query.get("backbone", "auto"), query.get("preset", "auto")))

    # The state.

    async def state(self, _: Request) -> Response:
        return _json(_shown(self._desk.state()))

    async def news(self, _: Request) -> Response:
        if self._listeners >= MOST_LISTENERS:
            raise _Busy(f"{MOST_LISTENERS} pages listen already: close some")
        return StreamingResponse(self._news(), media_type="text/event-stream")

    async def _news(self) -> AsyncIterator[str]:
        self._listeners += 1
        try:
            board = self._desk.board
            version, entry, seen = 0, (0, ""), NOTHING
            while True:
                state = self._desk.state()
                if state.version != version:
                    shown = _shown(state, entry=entry != board.place)
                    version, entry = state.version, board.place
                    yield _event("state", shown)
                    losses, seen = board.losses_since(seen)
                    if losses is not None:
                        yield _event("losses", losses)
                else:
                    yield ": nothing new\n\n"
                await asyncio.sleep(_NEWS_SECONDS)
                await board.changed(version, _QUIET_SECONDS)
        finally:
            self._listeners -= 1

    # Images.

    async def upload(self, request: Request) -> Response:
        if self._uploading >= MOST_UPLOADS:
            raise _Busy("too many uploads at once: wait for some")
        self._uploading += 1
        try:
            uploads, query = self._desk.uploads, request.query_params
            is_map = query.get("kind", "image") == "map"
            with uploads.part() as file:
                async for part in bodies.parts(request, most=MOST_BYTES, seconds=bodies.UPLOAD_SECONDS):
                    file.write(part)
                async with self._one_at_a_time:  # decoding takes memory
                    used = self._desk.gallery.used_images()
                    keep = functools.partial(uploads.keep, file, query.get("name", ""), is_map=is_map, used=used)
                    image = await asyncio.to_thread(keep)
        finally:
            self._uploading -= 1
        return _json(image, status=201)

    async def image(self, request: Request) -> Response:
        side = _number(request, "side", 512)
        async with self._one_at_a_time:
            data = await asyncio.to_thread(self._desk.uploads.view, request.path_params["image"], side)
        return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=86400, immutable"})

    async def image_details(self, request: Request) -> Response:
        return _json(self._desk.uploads.image(request.path_params["image"]))

    # Runs.

    async def gallery(self, _: Request) -> Response:
        newest = sorted(self._desk.gallery.entries.values(), key=lambda entry: entry.created, reverse=True)
        return _json([_brief(entry) for entry in newest])

    async def entry(self, request: Request) -> Response:
        return _json(self._described(self._desk.entry(request.path_params["run"])))

    async def new_run(self, request: Request) -> Response:
        new = await bodies.read(request, NewRun, most=MOST_JSON)
        return _json({"id": self._desk.new(new)}, status=201)

    async def new_sweep(self, request: Request) -> Response:
        new = await bodies.read(request, NewSweep, most=MOST_JSON)
        return _json({"id": self._desk.new(new)}, status=201)

    async def move(self, request: Request) -> Response:
        moved = await bodies.read(request, Moved, most=MOST_JSON)
        return _json({"acts": self._desk.move(request.path_params["run"], moved)})

    async def remove(self, request: Request) -> Response:
        self._desk.remove(request.path_params["run"])
        return _json({})

    async def frame(self, request: Request) -> Response:
        state, newest = self._desk.state(), self._desk.board.frame
        self._desk.entry(request.path_params["run"])
        self._desk.want_frame()
        if newest is None or state.run is None or state.run.id != request.path_params["run"]:
            return Response(status_code=204)
        number, step, data = newest
        if number <= _number(request, "after", 0):
            return Response(status_code=204)
        return Response(data, media_type="image/jpeg", headers={"Frame": str(number), "Step": str(step)})

    async def losses(self, request: Request) -> Response:
        return _json(self._desk.losses(request.path_params["run"]))

    async def picture(self, request: Request, name: str) -> Response:
        run = request.path_params["run"]
        await self._desk.saved(run)
        return self._file(run, name, name=f"{run}{Path(name).suffix}")

    async def record(self, request: Request) -> Response:
        entry = self._desk.entry(request.path_params["run"])
        last = stage_folder(Path(), max(0, len(entry.stages) - 1))
        return self._file(entry.id, str(last / RECORD))

    async def thumbnail(self, request: Request) -> Response:
        return self._file(request.path_params["run"], THUMBNAIL)

    async def sweep_page(self, request: Request) -> Response:
        found = self._file(request.path_params["run"], f"{SWEEP}/{PAGE}")
        found.headers["content-security-policy"] = DOCUMENT_POLICY
        return found

    async def sweep_cell(self, request: Request) -> Response:
        entry, name = self._desk.entry(request.path_params["run"]), request.path_params["name"]
        # One of the names that are there, and not a path made of what was asked for.
        folder = self._desk.gallery.folder(entry.id) / SWEEP / CELLS
        names = {path.name for path in folder.glob("*.png")}
        if name not in names:
            raise LookupError("there is no such picture")
        return self._file(entry.id, f"{SWEEP}/{CELLS}/{name}")

    def _file(self, run: str, path: str, name: str | None = None) -> Response:
        """Returns a file of a run; raises LookupError if there is none."""
        full = self._desk.gallery.folder(self._desk.entry(run).id) / path
        if not full.is_file():
            raise LookupError("it has not been written yet")
        return FileResponse(full, filename=name)

    def _described(self, entry: Entry) -> dict[str, Any]:
        """Returns an entry with its command."""
        last = entry.stages[-1] if entry.stages else None
        exact = last is None or (not last.moves and (entry.dials, entry.images) == (last.begun, last.images))
        return {**dataclasses.asdict(entry), "command": self._desk.command(entry), "exact": exact}


def _shown(state: State, *, entry: bool = True) -> dict[str, Any]:
    """Returns the state as pages have it, with or without the entry of the run at work."""
    found = dataclasses.asdict(dataclasses.replace(state, entry=None))
    found["entry"] = state.entry and _brief(state.entry)
    if not entry:
        del found["entry"]
    return found


def _brief(entry: Entry) -> dict[str, Any]:
    """Returns an entry without most of its moves: there may be thousands, which pages have no use for."""
    stages = [dataclasses.replace(stage, moves=[]) for stage in entry.stages[:-1]]
    stages += [dataclasses.replace(stage, moves=stage.moves[-MOST_MOVES:]) for stage in entry.stages[-1:]]
    marks = [dataclasses.replace(mark, moves=[]) for mark in entry.marks]
    return dataclasses.asdict(dataclasses.replace(entry, stages=stages, marks=marks))


def _studio(desk: Desk) -> Studio:
    """Returns what there is to choose from."""
    installed = [name for name in BACKBONES if pretrained.find(name)]
    return Studio(
        version=nst_jax.__version__,
        dials=dials.dials(installed),
        networks=installed,
        missing={name: f"{command('converters.fetch')} {name}" for name in BACKBONES if name not in installed},
        presets={
            name: [network for network in installed if presets.suits(presets.preset(name, network), network)]
            for name in presets.PRESETS
        },
        samples=desk.uploads.samples(),
        most_bytes=MOST_BYTES,
        most_pixels=MOST_PIXELS,
        first_looks=first_looks.names(),
    )


@functools.cache
def _page_files() -> dict[str, bytes]:
    """Returns the files of the page by name."""
    folder = importlib.resources.files(__package__) / "page"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def _number(request: Request, name: str, default: int) -> int:
    """Returns a whole number of the query; raises UserError if it is none."""
    text = request.query_params.get(name, str(default))
    if not text.isdecimal() or len(text) > 9:
        raise UserError(f"{name}: expected a whole number, found {one_line(text)!r}")
    return int(text)


def _json(found: Any, status: int = 200) -> JSONResponse:
    return JSONResponse(dataclasses.asdict(found) if dataclasses.is_dataclass(found) else found, status)  # type: ignore[arg-type]


def _event(name: str, found: Any) -> str:
    content = dataclasses.asdict(found) if dataclasses.is_dataclass(found) else found  # type: ignore[arg-type]
    return f"event: {name}\ndata: {json.dumps(content, separators=(',', ':'))}\n\n"


def _refusal(status: int, text: str = "") -> Any:
    async def answer(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": text or one_line(error.args[0] if error.args else error, longest=1000)}, status)

    return answer


_HANDLERS: Any = {
    UserError: _refusal(400),
    LookupError: _refusal(404),
    NotNowError: _refusal(409),
    bodies.TooSlowError: _refusal(408, "it did not arrive in time"),
    bodies.TooLargeError: _refusal(413, "it has more bytes than there may be"),
    _Busy: _refusal(503),
    OSError: _refusal(507, "the studio cannot write there: make room on its disk"),
}
