"""A training with its style images measured and its pictures listed, ready to run."""

import dataclasses
import hashlib
from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from nst_jax import parallel
from nst_jax.applications.feedforward import recipes, trained, training
from nst_jax.applications.feedforward.networks import Transformer
from nst_jax.applications.feedforward.training import Batch, Training
from nst_jax.backbones import pretrained
from nst_jax.errors import UserError
from nst_jax.io import image_folder, images
from nst_jax.io.files import sha256

from ..cli.transfer_flags import network_identity
from .crops import Crops, ahead, style_of
from .flags import TrainFlags, recipe_of, style_paths

_HELD_OUT, _LEAST_LEFT = 3, 8
"""How many pictures are held out to be shown, and how many must be left to train with, or none is held out."""


_STYLE_SIZE = 1.5
"""Long side of style images, as a multiple of the side of the squares."""


class Job(NamedTuple):
    """A training that is ready to run.

    Attributes:
        training: the training, on this process's device.
        mesh: the devices of all processes.
        crops: the photographs.
        shown: photographs that are not trained with, by name, `[size, size, 3]` each.
        styles: names of the styles that are trained.
        all_styles: names of all styles of the network.
        batch_size: photographs a step, over all devices.
        steps: number of steps.
        seed: seed of all random numbers.
        identity: everything that the network after a given step depends on, but for their number, which may grow: then
            the learning rate falls later.
        files: the flags that name files → their paths, for the record.
    """

    training: Training
    mesh: Mesh
    crops: Crops
    shown: dict[str, np.ndarray]
    styles: tuple[str, ...]
    all_styles: tuple[str, ...]
    batch_size: int
    steps: int
    seed: int
    identity: dict[str, Any]
    files: dict[str, str]

    @property
    def spread(self) -> Training:
        """The training on all devices of all processes."""
        return self.training.over(self.mesh) if self.mesh.size > 1 else self.training

    @property
    def network(self) -> Transformer:
        """The network."""
        return self.training.config.network

    def batches(self, first: int) -> Generator[Batch, None, None]:
        """Yields the batches from step `first` on; every process reads the rows of its own devices."""
        share = self.batch_size // jax.process_count()
        own = range(jax.process_index() * share, (jax.process_index() + 1) * share)
        numbers = (
            range(step * self.batch_size + own.start, step * self.batch_size + own.stop)
            for step in range(first, self.steps)
        )

        def sample(number: int) -> Batch:
            content = self.crops.read(number)
            style = np.int32(style_of(number, len(self.styles), self.seed))
            return Batch(content, style, self.training.canvas_targets(content))

        for samples in ahead(sample, numbers):
            stacked = jax.tree.map(lambda *parts: np.stack(parts), *samples)
            yield jax.tree.map(self._place, stacked)

    def _place(self, rows: np.ndarray) -> jax.Array:
        return jax.make_array_from_process_local_data(parallel.over_cells(self.mesh), rows)


def prepare(flags: TrainFlags) -> Job:
    """Reads style images and networks, lists the photographs, and measures the styles; writes nothing.

    Raises:
        UserError: the input cannot be used.
    """
    if not flags.contents:
        raise UserError("--contents: expected a folder of photographs, found none; give one, some hundred are enough")
    backbone = pretrained.resolve(flags.backbone)
    if flags.backbone == pretrained.AUTO:
        print(f"backbone: {backbone}, {pretrained.origin(backbone)}")
    recipe = recipe_of(flags, backbone)
    mesh = parallel.make_mesh()
    if recipe.batch_size % mesh.size:
        raise UserError(
            f"--batch_size: expected a multiple of {mesh.size}, the number of devices, found {recipe.batch_size}"
        )
    paths = style_paths(flags)
    style_size = flags.style_size or round(_STYLE_SIZE * flags.size)
    old = trained.load(flags.finetune) if flags.finetune else None
    if old is None:
        network = recipes.scaled(recipe.network(len(paths)), flags.width or 1.0)
    elif flags.width is not None:
        raise UserError("--width: expected none with --finetune, whose network has its own; leave it out")
    else:
        network = training.with_more_styles(old.network, len(paths))
    painted = [images.read(path, size=style_size).pixels for path in paths]
    loss_network = pretrained.load(backbone)
    files = image_folder.list_pictures(Path(flags.contents))
    shown_files, files = _held_out(flags, files)
    shown = dict(image_folder.read_squares(shown_files, flags.size))
    job = training.prepare(
        loss_network,
        recipe.settings,
        network,
        painted,
        size=flags.size,
        steps=recipe.steps,
        fade=recipe.fade,
        trained=old,
    )
    before = (old.styles or ("1",)) if old else ()
    names = _distinct([path.stem for path in paths], before)
    listing = "\n".join(f"{file.name} {_size(file)}" for file in files)
    contents = hashlib.sha256(listing.encode(errors="surrogateescape")).hexdigest()
    identity = {
        **{f"style{number}_sha256": sha256(path) for number, path in enumerate(paths, 1)},
        **network_identity(loss_network),
        "contents_sha256": contents,
        "finetune_sha256": old.sha256 if old else None,
        "width": flags.width,
        "size": flags.size,
        "style_size": style_size,
        "batch_size": recipe.batch_size,
        "seed": flags.seed,
        **{name: value for name, value in dataclasses.asdict(recipe.settings).items() if name != "steps"},
    }
    return Job(
        training=job,
        mesh=mesh,
        crops=Crops(files, size=flags.size, seed=flags.seed),
        shown=shown,
        styles=names,
        all_styles=(*before, *names),
        batch_size=recipe.batch_size,
        steps=recipe.steps,
        seed=flags.seed,
        identity=identity,
        files={
            "contents": str(flags.contents),
            "style": ",".join(map(str, paths)),
            **({"finetune": str(flags.finetune)} if flags.finetune else {}),
        },
    )


def _size(path: Path) -> int:
    """Returns the size of a file in bytes; -1 for one that cannot be had, which is skipped when it is to be read."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _held_out(flags: TrainFlags, files: list[Path]) -> tuple[list[Path], list[Path]]:
    """Returns the photographs to show, and those to train with; all can be read of the former."""
    if flags.samples:
        shown, _ = image_folder.check_readable(image_folder.list_pictures(Path(flags.samples)), keep_going=True)
        return shown, files
    order = np.random.default_rng(flags.seed).permutation(len(files))
    shown = []
    for index in order:
        try:
            images.read(files[index])
        except UserError:
            continue
        shown.append(files[index])
        if len(shown) == _HELD_OUT:
            break
    if len(files) - len(shown) < _LEAST_LEFT:
        return shown, files
    return shown, [file for file in files if file not in shown]


def _distinct(names: list[str], taken: tuple[str, ...]) -> tuple[str, ...]:
    """Returns names that differ from each other and from those that are taken, by numbers behind them."""
    found: list[str] = []
    for name in names:
        number, free = 1, name
        while free in (*taken, *found):
            number += 1
            free = f"{name}-{number}"
        found.append(free)
    return tuple(found)
