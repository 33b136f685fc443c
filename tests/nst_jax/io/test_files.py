"""Files are written whole or not at all."""

import os
import signal
import subprocess
import sys

import pytest

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
