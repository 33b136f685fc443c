"""`sweep`: each cell is its single transfer, whatever the recipes have in common."""

import dataclasses
import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nst_jax
from nst_jax import batches, sweeping
from nst_jax.errors import UserError
from nst_jax.scaled_batches import ScaledGroup

PLAIN = dataclasses.replace(
    nst_jax.PRESETS["squeezenet"],
    style_layers=("conv1",),
    content_layers=("fire2/concat",),
    margin=2,
    steps=3,
    shifts=1,
)


def picture(seed, shape=(40, 48, 3)):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    return nst_jax.load("squeezenet1_1")


@pytest.fixture(scope="module")
def recipes():
    content, style, wide = picture(0), picture(1), picture(2, (36, 64, 3))
    return [
        nst_jax.Recipe(PLAIN, content, style),
        nst_jax.Recipe(dataclasses.replace(PLAIN, style_weight=7.0), wide, [style]),
        nst_jax.Recipe(dataclasses.replace(PLAIN, steps=2, init="noise"), content, [style, jnp.asarray(wide)], seed=3),
        nst_jax.Recipe(dataclasses.replace(PLAIN, optimizer="adam", learning_rate=0.1), content, [style]),
        nst_jax.Recipe(dataclasses.replace(PLAIN, style_weight=3.0), content, [wide]),
    ]


def test_a_cell_is_its_transfer(network, recipes):
    cells = nst_jax.sweep(recipes, network)
    for recipe, cell in zip(recipes, cells, strict=True):
        styles = recipe.styles
        alone = nst_jax.stylize(recipe.content, styles, network, settings=recipe.settings, seed=recipe.seed)
        # In a batch with room for two style images, the blend of one is summed in another order.
        np.testing.assert_allclose(cell.picture, alone, atol=2e-3)
        assert cell.picture.dtype == np.float32
        assert cell.history.step.tolist() == list(range(recipe.settings.steps + 1))
        assert cell.error is None


def test_programs_are_as_few_as_sizes_and_solvers(network, recipes, count_compilations):
    recipes = [recipe._replace(content=recipe.content[1:]) for recipe in recipes]  # of no other test's size
    with count_compilations() as compiled:
        nst_jax.sweep(recipes, network)
    assert sum("chunk" in name for name in compiled) == 3
    with count_compilations() as compiled:
        nst_jax.sweep(recipes, network)
    assert not compiled


def test_images_may_change_between_sweeps(network):
    image = picture(5)
    (before,) = nst_jax.sweep([nst_jax.Recipe(PLAIN, image, image)], network)
    image[:] = 0.5
    (after,) = nst_jax.sweep([nst_jax.Recipe(PLAIN, image, image)], network)
    assert np.abs(before.picture - after.picture).max() > 0.1


def test_a_cell_that_diverges_leaves_the_others_alone(network, recipes):
    settings = dataclasses.replace(PLAIN, content_loss="half_squared_error", init="noise", style_weight=1.0)
    first, second = (
        recipes[0]._replace(settings=dataclasses.replace(settings, content_weight=weight)) for weight in (1.0, 3e38)
    )
    calm, diverged = nst_jax.sweep([first, second], network)
    assert calm.error is None
    assert np.isfinite(calm.history.loss).all()
    assert "expected numbers" in str(diverged.error)
    assert np.isfinite(diverged.picture).all()


def test_batches_become_smaller_when_memory_ends(network, recipes, monkeypatch):
    sizes = []
    whole = ScaledGroup.run

    def scarce(group, indices, size, **options):
        sizes.append(size)
        if size > 1:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return whole(group, indices, size, **options)

    monkeypatch.setattr(ScaledGroup, "run", scarce)
    monkeypatch.setattr(batches.Group, "fitting", lambda group, most: 2)
    cells = nst_jax.sweep([recipes[0], recipes[4]], network)
    assert [cell.error for cell in cells] == [None, None]
    assert sizes == [2, 1, 1]


def test_other_errors_are_not_taken_for_memory(network, recipes, monkeypatch):
    def broken(*_):
        raise RuntimeError("broken")

    monkeypatch.setattr(sweeping, "_run_batch", broken)
    with pytest.raises(RuntimeError, match="broken"):
        nst_jax.sweep([recipes[0]], network)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"content": "photo.jpg"}, "expected an array"),
        ({"styles": []}, "expected one or more style images"),
        ({"settings": dataclasses.replace(PLAIN, style_layers=("conv9",))}, "conv9"),
    ],
)
def test_mistakes_are_found_before_anything_is_computed(network, recipes, monkeypatch, changes, message):
    monkeypatch.setattr(sweeping, "_run_program", lambda *_: pytest.fail("computed"))
    with pytest.raises(UserError, match=message):
        nst_jax.sweep([recipes[0], recipes[1]._replace(**changes)], network)


def test_a_network_may_be_its_name(recipes):
    (cell,) = nst_jax.sweep(recipes[:1], "squeezenet1_1")
    alone = nst_jax.stylize(recipes[0].content, recipes[0].styles, "squeezenet1_1", settings=recipes[0].settings)
    np.testing.assert_array_equal(cell.picture, alone)


def test_no_recipes():
    with pytest.raises(UserError, match="recipes: expected one or more"):
        nst_jax.sweep([])


def kept(name):
    """The number of programs by this name that XLA has in memory."""
    gc.collect()
    programs = jax.devices()[0].client.live_executables()
    return sum(module.name == f"jit_{name}" for program in programs for module in program.hlo_modules())


@pytest.mark.slow
def test_the_programs_of_finished_sizes_are_freed(network, monkeypatch):
    monkeypatch.setattr(sweeping, "KEPT_PROGRAMS", 2)
    jax.clear_caches()
    before = {name: kept(name) for name in ("chunk", "_init", "measure")}
    recipes = [nst_jax.Recipe(PLAIN, picture(0, (40, 42 + index, 3)), picture(1)) for index in range(3)]
    nst_jax.sweep(recipes, network)
    # Of the last of three sizes, and of the style image.
    assert {name: kept(name) - count for name, count in before.items()} == {"chunk": 1, "_init": 1, "measure": 2}
    jax.clear_caches()
    assert {name: kept(name) for name in before} == before
