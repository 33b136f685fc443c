"""The routes of the studio, with a worker that does nothing."""

import asyncio
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

httpx = pytest.importorskip("httpx")
pytest.importorskip("starlette")

from experiments.studios import bodies, server  # noqa: E402
from experiments.studios import desk as desks  # noqa: E402
from nst_jax.presets import PRESETS  # noqa: E402

pytestmark = pytest.mark.quick


class Worker:
    """A worker that does nothing."""

    pid = 1

    def __init__(self, *_):
        pass

    def send(self, command):
        pass

    def join(self, seconds):
        return True


class Asker:
    """Asks an application, from within its loop."""

    def __init__(self, app):
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1/t/")

    async def __call__(self, path, method="GET", **options):
        return await self.client.request(method, path, **options)

    async def upload(self, data, **query):
        return (await self("api/images", "POST", content=data, params=query)).json()


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """A function that runs a function of an `Asker`, with a studio in `tmp_path / "studio"`."""
    monkeypatch.setattr(desks, "Worker", Worker)
    monkeypatch.setenv("NST_JAX_WEIGHTS", str(tmp_path / "none"))

    def run(test):
        async def inside():
            app = server.application(tmp_path / "studio", token="t", host="127.0.0.1")
            starts, ends, done = asyncio.Event(), asyncio.Event(), []

            async def receive():
                if not done:
                    done.append(True)
                    return {"type": "lifespan.startup"}
                await ends.wait()
                return {"type": "lifespan.shutdown"}

            async def send(message):
                assert "failed" not in message["type"], message
                starts.set()

            lifespan = asyncio.create_task(app({"type": "lifespan", "state": {}}, receive, send))
            await starts.wait()
            try:
                return await test(Asker(app))
            finally:
                ends.set()
                await lifespan

        return asyncio.run(inside())

    return run


def png(seed=0):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 60, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


async def begun(ask):
    """Returns the id of a run."""
    image = await ask.upload(png(), name="photo.png")
    answer = await ask("api/runs", "POST", json={"content": image["id"], "styles": [image["id"]]})
    assert answer.status_code == 201
    return answer.json()["id"]


def test_what_there_is_to_choose_from(asked):
    async def test(ask):
        found = (await ask("api/studio")).json()
        assert found["networks"] == ["squeezenet1_1"]
        assert "vgg19" in found["missing"]["vgg19"]
        assert found["presets"].keys() == PRESETS.keys()
        assert found["presets"]["squeezenet"] == ["squeezenet1_1"]
        assert found["presets"]["gatys"] == []
        assert {dial["name"] for dial in found["dials"]} >= {"strength", "size", "blend_weights", "keep"}
        defaults = (await ask("api/defaults", params={"preset": "gatys"})).json()
        assert defaults["style_weight"] == 1000
        assert (await ask("api/defaults", params={"preset": "x"})).status_code == 400

    asked(test)


def test_an_image_goes_up_and_comes_back(asked):
    async def test(ask):
        image = await ask.upload(png(), name="a/photo.png")
        assert image == {**image, "name": "photo.png", "width": 60, "height": 40}
        view = await ask(f"api/images/{image['id']}", params={"side": 100})
        assert view.headers["content-type"] == "image/jpeg"
        with Image.open(io.BytesIO(view.content)) as found:
            assert found.size == (60, 40)
        details = await ask(f"api/images/{image['id']}/details")
        assert details.json() == image
        assert (await ask(f"api/images/{'0' * 24}/details")).status_code == 404
        assert (await ask.upload(b"no picture"))["error"].startswith("expected a whole picture")
        assert (
            await ask("api/images", "POST", content=b"x", headers={"content-length": str(10**10)})
        ).status_code == 413

    asked(test)


def test_nothing_outside_is_read(asked, tmp_path):
    (tmp_path / "secret.png").write_bytes(png())
    (tmp_path / "studio" / "images").mkdir(parents=True)
    (tmp_path / "studio" / "secret.json").write_text("{}")

    async def test(ask):
        run = await begun(ask)
        up = ("%2e%2e", "..%2f..", "..%2f..%2f..%2fsecret.png", "%2fetc%2fpasswd", "....//", "..%5c..", "%00")
        for part in up:
            for path in (
                f"page/{part}",
                f"page/%2e%2e/{part}",
                f"api/images/{part}",
                f"api/runs/{part}",
                f"api/runs/{part}/picture.png",
                f"api/runs/{part}/run.json",
                f"api/runs/{run}/{part}",
                f"api/runs/{run}/sweep/{part}",
                f"api/runs/{run}/sweep/cells/{part}",
            ):
                assert (await ask(path)).status_code in (404, 405), path
            assert (await ask(f"api/runs/{part}", "DELETE")).status_code in (404, 405)
            for name in ("content", "styles"):
                new = {"content": "sample-contents-astronaut", "styles": ["sample-styles-flow"]}
                new[name] = [part] if name == "styles" else part
                assert (await ask("api/runs", "POST", json=new)).status_code == 404
        assert (await ask("page/__init__.py")).status_code == 404
        assert (await ask("page/index.html")).status_code == 200

    asked(test)


def test_what_has_not_been_made_is_not_there(asked):
    async def test(ask):
        run = await begun(ask)
        other = await begun(ask)
        for name in ("picture.png", "picture.tiff", "run.json", "thumbnail", "sweep/index.html", "sweep/cells/a.png"):
            assert (await ask(f"api/runs/{other}/{name}")).status_code == 404
        assert (await ask(f"api/runs/{run}/frame")).status_code == 204
        assert (await ask(f"api/runs/{run}/frame", params={"after": "x"})).status_code in (204, 400)
        assert (await ask(f"api/runs/{run}/losses")).json()["step"] == []
        assert (await ask(f"api/runs/{other}/pause", "POST")).status_code == 409
        assert (await ask(f"api/runs/{run}/undo", "POST", params={"mark": 3})).status_code == 404
        assert (await ask(f"api/runs/{run}/undo", "POST", params={"mark": "x"})).status_code == 400
        assert (await ask(f"api/runs/{run}/undo")).status_code == 405

    asked(test)


def test_the_gallery_shows_the_newest_first_and_the_command(asked):
    async def test(ask):
        first, second = await begun(ask), await begun(ask)
        found = (await ask("api/runs")).json()
        assert [entry["id"] for entry in found] == [second, first]
        entry = (await ask(f"api/runs/{second}")).json()
        assert entry["command"].startswith("python -m experiments.stylize --content=/")
        assert entry["exact"]
        assert entry["name"] == "photo, photo"
        assert (await ask(f"api/runs/{second}", "DELETE")).json() == {}
        assert [entry["id"] for entry in (await ask("api/runs")).json()] == [first]

    asked(test)


def test_news_are_states(asked, monkeypatch):
    """Who listens gets all at once, then what has changed; there is room for so many."""
    monkeypatch.setattr(server, "MOST_LISTENERS", 1)

    async def test(ask):
        routes = ask.client._transport.app._app.routes
        endpoint = next(route.endpoint for route in routes if route.path == "/api/news")
        stream = (await endpoint(None)).body_iterator
        first = await anext(stream)
        assert first.startswith("event: state\ndata: {")
        assert json.loads(first.split("data: ")[1])["run"] is None
        run = await begun(ask)
        news = await anext(stream)
        while not news.startswith("event: state") or not json.loads(news.split("data: ")[1])["run"]:
            news = await anext(stream)
        state = json.loads(news.split("data: ")[1])
        assert state["run"]["id"] == state["entry"]["id"] == run
        assert (await ask("api/news")).status_code == 503
        await stream.aclose()

    asked(test)


def test_too_many_uploads_at_once_wait(asked, monkeypatch):
    monkeypatch.setattr(server, "MOST_UPLOADS", 0)
    asked(lambda ask: _is_refused(ask))


async def _is_refused(ask):
    assert (await ask("api/images", "POST", content=png())).status_code == 503


def test_json_is_short(asked):
    async def test(ask):
        body = {"content": "x", "styles": ["y" * 100_000]}
        assert (await ask("api/runs", "POST", json=body)).status_code == 413
        assert bodies.JSON_SECONDS < 60

    asked(test)


def test_the_server_does_without_jax():
    code = "import sys, experiments.studios.server, experiments.studios.connections; print('jax' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
