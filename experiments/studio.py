"""Opens the studio, a page on this machine where a picture changes while one moves the dials.

    python -m experiments.studio
    python -m experiments.studio --workdir=FOLDER --no_browser

Prints the address and opens it in the browser. Choose a photograph and paintings, and the picture is painted from
coarse to fine; what the dials say acts on it within a second or two. Pictures, their settings and what is needed to go
on are kept in --workdir, also when the page, the browser or this program ends. Nothing leaves this machine: the page
loads nothing from elsewhere, and nobody else can open it. Needs `pip install 'nst_jax[studio]'`.
"""

import dataclasses
import importlib.util
import os
import socket
import webbrowser
from pathlib import Path

from nst_jax.errors import UserError
from nst_jax.io.files import check_folder, file_error, make_folder

from .cli.flags import Checked, FilePath, flag, run_script

PASSWORD = "NST_JAX_STUDIO_PASSWORD"
"""The environment variable."""

_NEEDED = ("starlette", "uvicorn")
_LONGEST_PASSWORD = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """The flags."""

    workdir: FilePath = flag("results/studio", "Folder for pictures, images and what is needed to go on.")
    port: int = flag(0, "Port; 0 means a free one.", least=0, most=65_535)
    no_browser: bool = flag(False, "Open no browser.")
    host: str = flag(
        "127.0.0.1",
        "Address at which to listen; any other than this machine's own lets others in and needs --password.",
    )
    password: str | None = flag(
        None,
        "Password that visitors have to give. Whoever uses this machine sees it in the list of processes: "
        f"--password_file, or the environment variable {PASSWORD}, does not show it.",
    )
    password_file: FilePath | None = flag(None, "File whose first line is the password.")


def run(config: Config) -> None:
    """Runs the script, until it is stopped.

    Raises:
        UserError: the folder cannot be used, the port is taken, or a password or a package is missing.
    """
    if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        raise UserError(f"expected {' and '.join(missing)}, found none: pip install 'nst_jax[studio]'")
    from .studios import alone, connections, guard, server

    password = _password(config)
    if not guard.is_loopback(config.host) and not password:
        raise UserError(
            f"--password_file: expected a password with --host={config.host}, where anyone on the network can open the "
            f"studio, found none; give one there or in {PASSWORD}, or leave --host out"
        )
    workdir = Path(config.workdir)
    check_folder(workdir)
    make_folder(workdir)
    with alone.alone(workdir) as note:
        listening = connections.listen(config.host, config.port)
        token = guard.new_token()
        app = server.application(workdir.absolute(), token=token, host=config.host, password=password)
        address = f"http://{_shown(config.host)}:{listening.getsockname()[1]}/{token}/"
        note(address)
        if not guard.is_loopback(config.host):
            print("note: plain HTTP: whoever reads the traffic of this network reads the password and the pictures")
        print(f"studio: {address}", flush=True)
        if not config.no_browser:
            webbrowser.open(address)
        connections.serve(app, listening)


def _password(config: Config) -> str | None:
    """Returns the password, from the first place that has one: a file, the flag, the environment.

    Raises:
        UserError: the file cannot be read or has none, or there is the flag as well.
    """
    if config.password_file is None:
        return config.password or os.environ.get(PASSWORD) or None
    if config.password is not None:
        raise UserError("--password: expected none with --password_file, found both; leave out one")
    path = Path(config.password_file)
    try:
        with path.open(encoding="utf-8-sig") as file:
            found = file.readline(_LONGEST_PASSWORD + 1).rstrip("\r\n")
    except (OSError, ValueError) as error:  # the latter for bytes that are no text
        raise file_error(path, f"cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if not 0 < len(found) <= _LONGEST_PASSWORD:
        raise file_error(path, f"expected a password of up to {_LONGEST_PASSWORD} characters in its first line")
    return found


def _shown(host: str) -> str:
    """Returns a host as addresses have it; where all of this machine's are meant, its name."""
    host = socket.gethostname() if host in ("0.0.0.0", "::") else host
    return f"[{host}]" if ":" in host else host


if __name__ == "__main__":
    run_script(Config, run)
