"""Run by `test_parallel.py` where there are eight devices: prints how far sharded runs are from those on one."""

import dataclasses
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax import batches, parallel, sweep, transfer
from nst_jax.backbones import weights
from nst_jax.presets import PRESETS
from nst_jax.sweep import Cell

SIZE = (40, 48, 3)
STEPS = 4


def picture(seed, shape=SIZE):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


def settings(optimizer):
    return dataclasses.replace(
        PRESETS["squeezenet"],
        style_layers=("conv1", "fire2/concat"),
        content_layers=("fire3/concat",),
        margin=4,
        optimizer=optimizer,
        learning_rate={"adam": 0.02, "lbfgs": 1.0}[optimizer],
    )


def noise_cells(optimizer, count):
    return [
        Cell(dataclasses.replace(settings(optimizer), style_weight=10.0 * (1 + index), init="noise"), seed=index)
        for index in range(count)
    ]


def run_cells(network, optimizer, count, mesh):
    cells = noise_cells(optimizer, count)
    contents, paintings = [picture(0)], [picture(1)]
    shared, traced = sweep.prepare(network, cells, contents, paintings)
    images = sweep.initial_images(cells, contents)
    rates = jnp.float32([cell.settings.learning_rate for cell in cells])
    if mesh:
        traced, images, rates = (
            parallel.place_cells(parallel.padded_to_devices(tree, mesh), mesh) for tree in (traced, images, rates)
        )
        shared = parallel.replicate(shared, mesh)
    states = sweep.start(shared, traced, images, rates)
    used = len(states.point.variables.sharding.device_set)
    for reached, _ in sweep.run(shared, traced, states, steps=STEPS):
        states = reached
    assert len(states.point.variables.sharding.device_set) == used
    return sweep.pictures(shared, states)[:count], used


def run_batch(network, optimizer, count, mesh):
    cells = noise_cells(optimizer, count)
    group = batches.Group(network, cells, lambda _: picture(0), lambda _: picture(1), mesh=mesh)
    assert group.fitting(count) == mesh.size
    size = 2 * mesh.size  # some cells on each device, and not as many as there is room for
    batch = group.begin(range(count), sweep.initial_images(cells, [picture(0)]), size)
    used = len(batch.states.point.variables.sharding.device_set)
    for reached, _ in group.run(batch, steps=STEPS // 2):
        states = reached
    batch = group.go_on(range(count), [sweep.state_of(states, place) for place in range(count)], size)
    for reached, _ in group.run(batch, steps=STEPS):
        states = reached
    assert len(states.point.variables.sharding.device_set) == used
    return sweep.pictures(batch.shared, states)[:count], used


def run_rows(network, optimizer, mesh):
    job = transfer.prepare(network, settings(optimizer), picture(0), picture(1))
    state = transfer.start(job, picture(2), settings(optimizer).learning_rate)
    if mesh:
        job, state = parallel.replicate(job, mesh), parallel.place_rows(state, mesh)
    used = len(state.point.variables.sharding.device_set)
    for reached, _ in transfer.run(job, state, steps=STEPS):
        state = reached
    assert len(state.point.variables.sharding.device_set) == used
    return transfer.picture(job, state), used


def distance(one, many):
    """How far all but one pixel in a thousand are from each other at most, and the others."""
    difference = np.abs(one - many)
    return float(np.quantile(difference, 0.999)), float(difference.max())


def main():
    network = weights.load("squeezenet1_1")
    found = {"devices": len(jax.devices())}
    for optimizer in ("adam", "lbfgs"):
        for count in (8, 5):
            one, _ = run_cells(network, optimizer, count, None)
            many, used = run_cells(network, optimizer, count, parallel.make_mesh())
            found[f"cells {optimizer} {count}"] = *distance(one, many), used
        many, used = run_batch(network, optimizer, count, parallel.make_mesh())
        found[f"batch {optimizer} {count}"] = *distance(one, many), used
        one, _ = run_rows(network, optimizer, None)
        many, used = run_rows(network, optimizer, parallel.make_mesh(rows=8))
        found[f"rows {optimizer}"] = *distance(one, many), used
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
