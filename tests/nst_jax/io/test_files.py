"""Files are written whole or not at all."""

import os
import signal
import subprocess
import sys

import pytest

from nst_jax.errors import UserError
from nst_jax.io import files
from nst_jax.io.files import atomic_write

pytestmark = pytest.mark.quick


def test_atomic_write_of_text(tmp_path):
    with atomic_write(tmp_path / "a.csv", encoding="utf-8", newline="") as file:
        file.write("a,ü\r\n")
        assert not (tmp_path / "a.csv").exists()
    assert (tmp_path / "a.csv").read_bytes() == "a,ü\r\n".encode()


def test_interruption_leaves_the_old_file(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"old")
    writing = atomic_write(tmp_path / "a.txt")
    writing.__enter__().write(b"new")
    assert writing.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None) is not True
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def run_writer(path, body):
    script = f"import os, resource, signal, sys\nfrom nst_jax.io.files import atomic_write\n{body}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, "-c", script, path], env=environment, capture_output=True, text=True)


def test_file_that_cannot_grow_leaves_the_old_one(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"old")
    limited = run_writer(
        tmp_path / "a.txt",
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "with atomic_write(sys.argv[1]) as file:\n"
        "    file.write(bytes(1_000_000))\n",
    )
    assert "UserError" in limited.stderr.splitlines()[-1]
    assert "File too large" in limited.stderr.splitlines()[-1]
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_killed_writer_leaves_the_old_file(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"old")
    killed = run_writer(
        tmp_path / "a.txt",
        "with atomic_write(sys.argv[1]) as file:\n"
        "    file.write(bytes(1_000_000))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n",
    )
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "a.txt").read_bytes() == b"old"


def test_a_file_that_is_open_elsewhere_for_a_moment_is_replaced_all_the_same(tmp_path, monkeypatch):
    replace, attempts = os.replace, []

    def scanned(source, target):  # as Windows answers while a virus scanner reads a new file
        attempts.append(target)
        if len(attempts) < 3:
            raise PermissionError(13, "Access is denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", scanned)
    monkeypatch.setattr(files, "_WINDOWS", True)
    with atomic_write(tmp_path / "a.txt") as file:
        file.write(b"new")
    assert (tmp_path / "a.txt").read_bytes() == b"new"
    assert len(attempts) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_file_that_stays_open_is_one_error_and_leaves_nothing(tmp_path, monkeypatch):
    def in_use(source, target):
        raise PermissionError(13, "Access is denied")

    monkeypatch.setattr(os, "replace", in_use)
    monkeypatch.setattr(files, "_WINDOWS", True)
    monkeypatch.setattr(files, "_WAITS", (0.0, 0.0))
    with pytest.raises(UserError, match="Access is denied"), atomic_write(tmp_path / "a.txt") as file:
        file.write(b"new")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", ["con.png", "NUL", "Aux.tar.gz", "com1.png", "lpt9"])
def test_names_of_devices_are_refused_on_windows_alone(tmp_path, monkeypatch, name):
    files.check_target(tmp_path / name)
    files.check_folder(tmp_path / name / "in")
    monkeypatch.setattr(files, "_WINDOWS", True)
    for check in (files.check_target, files.check_folder):
        with pytest.raises(UserError, match="name of a device"):
            check(tmp_path / name)
    files.check_target(tmp_path / f"my{name}")


def test_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("USERPROFILE", "/home/me")
    assert files.expand_home("~/a b.png") == "/home/me/a b.png"
    assert files.expand_home("./~") == "./~"
    assert files.expand_home("a~/~b") == "a~/~b"
