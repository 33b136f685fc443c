"""Many transfers as one program: each cell is the single transfer with the same settings."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax import sweep, transfer
from nst_jax.backbones import weights
from nst_jax.errors import UserError
from nst_jax.history import join
from nst_jax.presets import PRESETS
from nst_jax.sweep import Cell

SIZE = (40, 48, 3)
STEPS = 5


@pytest.fixture(scope="module")
def network():
    return weights.load("squeezenet1_1")


def picture(seed, shape=SIZE):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


CONTENTS = [picture(0), picture(1)]
PAINTINGS = [picture(2, (36, 44, 3)), picture(3, (50, 33, 3))]


def base(optimizer):
    return dataclasses.replace(
        PRESETS["squeezenet"],
        style_layers=("conv1", "fire2/concat"),
        content_layers=("fire3/concat",),
        margin=2,
        optimizer=optimizer,
        learning_rate={"adam": 0.02, "lbfgs": 1.0}[optimizer],
    )


def grid(optimizer):
    """Cells that differ in everything that cells may differ in."""
    plain = base(optimizer)
    changes = [
        {},
        {"style_weight": 20.0, "tv_weight": 0.0},
        {"content_weight": 3.0, "blend_weights": (0.3, 0.7), "paintings": (0, 1)},
        {"style_layers": ("conv1",), "content_layers": ("fire2/concat", "fire3/concat")},
        {"style_layers": ("conv1", "fire2/concat", "fire3/concat"), "style_layer_weights": (0.5, 0.2, 0.3)},
        {"init": "noise", "learning_rate": plain.learning_rate / 2},
        {"init": "blend", "init_noise": 0.5, "paintings": (1,)},
    ]
    cells = []
    for index, change in enumerate(changes):
        paintings = change.pop("paintings", (0,))
        cells.append(Cell(dataclasses.replace(plain, **change), content=index % 2, paintings=paintings, seed=index))
    return cells


def run_all(network, cells, steps=STEPS, **options):
    prepared, traced = sweep.prepare(network, cells, CONTENTS, PAINTINGS)
    rates = [cell.settings.learning_rate for cell in cells]
    states = sweep.start(prepared, traced, sweep.initial_images(cells, CONTENTS), rates)
    news = []
    for reached, found in sweep.run(prepared, traced, states, steps=steps, **options):
        states = reached
        news.append(found)
    return prepared, states, news


def run_single(network, cell, steps=STEPS):
    content = CONTENTS[cell.content]
    job = transfer.prepare(network, cell.settings, content, [PAINTINGS[index] for index in cell.paintings])
    image = transfer.initial_image(cell.settings, jnp.asarray(content), seed=cell.seed)
    state = transfer.start(job, image, cell.settings.learning_rate)
    histories = []
    for reached, news in transfer.run(job, state, steps=steps):
        state = reached
        histories.append(news)
    return transfer.picture(job, state), join(histories)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_cell_is_the_single_transfer_with_its_settings(optimizer, network):
    cells = grid(optimizer)
    prepared, states, news = run_all(network, cells)
    history = join([found.history for found in news])
    pictures = sweep.pictures(prepared, states)
    assert history.step.tolist() == list(range(1, STEPS + 1))
    assert all(found.finite.all() for found in news)
    for index, cell in enumerate(cells):
        expected, losses = run_single(network, cell)
        # The same sums in another order: float32 has 1e-7, and L-BFGS divides by differences of gradients.
        np.testing.assert_allclose(history.loss[:, index], losses.loss, rtol=2e-4, err_msg=str(index))
        np.testing.assert_allclose(pictures[index], expected, atol=2e-3, err_msg=str(index))
        for name, values in losses.terms.items():
            found = history.terms[name][:, index]
            np.testing.assert_allclose(found, values, rtol=1e-3, atol=1e-6, err_msg=f"{index} {name}")


def test_one_program_serves_every_grid(network, count_compilations):
    cells = grid("adam")
    run_all(network, cells, steps=3)
    others = [
        dataclasses.replace(
            cell,
            settings=dataclasses.replace(cell.settings, style_weight=7.0 + index),
            content=1 - cell.content,
            seed=9 + index,
        )
        for index, cell in enumerate(cells)
    ]
    with count_compilations() as compiled:
        run_all(network, others, steps=3)
    assert compiled == []


def test_when_it_pauses_changes_nothing(network):
    cells = grid("lbfgs")[:3]
    _, states, _ = run_all(network, cells, steps=6)
    _, paused, news = run_all(network, cells, steps=6, pause_every=2)
    assert len(news) >= 3
    jax.tree.map(np.testing.assert_array_equal, states, paused)


def test_a_cell_that_diverges_leaves_the_others_alone(network):
    good = grid("adam")[0]
    bad = Cell(dataclasses.replace(good.settings, style_weight=3.4e38, tv_weight=3.4e38))  # infinite together
    _, states, news = run_all(network, [good, bad, good])
    finite = np.concatenate([found.finite for found in news])
    assert finite[:, [0, 2]].all()
    assert not finite[:, 1].any()
    assert states.step.tolist() == [STEPS, 0, STEPS]
    np.testing.assert_array_equal(states.point.variables[0], states.point.variables[2])


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([], "cells: expected one or more, found none"),
        (
            [Cell(base("adam")), Cell(dataclasses.replace(base("adam"), pooling="max"))],
            "pooling: expected the same in all cells of one program, found average, max",
        ),
        (
            [Cell(base("adam"), paintings=(0, 1)), Cell(dataclasses.replace(base("adam"), blend_weights=(1.0, 2.0)))],
            "blend_weights: expected one for each of 1",
        ),
        ([Cell(dataclasses.replace(base("adam"), style_layers=("conv9",)))], "unknown style layer .*'conv9'"),
    ],
    ids=str,
)
def test_unusable_grids(network, cells, message):
    with pytest.raises(UserError, match=message):
        sweep.prepare(network, cells, CONTENTS, PAINTINGS)


def test_photographs_of_several_sizes(network):
    with pytest.raises(UserError, match="photographs: expected one size in a sweep, found several"):
        sweep.prepare(network, grid("adam"), [picture(0), picture(1, (48, 48, 3))], PAINTINGS)
