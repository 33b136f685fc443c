"""Makes the style image of a transfer first, of the coarse forms of one image and the fine strokes of another.

It is a transfer like any other, in a folder of its own, with its own record, losses and checkpoints; what is made there
is the style image of the one that follows.
"""

import dataclasses
import json
from pathlib import Path

from nst_jax.applications.strokes import stroke_settings
from nst_jax.backbones import pretrained
from nst_jax.backbones.registry import BACKBONES

from ..cli.run_flags import COARSE, FINE, SingleFlags, StrokeFlags, parts
from ..cli.transfer_flags import TransferFlags, resolve, style_images
from . import single
from .job import read

_FOLDER = "strokes"
_PICTURE = "style.png"


def flags_of(flags: StrokeFlags) -> TransferFlags:
    """Returns the flags of the transfer that makes the style image of another.

    It has the size in which that transfer reads its style image, and the network, formulas and solver of it.

    Raises:
        UserError: see `stroke_settings`.
    """
    of, backbone = parts(flags), pretrained.resolve(flags.backbone)
    settings = stroke_settings(BACKBONES[backbone], resolve(flags, backbone), flags.fine_until)
    return TransferFlags(
        content=str(of[COARSE]),
        style=str(of[FINE]),
        backbone=flags.backbone,
        preset=flags.preset,
        size=style_images(flags, [of[COARSE]])[0].size,
        seed=flags.seed,
        **{**vars(settings), "region_guides": None},  # which no flag may say without a map
    )


def run(flags: SingleFlags, workdir: Path) -> single.Result:
    """Makes the style image that flags ask for, in a folder within that of the transfer.

    When the transfer is resumed with more steps, those of the style image stay as they were: it would be another one.

    Raises:
        UserError: see `flags_of` and `single.run`.
    """
    folder, own = workdir / _FOLDER, flags_of(flags)
    if flags.resume and (steps := _steps_before(folder)):
        own = dataclasses.replace(own, steps=steps)
    read(dataclasses.replace(flags, style=own.content))  # of the same shape: what does not fit is said at once
    print(f"first the strokes of {own.style} in the forms of {own.content}, at {', '.join(own.style_layers)}")
    made = SingleFlags(**vars(own), bits=16, save_every=flags.save_every, resume=flags.resume)
    return single.run(made, folder, folder / _PICTURE)


def with_style(flags: SingleFlags, picture: Path) -> SingleFlags:
    """Returns the flags of the transfer that follows, with what `run` made as its style image."""
    backbone = BACKBONES[pretrained.resolve(flags.backbone)]
    until = backbone.family.fine_until if flags.fine_until is None else flags.fine_until
    return dataclasses.replace(flags, style=str(picture), fine_until=until)


def _steps_before(folder: Path) -> int | None:
    """Returns the number of steps with which a style image was begun there, if it was."""
    try:
        steps = json.loads((folder / "run.json").read_bytes())["steps_asked"]
    except (OSError, ValueError, LookupError, TypeError):  # none, or not ours
        return None
    return steps if type(steps) is int else None
