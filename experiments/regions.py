"""Makes a first map of the regions of an image: parts that look alike and lie together, each in a colour.

    python -m experiments.regions --content=photo.jpg --count=4

k-means over the features of a network, colours and positions. Writes regions.png, the map, for --regions or
--style_regions of other scripts, and overlay.png, the map drawn over the image. It knows nothing of what is to be seen:
correct it in any program for pictures, with flat colours, and give equal regions of two images equal colours. Takes ten
seconds on 2 cores.
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nst_jax.io import images
from nst_jax.io.files import make_folder
from nst_jax.io.region_maps import hexadecimal
from nst_jax.vocabulary import MOST_REGIONS

from .cli import samples
from .cli.flags import MOST_SEED, Checked, FilePath, flag, option_flag, run_script
from .cli.transfer_flags import CONTENT, places

_COLOURS = (
    *((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (213, 94, 0), (240, 228, 66)),
    *((0, 0, 0), (255, 255, 255), (128, 128, 128), (128, 0, 32), (0, 64, 0), (64, 0, 128), (160, 120, 60)),
    *((0, 255, 0), (255, 0, 255)),
)
"""The first eight are those of Okabe & Ito (2008), which the colour-blind tell apart."""

_OPAQUE = 0.5
"""Of the map over the image."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """The flags."""

    content: FilePath | None = flag(None, "Image to divide; by default a sample.")
    count: int = flag(4, "Number of regions.", least=2, most=MOST_REGIONS)
    size: int = flag(512, "Long side of the map in pixels.", least=1)
    position: float = flag(
        0.5, "Weight of positions; the higher it is, the more compact are regions.", least=0, most=100
    )
    workdir: FilePath | None = option_flag("workdir")
    output: FilePath | None = flag(None, "File of the map; by default in --workdir.")
    backbone: str = option_flag("backbone", "auto")
    seed: int = flag(0, "Seed of the beginnings of k-means.", least=0, most=MOST_SEED)


class Result(NamedTuple):
    """Result of a run: the map, the map over the image, and the colour and share of each region."""

    output: Path
    overlay: Path
    regions: list[tuple[str, float]]


def run(config: Config) -> Result:
    """Runs the script.

    Raises:
        UserError: the input cannot be used, and then nothing is written; or something cannot be written.
    """
    path = Path(config.content) if config.content else samples.content_image()
    workdir, output = places(config, {CONTENT: path}, script="regions", picture="regions.png")
    content = images.read(path, size=config.size).pixels

    from nst_jax.applications.segments import segments
    from nst_jax.backbones import pretrained

    found = segments(
        pretrained.load(config.backbone), content, config.count, position=config.position, seed=config.seed
    )
    colours = np.array(_COLOURS, np.float32)[found] / 255
    make_folder(workdir)
    images.write(output, images.Picture(colours))
    overlay = workdir / "overlay.png"
    images.write(overlay, images.Picture((1 - _OPAQUE) * content + _OPAQUE * colours))
    areas = np.bincount(found.ravel()) / found.size
    return Result(output, overlay, [(hexadecimal(_COLOURS[number]), float(area)) for number, area in enumerate(areas)])


def main(config: Config) -> None:
    """Runs the script and prints where the map is."""
    result = run(config)
    for colour, area in result.regions:
        print(f"{colour}: {area:.1%}")
    print(f"map: {result.output}, over the image: {result.overlay}")


if __name__ == "__main__":
    run_script(Config, main)
