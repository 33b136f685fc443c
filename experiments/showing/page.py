"""The page of a sweep: one HTML file that holds the pictures of all cells and shows them as a grid.

It stands alone, without a server or any request, so that it can be mailed or copied. `page.html` is all of it except
the data: markup, looks and behaviour.
"""

import base64
import functools
import importlib.resources
import io
import json
import math
import os
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from nst_jax.errors import UserError
from nst_jax.io import files, images

_LONGEST_SIDE = 1024
_MOST_PIXELS = 80_000_000  # of all cells together: a page of some 60 MB, which a browser opens in a second
_PLACE = b"{{ manifest }}"


def write_page(path: Path, manifest: Mapping[str, Any]) -> None:
    """Writes the page, atomically; when it is called again as cells finish, only new pictures are encoded.

    Args:
        path: the page. Pictures are read, and linked to, relative to its folder.
        manifest: the sweep and its progress, in texts, numbers, lists and mappings.
            title: the title of the page.
            axes: list of {name, values}; values are texts.
            rows, cols: names of the axes that are laid out; each other axis gets a slider.
            cells: list of {name, place, status, error, picture, sha256, width, height, seconds, steps, settings,
                losses, command} and optionally {at, caption}. `place` has the index of the value on each axis,
                `status` is finished, unfinished or failed; later entries may be None. If all cells have `at`, [x, y] in
                units of tiles, they are laid out by it.
            versions: versions by name of package.
            device: the device that it ran on.
            status: while the sweep runs, how far the whole of it is, see `sweeping.watching.for_page`.
            parts, part: of a sweep with several pages, list of {href, label}, and which one this is, from 0.
            plots: optionally, list of PNG files in the page's folder, which it holds below the grid; those that cannot
                be read are left out.
            table: optionally, {head, rows}, texts in columns, which the page has below the plots.

    Raises:
        UserError: the page cannot be written. A picture that cannot be read is shown as such.
    """
    content = json.loads(json.dumps(dict(manifest)), parse_constant=str)  # diverged runs have NaN, which JSON lacks
    pixels = _MOST_PIXELS / max(1, len(content["cells"]))
    side = min(_LONGEST_SIDE, math.isqrt(int(pixels)))
    for cell in content["cells"]:
        cell.update(_shown(cell, path.parent, side))
    content["plots"] = [uri for name in content.get("plots", ()) if (uri := _plot(path.parent / name))]
    content.setdefault("table", None)
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    text = text.replace("<", r"\u003c")  # alone it could end the script element, or begin a comment in it
    data = text.encode(errors="replace")  # file names may hold bytes that are not text
    template = importlib.resources.files(__package__).joinpath("page.html").read_bytes()
    before, after = template.split(_PLACE)
    with files.atomic_write(path) as file:
        file.writelines([before, data, after])


def _shown(cell: Mapping[str, Any], folder: Path, side: int) -> dict[str, Any]:
    """Returns the entries of the page for the picture of a cell, which may be missing or damaged."""
    picture = cell["picture"]
    if picture is None:
        return {"image": None}
    path = folder / picture
    try:
        image = _encode(path, cell["sha256"] or files.sha256(path), side)
    except (UserError, OSError, ValueError) as error:
        if cell["status"] != "finished":  # such a cell need not have one
            return {"image": None}
        # Pages are shared, so the error must not name the sender's folders.
        return {"image": None, "status": "failed", "error": str(error).replace(f"{folder}{os.sep}", "")}
    link = "./" + urllib.parse.quote(os.fsencode(picture))  # with "./" no name can be taken for a scheme
    return {"image": image.uri, "side": image.side, "width": image.width, "height": image.height, "link": link}


def _plot(path: Path) -> str | None:
    """Returns a plot as a data URI, as it is: lossy pictures blur thin lines."""
    try:
        return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
    except OSError:
        return None


class _Encoded(NamedTuple):
    """A picture as data URI, the length of its long side there, and its size in the file."""

    uri: str
    side: int
    width: int
    height: int


@functools.lru_cache(maxsize=4096)  # at most `_MOST_PIXELS` for each sweep of a process
def _encode(path: Path, _sha256: str, side: int) -> _Encoded:
    """Returns a picture as a data URI, with a long side of at most `side` pixels.

    Args:
        path: the picture.
        _sha256: hash of the file; part of the cache key, so that a changed file is encoded again.
        side: maximal length of the long side in pixels.

    Raises:
        UserError: the file is missing or not an image.
    """
    pixels, alpha, *_ = images.read(path)
    height, width, _ = pixels.shape
    channels = pixels if alpha is None else np.dstack([pixels, alpha])
    image = Image.fromarray(np.round(channels * 255).astype(np.uint8))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    # WebP halves the resolution of colour, which blurs saturated strokes; but JPEG has no alpha.
    kind = "jpeg" if alpha is None else "webp"
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=90, subsampling="4:4:4")
    uri = f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return _Encoded(uri, max(image.size), width, height)
