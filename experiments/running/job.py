"""A transfer with its images read and its targets measured, ready to run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from nst_jax import transfer
from nst_jax.backbones.pretrained import AUTO, load_for, origin
from nst_jax.io import images
from nst_jax.io.files import sha256
from nst_jax.settings import Settings
from nst_jax.surroundings import float32_on_device
from nst_jax.transfer import Transfer

from ..cli.transfer_flags import CONTENT, INIT, TransferFlags, identity, inputs, resolve, style_size, styles


class Job(NamedTuple):
    """A transfer that is ready to run, and what its files and records need.

    Attributes:
        content: the content image, in the size of the result.
        transfer: the transfer.
        image: the initial image, `[H, W, 3]`.
        steps: number of steps to run.
        paths: `content`, `style` (`style2`, ...) and perhaps `init` → the files that were read.
        identity: everything that the picture after a given step depends on.
    """

    content: images.Picture
    transfer: Transfer
    image: jax.Array
    steps: int
    paths: dict[str, Path]
    identity: dict[str, Any]


def prepare(flags: TransferFlags) -> Job:
    """Reads the images and the network and measures the targets; writes nothing.

    Raises:
        UserError: the input cannot be used.
    """
    pretrained = load_for(flags.backbone, flags.dream_layers or ())
    backbone = pretrained.backbone.name
    if flags.backbone == AUTO:
        print(f"backbone: {backbone}, {origin(backbone)}")
    settings = resolve(flags, backbone)
    paths = inputs(flags)
    content = images.read(paths[CONTENT], size=flags.size)
    style_images = [images.read(path, size=style_size(flags)).pixels for path in styles(paths)]
    return Job(
        content=content,
        transfer=transfer.prepare(pretrained, settings, content.pixels, style_images, seed=flags.seed),
        image=initial_image(flags, settings, paths, content.pixels),
        steps=settings.steps,
        paths=paths,
        identity=identity(flags, settings, pretrained, {name: sha256(path) for name, path in paths.items()}),
    )


def initial_image(
    flags: TransferFlags, settings: Settings, paths: Mapping[str, Path], content: np.ndarray
) -> jax.Array:
    """Returns the initial image, in the shape of `content` `[H, W, 3]`."""
    if INIT in paths:
        return float32_on_device(images.resize(images.read(paths[INIT]).pixels, content.shape[:2]))
    return transfer.initial_image(settings, content, seed=flags.seed)
