"""A training with its style images measured and its pictures listed, ready to run."""

import dataclasses
from collections.abc import Generator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from nst_jax import parallel
from nst_jax.applications.feedforward import training
from nst_jax.applications.feedforward.training import Batch, Training
from nst_jax.backbones import pretrained
from nst_jax.errors import UserError

from ..cli.transfer_flags import network_identity
from .crops import ahead
from .flags import TrainFlags, recipe_of
from .lessons import Lesson, lesson_of


class Job(NamedTuple):
    """A training that is ready to run.

    Attributes:
        training: the training, on this process's device.
        lesson: what is learnt.
        mesh: the devices of all processes.
        batch_size: pictures a step, over all devices.
        steps: number of steps.
        seed: seed of all random numbers.
        identity: everything that the network after a given step depends on, but for their number, which may grow: then
            the learning rate falls later.
    """

    training: Training
    lesson: Lesson
    mesh: Mesh
    batch_size: int
    steps: int
    seed: int
    identity: dict[str, Any]

    @property
    def spread(self) -> Training:
        """The training on all devices of all processes."""
        return self.training.over(self.mesh) if self.mesh.size > 1 else self.training

    def batches(self, first: int) -> Generator[Batch, None, None]:
        """Yields the batches from step `first` on; every process reads the rows of its own devices."""
        share = self.batch_size // jax.process_count()
        own = range(jax.process_index() * share, (jax.process_index() + 1) * share)
        numbers = (
            range(step * self.batch_size + own.start, step * self.batch_size + own.stop)
            for step in range(first, self.steps)
        )

        def row(number: int) -> Batch:
            return self.lesson.row(self.training, number, number // self.batch_size)

        for rows in ahead(row, numbers):
            stacked = jax.tree.map(lambda *parts: np.stack(parts), *rows)
            yield jax.tree.map(self._place, stacked)

    def _place(self, rows: np.ndarray) -> jax.Array:
        return jax.make_array_from_process_local_data(parallel.over_cells(self.mesh), rows)


def prepare(flags: TrainFlags) -> Job:
    """Reads style images and networks, lists the photographs, and measures the styles; writes nothing.

    Raises:
        UserError: the input cannot be used.
    """
    backbone = pretrained.resolve(flags.backbone)
    recipe = recipe_of(flags, backbone)
    mesh = parallel.make_mesh()
    if recipe.batch_size % mesh.size:
        raise UserError(
            f"--batch_size: expected a multiple of {mesh.size}, the number of devices, found {recipe.batch_size}"
        )
    lesson = lesson_of(flags, recipe)
    if flags.backbone == pretrained.AUTO:
        print(f"backbone: {backbone}, {pretrained.origin(backbone)}")
    loss_network = pretrained.load(backbone)
    made = training.prepare(
        loss_network,
        recipe.settings,
        lesson.network,
        lesson.painted,
        lesson.guides,
        size=flags.size,
        steps=recipe.steps,
        fade=recipe.fade,
        trained=lesson.old,
    )
    identity = {
        **lesson.identity,
        **network_identity(loss_network),
        "width": flags.width,
        "size": flags.size,
        "batch_size": recipe.batch_size,
        "seed": flags.seed,
        **{name: value for name, value in dataclasses.asdict(recipe.settings).items() if name != "steps"},
    }
    return Job(made, lesson, mesh, recipe.batch_size, recipe.steps, flags.seed, identity)
