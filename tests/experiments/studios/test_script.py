"""How the studio begins, and what keeps it from that."""

import importlib.util
import socket

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from experiments import studio
from experiments.studios import connections
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick


@pytest.fixture
def begun(monkeypatch, tmp_path):
    """A function that begins a studio that serves nothing, and returns the application and the socket."""
    found = []
    monkeypatch.setattr(connections, "serve", lambda *served: found.append(served))

    def begin(**flags):
        studio.run(studio.Config(**{"workdir": str(tmp_path / "studio"), "no_browser": True, **flags}))
        [(app, listening)] = found
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
