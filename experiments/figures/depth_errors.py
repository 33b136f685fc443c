"""How wrong reconstructions are, over the depth of the layers that they come from: errors.csv and errors.png."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nst_jax.errors import one_line
from nst_jax.io import images
from nst_jax.io.files import atomic_write
from nst_jax.objective import CONTENT, STYLE

from ..sweeping.gallery import MANIFEST


class Errors(NamedTuple):
    """What became of the photograph and of the painting's style at one depth.

    Attributes:
        layer: that the content is from, and up to which the style is.
        pixels: of the content reconstruction: the root of the mean squared difference to the photograph, whose values
            are in [0, 1].
        features: of the same: ‖F − P‖ / ‖P‖ at the layer.
        style: of the style reconstruction: ‖G − A‖ / ‖A‖, the root of the mean square over the layers.
    """

    layer: str
    pixels: float
    features: float
    style: float


def write_errors(workdir: Path, photograph: Path, *, size: int) -> None:
    """Writes errors.csv and errors.png beside the finished cells of `experiments.reconstruct`, atomically.

    Args:
        workdir: of the cells: those of the content first, then those of the style, both from fine to coarse, whose
            losses are relative squared errors.
        photograph: that was reconstructed.
        size: long side of the pictures in pixels.

    Raises:
        UserError: a picture cannot be read, or a file not be written.
    """
    manifest = json.loads((workdir / MANIFEST).read_text(encoding="utf-8"))
    _, depth = manifest["axes"]
    cells, count = manifest["cells"], len(depth["values"])
    original = images.read(photograph, size=size).pixels
    errors = []
    for layer, content, style in zip(depth["values"], cells[:count], cells[count:], strict=True):
        difference = images.read(workdir / content["picture"]).pixels - original
        errors.append(
            Errors(
                layer,
                float(np.sqrt(np.mean(np.square(difference)))),
                float(np.sqrt(content["losses"][CONTENT])),
                float(np.sqrt(style["losses"][STYLE])),
            )
        )
    _write_table(workdir / "errors.csv", errors)
    _plot(workdir / "errors.png", errors, title=manifest["title"])


def _write_table(path: Path, errors: Sequence[Errors]) -> None:
    with atomic_write(path, encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["layer", "content/pixels", "content/features", "style/gram_matrices"])
        writer.writerows(errors)


def _plot(path: Path, errors: Sequence[Errors], *, title: str) -> None:
    import matplotlib as mpl  # half a second, for which nothing else should wait
    from matplotlib.figure import Figure

    layers, pixels, features, style = zip(*errors, strict=True)
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(7, 4.5), dpi=120, layout="constrained")
        axes = figure.add_subplot(xlabel="layer", ylabel="error, as a share of what is wanted", yscale="log")
        axes.plot(features, "o-", color="C0", label="content: features at the layer")
        axes.plot(pixels, "o--", color="C0", label="content: pixels (of white)")
        axes.plot(style, "s-", color="C1", label="style: Gram matrices up to the layer")
        axes.set_xticks(range(len(layers)), layers)
        axes.set_title(one_line(title, longest=80).replace("$", r"\$"), fontsize=10)
        axes.grid(visible=True, which="both", alpha=0.2)
        axes.legend(frameon=False)
        with atomic_write(path) as file:
            figure.savefig(file, format="png")
