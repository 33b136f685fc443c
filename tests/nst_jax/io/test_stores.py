"""Paths at object stores, against fsspec's store in memory: the same calls, and failures that a test can choose."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from nst_jax.errors import UserError
from nst_jax.io import files, image_folder, images
from nst_jax.io.stores import StorePath, located

pytestmark = pytest.mark.quick

fsspec = pytest.importorskip("fsspec", reason="comes with orbax, but is no dependency of its own")


@pytest.fixture
def bucket(memory):
    """A folder at a store."""
    return located("memory://bucket/folder")


def objects():
    """Name → content of everything at the store."""
    return {name: file.getvalue() for name, file in fsspec.filesystem("memory").store.items()}


@pytest.mark.parametrize(
    ("of", "text"),
    [
        (lambda path: path, "s3://bucket/a/b.png"),
        (lambda path: path.parent, "s3://bucket/a"),
        (lambda path: path.parent / "c=1" / "d.json", "s3://bucket/a/c=1/d.json"),
        (lambda path: path.with_name("e.csv"), "s3://bucket/a/e.csv"),
        (lambda path: path.absolute().resolve(), "s3://bucket/a/b.png"),
        (lambda path: path.relative_to(path.parents[1]), "a/b.png"),
        (lambda path: pickle.loads(pickle.dumps(path)), "s3://bucket/a/b.png"),
        (lambda path: located(os.fspath(path)), "s3://bucket/a/b.png"),
        (located, "s3://bucket/a/b.png"),
        (lambda path: located("S3://bucket/a/"), "s3://bucket/a"),
    ],
)
def test_a_path_is_an_address_all_the_way(of, text):
    path = of(located("s3://bucket/a/b.png"))
    assert str(path) == os.fspath(path) == text
    assert (path.name, path.suffix, path.stem) == (Path(text).name, Path(text).suffix, Path(text).stem)


def test_what_is_no_address_is_a_path_as_ever():
    assert located("a/s3:/b") == Path("a/s3:/b")
    assert not isinstance(located("s3:/b"), StorePath)
    assert located("file:///tmp/a%20b") == Path("/tmp/a b")
    assert located("C://Users/me/a.jpg") == Path("C://Users/me/a.jpg")
    assert str(located("s3://bucket/why?.png")) == "s3://bucket/why?.png"


@pytest.mark.parametrize(
    "address",
    [
        "simplecache::s3://bucket/a",
        "filecache::http://host/a",
        "zip://a.png::s3://bucket/a.zip",
        "reference://a",
        "github://owner:repo@main/a",
        "http://host/a",
        "https://host/a?X-Amz-Signature=secret",
        "ssh://user:secret@host/a",
        "memory://a/b",
        "s3://key:secret@bucket/a",
        "s3://bucket/a.png?X-Amz-Signature=secret",
        "s3://",
        "gs:///a",
        "file://host/a",
    ],
)
def test_addresses_that_are_refused(address):
    with pytest.raises(UserError) as raised:
        located(address)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_files_are_put_whole_or_not_at_all(bucket, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    files.check_folder(bucket)
    assert objects() == {}
    with files.atomic_write(bucket / "a.csv", encoding="utf-8", newline="") as file:
        file.write("ü\r\n")
        assert objects() == {}
    writing = files.atomic_write(bucket / "a.csv")
    writing.__enter__().write(b"half")
    assert writing.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None) is not True
    assert objects() == {"/bucket/folder/a.csv": "ü\r\n".encode()}
    assert (bucket / "a.csv").read_text(encoding="utf-8") == "ü\n"
    assert list(tmp_path.iterdir()) == []


def test_two_who_ask_at_once_whether_they_may_write(bucket, monkeypatch):
    put = StorePath.put

    def with_another(path, content):
        put(path, content)
        monkeypatch.setattr(StorePath, "put", put)
        bucket.check_writable()

    monkeypatch.setattr(StorePath, "put", with_another)
    files.check_folder(bucket)
    assert objects() == {}


def test_what_is_in_a_folder(bucket):
    names = ("b.png", "a.png", "a.txt", "deeper/c.png")
    for name in names:
        (bucket / name).put(b"1234")
    assert {path.name for path in bucket.iterdir()} == files.names_in(bucket) == {"a.png", "b.png", "a.txt", "deeper"}
    assert image_folder.list_pictures(bucket) == [bucket / "a.png", bucket / "b.png"]
    assert files.names_in(bucket / "nothing") == set()
    assert list((bucket / "nothing").glob("*")) == []
    assert (bucket.is_dir(), bucket.is_file(), (bucket / "a.txt").is_file(), (bucket / "x").exists()) == (1, 0, 1, 0)
    assert (bucket / "a.txt").stat().st_size == 4
    (bucket / "x").unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        (bucket / "x").unlink()
    files.remove_folder(bucket / "deeper")
    assert files.names_in(bucket) == {"a.png", "b.png", "a.txt"}


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "a.webp"])
def test_pictures_are_those_of_the_disk(bucket, tmp_path, rng, name):
    picture = images.Picture(rng.random((40, 50, 3), np.float32))
    for folder in (bucket, tmp_path):
        images.write(folder / name, picture, settings={"size": 50})
    assert (bucket / name).read_bytes() == (tmp_path / name).read_bytes()
    assert files.sha256(bucket / name) == files.sha256(tmp_path / name)
    np.testing.assert_array_equal(images.read(bucket / name).pixels, images.read(tmp_path / name).pixels)
    assert images.read_settings(bucket / name) == {"size": 50}


def test_logs_are_appended_to(bucket):
    for line in ("one\n", "two\n"):
        with (bucket / "log").open("a") as log:
            log.write(line)
    assert (bucket / "log").read_bytes() == b"one\ntwo\n"
    with pytest.raises(UserError, match="takes files whole"):
        (bucket / "log").open("w")


class UnknownError(Exception):
    """An exception of a client library, which is no OSError."""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PermissionError("Access Denied"), "no permission at the store: Access Denied"),
        (OSError(16, "Please reduce your request rate."), "cannot be used now: Please reduce your request rate"),
        (
            UnknownError("no way to https://key:secret@host/a?sign=secret"),
            "cannot be used now: no way to https://host/a",
        ),
        (FileNotFoundError("The specified bucket does not exist"), "specified bucket does not exist|no such file"),
        (FileNotFoundError("bucket/folder/a.png"), "no such file"),
    ],
)
def test_failures_are_one_line_without_secrets(bucket, monkeypatch, tmp_path, error, told):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def fail(*_, **__):
        raise error

    for name in ("info", "ls", "cat_file", "put_file", "pipe_file"):
        monkeypatch.setattr(fsspec.implementations.memory.MemoryFileSystem, name, fail)
    for attempt in (
        lambda: files.check_folder(bucket),
        lambda: images.read(bucket / "a.png"),
        lambda: images.write(bucket / "a.png", images.Picture(np.zeros((32, 32, 3), np.float32))),
        lambda: (bucket / "a.png").read_bytes(),  # by whoever expects no failure
    ):
        with pytest.raises(UserError) as raised:
            attempt()
        line = str(raised.value)
        assert line.startswith("memory://bucket/folder")
        assert any(text in line for text in told.split("|"))  # of a picture that is missing decoders say that alone
        assert "secret" not in line
        assert "\n" not in line
    assert list(tmp_path.iterdir()) == []


def test_a_full_scratch_folder_is_named(bucket, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(UserError, match=f"cannot be written .No space left on device in {tmp_path}."):
        images.write(bucket / "a.png", images.Picture(np.zeros((32, 32, 3), np.float32)))
    assert objects() == {}
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    fsspec.filesystem.__globals__["_registry"].pop("s3", None)
    with pytest.raises(UserError, match=r"expected the package s3fs, found none; .*nst_jax\[store\]"):
        located("s3://bucket/a").read_bytes()
