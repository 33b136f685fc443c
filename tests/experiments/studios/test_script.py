"""How the studio begins, and what keeps it from that."""

import importlib.util
import socket
import subprocess
import sys

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from experiments import studio
from experiments.studios import alone, connections
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick


@pytest.fixture
def begun(monkeypatch, tmp_path):
    """A function that begins a studio that serves nothing, and returns the application and the socket."""
    found = []
    monkeypatch.setattr(connections, "serve", lambda *served: found.append(served))

    def begin(**flags):
        studio.run(studio.Config(**{"workdir": str(tmp_path / "studio"), "no_browser": True, **flags}))
        app, listening = found[-1]
        listening.close()
        return app, listening

    return begin


def test_it_listens_on_this_machine_alone_and_says_where(begun, capsys, monkeypatch):
    at = []
    monkeypatch.setattr(
        socket.socket, "bind", lambda self, address, bind=socket.socket.bind: (at.append(address), bind(self, address))
    )
    begun()
    assert at == [("127.0.0.1", 0)]
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith("studio: http://127.0.0.1:")
    assert len(line.rpartition("/")[0].rpartition("/")[2]) == 32


def test_the_browser_is_opened_there(begun, capsys, monkeypatch):
    opened = []
    monkeypatch.setattr(studio.webbrowser, "open", opened.append)
    begun(no_browser=False)
    assert capsys.readouterr().out == f"studio: {opened[0]}\n"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org"])
def test_others_need_a_password(host, begun, tmp_path):
    with pytest.raises(UserError, match="--password"):
        begun(host=host)
    assert not (tmp_path / "studio").exists()


def test_with_a_password_they_are_let_in_and_it_says_what_that_means(begun, capsys):
    begun(host="0.0.0.0", password="x")
    note, address = capsys.readouterr().out.splitlines()
    assert "plain HTTP" in note
    assert socket.gethostname() in address


def test_a_password_need_not_stand_in_the_command(begun, tmp_path, monkeypatch, capsys):
    file = tmp_path / "password"
    file.write_text("from the file\n")
    monkeypatch.setenv(studio.PASSWORD, "from the environment")
    found = [
        studio._password(studio.Config(**flags)) for flags in ({}, {"password": "x"}, {"password_file": str(file)})
    ]
    assert found == ["from the environment", "x", "from the file"]
    app, _ = begun(host="0.0.0.0")
    assert app._password == "from the environment"
    with pytest.raises(UserError, match="leave out one"):
        begun(password="x", password_file=str(file))
    for text in (b"", b"\n", b"\xff\xfe", b"x" * 1000):
        file.write_bytes(text)
        with pytest.raises(UserError, match=str(file)):
            begun(password_file=str(file))
    with pytest.raises(UserError, match="No such file"):
        begun(password_file=str(tmp_path / "none"))


def test_a_folder_has_one_studio(begun, tmp_path):
    """As long as its process lives, and no longer: that of the other one is killed."""
    begun()  # which leaves its lock behind
    text = "import sys, pathlib; from experiments.studios.alone import alone\n"
    text += "with alone(pathlib.Path(sys.argv[1])) as note: note('http://there/'); print(flush=True); input()"
    command = [sys.executable, "-c", text, tmp_path / "studio"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(UserError, match=rf"found one \(process {other.pid}, http://there/\)"):
            begun()
        assert (tmp_path / "studio" / alone.LOCK).stat().st_mode & 0o077 == 0
        other.kill()
    assert (tmp_path / "studio" / alone.LOCK).read_text() != ""
    begun()


def test_a_port_that_is_taken(begun):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UserError, match="free port"):
        begun(port=taken.getsockname()[1])


def test_packages_that_are_missing(begun, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'nst_jax\[studio\]'"):
        begun()


def test_a_folder_that_is_a_file(begun, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="a file"):
        begun(workdir=str(tmp_path / "file"))
