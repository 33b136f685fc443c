"""The errors of reconstructions over the depth of their layers: errors.csv and errors.png."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nst_jax.errors import one_line
from nst_jax.io import images
from nst_jax.io.files import atomic_write
from nst_jax.terms import CONTENT, STYLE

from ..plotting.figures import plot
from ..sweeping.outcome import MANIFEST


class Errors(NamedTuple):
    """The errors of the content and style reconstruction at one depth.

    Attributes:
        layer: the layer of the content, and the last layer of the style.
        pixels: root-mean-square difference between content reconstruction and content image, for values in [0, 1].
        features: ‖F − P‖ / ‖P‖ of the content reconstruction at the layer.
        style: ‖G − A‖ / ‖A‖ of the style reconstruction, as root of the mean square over the layers.
    """

    layer: str
    pixels: float
    features: float
    style: float


def write_errors(workdir: Path, content_image: Path, *, size: int) -> None:
    """Writes errors.csv and errors.png beside the finished cells of `experiments.reconstruct`, atomically.

    Args:
        workdir: the folder of the cells: first those of the content, then those of the style, both from fine to coarse,
            with relative squared errors as losses.
        content_image: the image whose content was reconstructed.
        size: long side of the pictures in pixels.

    Raises:
        UserError: a picture cannot be read, or a file cannot be written.
    """
    manifest = json.loads((workdir / MANIFEST).read_text(encoding="utf-8"))
    _, depth = manifest["axes"]
    cells, count = manifest["cells"], len(depth["values"])
    original = images.read(content_image, size=size).pixels
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
    layers, pixels, features, style = zip(*errors, strict=True)
    with plot(path, width=7, height=4.5) as figure:
        axes = figure.add_subplot(xlabel="layer", ylabel="relative error", yscale="log")
        axes.plot(features, "o-", color="C0", label="content: features at the layer")
        axes.plot(pixels, "o--", color="C0", label="content: pixels (relative to white)")
        axes.plot(style, "s-", color="C1", label="style: Gram matrices up to the layer")
        axes.set_xticks(range(len(layers)), layers)
        axes.set_title(one_line(title, longest=80).replace("$", r"\$"), fontsize=10)
        axes.grid(visible=True, which="both", alpha=0.2)
        axes.legend(frameon=False)
