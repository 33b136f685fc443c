"""A transfer with its images read and its targets measured, ready to run."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from nst_jax import lbfgs, optimize, pyramid, transfer
from nst_jax.allocator import share_memory
from nst_jax.applications.feedforward import instant, trained
from nst_jax.backbones.pretrained import AUTO, Pretrained, load_for, origin
from nst_jax.checks import check_images
from nst_jax.free_memory import free_bytes
from nst_jax.io import images
from nst_jax.io.files import sha256
from nst_jax.loop import state_shapes
from nst_jax.memory import decided, settled
from nst_jax.problem import Transfer
from nst_jax.pyramid import Scale
from nst_jax.regions import Regions
from nst_jax.rendering.colour_matching import matched
from nst_jax.settings import Settings
from nst_jax.surroundings import float32_on_device

from ..cli.transfer_flags import (
    CONTENT,
    INIT,
    INIT_NETWORK,
    TransferFlags,
    identity,
    inputs,
    resolve,
    style_images,
    styles,
)
from .checkpoints import Checkpoints
from .regions import account, regions_of, without_maps


class Job(NamedTuple):
    """A transfer that is ready to run, and what its files and records need.

    Attributes:
        content: the content image, in the size of the result.
        styles: the style images, `[H', W', 3]` each; the colours of all are matched.
        regions: the regions; None if the picture is painted as a whole.
        scales: the scales, from coarse to fine; a single one is that of the result.
        transfer: index of a scale → its transfer.
        image: the initial image of the coarsest scale, `[H, W, 3]`.
        begin: index of a finer scale and the result of the one before → the picture that it starts from.
        paths: `content`, `style` (`style2`, ...) and perhaps `init` and maps of regions → the files that were read.
        identity: everything that the picture after a given step depends on, with options that the free memory decides
            as they were asked for.
        settings: the settings, with those options as they were chosen.
        steps_asked: the option `steps`, of which the scales take shares.
    """

    content: images.Picture
    styles: list[np.ndarray]
    regions: Regions | None
    scales: tuple[Scale, ...]
    transfer: Callable[[int], Transfer]
    image: jax.Array
    begin: Callable[[int, jax.Array], jax.Array]
    paths: dict[str, Path]
    identity: dict[str, Any]
    settings: Settings
    steps_asked: int

    def release_styles(self) -> None:
        """Lets the style images go, which may be as large as the picture, once the finest scale's transfer is made."""
        self.styles.clear()  # the list that `transfer` has too

    @property
    def steps(self) -> int:
        """The number of steps, over all scales."""
        return self.scales[-1].end

    @property
    def settings_at_scales(self) -> list[Settings]:
        """The settings of each scale."""
        shapes = [scale.shape for scale in self.scales]
        return [pyramid.settings_at(self.settings, shapes, index) for index in range(len(shapes))]

    def state_shapes(self, step: int) -> list[tuple[int, optimize.State]]:
        """Returns the scales in which the run may be after a step, with the shapes of its state there."""
        return [(index, state_shapes(self.transfer(index))) for index in pyramid.at_step(self.scales, step)]


class Input(NamedTuple):
    """What a transfer is about, read and found to fit together.

    Attributes:
        pretrained: the network.
        settings: the settings, with what they leave open.
        scales: the scales, from coarse to fine.
        content: the content image, in the size of the result.
        styles: the style images, with their own colours.
        regions: the regions; None if the picture is painted as a whole.
        paths: the files that were read.
    """

    pretrained: Pretrained
    settings: Settings
    scales: tuple[Scale, ...]
    content: images.Picture
    styles: list[np.ndarray]
    regions: Regions | None
    paths: dict[str, Path]


def read(flags: TransferFlags) -> Input:
    """Reads the images and the network.

    Raises:
        UserError: the input cannot be used.
    """
    pretrained = load_for(flags.backbone, flags.dream_layers or ())
    settings = resolve(flags, pretrained.backbone.name)
    paths = inputs(flags)
    content = images.read(paths[CONTENT], size=flags.size)
    # As it lies on the device, which on a CPU uses memory of the host if it is aligned: the initial image is no copy.
    content = content._replace(pixels=jax.device_get(float32_on_device(content.pixels)))
    shown = style_images(flags, styles(paths))
    painted = [image.read() for image in shown]
    shapes = [image.shape for image in painted]
    regions = regions_of(flags, paths, content.pixels.shape, shown, shapes)
    check_images(pretrained.backbone, settings, content.pixels, painted, regions=regions)
    scales = pyramid.scales_of(pretrained.backbone, settings, content.pixels.shape, shapes)
    return Input(pretrained, settings, scales, content, painted, regions, paths)


def prepare(flags: TransferFlags, *, begun: Checkpoints | None = None) -> Job:
    """Reads the images and the network and measures the targets; writes nothing.

    Args:
        flags: the flags.
        begun: the checkpoints of the run that goes on, which has chosen what is left open.

    Raises:
        UserError: the input cannot be used.
    """
    pretrained, settings, scales, content, painted, regions, paths = read(flags)
    if flags.backbone == AUTO:
        print(f"backbone: {pretrained.backbone.name}, {origin(pretrained.backbone.name)}")
    for line in account(paths, regions, content.pixels.shape, settings.blend_weights):
        print(line)
    if regions is None:
        paths = without_maps(paths)
    steps_asked, asked = settings.steps, decided(settings)
    settings = dataclasses.replace(pyramid.resolved(settings, scales), **(begun.chosen(asked) if begun else {}))
    settings = settled(
        settings, pretrained.backbone, [image.shape for image in (content.pixels, *painted)], free_bytes()
    )
    if settings.tile != "off":
        share_memory()
    if asked["tile"] != settings.tile != "off":
        print(f"tiles of about {settings.tile} px, as memory does not hold the activations of the whole picture")
    if not asked["lbfgs_pairs"] and settings.lbfgs_pairs < lbfgs.PAIRS:
        print(f"lbfgs remembers {settings.lbfgs_pairs} steps, as memory does not hold {lbfgs.PAIRS}")
    pixels, painted = matched(settings, content.pixels, painted)
    at_scale = pyramid.transfers(pretrained, settings, pixels, painted, scales, regions=regions, seed=flags.seed)
    at_scale(0)  # measures the targets; those of finer scales are measured while coarser ones run
    return Job(
        content=content,
        styles=painted,
        regions=regions,
        scales=scales,
        transfer=at_scale,
        image=initial_image(flags, settings, paths, pyramid.at_scale(pixels, scales[0].shape)),
        begin=pyramid.starts(settings, scales, pixels),
        paths=paths,
        identity=identity(
            flags,
            dataclasses.replace(settings, **asked),  # what memory is free at a start is no part of it
            pretrained,
            {name: sha256(path) for name, path in paths.items()},
        ),
        settings=settings,
        steps_asked=steps_asked,
    )


def initial_image(
    flags: TransferFlags, settings: Settings, paths: Mapping[str, Path], content: np.ndarray
) -> jax.Array:
    """Returns the initial image, in the shape of `content` `[H, W, 3]`."""
    if INIT_NETWORK in paths:
        painted = [image.read() for image in style_images(flags, styles(paths))]
        _, painted = matched(settings, np.asarray(content), painted)  # the palette that the transfer goes on to
        painter = instant.painter(trained.read(paths[INIT_NETWORK]), painted, settings.blend_weights)
        return float32_on_device(painter.paint(np.asarray(content)))
    if INIT in paths:
        return float32_on_device(images.resize(images.read(paths[INIT]).pixels, content.shape[:2]))
    return transfer.initial_image(settings, content, seed=flags.seed)
