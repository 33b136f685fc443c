"""The flags of image quilting, and the blocks that follow from them; nothing here needs JAX."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict

from nst_jax.applications import quilting
from nst_jax.errors import UserError
from nst_jax.io.files import sha256

from ..cli.flags import flag
from ..cli.transfer_flags import INIT, INIT_NETWORK, TransferFlags, recorded, style_images, styles

_UNIFORMITY = {"transfer": quilting.TRANSFER_UNIFORMITY, "texture": quilting.SYNTHESIS_UNIFORMITY}
_BLOCKS_ALONG = {"transfer": 32, "texture": 8}  # number along the long side of the style image, by default


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuiltingFlags(TransferFlags):
    """The flags of a quilt, and of the neural picture that it is compared with."""

    mode: Literal["transfer", "texture"] = flag(
        "transfer",
        "Task: stylise the content image with blocks of the style image, or make a larger texture of the style image.",
    )
    patch: int | None = flag(
        None,
        "Side of the blocks in pixels; by default 1/32 of --style_size, or 1/8 with --mode=texture, if they fit.",
        least=1,
    )
    overlap: int | None = flag(
        None, "Overlap of neighbouring blocks in pixels; by default a third of their side.", least=1
    )
    iterations: int | None = flag(
        None,
        "Number of passes over the picture, each with smaller blocks; by default "
        f"{quilting.PASSES}, or as many as the size of the blocks allows.",
        least=1,
    )
    alpha: tuple[float, ...] = flag(
        quilting.ALPHA,
        "Weight of matching neighbouring blocks against matching the content image, in the first and in the last pass.",
    )
    blur: float = flag(
        0.0, "Standard deviation in pixels of the blur applied to the brightness that blocks are matched by.", least=0
    )
    tolerance: float = flag(
        quilting.TOLERANCE, "Share by which the error of a chosen block may exceed that of the best block.", least=0
    )
    uniformity: float | None = flag(
        None,
        "Penalty for repeating parts of the style image; 0 means none, as in the paper of 2001; the default depends on "
        "--mode.",
        least=0,
    )
    enlarge: float = flag(
        2.0,
        "Ratio of the sides of the texture to those of the style image with --mode=texture.",
        least=0.01,
        most=100,
    )

    def __post_init__(self) -> None:
        """Raises UserError for numbers that cannot be used."""
        super().__post_init__()
        if len(self.alpha) != 2:
            raise UserError(f"--alpha: expected two numbers, first and last pass, found {len(self.alpha)}")


def blocks(flags: QuiltingFlags, *shapes: tuple[int, ...]) -> dict[str, Any]:
    """Returns the arguments for `quilting.schedule`; defaults fit the images.

    Args:
        flags: the flags.
        shapes: (height, width, ...) of the style image and of the quilt, no side below `images.MIN_SIDE`.

    Raises:
        UserError: a number that a flag gives is out of its range.
    """
    shortest = min(side for shape in shapes for side in shape[:2])
    share = round(max(shapes[0][:2]) / _BLOCKS_ALONG[flags.mode])
    side = flags.patch or min(shortest, max(quilting.SMALLEST, share))
    if flags.mode == "texture":
        return {"patch": side, "overlap": flags.overlap, "alpha": (1.0, 1.0), "iterations": 1}
    given: dict[str, Any] = {"patch": side, "overlap": flags.overlap, "alpha": flags.alpha}
    return {**given, "iterations": len(quilting.schedule(**given, iterations=flags.iterations))}


class Choice(TypedDict):
    """The arguments of `quilting` that decide between blocks."""

    tolerance: float
    uniformity: float


def choice(flags: QuiltingFlags) -> Choice:
    """Returns what decides between blocks that fit about equally well."""
    given = flags.uniformity
    return {"tolerance": flags.tolerance, "uniformity": _UNIFORMITY[flags.mode] if given is None else given}


def describe(flags: QuiltingFlags, paths: Mapping[str, Path], blocks: Mapping[str, Any]) -> dict[str, Any]:
    """Returns everything that a quilt depends on, given its images and the result of `blocks`."""
    files = {name: path for name, path in paths.items() if name not in (INIT, INIT_NETWORK)}
    only = {"blur": flags.blur} if flags.mode == "transfer" else {"enlarge": flags.enlarge}
    return {
        "mode": flags.mode,
        **{name: str(path) for name, path in files.items()},
        **{f"{name}_sha256": sha256(path) for name, path in files.items()},
        "size": flags.size,
        **recorded(style_images(flags, styles(files))),
        "seed": flags.seed,
        **blocks,
        **choice(flags),
        **only,
    }
