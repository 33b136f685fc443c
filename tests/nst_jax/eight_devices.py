"""Run by `test_parallel.py` where there are eight devices: prints how far sharded runs are from those on one."""

import dataclasses
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
from runs import finish

from nst_jax import batches, loop, parallel, stacking, tiling, transfer
from nst_jax.backbones import pretrained
from nst_jax.batches import Recipe
from nst_jax.presets import PRESETS

SIZE = (40, 48, 3)
TILED = (96, 112, 3)
STEPS = 4


def picture(seed, shape=SIZE):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


def settings(optimizer):
    return dataclasses.replace(
        PRESETS["squeezenet"],
        style_layers=("conv1", "fire2/concat"),
        content_layers=("fire3/concat",),
        tv_weight=10.0,  # with 5, rounding decides a line search of one cell, which then is 6e-4 away
        margin=4,
        optimizer=optimizer,
        learning_rate={"adam": 0.02, "lbfgs": 1.0}[optimizer],
    )


def noise_recipes(optimizer, count):
    return [
        Recipe(
            dataclasses.replace(settings(optimizer), style_weight=10.0 * (1 + index), init="noise"),
            content=0,
            styles=(1,),
            seed=index,
        )
        for index in range(count)
    ]


def image(recipe):
    return transfer.initial_image(recipe.settings, picture(0), seed=recipe.seed)


def run_cells(network, optimizer, count, mesh):
    """Stacked transfers, the last one repeated until every device has as many."""
    recipes = noise_recipes(optimizer, count)
    problems = [transfer.prepare(network, recipe.settings, picture(0), picture(1)) for recipe in recipes]
    images = [image(recipe) for recipe in recipes]
    missing = -count % len(jax.devices()) if mesh else 0
    batch, images = stacking.stack(problems + problems[-1:] * missing), jnp.stack(images + images[-1:] * missing)
    if mesh:
        batch, images = parallel.place_batch(batch, mesh), parallel.place_cells(images, mesh)
    last, _ = finish(batch, images, steps=STEPS)
    return np.asarray(last.result)[:count], len(last.state.variables.sharding.device_set)


def run_batch(network, optimizer, count, mesh):
    recipes = noise_recipes(optimizer, count)
    group = batches.Group(network, recipes, picture, mesh=mesh)
    assert group.fitting(count) == mesh.size
    size = 2 * mesh.size  # some cells on each device, and not as many as there is room for
    *_, half = group.run(range(count), size, steps=STEPS // 2, images=[image(recipe) for recipe in recipes])
    states = [stacking.state_of(half.state, place) for place in range(count)]
    *_, last = group.run(range(count), size, steps=STEPS, states=states)
    return np.asarray(last.result)[:count], len(last.state.variables.sharding.device_set)


def run_rows(network, optimizer, mesh):
    problem = transfer.prepare(network, settings(optimizer), picture(0), picture(1))
    state = loop.init(problem, picture(2))
    if mesh:
        problem, state = parallel.replicate(problem, mesh), parallel.place_rows(problem, state, mesh)
    used = len(state.variables.sharding.device_set)
    last, _ = finish(problem, picture(2), steps=STEPS, state=state)
    assert len(last.state.variables.sharding.device_set) == used
    return np.asarray(last.result), used


def run_tiles(network, mesh):
    """Loss and gradient of a picture in nine windows, one more than there are devices."""
    tiled = dataclasses.replace(settings("adam"), tile=32)
    problem = transfer.prepare(network, tiled, picture(0, TILED), picture(1))
    canvas = jnp.asarray(picture(2, (TILED[0] + 8, TILED[1] + 8, 3)))
    state = loop.init(problem, picture(2, TILED))
    layers = ("conv1", "fire2/concat", "fire3/concat")
    windows = tiling.layout(network.backbone, layers, canvas.shape[:2], 32, around=False)
    assert len(windows.tiles().corner) == 9
    if mesh:
        problem = parallel.spread_tiles(problem, mesh)
        state = parallel.place_rows(problem, state, mesh)
    last, _ = finish(problem, None, steps=1, state=state)
    found = last.state.evaluation
    return float(found.loss), np.asarray(found.gradient, np.float64).ravel(), len(found.gradient.sharding.device_set)


def distance(one, many):
    """How far all but one pixel in a thousand are from each other at most, and the others."""
    difference = np.abs(one - many)
    return float(np.quantile(difference, 0.999)), float(difference.max())


def main():
    network = pretrained.load("squeezenet1_1")
    found = {"devices": len(jax.devices())}
    for optimizer in ("adam", "lbfgs"):
        for count in (8, 5) if optimizer == "adam" else (5,):
            one, _ = run_cells(network, optimizer, count, None)
            many, used = run_cells(network, optimizer, count, parallel.make_mesh())
            found[f"cells {optimizer} {count}"] = *distance(one, many), used
        many, used = run_batch(network, optimizer, count, parallel.make_mesh())
        found[f"batch {optimizer} {count}"] = *distance(one, many), used
        one, _ = run_rows(network, optimizer, None)
        many, used = run_rows(network, optimizer, parallel.make_mesh(rows=8))
        found[f"rows {optimizer}"] = *distance(one, many), used
    loss, gradient, _ = run_tiles(network, None)
    lots, others, used = run_tiles(network, parallel.make_mesh(rows=8))
    cosine = gradient @ others / np.linalg.norm(gradient) / np.linalg.norm(others)
    found["tiles"] = abs(lots - loss) / loss, 1 - cosine, used
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
