import hashlib
import json
import os
import random
import resource
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from file_server import BLOCK, endless, reply, running_server, serve, wait_for

from converters.fetching import download
from converters.fetching.download import UnreachableError, Wanted
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parents[3]
DATA = random.Random(1).randbytes(200_000)
OTHER = random.Random(2).randbytes(200_000)
SHA256 = {"sha256": hashlib.sha256(DATA).hexdigest()}
KEPT = 9 * BLOCK
DATE = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.fixture
def server():
    with running_server() as running:
        yield running


@pytest.fixture
def wanted(server, tmp_path):
    return Wanted(server.url, tmp_path / "weights.bin", len(DATA), SHA256, 10**9)


def fetch(wanted, show=lambda done, total: None, timeouts=(1, 1), pauses=(0, 0, 0, 0)):
    return download.download(wanted, show, timeouts=timeouts, pauses=pauses)


def names(wanted):
    return sorted(path.name for path in wanted.path.parent.iterdir())


def check_fetched(wanted):
    assert fetch(wanted) == SHA256["sha256"]
    assert wanted.path.read_bytes() == DATA
    assert names(wanted) == ["weights.bin"]


def break_off(wanted, server, sent=KEPT, **headers):
    """Leaves a part file of `sent` bytes, for which the server said these headers."""
    server.answers = [serve(DATA, sent=sent, **headers)]
    with pytest.raises(UserError, match="all tries broke off"):
        fetch(wanted, pauses=())
    assert wanted.part.stat().st_size == sent
    server.asked.clear()


# --- what comes out ---


def test_a_file_comes_whole(wanted, server):
    server.answers = [serve(DATA)]
    shown = []
    assert fetch(wanted, lambda *progress: shown.append(progress)) == SHA256["sha256"]
    assert wanted.path.read_bytes() == DATA
    assert names(wanted) == ["weights.bin"]
    assert shown == [(done, len(DATA)) for done in (*range(0, len(DATA), BLOCK), len(DATA))]
    assert server.asked[0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("length", [True, False], ids=["declared", "by the end"])
def test_nothing_is_known_of_the_file(wanted, server, length):
    server.answers = [serve(DATA) if length else reply(200, DATA)]
    check_fetched(wanted._replace(size=None, hashes={}))


def test_all_hashes_are_checked_and_digits_may_be_few_and_capital(wanted, server):
    server.answers = [serve(DATA)]
    right = {"sha256": SHA256["sha256"][:8].upper(), "md5": hashlib.md5(DATA).hexdigest()}
    check_fetched(wanted._replace(hashes=right))
    wanted.path.unlink()
    with pytest.raises(UserError, match=r"weights.bin: expected sha1 00, found [0-9a-f]{40}; this is not the file; "):
        fetch(wanted._replace(hashes=right | {"sha1": "00"}))
    assert names(wanted) == []


def test_a_whole_file_from_before_is_not_fetched_again(wanted, server):
    wanted.path.write_bytes(DATA)
    check_fetched(wanted)
    assert server.asked == []


def test_a_wrong_file_from_before_is_noticed(wanted):
    wanted.path.write_bytes(OTHER)
    with pytest.raises(UserError, match="expected sha256 "):
        fetch(wanted)
    assert names(wanted) == []


# --- going on ---


def test_a_connection_that_breaks_is_taken_up_again(wanted, server):
    server.answers = [serve(DATA, sent=4 * BLOCK, ETag='"a"')]
    check_fetched(wanted)
    assert server.ranges == [None, "bytes=65536-", "bytes=131072-", "bytes=196608-"]
    assert [headers["If-Range"] for headers in server.asked] == [None, '"a"', '"a"', '"a"']


def test_tries_end_unless_they_bring_the_file_on(wanted, server, monkeypatch):
    server.answers = [serve(DATA, sent=BLOCK + 1000)]
    with pytest.raises(UserError) as raised:
        fetch(wanted)
    assert len(server.asked) == 5
    assert str(raised.value).startswith(f"{server.url}: expected 200000 bytes, found that all tries broke off (Incom")
    assert str(raised.value).endswith("; 81920 bytes are kept, and the same command continues from there")
    monkeypatch.setattr(download, "_PROGRESS", BLOCK)
    check_fetched(wanted)
    assert len(server.asked) == 13


def test_a_server_that_gives_one_beginning_again_and_again(wanted, server, monkeypatch):
    monkeypatch.setattr(download, "_PROGRESS", BLOCK)
    server.answers = [serve(DATA, sent=BLOCK, ranges=False), reply(206, Content_Range="bytes 0-9/10")] * 10
    with pytest.raises(UserError, match="all tries broke off"):
        fetch(wanted)
    assert len(server.asked) == 5


@pytest.mark.parametrize(
    ("headers", "condition"),
    [
        ({"ETag": '"a"', "Last-Modified": DATE}, '"a"'),
        ({"ETag": 'W/"a"', "Last-Modified": DATE}, DATE),
        ({"ETag": 'W/"a"'}, None),
        ({"Last-Modified": "\xff"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_only_the_rest_is_asked_for(wanted, server, headers, condition):
    break_off(wanted, server, **headers)
    server.answers = [serve(DATA, **headers)]
    check_fetched(wanted)
    assert server.ranges == [f"bytes={KEPT}-"]
    assert server.asked[0]["If-Range"] == condition


def test_a_file_that_changed_begins_anew(wanted, server):
    break_off(wanted, server, ETag='"a"')
    server.answers = [serve(DATA, ETag='"b"', sent=BLOCK), serve(DATA, ETag='"b"')]
    check_fetched(wanted)
    assert server.ranges == [f"bytes={KEPT}-", f"bytes={BLOCK}-"]
    assert [headers["If-Range"] for headers in server.asked] == ['"a"', '"b"']


def test_a_server_without_ranges(wanted, server):
    break_off(wanted, server)
    server.answers = [serve(DATA, ranges=False)]
    check_fetched(wanted)
    assert server.ranges == [f"bytes={KEPT}-"]


def test_an_answer_without_the_file_costs_nothing_of_what_is_there(wanted, server):
    break_off(wanted, server)
    server.answers = [reply(200, b"<html>pay here", Content_Length=14)]
    with pytest.raises(UserError, match="expected 200000 bytes, found 14; this is not the file"):
        fetch(wanted)
    server.answers = [reply(503)]
    with pytest.raises(UnreachableError):
        fetch(wanted)
    assert wanted.part.read_bytes() == DATA[:KEPT]


def test_without_hash_and_validator_it_begins_anew(wanted, server):
    wanted = wanted._replace(hashes={}, size=None)
    break_off(wanted, server)
    server.answers = [serve(DATA)]
    check_fetched(wanted)
    assert server.ranges == [None]


def test_without_hash_a_validator_is_enough(wanted, server):
    wanted = wanted._replace(hashes={}, size=None)
    break_off(wanted, server, ETag='"a"')
    server.answers = [serve(DATA, ETag='"a"')]
    check_fetched(wanted)
    assert server.ranges == [f"bytes={KEPT}-"]


def test_another_address_goes_on_if_there_is_a_hash(wanted, server):
    break_off(wanted, server, ETag='"a"')
    server.answers = [serve(DATA)]
    other = wanted._replace(url=wanted.url + "?mirror")
    assert fetch(other._replace(hashes={})) == SHA256["sha256"]
    other.path.unlink()
    break_off(wanted, server, ETag='"a"')
    server.answers = [serve(DATA)]
    check_fetched(other)
    assert server.ranges == [f"bytes={KEPT}-"]
    assert server.asked[0]["If-Range"] is None


def test_a_wrong_beginning_is_removed_so_that_the_next_try_begins_anew(wanted, server):
    wanted.part.write_bytes(OTHER[:1000])
    server.answers = [serve(DATA)]
    with pytest.raises(UserError, match="expected sha256 "):
        fetch(wanted)
    assert names(wanted) == []
    check_fetched(wanted)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "\x00", '{"url": 1}', '{"validator": "a"}', "[" * 10_000])
def test_a_damaged_record(wanted, server, text):
    wanted.part.write_bytes(DATA[:1000])
    wanted.record.write_text(text)
    server.answers = [serve(DATA)]
    check_fetched(wanted)


def test_a_record_names_the_file(wanted, server):
    break_off(wanted, server, ETag='"a"')
    assert json.loads(wanted.record.read_text()) == {"url": server.url, "validator": '"a"', "size": 200_000}


@pytest.mark.parametrize(
    ("part", "count"), [(DATA, 1), (DATA + b"more", 2), (DATA[:1000], 1)], ids=["whole", "longer", "shorter"]
)
def test_what_is_there_of_a_file_of_unknown_size(wanted, server, part, count):
    wanted.part.write_bytes(part)
    server.answers = [serve(DATA)]
    check_fetched(wanted._replace(size=None))
    assert len(server.asked) == count


WRONG_RANGES = [
    "bytes 0-199999/200000",
    f"bytes {KEPT}-199999/200001",
    f"bytes {KEPT}-",
    "bytes */200000",
    "octets",
    "",
]


@pytest.mark.parametrize("text", WRONG_RANGES)
def test_other_bytes_than_those_asked_for(wanted, server, text):
    break_off(wanted, server)
    server.answers = [reply(206, OTHER, Content_Range=text), serve(DATA)]
    check_fetched(wanted)
    assert server.ranges == [f"bytes={KEPT}-", None]


def test_a_range_nobody_asked_for(wanted, server):
    server.answers = [reply(206, DATA, Content_Range="bytes 0-199999/200000")]
    with pytest.raises(UnreachableError, match="found 206 Partial Content"):
        fetch(wanted)


def test_whatever_servers_do_only_the_right_file_comes_out(wanted, server):
    chance = random.Random(3)
    ends = set()
    for _ in range(60):
        tag = chance.choice(['"a"', '"b"', 'W/"c"', ""])
        start = chance.choice([0, 1, 65536, 199_999])
        kinds = [
            serve(DATA, ETag=tag),
            serve(DATA, ETag=tag, sent=chance.randrange(len(DATA)), ranges=chance.random() < 0.5),
            serve(OTHER, ETag=tag, sent=chance.randrange(len(DATA))),
            serve(DATA[:-1], ETag=tag),
            reply(206, DATA[start:], Content_Range=f"bytes {start}-199999/200000"),
            reply(206, DATA, Content_Range="bytes 10-20/200000"),
            reply(416, Content_Range=f"bytes */{start}"),
            reply(503),
            reply(200, DATA[start:]),
        ]
        server.answers = chance.choices(kinds, k=8)
        server.asked.clear()
        size = chance.choice([None, len(DATA)])
        try:
            fetch(wanted._replace(size=size))
        except UserError as error:
            assert str(error).isprintable()  # noqa: PT017
            ends.add(type(error))
            assert not wanted.path.exists()
        else:
            ends.add(None)
            assert wanted.path.read_bytes() == DATA
            wanted.path.unlink()
    assert ends == {None, UserError, UnreachableError}


# --- limits ---


@pytest.mark.parametrize("length", [1, 199_999, 200_001, 10**17])
def test_a_wrong_length_stops_at_once(wanted, server, length):
    server.answers = [reply(200, b"x", Content_Length=length)]
    with pytest.raises(UserError, match=f"expected 200000 bytes, found {length}; this is not the file; "):
        fetch(wanted)
    assert names(wanted) == []


@pytest.mark.parametrize("length", ["-1", "x", "200000, 1", "1" * 5000, "²"])
def test_a_length_that_is_no_number(wanted, server, length):
    server.answers = [reply(200, DATA, Content_Length=length)]
    with suppress(UnreachableError):  # requests refuses some of them
        check_fetched(wanted)


def test_a_file_larger_than_any(wanted, server):
    server.answers = [serve(DATA)]
    with pytest.raises(UserError, match="expected at most 1000 bytes, found 200000"):
        fetch(wanted._replace(size=None, largest=1000))
    assert names(wanted) == []


@pytest.mark.parametrize("size", [len(DATA), None])
def test_a_body_without_end(wanted, server, size):
    server.answers = [endless()]
    most = []
    with pytest.raises(UserError, match="expected at most 200000 bytes, found more"):
        fetch(wanted._replace(size=size, largest=200_000), lambda done, total: most.append(done))
    assert max(most) <= 200_000
    assert names(wanted) == []


def test_a_redirect_with_a_body_without_end(wanted, server):
    server.answers = [endless(302, Location="/elsewhere"), serve(DATA)]
    check_fetched(wanted)


def test_chunks_that_are_damaged(wanted, server):
    server.answers = [reply(200, b"5\r\n" + DATA[:5] + b"\r\nnonsense\r\n", Transfer_Encoding="chunked"), serve(DATA)]
    check_fetched(wanted)


# --- what servers say ---


def test_redirects_are_followed_ten_at_most(wanted, server):
    server.answers = [*[reply(302, Location="/again")] * 10, serve(DATA)]
    check_fetched(wanted)
    server.asked.clear()
    server.answers = [reply(302, Location="/again")]
    wanted.path.unlink()
    with pytest.raises(UnreachableError, match=r"found no usable address \(Exceeded 10 redirects"):
        fetch(wanted)
    assert len(server.asked) == 11


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/a", "data:,a", "http://[", "//", "\x1b://a"])
def test_redirects_to_no_address(wanted, server, target):
    server.answers = [reply(302, Location=target)]
    with pytest.raises(UnreachableError) as raised:
        fetch(wanted)
    assert str(raised.value).isprintable()
    assert names(wanted) == []


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://a/b", "vgg19.h5", "", "http://", "http://a..b/", "http://\n"]
)
def test_no_address(wanted, server, url):
    with pytest.raises(UnreachableError, match=r"found no usable address \(") as raised:
        fetch(wanted._replace(url=url))
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (reply(404), "404 Not Found$"),
        (reply(500), "500 Internal Server Error$"),
        (reply(403, reason="\x1b[31m" + "no" * 1000), r"403 \\x1b\[31mnono[no]*…$"),
        (reply(301), "301 Moved Permanently$"),
        (reply(416, reason="Range Not Satisfiable"), "416 Range Not Satisfiable$"),
        (reply(200, DATA, Content_Encoding="gzip"), "it encoded as gzip, which was not requested$"),
    ],
    ids=["404", "500", "escapes", "nowhere", "416", "gzip"],
)
def test_a_server_that_does_not_give_it(wanted, server, given, message):
    server.answers = [given]
    with pytest.raises(UnreachableError, match=f"^cannot fetch {server.url}: found {message}"):
        fetch(wanted)
    assert names(wanted) == []
    assert len(server.asked) == 1


def test_nobody_there(wanted, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/a"
        with pytest.raises(
            UnreachableError, match=rf"^cannot fetch {url}: found no connection \(Connection refused\)$"
        ):
            fetch(wanted._replace(url=url))

    def fail(*_):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(UnreachableError, match=r"found no connection \(Name or service not known\)$"):
        fetch(wanted._replace(url="http://nowhere.invalid/"))


def test_silence(wanted, server):
    server.answers = [lambda handler: handler.server.stopped.wait(10)]
    with pytest.raises(UnreachableError, match=r"found no connection \(timed out\)$"):
        fetch(wanted, timeouts=(1, 0.1))
    server.answers = [serve(DATA, sent=BLOCK + 1000, wait=True)]
    with pytest.raises(UserError, match=r"broke off \(timed out\); 32768 bytes are kept, and the same"):
        fetch(wanted, timeouts=(1, 0.1), pauses=(0,))


# --- the disk ---


def test_a_disk_that_is_full(wanted, server):
    server.answers = [serve(DATA)]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(
            UserError, match=r"weights.bin.part: cannot be written \(File too large\): make room"
        ) as raised:
            fetch(wanted)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(raised.value).isprintable()
    check_fetched(wanted)
    assert server.ranges[1] in (f"bytes={6 * BLOCK}-", "bytes=100000-")


def test_a_folder_in_the_way(wanted, server):
    server.answers = [serve(DATA)]
    wanted.record.mkdir()
    with pytest.raises(UserError, match=r"weights.bin.part.json: expected a file"):
        fetch(wanted)
    wanted.part.unlink()
    wanted.part.mkdir()
    with pytest.raises(UserError, match=r"weights.bin.part: cannot be written"):
        fetch(wanted)


def test_a_process_that_is_killed(wanted, server):
    server.answers = [serve(DATA, sent=KEPT, wait=True, ETag='"a"')]
    code = (
        "import pathlib, sys; from converters.fetching.download import *; "
        f"download(Wanted(sys.argv[1], pathlib.Path(sys.argv[2]), {len(DATA)}, {SHA256}, 10**9), lambda *_: None)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, wanted.url, str(wanted.path)], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    wait_for(wanted.part, KEPT)
    process.kill()
    process.wait()
    server.answers = [serve(DATA, ETag='"a"')]
    check_fetched(wanted)
    assert server.ranges == [None, f"bytes={KEPT}-"]
    assert server.asked[1]["If-Range"] == '"a"'
