import struct
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.containers import zips
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick

CONTENTS = {"a/data.pkl": b"pickle", "a/data/0": bytes(range(256)) * 8192, "a/data/ä": b"", "a/version": b"3\n"}


def write(path, contents=CONTENTS, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "a.zip")


def test_members_are_the_bytes_that_were_stored(path):
    members = zips.members(path)
    assert {name: member.read() for name, member in members.items()} == CONTENTS
    assert list(members) == zips.names(path) == list(CONTENTS)
    for name, member in members.items():
        member.check()
        assert (member.name, member.region.read()) == (name, CONTENTS[name])
    assert zips.recognises(path)


def test_folders_are_left_out(tmp_path):
    assert list(zips.members(write(tmp_path / "a.zip", {"a/": b"", "a/b": b"1"}))) == ["a/b"]


def test_zip64(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, archive.open("a", "w", force_zip64=True) as member:
        member.write(b"1234")
    assert zips.members(tmp_path / "a.zip")["a"].read() == b"1234"
    # What is in 32 bits is in 64 as well, once the limit is so low.
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    members = zips.members(write(tmp_path / "b.zip"))
    assert b"PK\x06\x06" in (tmp_path / "b.zip").read_bytes()
    assert {name: member.read() for name, member in members.items()} == CONTENTS


def test_not_a_zip_archive(tmp_path):
    (tmp_path / "a").write_bytes(b"PK but not this")
    assert not zips.recognises(tmp_path / "a")


# --- archives that must not be used ---


def read(path):
    return {name: member.read() for name, member in zips.members(path).items()}


def refused(path, message):
    with pytest.raises(UserError, match=message) as raised:
        read(path)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "a/../../b", "..", "a//b", "./a", "a\\b", "C:b", "a\nb", "a\x1b[2J", "a\u202eb", "a/../"]
)
def test_names_that_lead_elsewhere(tmp_path, name):
    refused(write(tmp_path / "a.zip", {name: b""}), "expected members with names such as data/0, found")


def test_names_with_a_zero(tmp_path):
    path = write(tmp_path / "a.zip", {"good-evil": b""})
    path.write_bytes(path.read_bytes().replace(b"good-evil", b"good\0evil"))
    refused(path, r"such as data/0, found good\\x00evil;")


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_members(tmp_path, compression):
    path = write(tmp_path / "bomb.zip", {"a": bytes(10_000_000)}, compression)
    refused(path, "expected an archive without compression, found a compressed; save")
    assert zips.names(path) == ["a"]


def test_encrypted_members(path):
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    refused(path, "expected an archive without password, found a/data.pkl encrypted")


def test_a_local_header_that_says_something_else(path):
    intact = path.read_bytes()
    for position, value, message in [
        (0, b"XX", "no member at 0, where a/data.pkl should be"),
        (6, b"\1", "without password"),
        (8, b"\x08", "without compression"),
        (30, b"b", "where .*a/data.pkl.* should be"),
        (28, b"\xff\xff", "in the same place as another member"),
        (26, b"\xff\xff", "found .* where .*a/data.pkl.* should be"),
    ]:
        path.write_bytes(intact[:position] + value + intact[position + len(value) :])
        refused(path, message)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicates(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", "1")
        archive.writestr("a", "2")
    refused(tmp_path / "a.zip", "expected a once, found it twice")


def entry(data, name):
    """Returns where the entry of a member in the directory is."""
    return data.rindex(name) - 46


def test_overlapping_members(path):
    data = bytearray(path.read_bytes())
    first, second = entry(data, b"a/data.pkl"), entry(data, b"a/data/0")
    size = struct.unpack_from("<I", data, second + 24)[0] + 100
    struct.pack_into("<II", data, first + 20, size, size)
    path.write_bytes(data)
    refused(path, "a/data/0 in the same place as another member")


def test_members_that_reach_into_the_directory_or_beyond(path):
    for size, message in [(100, "a/version reaching into the directory"), (1 << 30, "found it cut short")]:
        data = bytearray(path.read_bytes())
        struct.pack_into("<II", data, entry(data, b"a/version") + 20, size, size)
        path.write_bytes(data)
        refused(path, message)


def test_two_sizes(path):
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, entry(data, b"a/version") + 24, 3)
    path.write_bytes(data)
    refused(path, "a/version with two sizes, 2 and 3")


def test_damaged_bytes(path):
    data = bytearray(path.read_bytes())
    data[data.index(b"pickle")] ^= 1
    path.write_bytes(data)
    member = zips.members(path)["a/data.pkl"]
    for read in (member.read, member.check):
        with pytest.raises(UserError, match=r"expected an intact zip archive, found a/data\.pkl with CRC-32"):
            read()


@pytest.mark.parametrize("length", [4, 30, 1000, -1, -22, -100])
def test_truncated(path, length):
    path.write_bytes(path.read_bytes()[:length])
    refused(path, r"expected .* found .*; fetch")


def test_more_behind_the_end(path):
    path.write_bytes(path.read_bytes() + b"more")
    refused(path, "no directory at its end")


def test_more_before_the_beginning(path):
    path.write_bytes(b"more" + path.read_bytes())
    refused(path, "a directory of .* bytes from .* on that does not end at")


def test_a_directory_larger_than_memory_should_hold(path, monkeypatch):
    monkeypatch.setattr(zips, "_LARGEST_DIRECTORY", 200)
    refused(path, "expected at most 200 bytes as directory, found 2")


def test_an_end_of_zip64_in_another_place(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    path = write(tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    struct.pack_into("<Q", data, data.index(b"PK\x06\x07") + 8, 0)
    path.write_bytes(data)
    refused(path, "the end of its directory in another place")


@pytest.mark.parametrize("zip64", [False, True])
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_damaged_archives_are_read_or_refused(zip64, mutations, data):
    contents = {"a/data.pkl": b"pickle", "a/data/0": b"0123456789abcdef"}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile, "ZIP64_LIMIT", 10 if zip64 else zipfile.ZIP64_LIMIT)
        path = write(Path(folder, "a.zip"), contents)
        patch.undo()
        path.write_bytes(data.draw(mutations(path.read_bytes())) or b"0")
        try:
            assert set(read(path).values()) <= set(contents.values())
        except UserError as error:
            message = str(error)
        else:
            message = ""
        assert message.isprintable()
