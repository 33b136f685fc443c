"""Trains a small network to paint an image: from the coordinates of a pixel to its colour.

    python -m experiments.fit --content=photo.jpg
    python -m experiments.fit --content=photo.jpg --output_size=2048

The image becomes a few thousand weights and can be drawn at any size; it looks as if painted with a soft brush. Other
scripts use the same network with `--parameterization=coordinates`. Writes picture.png and run.json. Takes 40 seconds
on 2 cores.
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple

from nst_jax.io import images
from nst_jax.io.files import make_folder, sha256

from .cli import samples
from .cli.flags import Checked, FilePath, flag, option_flag, run_script
from .cli.transfer_flags import CONTENT, places


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """The flags."""

    content: FilePath | None = flag(None, "Image to learn; by default a sample.")
    workdir: FilePath | None = option_flag("workdir")
    output: FilePath | None = option_flag("output")
    size: int = flag(192, "Long side in pixels to which the image is resized for training.", least=1)
    output_size: int | None = flag(
        None, "Long side of the resulting picture in pixels; by default --size.", least=1, most=13_000
    )
    steps: int = option_flag("steps", 1000, note="The optimiser is L-BFGS.")


class Result(NamedTuple):
    """Result of a run: the picture, and the root of its mean squared error, for values in [0, 1]."""

    output: Path
    error: float


def run(config: Config) -> Result:
    """Runs the script.

    Raises:
        UserError: the input cannot be used, and then nothing is written; or something cannot be written.
    """
    path = Path(config.content) if config.content else samples.content_image()
    workdir, output = places(config, {CONTENT: path}, script="fit", picture="picture.png")
    content = images.read(path, size=config.size)

    from nst_jax.applications import coordinate_network

    from .running.progress import graceful_interrupt, progress_bar
    from .running.rescue import write_or_rescue
    from .running.run_record import versions, write_json

    make_folder(workdir)
    with graceful_interrupt() as interrupt, progress_bar(steps=config.steps, done=0) as bar:
        for fit in coordinate_network.fit(content.pixels, steps=config.steps):
            bar.update(fit.step, f"error {fit.error:.4f}")
            if interrupt.requested:
                break
    height, width = content.pixels.shape[:2]
    factor = (config.output_size or config.size) / max(height, width) if config.output_size else 1
    shape = max(1, round(height * factor)), max(1, round(width * factor))
    settings = {"content": str(path), "content_sha256": sha256(path), "size": config.size, "steps": fit.step}
    drawn = images.Picture(coordinate_network.draw(fit.variables, shape), exif=content.exif)
    write_or_rescue(output, workdir, lambda path: images.write(path, drawn, settings=settings))
    write_json(
        workdir / "run.json",
        {"settings": settings, "error": fit.error, "weights": fit.variables.size, "versions": versions()},
    )
    return Result(output, fit.error)


def main(config: Config) -> None:
    """Runs the script and prints where the picture is."""
    result = run(config)
    print(f"picture: {result.output}, root-mean-square error {255 * result.error:.1f} of 255")


if __name__ == "__main__":
    run_script(Config, main)
