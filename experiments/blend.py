"""Blends two or three style images step by step: a path or a triangle of stylised images, and an animation.

    python -m experiments.blend --content=photo.jpg --style=first.jpg,second.jpg
    python -m experiments.blend --content=photo.jpg --style=first.jpg,second.jpg,third.jpg --blend_steps=4

Two style images give a path from one to the other. Three give a triangle: one style image at each corner, a third of
each in the middle. The flags of `experiments.stylize` work here too; `--blending` chooses what is blended. Writes the
same files as `experiments.sweep`, and an animation along the path or around the triangle (--output, .webp or .gif).
What `experiments.stylize` makes of --style_fine and --style_coarse is in its strokes/style.png, an image for --style.
All pictures share one compiled program. Five pictures of 384 pixels take 4 minutes with the embedded SqueezeNet on 2
cores.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

from nst_jax.errors import UserError
from nst_jax.io.files import check_target
from nst_jax.io.stores import located

from .cli import samples
from .cli.flags import ESCAPE, FileOrAddress, FilePaths, flag, run_script, serialize
from .cli.run_flags import RunFlags
from .cli.transfer_flags import CONTENT, TransferFlags, check_own, inputs, styles
from .showing.animation import check_animation, there_and_back, write_animation
from .sweeping.grid import Axis, Grid, GridCell, product, unique_labels, workdir
from .sweeping.outcome import Outcome, finish_script


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunFlags, TransferFlags):
    """The flags."""

    output: FileOrAddress | None = flag(None, "File of the animation, .webp or .gif; by default in --workdir.")
    style: FilePaths | None = flag(
        None, f"Two or three style images, separated by commas{ESCAPE}; by default two samples."
    )
    blend_steps: int = flag(5, "Number of pictures from one style image to the next, both included.", least=2)
    seconds_per_picture: float = flag(
        0.6, "Duration of each picture of the animation in seconds.", least=0.01, most=600
    )
    cross_fade: float = flag(
        0.4, "Duration in seconds of the cross-fade from a picture to the next.", least=0, most=600
    )


def run(config: Config) -> Outcome:
    """Runs the script.

    Raises:
        UserError: the input cannot be used, or something cannot be written.
    """
    grid = make_grid(config)
    folder = workdir(config.workdir, "blend", grid)
    output = located(config.output) if config.output else folder / "blend.webp"
    check_animation(output)
    if output.parent.absolute() != folder.absolute():
        check_target(output)
    check_own(output, inputs(grid.cells[0].flags))
    from .sweeping import (
        runner,  # with JAX, for which --help should not wait
    )

    outcome = runner.run_grid(grid, config, folder)
    if outcome.complete:
        write_animation(
            output,
            [outcome.path(cell.name) for cell in tour(grid)],
            seconds_per_picture=config.seconds_per_picture,
            cross_fade=config.cross_fade,
        )
        print(f"animation: {output}")
    return outcome


def make_grid(config: Config) -> Grid:
    """Returns the path or the triangle of blends.

    Raises:
        UserError: there are not two or three style images, or --blend_weights is given.
    """
    if config.blend_weights is not None:
        raise UserError("--blend_weights: expected none, as this script varies them; choose --blend_steps")
    style = config.style or serialize(tuple(map(str, samples.two_style_images())))
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(TransferFlags)}
    base = TransferFlags(**fields | {"style": style, "workdir": None, "output": None})
    paths = inputs(base)
    style_images = styles(paths)
    if len(style_images) not in (2, 3):
        raise UserError(f"--style: expected two or three style images, found {len(style_images)}: {style}")
    names = unique_labels("--style", style_images)
    shares = list(_shares(len(style_images), config.blend_steps - 1))
    labels = tuple(_caption(names, share) for share in shares)
    axis = Axis("blend", labels, tuple({"blend_weights": share} for share in shares))
    cells = product(base, [axis])
    if len(style_images) == 3:
        places = [_corner(share, config.blend_steps - 1) for share in shares]
        cells = tuple(
            dataclasses.replace(cell, at=at, caption=label)
            for cell, at, label in zip(cells, places, labels, strict=True)
        )
    return Grid(f"{paths[CONTENT].stem}: {' – '.join(names)}", (axis,), cells, (), (axis.name,))


def tour(grid: Grid) -> list[GridCell]:
    """Returns the cells that the animation shows: along the path and back, or around the triangle."""
    if grid.cells[0].at is None:
        return there_and_back(grid.cells)
    shares = {cell.flags.blend_weights: cell for cell in grid.cells}
    first, second, third = (
        [share for share in shares if share[absent] == 0] for absent in (2, 0, 1)
    )  # from the first corner to the second, on to the third, and back
    sides = (
        sorted(first, key=lambda share: share[1]),
        sorted(second, key=lambda share: share[2]),
        sorted(third, key=lambda share: share[0]),
    )
    return [shares[share] for side in sides for share in side[:-1]]


def _shares(count: int, parts: int) -> Iterator[tuple[float, ...]]:
    """Yields all shares of `count` style images that are multiples of 1 / parts, the most of the first one first."""
    for numerators in itertools.product(range(parts, -1, -1), repeat=count):
        if sum(numerators) == parts:
            yield tuple(numerator / parts for numerator in numerators)


def _corner(shares: tuple[float, ...], parts: int) -> tuple[float, float]:
    """Returns the position of a blend of three: the first style image on top, the others on the left and right."""
    first, _, third = shares
    return parts * (third + first / 2), parts * (1 - first)


def _caption(names: Sequence[str], shares: Sequence[float]) -> str:
    return ", ".join(f"{share:.0%} {name}" for name, share in zip(names, shares, strict=True) if share)


def main(config: Config) -> None:
    """Runs the script and prints where the results are."""
    finish_script(run(config))


if __name__ == "__main__":
    run_script(Config, main)
