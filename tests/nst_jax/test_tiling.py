"""Tiles against the whole picture: what belongs to each, loss and gradient, memory, and when they are chosen."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax import activations, batches, losses, measuring, memory, pyramid, scaled_batches, stacking, tiling, transfer
from nst_jax.backbones import pretrained
from nst_jax.backbones.features import Features
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.rows import Add, Concat, Conv, GlobalAverage, Pool
from nst_jax.backbones.spec import Backbone, Preprocess, Provenance, layer_shapes
from nst_jax.backbones.vgg import FAMILY
from nst_jax.checks import check_canvas
from nst_jax.configuration import make_config
from nst_jax.errors import UserError
from nst_jax.free_memory import free_bytes
from nst_jax.loop import compile_chunk, state_shapes
from nst_jax.settings import Settings
from nst_jax.targets import layers_of, make_targets, make_weights, measure_canvas
from nst_jax.terms import ACTIVATION, CANVAS, CONTENT, STYLE

PLAIN = Preprocess(scale=1.0, mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.2), order="RGB")


def _conv(name, source, features, **geometry):
    return Conv(name, source, features, relu=f"relu_{name}", **{"kernel": 3, "padding": 1, **geometry})


# As VGG: padded convolutions, pools that drop a remainder. As SqueezeNet: unpadded strides, pools that overlap and keep
# one, branches. As ResNet and Inception: TensorFlow's padding, oblong kernels, groups, padded pools that stay what they
# are, sums.
ROWS = {
    "padded": (
        _conv("a", "data", 4),
        Pool("pool_a", "a", size=2, stride=2, ceil=False),
        _conv("b", "pool_a", 6),
        Pool("pool_b", "b", size=2, stride=2, ceil=False),
        _conv("c", "pool_b", 8),
    ),
    "unpadded": (
        _conv("a", "data", 4, stride=2, padding=0),
        Pool("pool_a", "a", size=3, stride=2, ceil=True),
        _conv("narrow", "pool_a", 4, kernel=1, padding=0),
        _conv("wide", "pool_a", 4),
        Concat("b", ("narrow", "wide")),
        Pool("pool_b", "b", size=3, stride=2, ceil=True),
        _conv("c", "pool_b", 8),
    ),
    "uneven": (
        _conv("a", "data", 4, kernel=7, stride=2, padding="same", ceiling=6.0),
        Pool("pool_a", "a", size=3, stride=2, padding="same"),
        _conv("flat", "pool_a", 4, kernel=(1, 5), padding=(0, 2), groups=2),
        _conv("high", "flat", 4, kernel=(5, 1), padding=(2, 0)),
        Add("b", ("pool_a", "high"), relu="relu_b"),
        Pool("mean", "b", size=3, stride=1, padding=1, kind="padded_average"),
        Pool("pool_b", "mean", size=3, stride=2, padding=1, ceil=True),
        _conv("c", "pool_b", 8),
    ),
}
NETWORKS = {name: Backbone(name, rows, PLAIN, Provenance("", "", ""), FAMILY) for name, rows in ROWS.items()}
BROAD = Backbone("broad", (_conv("a", "data", 30), *ROWS["padded"][1:]), PLAIN, Provenance("", "", ""), FAMILY)
PLAIN_SETTINGS = Settings(content_layers=("pool_b",), style_layers=("a", "b", "c"), margin=0)


def picture(seed, height, width):
    return np.random.default_rng(seed).uniform(size=(height, width, 3))


@functools.cache
def params_of(name):
    return Features(NETWORKS[name]).init(jax.random.key(0), np.zeros((64, 64, 3), np.float32))


def evaluate(name, settings, shape, *, tile):
    """Returns the targets, the loss, its terms and its gradient in double precision."""
    backbone = NETWORKS[name]
    layers = layers_of(settings)
    config = make_config(backbone, dataclasses.replace(settings, tile=tile))

    def found(params, canvas, content, styles, of_canvas):
        def measure(image, term):
            return config.objective.statistics(params, image, term, layers[term])

        guide = measure(styles[0], ACTIVATION) if settings.dream_objective == "guided" else None
        measured = [measure(image, STYLE) for image in styles]
        targets = make_targets(
            backbone, settings, layers, measure(content, CONTENT), measured, canvas=of_canvas, guide=guide
        )
        weights = make_weights(settings, layers, style_images=len(styles))
        value = jax.value_and_grad(lambda canvas: config.objective.loss(params, canvas, targets, weights), has_aux=True)
        return targets, value(canvas)

    single = params_of(name)
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), single)
        images = picture(0, *shape), picture(1, *shape), [picture(2, 130, 90), picture(3, 70, 143)]
        of_canvas = measure_canvas(images[1], objective=config.objective, layers=layers, margin=0)
        return jax.device_get(jax.jit(found)(params, *images, of_canvas))


def assert_same(name, settings, shape=(150, 203)):
    whole, tiled = (evaluate(name, settings, shape, tile=tile) for tile in ("off", 32))
    for one, another in zip(jax.tree.leaves(whole), jax.tree.leaves(tiled), strict=True):
        # Double precision has 1e-16; a position that counts twice or not at all would be 1e-4 of the sum.
        assert np.linalg.norm(one - another) <= 1e-12 * np.linalg.norm(one)


# Between them every kind of formula; the formulas themselves have tests below.
FORMULAS = {
    "zeros": {"content_loss": "half_squared_error", "style_loss": "gram_error", "blending": "losses"},
    "reflect": {
        "content_loss": "mean_squared_error",
        "style_loss": "mean_covariance_error",
        "remat": True,
        "antialias": True,  # so that terms of the canvas are apart from those of the network
        "matting_weight": 7.0,
    },
    "replicate": {"style_loss": "scaled_gram_error", "variation_loss": "neural_style_variation", "pooling": "l2"},
    "replicate_first": {
        "style_loss": "gram_moments_error",
        "variation_loss": "crowson_variation",
        "pooling": "scaled_average",
        "laplacian_weight": 3.0,
        "laplacian_pool": 5,
        "matting_weight": 7.0,
    },
    "circular": {"style_loss": "mean_covariance_error", "blending": "losses", "pooling": "max"},
}


# Double precision compiles slowly: each network once, the rest for who asks.
CHEAP = {("padded", "replicate_first"), ("uneven", "zeros")}


@pytest.mark.parametrize(
    ("name", "padding"),
    [
        pytest.param(name, padding, marks=[] if (name, padding) in CHEAP else pytest.mark.slow)
        for name in NETWORKS
        for padding in FORMULAS
    ],
)
def test_loss_and_gradient_are_those_of_the_whole_picture(name, padding):
    settings = dataclasses.replace(PLAIN_SETTINGS, padding=padding, **FORMULAS[padding])
    if name == "unpadded":
        other = {"max": "average", "average": "max", "l2": "scaled_l2", "scaled_average": "l2"}[settings.pooling]
        settings = dataclasses.replace(settings, pooling=other)
    assert_same(name, settings, (152, 200) if padding == "circular" else (150, 203))


@pytest.mark.slow
def test_dreams_are_those_of_the_whole_picture():
    settings = dataclasses.replace(PLAIN_SETTINGS, content_layers=(), style_layers=(), dream_layers=("b", "c"))
    assert_same("unpadded", dataclasses.replace(settings, dream_objective="guided"))


SUMS = {
    (table, name): term
    for table, terms in {
        "content": losses.CONTENT_LOSSES,
        "variation": losses.VARIATION_LOSSES,
        "laplacian": {pool: losses.LAPLACIAN_LOSSES[pool] for pool in (1, 2)},
        "matting": {"matting": losses.MATTING_LOSS},
        "dream": activations.ACTIVATION_OBJECTIVES,
    }.items()
    for name, term in terms.items()
    if term.sum
}


@pytest.mark.parametrize(("table", "name"), SUMS)
def test_an_error_of_maps_is_a_function_of_a_sum_over_positions(table, name):
    term, random = SUMS[table, name], np.random.default_rng(0)
    with jax.enable_x64(True):
        features = jnp.asarray(random.normal(size=(9, 7, 3)))
        shapes = {"content": (9, 7, 3), "laplacian": (9, 7, 1), "matting": (9, 7, 9)}
        shape = {**shapes, "dream": (11, 3) if name == "guided" else (3,)}.get(table)
        target = None if shape is None else jnp.asarray(np.abs(random.normal(size=shape)))
        values = term.sum.value(features, target)
        assert {leaf.shape for leaf in jax.tree.leaves(values)} == {(9, 7)}
        total = jax.tree.map(jnp.sum, values)
        found, whole = term.sum.error(total, (9, 7), target), term.error(term.statistic(features), target)
        np.testing.assert_allclose(found, whole, rtol=1e-12)


@pytest.mark.parametrize("name", [name for name, term in losses.STYLE_LOSSES.items() if term.additive])
def test_a_statistic_of_style_is_the_sum_of_the_shares_of_parts(name):
    random = np.random.default_rng(0)
    with jax.enable_x64(True):
        features, own = jnp.asarray(random.normal(size=(9, 7, 3))), jnp.asarray(random.uniform(size=(9, 7)) < 0.3)
        term = losses.STYLE_LOSSES[name]
        shares = [measuring.share(term, features, part, own.size) for part in (own, ~own)]
        for one, another, whole in zip(*map(jax.tree.leaves, (*shares, term.statistic(features))), strict=True):
            np.testing.assert_allclose(one + another, whole, rtol=1e-12)


@pytest.mark.parametrize("around", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_unit_belongs_to_one_window_in_which_it_is_right(name, around):
    backbone = NETWORKS[name]
    read = jax.jit(Features(backbone, padding="zeros").apply)
    params, layers = params_of(name), ("a", "b", "c")
    height, width = (120, 96) if around else (121, 98)
    layout = tiling.layout(backbone, layers, (height, width), 24, around=around)
    image = np.float32(picture(4, height, width))
    extended = np.asarray(layout.extend(jnp.asarray(image)))
    whole = jax.jit(Features(backbone, padding="circular" if around else "zeros").apply)(params, image)
    seen = {layer: np.zeros(layout.shapes[layer][:2], int) for layer in layers}
    for corner, first, begin, end in zip(
        layout.tiles().corner, *(_each(part) for part in layout.tiles()[1:]), strict=True
    ):
        down, right = corner
        found = read(params, extended[down : down + layout.window[0], right : right + layout.window[1]])
        for layer in layers:
            own = tuple(slice(*pair) for pair in zip(begin[layer], end[layer], strict=True))
            place = tuple(slice(at + one.start, at + one.stop) for at, one in zip(first[layer], own, strict=True))
            seen[layer][place] += 1
            lead = [axis.own[layer][0] for axis in (layout.rows, layout.columns)]
            there = tuple(slice(one.start - by, one.stop - by) for one, by in zip(place, lead, strict=True))
            np.testing.assert_allclose(found[layer][own], whole[layer][there], atol=1e-5)
    for layer in layers:
        assert seen[layer].max() == 1
        assert seen[layer].sum() == layout.positions(layer) == np.prod(whole[layer].shape[:2])


def _each(by_layer):
    count = len(next(iter(by_layer.values())))
    return [{layer: values[index] for layer, values in by_layer.items()} for index in range(count)]


@pytest.mark.parametrize("backbone", ["vgg19", "squeezenet1_1"])
def test_windows_of_any_picture(backbone):
    layers = {"vgg19": ("relu1_1", "relu4_2", "relu5_1"), "squeezenet1_1": ("conv1", "fire5/concat", "fire9/concat")}
    network, random = BACKBONES[backbone], np.random.default_rng(0)
    for _ in range(200):
        height, width, tile = (int(random.integers(*span)) for span in ((64, 5000), (64, 5000), (32, 1200)))
        layout = tiling.layout(network, layers[backbone], (height, width), tile, around=False)
        if layout is None:
            assert height * width <= (tile + 256) ** 2 or min(height, width) < 400
            continue
        shapes, inside = (
            {CANVAS: (*shape, 3)} | layer_shapes(network, *shape) for shape in ((height, width), layout.window)
        )
        for axis, length, side in ((layout.rows, height, 0), (layout.columns, width, 1)):
            assert axis.starts[0] == 0
            assert axis.starts[-1] + axis.window == length
            for layer, step in layout.strides.items():
                assert axis.own[layer][-1] == shapes[layer][side]
                for start, begin, end in zip(axis.starts, axis.own[layer], axis.own[layer][1:], strict=False):
                    assert 0 <= start // step <= begin < end <= start // step + inside[layer][side]


@pytest.mark.slow
def test_a_transfer_in_tiles_has_loss_and_gradient_of_the_whole_in_single_precision():
    network = pretrained.load("squeezenet1_1")  # with Winograd's convolutions
    settings = dataclasses.replace(
        PLAIN_SETTINGS, content_layers=("fire3/concat",), style_layers=("conv1", "fire4/concat"), margin=16
    )
    content, style = (np.float32(picture(seed, 220, 285)) for seed in (0, 1))
    start = np.pad(np.float32(picture(2, 220, 285)), ((16, 16), (16, 16), (0, 0)), mode="reflect")
    found = [
        jax.jit(lambda problem: problem.evaluate(start, 0))(
            transfer.prepare(network, dataclasses.replace(settings, tile=tile), content, style)
        )
        for tile in ("off", 100)
    ]
    assert abs(found[0].loss - found[1].loss) <= 1e-6 * found[0].loss
    one, another = (np.float64(of.gradient).ravel() for of in found)
    assert one @ another / np.linalg.norm(one) / np.linalg.norm(another) >= 0.999999


@pytest.mark.slow
def test_cells_of_a_batch_in_tiles():
    network = pretrained.Pretrained(NETWORKS["unpadded"], params_of("unpadded"), "")
    settings = dataclasses.replace(PLAIN_SETTINGS, tile=32)
    images = [np.float32(picture(seed, 96, 120)) for seed in range(4)]
    cells = [transfer.prepare(network, settings, images[0], images[index]) for index in (1, 2)]

    @jax.jit
    def evaluated(problem, start):
        return problem.step(problem.init(start))[0].evaluation

    both = evaluated(stacking.stack(cells), np.stack(images[2:]))
    for index, cell in enumerate(cells):
        alone = evaluated(cell, images[2 + index])
        np.testing.assert_allclose(both.loss[index], alone.loss, rtol=1e-5)
        one, another = np.asarray(both.gradient[index]), np.asarray(alone.gradient)
        assert np.linalg.norm(one - another) < 1e-4 * np.linalg.norm(one)


@pytest.mark.slow
def test_memory_grows_with_the_canvas_and_the_content_alone():
    network = pretrained.Pretrained(BROAD, Features(BROAD).init(jax.random.key(0), np.zeros((64, 64, 3))), "")
    needed = {}
    for tile in ("off", 64):
        settings = dataclasses.replace(PLAIN_SETTINGS, optimizer="gradient", tile=tile)
        for height in (256, 512):
            problem = transfer.prepare(
                network, settings, np.float32(picture(0, height, 256)), np.float32(picture(1, 64, 64))
            )
            program = compile_chunk(problem, state_shapes(problem))
            needed[tile, height] = program.memory_analysis().temp_size_in_bytes
    canvas = 256 * 256 * 3 * 4
    grown = {tile: (needed[tile, 512] - needed[tile, 256]) / canvas for tile in ("off", 64)}
    # A step handles some eight arrays of the canvas' size; a map of the first layer is ten of them, and two of them are
    # there at once without tiles: its own and its derivative.
    assert grown[64] < 10 < 20 < grown["off"], grown


def test_what_has_no_parts_is_refused():
    whole = dataclasses.replace(NETWORKS["padded"], rows=(*ROWS["padded"], GlobalAverage("mean", "c")))
    dream = {"content_layers": (), "style_layers": (), "dream_layers": ("mean",), "dream_objective": "channel"}
    settings = dataclasses.replace(PLAIN_SETTINGS, **dream, tile=64)
    with pytest.raises(UserError, match="tile: expected off with dream layer mean, whose units see the whole picture"):
        check_canvas(whole, settings, 100, 100)
    neuron = dataclasses.replace(settings, dream_layers=("c",), dream_objective="neuron")
    with pytest.raises(UserError, match="tile: expected off with dream_objective neuron, which is no sum over"):
        check_canvas(whole, neuron, 100, 100)
    for free in (settings, neuron):
        automatic = dataclasses.replace(free, tile="auto")
        check_canvas(whole, automatic, 100, 100)
        assert memory.settled(automatic, whole, [(5000, 5000)], 1 << 20).tile == "off"


def test_tiles_are_chosen_by_the_memory_that_is_free():
    vgg, settings = BACKBONES["vgg19"], dataclasses.replace(Settings(), optimizer="adam")

    def chosen(size, gigabytes, **changes):
        free = None if gigabytes is None else int(gigabytes * 1e9)
        return memory.settled(dataclasses.replace(settings, **changes), vgg, [(size, size), (512, 512)], free).tile

    assert chosen(1024, 8) == "off"
    assert chosen(4096, None) == "off"
    assert chosen(4096, 8) == 1024
    assert chosen(4096, 6.5) == 512
    assert chosen(4096, 0.1) == 256  # and what happens then is told by the system
    assert chosen(4096, 1, tile="off") == "off"
    assert chosen(512, 100, tile=128) == 128
    assert free_bytes() is None or free_bytes() > 0


def test_content_is_counted_from_each_shift_and_for_the_turn():
    squeezenet, settings = BACKBONES["squeezenet1_1"], Settings(content_layers=("fire3/concat",), tile=256, shifts=8)
    single, several = (
        memory.needed(dataclasses.replace(settings, shifts=shifts), squeezenet, [(512, 512)]) for shifts in (1, 8)
    )
    height, width, channels = layer_shapes(squeezenet, 544, 544)["fire3/concat"]
    assert several - single == 8 * height * width * channels * 4


def test_what_the_matting_loss_keeps_and_uses_is_counted():
    plain, matting = (
        memory.needed(Settings(tile="off", margin=0, matting_weight=weight), BACKBONES["vgg19"], [(400, 300)])
        for weight in (0.0, 1.0)
    )
    assert matting - plain == (9 + 73) * 400 * 300 * 4  # as XLA has it at 256 px, with both families of networks


def test_lbfgs_remembers_less_where_not_even_tiles_are_enough():
    def chosen(gigabytes, **changes):
        settings = Settings(**changes)
        found = memory.settled(settings, BACKBONES["vgg19"], [(4096, 4096), (512, 512)], int(gigabytes * 1e9))
        return found.lbfgs_pairs, found.tile

    assert chosen(100) == (10, "off")
    assert chosen(12) == (10, 768)
    assert chosen(10) == (6, 768)
    assert chosen(8) == (3, 512)
    assert chosen(1) == (3, 256)
    assert chosen(1, lbfgs_pairs=100) == (100, 256)
    assert chosen(9, lbfgs_pairs=3, tile="off") == (3, "off")
    assert chosen(8, optimizer="adam") == (10, 1024)  # which takes no notice of pairs


def test_coarse_scales_are_small_enough_to_do_without():
    network = pretrained.Pretrained(NETWORKS["padded"], params_of("padded"), "")
    settings = dataclasses.replace(PLAIN_SETTINGS, scales=(40, 120), scale_steps=(2, 2), optimizer="gradient")
    settings = dataclasses.replace(settings, learning_rate=0.01)
    content, style = np.float32(picture(0, 90, 120)), np.float32(picture(1, 90, 90))
    pictures = [
        pyramid.stylize(content, style, network, settings=dataclasses.replace(settings, tile=tile))
        for tile in ("off", 32)
    ]
    # Four steps along the gradient, each by a hundredth: rounding is all that differs.
    assert np.abs(pictures[0] - pictures[1]).max() < 1e-4


@pytest.mark.slow
def test_a_sweep_settles_its_tiles(monkeypatch):
    network = pretrained.Pretrained(NETWORKS["padded"], params_of("padded"), "")
    monkeypatch.setattr(scaled_batches, "free_bytes", lambda: 1 << 20)
    images = {index: np.float32(picture(index, 300, 320)) for index in range(2)}
    recipe = batches.Recipe(PLAIN_SETTINGS, 0, (1,))
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]).reshape(1, 1), ("cells", "rows"))
    group = scaled_batches.ScaledGroup(network, [recipe], images.__getitem__, mesh=mesh).finest
    assert group._config.objective.tile == 256
