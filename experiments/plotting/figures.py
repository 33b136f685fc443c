"""Plots, which are files: drawn by Agg with Matplotlib's defaults, whatever a user has set for windows and notebooks.

Matplotlib reads $MPLBACKEND, $MATPLOTLIBRC and a file `matplotlibrc` in the current folder when it is imported, and
raises where these name what it does not have, such as the backend of a notebook. So it is imported here alone.
"""

import contextlib
import importlib.util
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nst_jax.errors import UserError, one_line
from nst_jax.io.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 120
_STYLE = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}
_OF_SESSIONS = ("backend", "backend_fallback", "interactive", "toolbar", "timezone")
"""Settings that say nothing about the look of a figure."""


def data_folder() -> Path:
    """Returns the folder of Matplotlib's fonts and defaults, without importing it."""
    found = importlib.util.find_spec("matplotlib")
    assert found is not None, "Matplotlib is a dependency"
    assert found.origin is not None, "it is no namespace"
    return Path(found.origin).with_name("mpl-data")


@contextlib.contextmanager
def plot(path: Path, *, width: float, height: float, dpi: int = _DPI) -> Iterator["Figure"]:
    """Yields an empty figure, and writes what was drawn into it as a PNG, atomically.

    Args:
        path: the file to write.
        width: in inches.
        height: in inches.
        dpi: pixels per inch.

    Raises:
        UserError: it cannot be drawn or written, whatever the reason, so that nothing else is lost over it.
    """
    try:
        _import_matplotlib()
        import matplotlib as mpl  # half a second, for which nothing else should wait
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        with mpl.rc_context():
            # Not `rcdefaults`, which imports all styles of the user.
            looks: dict[Any, Any] = {
                name: value for name, value in mpl.rcParamsDefault.items() if name not in _OF_SESSIONS
            }
            mpl.rcParams.update(looks | _STYLE)
            figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
            FigureCanvasAgg(figure)
            yield figure
            with atomic_write(path) as file:
                figure.savefig(file, format="png", dpi=dpi)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path}: cannot be drawn ({one_line(error) or type(error).__name__})") from error


def _import_matplotlib() -> None:
    """Imports Matplotlib as if the user had set nothing."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns of folders and fonts that do not matter here
    own = {"MPLBACKEND": "agg", "MATPLOTLIBRC": str(data_folder() / "matplotlibrc")}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    # A file in the current folder comes before any variable.
    elsewhere = contextlib.chdir(data_folder()) if Path("matplotlibrc").exists() else contextlib.nullcontext()
    try:
        with elsewhere:
            importlib.import_module("matplotlib")
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
