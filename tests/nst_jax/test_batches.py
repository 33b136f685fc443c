"""Batches: every cell is still its single transfer, one program each, and as many cells as memory holds."""

import dataclasses
import functools
import gc
import weakref

import jax
import numpy as np
import pytest

from nst_jax import batches, parallel, sweep, transfer
from nst_jax.backbones import weights
from nst_jax.history import join
from nst_jax.presets import PRESETS
from nst_jax.sweep import Cell

SIZE = (40, 48, 3)
STEPS = 4


@pytest.fixture(scope="module")
def network():
    return weights.load("squeezenet1_1")


@functools.cache
def picture(seed, shape=SIZE):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


def contents(index):
    return picture(index)


def paintings(index):
    return picture(10 + index, (36 + 2 * index, 44, 3))


@pytest.fixture(scope="module")
def cells():
    plain = dataclasses.replace(
        PRESETS["squeezenet"], style_layers=("conv1", "fire2/concat"), content_layers=("fire3/concat",), margin=2
    )
    return [
        Cell(plain, content=0, paintings=(0,)),
        Cell(dataclasses.replace(plain, style_weight=30.0), content=2, paintings=(1,)),
        Cell(dataclasses.replace(plain, blend_weights=(0.3, 0.7)), content=1, paintings=(2, 0)),
        Cell(dataclasses.replace(plain, init="noise"), content=2, paintings=(2,), seed=7),
        Cell(dataclasses.replace(plain, style_layers=("conv1",)), content=0, paintings=(1,)),
    ]


@pytest.fixture
def group(network, cells):
    return batches.Group(network, cells, contents, paintings, mesh=parallel.make_mesh())


def images(cells, indices):
    return sweep.initial_images([cells[index] for index in indices], [contents(index) for index in range(3)])


def run(group, batch, steps=STEPS, **options):
    histories = [[] for _ in batch.indices]
    for reached, news in group.run(batch, steps=steps, **options):
        states = reached
        for place, history in enumerate(histories):
            history.append(news.of(place))
    return states, [join(parts) for parts in histories]


@pytest.fixture(scope="module")
def singles(network, cells):
    """The losses of the single transfers."""
    found = []
    for cell in cells:
        content = contents(cell.content)
        job = transfer.prepare(network, cell.settings, content, [paintings(painting) for painting in cell.paintings])
        image = transfer.initial_image(cell.settings, content, seed=cell.seed)
        state = transfer.start(job, image, cell.settings.learning_rate)
        parts = []
        for reached, news in transfer.run(job, state, steps=STEPS):
            state = reached
            parts.append(news)
        found.append(join(parts).loss)
    return found


@pytest.mark.parametrize("size", [1, 2])
def test_batches_of_any_size_compile_once_and_hold_single_transfers(size, group, cells, singles, count_compilations):
    with count_compilations() as compiled:
        for begin in range(0, len(cells), size):
            indices = range(len(cells))[begin : begin + size]
            batch = group.begin(indices, images(cells, indices), size)
            assert batch.states.point.variables.shape == (size, 44, 52, 3)  # also the last one, for which one is left
            _, histories = run(group, batch)
            for index, history in zip(indices, histories, strict=True):
                # The same sums in another order: float32 has 1e-7, and L-BFGS divides by differences of gradients.
                np.testing.assert_allclose(history.loss, singles[index], rtol=2e-4, err_msg=str(index))
    assert sum("_advance" in name for name in compiled) == 1
    assert sum("_begin" in name for name in compiled) == 1


def test_cells_go_on_where_they_stood(group):
    whole, _ = run(group, group.begin([1, 3], images(group.cells, [1, 3]), 2))
    half, _ = run(group, group.begin([1, 3], images(group.cells, [1, 3]), 2), steps=2)
    states = [sweep.state_of(half, place) for place in range(2)]
    assert jax.tree.map(np.shape, states[0]) == jax.tree.map(np.shape, group.state_shapes)
    resumed, histories = run(group, group.go_on([1, 3], states, 2))
    assert histories[0].step.tolist() == [3, 4]
    jax.tree.map(np.testing.assert_array_equal, whole, resumed)


def test_only_the_pictures_of_a_batch_are_on_the_device(group, monkeypatch):
    asked = []
    monkeypatch.setattr(sweep, "gather", lambda *arguments, **_: asked.append(arguments[2:]) or pytest.fail("enough"))
    with pytest.raises(pytest.fail.Exception):
        group.begin([2], images(group.cells, [2]), 1)
    (((cell,), features, grams),) = asked
    assert (cell.content, cell.paintings) == (0, (0, 1))
    assert (len(features), len(grams)) == (1, 2)


def test_a_program_tells_how_many_cells_fit(group, monkeypatch):
    """What is predicted from a program for four cells holds for the program with fewer."""
    assert group.fitting(5) == 1  # a CPU does not tell its memory, and gains nothing by batches
    needed = {size: batches.bytes_needed(group.compile(size)) for size in (2, 4)}
    monkeypatch.setattr(batches, "bytes_available", lambda device, mine: needed[4] * 2)
    assert group.fitting(4) == 4
    monkeypatch.setattr(batches, "bytes_available", lambda device, mine: needed[2] + (needed[4] - needed[2]) // 4)
    assert group.fitting(5) == 2
    monkeypatch.setattr(batches, "bytes_available", lambda device, mine: 1000)
    assert group.fitting(5) == 1


def test_batches_are_of_about_equal_size(group):
    assert [group.balanced(*numbers) for numbers in ((65, 64), (64, 64), (5, 2), (5, 4), (3, 100))] == [33, 64, 2, 3, 3]


def test_a_group_that_is_done_leaves_the_device(network, cells):
    group = batches.Group(network, cells, contents, paintings, mesh=parallel.make_mesh())
    batch = group.begin([0], images(cells, [0]), 1)
    left = weakref.ref(group)
    gc.disable()
    try:
        del group, batch
        assert left() is None  # and with it its arrays, without waiting for the garbage collector
    finally:
        gc.enable()


def test_cells_that_fit():
    assert batches.cells_that_fit(1000, cells=9, shared=100, available=500) == 4
    assert batches.cells_that_fit(1000, cells=9, shared=100, available=499) == 3
    assert batches.cells_that_fit(1000, cells=9, shared=100, available=50) == 1
