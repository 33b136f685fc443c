"""Who may ask the studio."""

import asyncio
import base64

import pytest

httpx = pytest.importorskip("httpx")
pytest.importorskip("starlette")

from experiments.studios import guard  # noqa: E402

pytestmark = pytest.mark.quick

TOKEN = "secret"
HOST = "127.0.0.1:4000"


async def echo(scope, receive, send):
    """An application that says which path it was asked for."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"max-age=1")]})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


def ask(path, *, host=HOST, method="GET", headers=(), listens="127.0.0.1", password=None):
    """Returns the answer to a request."""
    guarded = guard.Guard(echo, token=TOKEN, host=listens, password=password)

    async def asked():
        transport = httpx.ASGITransport(guarded)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
            return await client.request(method, path, headers={"host": host, **dict(headers)})

    return asyncio.run(asked())


def test_who_knows_the_token_is_let_in():
    answer = ask("/secret/api/state")
    assert (answer.status_code, answer.text) == (200, "/api/state")
    assert answer.headers["content-security-policy"] == guard.POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "max-age=1"
    assert ask("/secret").headers["location"] == "/secret/"
    assert ask("/secret/").text == "/"


@pytest.mark.parametrize("path", ["/", "/api/state", "/secre/api/state", "/secrets/", "/%00/", "//secret/", "/\u00e9/"])
def test_who_does_not_finds_nothing(path):
    assert ask(path).status_code == 404


def test_tokens_are_compared_in_constant_time_and_never_the_same(monkeypatch):
    compared = []
    monkeypatch.setattr(guard, "compare_digest", lambda *pair: compared.append(pair) or pair[0] == pair[1])
    assert ask("/wrong/").status_code == 404
    assert compared == [(b"wrong", b"secret")]
    tokens = {guard.new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) == 32 for token in tokens)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:4000", "127.0.0.1.evil.example", "", "[::2]:4000"])
def test_a_name_that_was_made_to_mean_this_machine_is_refused(host):
    assert ask("/secret/", host=host).status_code == 403


@pytest.mark.parametrize("host", ["localhost:4000", "127.0.0.1", "[::1]:4000"])
def test_the_names_of_this_machine_are_not(host):
    assert ask("/secret/", host=host).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_other_origins_are_refused(method):
    for origin in ("http://evil.example", "null", f"https://{HOST}", "http://127.0.0.1:4001"):
        assert ask("/secret/api/runs", method=method, headers={"origin": origin}).status_code == 403
    assert ask("/secret/api/runs", method=method, headers={"origin": f"http://{HOST}"}).status_code == 200


def test_what_another_site_sends_is_refused_and_a_link_is_followed():
    for site in ("cross-site", "same-site"):
        sent = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}
        assert ask("/secret/api/images/1", headers=sent).status_code == 403
        followed = {"sec-fetch-site": site, "sec-fetch-mode": "navigate"}
        assert ask("/secret/", headers=followed).status_code == 200
        assert ask("/secret/api/runs", method="POST", headers=followed).status_code == 403


def credentials(password):
    return {"authorization": "Basic " + base64.b64encode(f"anyone:{password}".encode()).decode()}


def test_a_password_is_asked_for(monkeypatch):
    monkeypatch.setattr(guard, "_SLOW_DOWN", 0)
    options = {"listens": "0.0.0.0", "password": "pass:w\u00f6rd", "host": "192.168.0.7:4000"}
    refused = ask("/secret/", **options)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Basic")
    for wrong in (
        credentials("other"),
        {"authorization": "Basic ?"},
        {"authorization": "Bearer pass:w\u00f6rd".encode()},
    ):
        assert ask("/secret/", headers=wrong, **options).status_code == 401
    assert ask("/secret/", headers=credentials("pass:w\u00f6rd"), **options).status_code == 200
    assert (
        ask("/secret/", headers=credentials("pass:w\u00f6rd"), **{**options, "host": "evil.example"}).status_code == 403
    )


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.1", False),
        ("example.org", False),
    ],
)
def test_loopback(host, expected):
    assert guard.is_loopback(host) == expected
