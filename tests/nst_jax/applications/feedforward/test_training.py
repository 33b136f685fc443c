import dataclasses
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax import transfer
from nst_jax.applications.feedforward import doodles, networks, painting, recipes, trained, training
from nst_jax.applications.feedforward.networks import Transformer, adain, johnson, network_parameters, painter_steps
from nst_jax.applications.feedforward.steps import Conv, Mean, Norm
from nst_jax.backbones import pretrained
from nst_jax.backbones.receptive_field import receptive_fields
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import layers
from nst_jax.errors import UserError
from nst_jax.regions import Regions

SIDE = 32
SETTINGS = dataclasses.replace(
    recipes.named("ours", "squeezenet1_1").settings,
    content_layers=("fire2/concat",),
    style_layers=("conv1",),
    laplacian_weight=0.1,
    margin=0,
    shifts=1,
    learning_rate=2e-3,
)


def tiny(styles, *, norm=None):
    steps = painter_steps(contract=(4, 4), residuals=1, expand=(4,), norm=norm or Norm(code=styles))
    return Transformer(steps, styles=styles)


def picture(seed):
    return np.random.default_rng(seed).uniform(size=(SIDE, SIDE, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    return pretrained.load("squeezenet1_1")


def prepare(network, painter, styles, **options):
    return training.prepare(network, SETTINGS, painter, styles, size=SIDE, steps=20, fade=0.5, **options)


def batch_of(made, contents, styles):
    canvas = [made.canvas_targets(content) for content in contents]
    stacked = jax.tree.map(lambda *parts: np.stack(parts), *canvas)
    return training.Batch(np.stack(contents), np.array(styles, np.int32), stacked)


@pytest.fixture(scope="module")
def trained_tiny(network):
    """A training of two styles after some steps, with all its losses, and the state before them."""
    made = prepare(network, tiny(2), [picture(10), picture(11)])
    state = made.init(jax.random.key(0))
    first = jax.device_get(state)
    batch = batch_of(made, [picture(0), picture(1)], [0, 1])
    found = []
    for _ in range(20):
        state, losses = training.step(made, state, batch)
        found.append(jax.device_get(losses))
    return made, first, batch, state, found


def test_the_objective_is_that_of_a_transfer(network, trained_tiny):
    made, first, batch, _, losses = trained_tiny
    params = trained.grouped(made.whole(first.variables), made.config.network)
    each, paint = [], jax.jit(painting.paint, static_argnums=0)
    for content, style in zip(batch.contents, batch.styles, strict=True):
        one = transfer.prepare(network, SETTINGS, content, picture(10 + style))
        painted = paint(made.config.network, params, content, np.eye(2, dtype=np.float32)[style])
        each.append(jax.device_get(jax.jit(one.config.objective.loss)(one.params, painted, one.targets, one.weights)))
    total = np.mean([float(loss) for loss, _ in each])
    assert losses[0]["loss"] == pytest.approx(total, rel=1e-4)  # sums in another order
    assert losses[0]["content"] == pytest.approx(np.mean([float(terms["content"]) for _, terms in each]), rel=1e-4)


def first_losses(made, batch):
    """The losses of a first step, compiled for nothing else."""
    _, found = jax.jit(made.step)(made.init(jax.random.key(0)), batch)
    return jax.device_get(found)


def objective_of_a_transfer(network, settings, painted, style, **options):
    one = transfer.prepare(network, settings, np.asarray(painted), style, **options)
    loss, terms = jax.jit(one.config.objective.loss)(one.params, painted, one.targets, one.weights)
    return float(loss), {name: float(value) for name, value in terms.items()}


def test_a_doodle_has_the_guided_objective_of_a_transfer(network):
    """Each region of a map towards the statistics of its own region of the style image; all count alike."""
    settings = dataclasses.replace(
        SETTINGS, content_layers=(), content_weight=0.0, laplacian_weight=0.0, style_layers=("conv1", "fire2/concat")
    )
    painter = networks.Doodle(tiny(0, norm=Norm()).steps, ((0, 0, 0), (255, 0, 0), (0, 0, 255)), 1)
    style, style_guides = picture(10), np.zeros((SIDE, SIDE, 3), np.float32)
    for region, rows in enumerate((slice(12), slice(12, 20), slice(20, None))):
        style_guides[rows, :, region] = 1
    made = training.prepare(network, settings, painter, [style], style_guides, size=SIDE, steps=1)
    guides = np.zeros((SIDE, SIDE, 3), np.float32)  # the second region is not on the map
    guides[:, :20, 0], guides[:, 20:, 2] = 1, 1
    read = doodles.painted_from(painter, guides, np.random.default_rng(0))
    rows = training.Batch(read, np.int32(0), {}, regions=made.regions_of(guides, 0))
    found = first_losses(made, jax.tree.map(lambda leaf: np.asarray(leaf)[None], rows))
    params = trained.grouped(made.whole(made.init(jax.random.key(0)).variables), painter)
    painted = jax.jit(painting.paint, static_argnums=0)(painter, params, read)
    there = [0, 2]
    regions = Regions(guides[..., there], (style_guides[..., there],))
    weights = tuple(1 / (2 * area) for area in regions.areas)
    expected, terms = objective_of_a_transfer(
        network, dataclasses.replace(settings, region_weights=weights), painted, style, regions=regions
    )
    assert found["loss"] == pytest.approx(expected, rel=1e-4)
    assert found["style/fire2/concat"] == pytest.approx(terms["style/fire2/concat"], rel=1e-4)
    assert found["styles"].shape == (1,)


def test_a_predictor_is_trained_by_the_style_image_that_it_sees(network):
    seen = (Conv("see", 4, kernel=3, stride=2, bias=True), Mean(), Conv("code", 5, kernel=1, bias=True))
    steps = painter_steps(contract=(4, 4), residuals=1, expand=(4,), norm=Norm(code=5, offset=True), norm_below=False)
    painter = networks.Predicted(seen, steps, SIDE)
    settings = dataclasses.replace(SETTINGS, laplacian_weight=0.0)
    made = training.prepare(network, settings, painter, [picture(10)], size=SIDE, steps=1)
    contents, styles = np.stack([picture(0), picture(1)]), np.stack([picture(10), picture(11)])
    batch = training.Batch(contents, np.zeros(2, np.int32), {}, shown=styles)
    state = made.init(jax.random.key(0))
    before, params = jax.device_get(state.variables), trained.grouped(made.whole(state.variables), painter)
    totals = []
    for content, style in zip(contents, styles, strict=True):
        code = painting.encode(painter, params, jnp.asarray(style))
        painted = jax.jit(painting.paint, static_argnums=0)(painter, params, content, code)
        one = transfer.prepare(network, settings, content, style)
        totals.append(float(jax.jit(one.config.objective.loss)(one.params, painted, one.targets, one.weights)[0]))
    after, found = training.step(made, state, batch)
    assert float(found["loss"]) == pytest.approx(np.mean(totals), rel=1e-4)
    moved = {name for name, values in before.items() if (np.asarray(after.variables[name]) != values).any()}
    assert {"predictor/see/kernel", "predictor/code/kernel", "painter/expand1/scale"} <= moved


def test_losses_fall_and_all_variables_move(trained_tiny):
    _, first, _, state, losses = trained_tiny
    assert losses[-1]["loss"] < 0.9 * losses[0]["loss"]
    assert all((np.asarray(state.variables[name]) != values).any() for name, values in first.variables.items())
    assert int(state.step) == 20


def test_the_learning_rate_fades(trained_tiny):
    made, *_ = trained_tiny
    rates = [float(made.rate(jnp.int32(step))) for step in (0, 10, 15, 20)]
    assert rates == pytest.approx([2e-3, 2e-3, 1e-3, 0])


def test_every_style_has_an_equal_share():
    errors, weights = jnp.array([0.2, 0.03, 0.0]), jnp.array([0.5, 0.1, 0.0])
    factors = training.shares(errors, weights)
    means = errors[:2] / weights[:2]
    np.testing.assert_allclose(factors[:2] * means, [means.mean()] * 2, rtol=1e-6)
    assert factors[2] == 1  # not seen so far


def test_moving_averages_begin_with_the_first_error(trained_tiny):
    *_, losses = trained_tiny
    assert losses[0]["styles"].mean() == pytest.approx(losses[0]["style"], rel=1e-5)


def test_a_style_that_is_added_changes_nothing_else(network, trained_tiny, tmp_path):
    made, _, _, state, _ = trained_tiny
    before = {name: np.asarray(values) for name, values in made.whole(state.variables).items()}
    trained.write(tmp_path / "old.safetensors", before, made.config.network, styles=("a", "b"))
    old = trained.read(tmp_path / "old.safetensors")
    more = prepare(network, training.with_more_styles(old.network, 1), [picture(12)], trained=old)
    new = more.init(jax.random.key(1))
    assert {name.rpartition("/")[2] for name in new.variables} == {"scale", "shift"}
    shapes, _ = training.step.shapes(more, new, batch_of(more, [picture(0), picture(1)], [0, 0]))
    assert jax.tree.map(jnp.shape, new) == jax.tree.map(jnp.shape, shapes)
    after = more.whole({name: values + 1 for name, values in new.variables.items()})
    assert {name: values.shape for name, values in after.items()} == network_parameters(more.config.network)
    for name, values in before.items():
        here = np.asarray(after[name])
        np.testing.assert_array_equal(here[:2] if name in new.variables else here, values)
    for name in new.variables:
        np.testing.assert_allclose(after[name][2], before[name].mean(axis=0) + 1, rtol=1e-6)


def test_a_network_of_one_style_becomes_one_of_two():
    found = training.with_more_styles(johnson(), 1)
    assert found.styles == 2
    assert network_parameters(found)["painter/contract1/scale"] == (2, 32)
    with pytest.raises(UserError, match="finetune: expected a network with its styles in it"):
        training.with_more_styles(adain(), 1)


def test_bfloat16_trains_in_float32(network):
    settings = dataclasses.replace(SETTINGS, precision="bfloat16", laplacian_weight=0.0)
    made = training.prepare(network, settings, tiny(1), [picture(10)], size=SIDE, steps=1)
    batch = batch_of(made, [picture(0)], [0])
    program, (state, losses) = jax.make_jaxpr(made.step, return_shape=True)(made.init(jax.random.key(0)), batch)
    assert "bf16[1,1,16,16,4]" in str(program)
    assert losses["loss"].dtype == jnp.float32
    assert {values.dtype for values in state.variables.values()} == {jnp.dtype("float32")}


def test_terms_that_need_a_start_are_refused(network):
    settings = dataclasses.replace(SETTINGS, style_loss="hypercolumns", shifts=1)
    with pytest.raises(UserError, match="expected terms that need no start"):
        training.prepare(network, settings, tiny(1), [picture(10)], size=SIDE, steps=1)


@pytest.mark.quick
@pytest.mark.parametrize("name", get_args(recipes.RecipeName))
def test_recipes_have_networks_of_all_widths(name):
    found = recipes.scaled(recipes.named(name, "vgg19").network(3), 0.5)
    shapes = network_parameters(found)
    assert found.styles == 3
    assert shapes["painter/contract1/kernel"] == (9, 9, 3, 16)
    assert shapes["painter/contract3/scale"] == (3, 64)
    assert shapes["painter/expand3/kernel"] == (9, 9, 16, 3)


@pytest.mark.quick
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_has_a_recipe_with_layers_of_its_own(backbone):
    settings = recipes.named(recipes.default_recipe(backbone), backbone).settings
    assert settings.content_layers
    assert {*settings.content_layers, *settings.style_layers} <= {*layers(BACKBONES[backbone])}
    assert settings.optimizer == "adam"


@pytest.mark.quick
def test_our_recipe_follows_the_preset():
    """What was chosen by looking, with the embedded network."""
    found = recipes.named("ours", "squeezenet1_1").settings
    assert (found.style_weight, found.tv_weight) == pytest.approx((5, 15))
    assert recipes.default_recipe("vgg16") == "magenta"
    assert recipes.default_recipe("vgg11_torchvision") == "ours"  # it has no relu3_3


@pytest.mark.quick
def test_other_kinds_have_all_widths_too():
    """What a predictor ends in, the code, stays as long as the painter reads it."""
    narrow = recipes.scaled(networks.predicted(), 0.25)
    shapes = network_parameters(narrow)
    assert shapes["predictor/see1/kernel"] == (3, 3, 3, 8)
    assert shapes["predictor/code/kernel"] == (1, 1, 64, 100)
    assert shapes["painter/residual1_1/scale"] == (100, 32)
    doodle = recipes.scaled(networks.doodle(((0, 0, 0), (1, 1, 1))), 0.5)
    assert network_parameters(doodle)["painter/contract1/kernel"] == (9, 9, 6, 16)


@pytest.mark.quick
def test_the_objective_of_a_doodle():
    """No content, and no layer whose units see more than a quarter of the picture."""
    found = recipes.for_doodles(recipes.named("ours", "squeezenet1_1").settings, "squeezenet1_1", 128)
    assert (found.content_layers, found.content_weight) == ((), 0)
    fields = receptive_fields(BACKBONES["squeezenet1_1"])
    assert "conv1" in found.style_layers
    assert max(fields[layer].size for layer in found.style_layers) <= 32
