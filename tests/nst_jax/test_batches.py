"""Batches: every cell is still its single transfer, one program each, and as many cells as memory holds."""

import dataclasses
import functools
import gc
import weakref

import jax
import numpy as np
import pytest
from runs import finish

from nst_jax import batches, parallel, stacking, transfer
from nst_jax.backbones import pretrained
from nst_jax.batches import Recipe
from nst_jax.errors import UserError
from nst_jax.history import join
from nst_jax.presets import PRESETS

SIZE = (40, 48, 3)
STEPS = 4


@pytest.fixture(scope="module")
def network():
    return pretrained.load("squeezenet1_1")


@functools.cache
def picture(seed, shape=SIZE):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


def read(key):
    role, index = key
    return picture(index) if role == "content" else picture(10 + index, (36 + 2 * index, 44, 3))


def recipe(settings, *, content, styles, seed=0):
    return Recipe(settings, ("content", content), tuple(("style", index) for index in styles), seed)


PLAIN = dataclasses.replace(
    PRESETS["squeezenet"], style_layers=("conv1", "fire2/concat"), content_layers=("fire3/concat",), margin=2
)


@pytest.fixture(scope="module")
def recipes():
    return [
        recipe(PLAIN, content=0, styles=(0,)),
        recipe(dataclasses.replace(PLAIN, style_weight=30.0), content=2, styles=(1,)),
        recipe(dataclasses.replace(PLAIN, blend_weights=(0.3, 0.7)), content=1, styles=(2, 0)),
        recipe(dataclasses.replace(PLAIN, init="noise"), content=2, styles=(2,), seed=7),
        recipe(dataclasses.replace(PLAIN, style_layers=("conv1",)), content=0, styles=(1,)),
    ]


@pytest.fixture
def group(network, recipes):
    return batches.Group(network, recipes, read, mesh=parallel.make_mesh())


def image(recipe):
    return transfer.initial_image(recipe.settings, read(recipe.content), seed=recipe.seed)


def run(group, indices, size, *, steps=STEPS, states=(), **options):
    """Returns the last progress, and the history of each of the cells with these indices."""
    images = [] if states else [image(group.recipes[index]) for index in indices]
    news = list(group.run(indices, size, steps=steps, images=images, states=states, **options))
    return news[-1], [join([found.history.of(place) for found in news]) for place in range(len(indices))]


@pytest.fixture(scope="module")
def singles(network, recipes):
    """The losses of the single transfers."""
    found = []
    for single in recipes:
        styles = [read(key) for key in single.styles]
        problem = transfer.prepare(network, single.settings, read(single.content), styles, seed=single.seed)
        found.append(finish(problem, image(single), steps=STEPS)[1].loss)
    return found


@pytest.mark.parametrize("size", [1, 2])
def test_batches_of_any_size_compile_once_and_hold_single_transfers(size, group, recipes, singles, count_compilations):
    with count_compilations() as compiled:
        for begin in range(0, len(recipes), size):
            indices = range(len(recipes))[begin : begin + size]
            last, histories = run(group, indices, size)
            assert last.state.variables.shape == (size, 44, 52, 3)  # also the last one, for which one is left
            for index, history in zip(indices, histories, strict=True):
                # The same sums in another order: float32 has 1e-7, and L-BFGS divides by differences of gradients.
                np.testing.assert_allclose(history.loss, singles[index], rtol=2e-4, err_msg=str(index))
    assert sum("chunk" in name for name in compiled) == 1
    assert sum("_init" in name for name in compiled) == 1


def test_cells_go_on_where_they_stood(group):
    whole, _ = run(group, [1, 3], 2)
    half, _ = run(group, [1, 3], 2, steps=2)
    states = [stacking.state_of(half.state, place) for place in range(2)]
    assert jax.tree.map(np.shape, states[0]) == jax.tree.map(np.shape, group.state_shapes)
    resumed, histories = run(group, [1, 3], 2, states=states)
    assert histories[0].step.tolist() == [3, 4]
    jax.tree.map(np.testing.assert_array_equal, whole.state, resumed.state)


def test_images_are_read_when_their_batch_comes(network, recipes):
    asked = []

    def listen(key):
        asked.append(key)
        return read(key)

    group = batches.Group(network, recipes, listen, mesh=parallel.make_mesh())
    assert asked == []
    group.compile(1)
    asked.clear()
    next(iter(group.run([2], 1, steps=1, images=[image(recipes[2])])))
    assert set(asked) == {("content", 1), ("style", 2)}  # style 0 was measured for the first cell already


def test_a_program_tells_how_many_cells_fit(group, monkeypatch):
    """What is predicted from a program for four cells holds for the program with fewer."""
    assert group.fitting(5) == 1  # a CPU does not report its memory, and gains nothing from batches
    needed = {size: batches.bytes_needed(group.compile(size)) for size in (2, 4)}
    monkeypatch.setattr(batches, "bytes_available", lambda device, mine: needed[4] * 2)
    assert group.fitting(4) == 4
    monkeypatch.setattr(batches, "bytes_available", lambda device, mine: needed[2] + (needed[4] - needed[2]) // 4)
    assert group.fitting(5) == 2
    monkeypatch.setattr(batches, "bytes_available", lambda device, mine: 1000)
    assert group.fitting(5) == 1


def test_batches_are_of_about_equal_size(group):
    assert [group.balanced(*numbers) for numbers in ((65, 64), (64, 64), (5, 2), (5, 4), (3, 100))] == [33, 64, 2, 3, 3]


def test_a_group_that_is_done_leaves_the_device(network, recipes):
    group = batches.Group(network, recipes, read, mesh=parallel.make_mesh())
    run(group, [0], 1, steps=1)
    left = weakref.ref(group)
    gc.disable()
    try:
        del group
        assert left() is None  # and with it its arrays, without waiting for the garbage collector
    finally:
        gc.enable()


def test_a_recipe_without_a_style_image(network, recipes):
    plain = recipe(dataclasses.replace(PLAIN, style_layers=(), style_weight=0.0), content=0, styles=())
    group = batches.Group(network, [plain, recipes[0]], read, mesh=parallel.make_mesh())
    _, (history, _) = run(group, [0, 1], 2, steps=1)
    assert (history.terms["style/conv1"] < 100).all()
    styleless = batches.Group(network, [recipe(PLAIN, content=0, styles=())], read, mesh=parallel.make_mesh())
    with pytest.raises(UserError, match="style: expected one or more style images for the style layers"):
        run(styleless, [0], 1)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (
            recipe(dataclasses.replace(PLAIN, pooling="max"), content=0, styles=(0,)),
            "pooling: expected the same in all cells of one program, found average, max",
        ),
        (
            recipe(dataclasses.replace(PLAIN, style_layers=("conv9",)), content=0, styles=(0,)),
            "unknown style layer .*'conv9'",
        ),
    ],
)
def test_recipes_that_do_not_go_together(second, message, network, recipes):
    with pytest.raises(UserError, match=message):
        run(batches.Group(network, [recipes[0], second], read, mesh=parallel.make_mesh()), [0, 1], 2)


def test_cells_that_fit():
    assert batches.cells_that_fit(1000, cells=9, shared=100, available=500) == 4
    assert batches.cells_that_fit(1000, cells=9, shared=100, available=499) == 3
    assert batches.cells_that_fit(1000, cells=9, shared=100, available=50) == 1
