"""Paints the sample style images: free to use, with texture at every scale and no empty corner.

    python -m experiments.make_styles --workdir=results/styles --size=768 --seed=0

Writes `flow.jpg` (oil: brush strokes along a whirling night sky), `glass.jpg` (a rose window), `woodblock.jpg` (waves
printed in five inks) and `abstract.jpg` (a crowd of overlapping shapes). Another seed changes the details and keeps
the composition, except of `abstract`, which is new each time. The four with seed 0 are in `experiments/samples`. Takes
30 seconds on 2 cores.
"""

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from nst_jax.io.files import atomic_write, make_folder

from .cli.flags import Checked, FilePath, flag, option_flag, run_script
from .cli.folders import asked_for, default_folder
from .styles.abstract import abstract
from .styles.flow import flow
from .styles.glass import glass
from .styles.woodblock import woodblock

JPEG_QUALITY = 90  # with colour at full resolution: chroma subsampling would smear the strokes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """The flags."""

    workdir: FilePath | None = flag(None, "Folder for the style images; by default one in results/.")
    size: int = flag(768, "Side of the square pictures in pixels.", least=16)
    seed: int = option_flag("seed", 0)


STYLES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "flow": flow,
    "glass": glass,
    "woodblock": woodblock,
    "abstract": abstract,
}
"""Name of the file → function of randomness and side in pixels that paints it; a new style is a row here."""


def run(config: Config) -> dict[str, np.ndarray]:
    """Paints every style and saves it in the workdir.

    Returns:
        name → picture `[H, W, 3]`, float32 in [0, 1].

    Raises:
        UserError: a picture cannot be written.
    """
    folder = pathlib.Path(config.workdir or default_folder("styles", f"{config.size}px", asked_for(config, {})))
    make_folder(folder)
    pictures = {}
    for name, style in STYLES.items():
        pictures[name] = style(np.random.default_rng(config.seed), config.size)
        image = Image.fromarray(np.rint(pictures[name] * 255).astype(np.uint8))
        path = folder / f"{name}.jpg"
        with atomic_write(path) as file:
            image.save(file, "jpeg", quality=JPEG_QUALITY, subsampling="4:4:4", optimize=True, progressive=True)
        print(path)
    return pictures


if __name__ == "__main__":
    run_script(Config, run)
