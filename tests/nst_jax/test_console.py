"""Output that may be closed, break off or lack characters."""

import errno
import io
import os
import subprocess
import sys

import pytest

from nst_jax import console


class Broken(io.StringIO):
    """A stream that cannot be written to."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def write(self, text):
        raise OSError(self.number, os.strerror(self.number))

    def fileno(self):
        raise io.UnsupportedOperation


@pytest.mark.parametrize(
    ("number", "lost"), [(errno.EPIPE, True), (errno.EIO, True), (errno.EINVAL, True), (errno.ENOSPC, False)]
)
def test_output_that_breaks_off_is_no_error(number, lost, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Broken(number))
    with console.any_console():
        sys.stdout.write("text")
        assert console.lost() is lost
    with console.any_console():
        assert not console.lost()


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_any_text(encoding):
    program = "from nst_jax.console import any_console\nwith any_console(): print('日本 ⁻⁵ \\udcff')"
    variables = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, check=True)
    assert b"\\udcff" in done.stdout
    assert (b"\\u65e5" in done.stdout) is (encoding != "utf-8")


def test_what_is_printed_to_closed_output_lands_in_no_file(tmp_path):
    program = (
        "import os\nfrom nst_jax.console import any_console\n"
        "with any_console():\n    file = open('file.txt', 'w')\n    print('text', flush=True)\n    os.write(1, b'more')"
    )
    command = f'exec {sys.executable} -c "$PROGRAM" >&- 2>&-'
    variables = os.environ | {"PROGRAM": program}
    subprocess.run(["sh", "-c", command], cwd=tmp_path, env=variables, check=True)
    assert (tmp_path / "file.txt").read_bytes() == b""
