"""Rescales a backbone so that the mean activation of every filter, over images and positions, is 1.

    python -m converters.normalize --backbone=vgg19 --images=FOLDER [--size=224] [--pooling=max|average|...]
        [--output=OUT.safetensors]

The result is a separate backbone, `vgg19_normalized`, which is installed unless `--output` is given. FOLDER should have
several hundred varied images; Gatys et al. used ImageNet. vgg19 must be installed. Takes a second for 10 images on 2
cores.

Source: Gatys, Ecker & Bethge, Texture Synthesis Using Convolutional Neural Networks, NIPS 2015 (arXiv:1505.07376),
section 2: "We also normalised the network by scaling the weights such that the mean activation of each convolutional
filter over images and positions is equal to one. Such re-scaling can be done for the VGG network without changing its
output, because it contains only rectifying linear activation functions and no normalization or pooling over feature
maps."
"""

import functools
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from rich.console import Console
from rich.progress import track

from nst_jax.backbones import pretrained
from nst_jax.backbones.features import Features
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.rows import Add, Concat, Conv, GlobalAverage, LocalResponseNorm, Pool
from nst_jax.backbones.spec import INPUT, Backbone
from nst_jax.errors import UserError, choose, one_line
from nst_jax.io.files import check_target, file_error, make_folder, sha256
from nst_jax.io.image_folder import list_pictures, read_squares
from nst_jax.vocabulary import Pooling

from . import command

SUFFIX = "_normalized"
NORMALIZABLE = tuple(name for name in BACKBONES if f"{name}{SUFFIX}" in BACKBONES)
_SMALLEST, _LARGEST = 32, 2048  # pixels
_FEW = 100  # pictures


class Normalized(NamedTuple):
    """Result of a normalisation.

    Attributes:
        output: the written file.
        pictures: number of images.
        silent: layer → number of its filters that no image activated, and that keep their scale.
    """

    output: Path
    pictures: int
    silent: dict[str, int]


def normalize(
    backbone: str, images: Path, output: Path | None = None, *, size: int = 224, pooling: Pooling = "max"
) -> Normalized:
    """Writes the normalised weights of an installed backbone.

    Args:
        backbone: its name, one of `NORMALIZABLE`.
        images: a folder with images, as `image_folder.list_pictures` finds them; other files are ignored.
        output: the file to write; by default the installed weights of the normalised backbone.
        size: side in pixels of the central square of each image, see `image_folder.read_squares`.
        pooling: pooling of the network during the measurement.

    Raises:
        UserError: the backbone, an image or the output cannot be used; then nothing is written.
    """
    choose(backbone, NORMALIZABLE, what="backbone that can be normalised")
    target = BACKBONES[f"{backbone}{SUFFIX}"]
    network = pretrained.load(backbone)
    paths = list_pictures(images)
    if output is None:
        output = pretrained.folder() / pretrained.file_name(target.name)
        make_folder(output.parent)
    check_target(output)
    source = pretrained.find(backbone)
    if output.exists() and source and output.samefile(source):
        raise file_error(output, "expected a file of its own, found the weights that are rescaled; choose another")
    squares = (pixels for _, pixels in read_squares(_shown(paths), size))
    measured = mean_activations(network, squares, pooling=pooling)
    for layer, means in measured.items():
        if not np.isfinite(means).all():
            raise UserError(f"{backbone}: expected finite activations, found others in {layer}; install other weights")
    metadata = {
        "licence": target.provenance.licence,
        "pictures": sorted(sha256(path) for path in paths),
        "pictures_pooling": pooling,
        "pictures_size": size,
        "source_backbone": backbone,
        "source_sha256": network.sha256,
    }
    pretrained.write(output, rescaled(network, measured), target, metadata)
    silent = {layer: int((means == 0).sum()) for layer, means in measured.items() if (means == 0).any()}
    return Normalized(output, len(paths), silent)


def mean_activations(
    network: pretrained.Pretrained, images: Iterable[np.ndarray], *, pooling: Pooling
) -> dict[str, np.ndarray]:
    """Returns the mean activation of each filter after the ReLU: layer → float64 `[C]`.

    Args:
        network: the network and its weights.
        images: RGB `[H, W, 3]` in [0, 1], at least one; each new size compiles again.
        pooling: pooling of the network.
    """
    totals: dict[str, np.ndarray] = {}
    count = 0
    for image in images:
        means = jax.device_get(_means(network.params, image, backbone=network.backbone, pooling=pooling))
        totals = {layer: totals.get(layer, 0.0) + values.astype(np.float64) for layer, values in means.items()}
        count += 1
    return {layer: total / count for layer, total in totals.items()}


@functools.partial(jax.jit, static_argnames=("backbone", "pooling"))
def _means(
    params: Mapping[str, Mapping[str, jax.Array]], image: jax.Array, *, backbone: Backbone, pooling: Pooling
) -> dict[str, jax.Array]:
    features = typing.cast("dict[str, jax.Array]", Features(backbone, pooling=pooling).apply(params, image))
    return {row.name: jnp.mean(features[row.name], axis=(0, 1)) for row in backbone.rows if isinstance(row, Conv)}


def rescaled(network: pretrained.Pretrained, means: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the parameters that divide the activations of every layer by their means.

    A filter that was never active keeps its scale. Only convolutions with ReLU can be rescaled this way, with nothing
    between them that mixes channels.

    Args:
        network: the network and its weights.
        means: as `mean_activations` returns them.
    """
    parameters = network.params["params"]
    scales = {INPUT: np.ones(3)}  # divisors of the channels of each row
    result = {}
    for row in network.backbone.rows:
        match row:
            case Conv():
                scale = np.where(means[row.name] > 0, means[row.name], 1.0)
                kernel = parameters[f"{row.name}/kernel"] * scales[row.input][:, None] / scale
                result[f"{row.name}/kernel"] = kernel.astype(np.float32)
                result[f"{row.name}/bias"] = (parameters[f"{row.name}/bias"] / scale).astype(np.float32)
                scales[row.name] = scale
            case Concat():
                scales[row.name] = np.concatenate([scales[name] for name in row.parts])
            case Pool() | GlobalAverage():
                scales[row.name] = scales[row.input]
            case Add():
                raise UserError(
                    f"{row.name}: expected layers whose channels can be rescaled one by one, found a sum of layers: "
                    f"choose a backbone without, not {network.backbone.name}"
                )
            case LocalResponseNorm():
                raise UserError(
                    f"{row.name}: expected layers whose channels can be rescaled one by one, found a normalisation "
                    f"across channels: choose a backbone without, not {network.backbone.name}"
                )
            case _:
                typing.assert_never(row)
    return result


def _shown(paths: list[Path]) -> Iterable[Path]:
    return track(paths, "measuring", console=Console(stderr=True), transient=True)


def _counted(images: int) -> str:
    return f"{images} image" if images == 1 else f"{images} images"


def _define_flags() -> None:
    flags.DEFINE_string("backbone", "vgg19", f"Backbone to rescale: {', '.join(NORMALIZABLE)}.")
    command.define_path("images", None, "Folder with images.")
    flags.DEFINE_integer(
        "size",
        224,
        "Side in pixels of the scaled and cropped images.",
        lower_bound=_SMALLEST,
        upper_bound=_LARGEST,
    )
    flags.DEFINE_enum("pooling", "max", typing.get_args(Pooling), "Pooling of the network during the measurement.")
    command.define_path("output", None, "File to write; by default the weights are installed.")


def _command() -> None:
    given = flags.FLAGS
    if given.images is None:
        raise UserError("expected --images=FOLDER, found none; give a folder with images")
    output = command.path(given.output, "output")
    done = normalize(given.backbone, Path(given.images), output, size=given.size, pooling=given.pooling)
    for layer, count in done.silent.items():
        print(f"{layer}: filters that no image activated, and that keep their scale: {count}")
    if done.pictures < _FEW:
        print(f"{_counted(done.pictures)}: few, so that rare features are scaled by chance; use hundreds")
    print(f"normalised {given.backbone} with {_counted(done.pictures)}, wrote {one_line(done.output)}")


if __name__ == "__main__":
    _define_flags()
    command.run(_command)
