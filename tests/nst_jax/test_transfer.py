"""Whole transfers on the embedded network: what they compile, where they stop, what they refuse."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from converters.convert import convert
from nst_jax import image_io, transfer
from nst_jax.backbones import weights
from nst_jax.backbones.features import Features
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import layers
from nst_jax.errors import UserError
from nst_jax.history import DivergedError, first_history, join
from nst_jax.objective import CONTENT, STYLE, VARIATION, Objective
from nst_jax.presets import PRESETS, default_preset

SIZE = (48, 64, 3)


@pytest.fixture(scope="module")
def network():
    return weights.load("squeezenet1_1")


@pytest.fixture(scope="module")
def settings():
    return dataclasses.replace(
        PRESETS["squeezenet"],
        style_layers=("conv1", "fire2/concat"),
        content_layers=("fire3/concat",),
        margin=0,
        optimizer="adam",
        learning_rate=0.02,
        steps=8,
    )


def picture(seed, shape=SIZE):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


def finish(job, image, settings):
    state = transfer.start(job, image, settings.learning_rate)
    histories = [first_history(state)]
    for reached, news in transfer.run(job, state, steps=settings.steps):
        state = reached
        histories.append(news)
    return state, join(histories)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_transfer_lowers_the_loss(optimizer, network, settings):
    settings = dataclasses.replace(settings, optimizer=optimizer, learning_rate={"adam": 0.02, "lbfgs": 1.0}[optimizer])
    content = picture(0)
    job = transfer.prepare(network, settings, content, picture(1, (40, 40, 3)))
    state, history = finish(job, content, settings)
    assert history.step.tolist() == list(range(9))
    assert history.loss[-1] < 0.7 * history.loss[0]
    assert history.loss[-1] == state.point.loss


def test_the_loss_is_the_weighted_sum_of_its_terms(network, settings):
    settings = dataclasses.replace(
        settings, content_weight=2.0, style_weight=3.0, tv_weight=0.5, style_layer_weights=(0.3, 0.7)
    )
    job = transfer.prepare(network, settings, picture(0), picture(1))
    loss, terms = jax.jit(lambda job, image: job.evaluate(image, 0))(job, picture(2))
    assert terms[CONTENT] == terms["content/fire3/concat"]
    np.testing.assert_allclose(terms[STYLE], 0.3 * terms["style/conv1"] + 0.7 * terms["style/fire2/concat"], rtol=1e-6)
    np.testing.assert_allclose(loss, 2 * terms[CONTENT] + 3 * terms[STYLE] + 0.5 * terms[VARIATION], rtol=1e-6)


@pytest.mark.parametrize("blending", ["targets", "losses"])
@pytest.mark.parametrize("style_loss", ["gram_error", "relative_squared_error"])
def test_several_paintings(blending, style_loss, network, settings):
    # Σ b A as target, or Σ b L; the paintings are of different sizes.
    paintings = [picture(1), picture(2, (40, 40, 3)), picture(3, (64, 33, 3))]
    shares = (0.2, 0.5, 0.3)
    several = dataclasses.replace(settings, blending=blending, blend_weights=shares, style_loss=style_loss)
    evaluate = jax.jit(lambda job, image: job.evaluate(image, 0)[1])
    found = evaluate(transfer.prepare(network, several, picture(0), paintings), picture(4))
    single = dataclasses.replace(settings, style_loss=style_loss)
    jobs = [transfer.prepare(network, single, picture(0), painting) for painting in paintings]
    for layer in settings.style_layers:
        if blending == "losses":
            terms = [float(evaluate(job, picture(4))[f"style/{layer}"]) for job in jobs]
            expected = np.dot(shares, terms)
        else:
            features = Features(network.backbone, settings.pooling, settings.padding).apply(network.params, picture(4))
            flat = np.float64(features[layer]).reshape(-1, features[layer].shape[-1])
            target = sum(b * np.float64(job.targets.style[layer][0]) for b, job in zip(shares, jobs, strict=True))
            error = np.square(flat.T @ flat / len(flat) - target)
            expected = error.mean() / 4 if style_loss == "gram_error" else error.sum() / np.square(target).sum()
        np.testing.assert_allclose(found[f"style/{layer}"], expected, rtol=1e-4)


def test_blend_weights_are_equal_shares_by_default(network, settings):
    job = transfer.prepare(network, settings, picture(0), [picture(1), picture(2)])
    assert job.weights.paintings.tolist() == [0.5, 0.5]
    for shares, paintings, found in (((1.0,), 2, 1), ((0.5, 0.5), 1, 2), ((), 0, 0)):
        unequal = dataclasses.replace(settings, blend_weights=shares)
        message = f"blend_weights: expected one for each of {paintings} paintings, found {found}"
        with pytest.raises(UserError, match=message):
            transfer.loss_weights(unequal, paintings=paintings)


def test_content_as_content_and_style_as_style_are_free(network, settings):
    content, style = picture(0), picture(1)
    for image, term in ((content, CONTENT), (style, STYLE)):
        job = transfer.prepare(network, settings, content, style)
        _, terms = jax.jit(lambda job, image: job.evaluate(image, 0))(job, image)
        assert terms[term] < 1e-9


def test_new_numbers_compile_nothing(network, settings, count_compilations):
    def once(seed, settings):
        content = picture(seed)
        job = transfer.prepare(network, settings, content, picture(seed + 1))
        image = transfer.initial_image(settings, jnp.asarray(content), seed=seed)
        return finish(job, image, settings)

    settings = dataclasses.replace(settings, init="blend", init_noise=0.5)
    once(0, settings)
    other = dataclasses.replace(
        settings,
        content_weight=7.0,
        style_weight=0.1,
        tv_weight=3.0,
        style_layer_weights=(0.9, 0.1),
        learning_rate=0.003,
        init_noise=0.2,
        steps=5,
    )
    with count_compilations() as compiled:
        once(3, other)
    assert compiled == []
    with count_compilations() as compiled:
        once(3, dataclasses.replace(other, padding="zeros", pooling="max"))
    assert compiled, "the counter counts nothing"


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_where_a_run_pauses_does_not_matter(optimizer, network, settings):
    settings = dataclasses.replace(settings, optimizer=optimizer, learning_rate=0.05)
    content = picture(0)
    job = transfer.prepare(network, settings, content, picture(1))
    whole, history = finish(job, content, settings)
    state = transfer.start(job, content, settings.learning_rate)
    steps = []
    for reached, news in transfer.run(job, state, steps=8, pause_every=3):
        state = reached
        steps.append(int(news.step[-1]))
    assert {3, 6, 8} <= set(steps)
    jax.tree.map(np.testing.assert_array_equal, state, whole)
    assert history.step[-1] == 8


def test_going_on_is_the_same_as_not_stopping(network, settings):
    content = picture(0)
    job = transfer.prepare(network, settings, content, picture(1))
    whole, _ = finish(job, content, settings)
    *_, (state, _) = transfer.run(job, transfer.start(job, content, settings.learning_rate), steps=5)
    *_, (state, news) = transfer.run(job, state, steps=8)
    jax.tree.map(np.testing.assert_array_equal, state, whole)
    assert news.step[-1] == 8


def test_seeds(network):
    settings = dataclasses.replace(PRESETS["squeezenet"], init="noise")
    content = jnp.asarray(picture(0))
    first, again, other = (transfer.initial_image(settings, content, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    blend = dataclasses.replace(settings, init="blend", init_noise=0.25)
    expected = 0.75 * content + 0.25 * first
    np.testing.assert_allclose(transfer.initial_image(blend, content, seed=1), expected, atol=1e-6)
    untouched = dataclasses.replace(settings, init="content")
    np.testing.assert_array_equal(transfer.initial_image(untouched, content, seed=1), content)


def test_a_loss_that_is_no_number_names_step_and_term(network, settings, monkeypatch):
    content = picture(0)
    loss = Objective.loss

    def broken_below(self, params, image, targets, weights, *, seen):
        # As a real overflow: fine at first, and then one layer gives up.
        total, terms = loss(self, params, image, targets, weights, seen=seen)
        bad = jnp.where(image.min() < 0.25, jnp.inf, 0.0)
        terms |= {"style/conv1": terms["style/conv1"] + bad, STYLE: terms[STYLE] + bad}
        return total + bad, terms

    monkeypatch.setattr(Objective, "loss", broken_below)
    # A batch of its own shape: the compiled programs of other tests know the loss as it was.
    content = 0.35 + 0.3 * picture(0, (36, 44, 3))
    job = transfer.prepare(network, settings, content, picture(1))
    state = transfer.start(job, content, 0.04)
    with pytest.raises(DivergedError, match=r"step 3: expected numbers, the style/conv1 is inf") as caught:
        list(transfer.run(job, state, steps=8))
    good = caught.value.state
    assert int(good.step) == 2
    assert jnp.isfinite(good.point.variables).all()
    assert good.point.variables.min() >= 0.25
    assert "\n" not in str(caught.value)


def test_a_first_picture_without_a_loss_is_refused(network, settings):
    settings = dataclasses.replace(settings, style_weight=3e38, style_loss="gram_error")
    job = transfer.prepare(network, settings, picture(0), picture(1))
    with pytest.raises(DivergedError, match="step 0: expected numbers, the loss is inf"):
        transfer.start(job, picture(0), 0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"content_layers": ("fire4",)},
            "unknown content layer of squeezenet1_1 'fire4'; expected one of: fire4/concat",
        ),
        ({"style_layers": ("conv1", "conv1")}, "expected each once"),
        (
            {"style_layer_weights": (1.0, 2.0, 3.0)},
            "expected 1 or 2 numbers, one for each of conv1, fire2/concat, found 3",
        ),
    ],
)
def test_settings_that_do_not_fit(changes, message, network, settings):
    with pytest.raises(UserError, match=message):
        transfer.prepare(network, dataclasses.replace(settings, **changes), picture(0), picture(1))


def test_pictures_that_are_too_small(network, settings):
    settings = dataclasses.replace(settings, style_layers=("fire9/concat",))
    with pytest.raises(UserError, match="nothing is left of a picture of 64×8 pixels there; use at least 17×17"):
        transfer.prepare(network, settings, picture(0), picture(1, (8, 64, 3)))
    transfer.prepare(network, settings, picture(0), picture(1, (17, 64, 3)))
    with pytest.raises(UserError, match="style layer fire9/concat: nothing is left of a picture of 16×64 pixels"):
        transfer.prepare(network, settings, picture(0, (64, 16, 3)), picture(1))


def test_the_margin_is_painted_and_cut_off(network, settings):
    settings = dataclasses.replace(settings, margin=6)
    content = picture(0)
    job = transfer.prepare(network, settings, content, picture(1))
    state = transfer.start(job, content, settings.learning_rate)
    canvas = np.pad(content, [(6, 6), (6, 6), (0, 0)], mode="reflect")
    np.testing.assert_array_equal(state.point.variables, canvas)
    np.testing.assert_array_equal(transfer.picture(job, state), content)
    state, _ = finish(job, content, settings)
    assert (np.asarray(state.point.variables) != canvas).mean() > 0.9
    with pytest.raises(UserError, match="margin: expected less than the short side of 48 px, found 48"):
        transfer.prepare(network, dataclasses.replace(settings, margin=48), content, picture(1))


def test_arrays_in_an_array_out(network, settings):
    settings = dataclasses.replace(settings, margin=4)
    content = picture(0)
    made = transfer.stylize(content, picture(1), network, settings=settings)
    assert made.dtype == np.float32
    assert made.shape == content.shape
    job = transfer.prepare(network, settings, content, picture(1))
    np.testing.assert_array_equal(made, transfer.picture(job, finish(job, content, settings)[0]))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_suits_a_backbone(name, settings):
    backbone = "squeezenet1_1" if name == "squeezenet" else "vgg19"
    preset = PRESETS[name]
    assert set(preset.content_layers + preset.style_layers) <= set(layers(BACKBONES[backbone]))
    assert PRESETS[default_preset(backbone)].style_layers[0] in layers(BACKBONES[backbone])
    transfer.loss_weights(preset, paintings=1)


def numpy_losses(preset, features, content, style, image):
    """α L_content + β L_style + tv, written from the sources alone; feature maps `[H, W, C]` by layer."""

    def flat(values):
        return np.asarray(values, np.float64).reshape(-1, values.shape[-1]).T  # filters × positions, as in the papers

    layers = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
    f, p = flat(features["conv4_2"]), flat(content["conv4_2"])
    grams = []
    for layer in layers:
        x, a = flat(features[layer]), flat(style[layer])
        grams.append((x @ x.T, a @ a.T, *x.shape))
    if preset == "gatys":
        total_content = 0.5 * ((f - p) ** 2).sum()
        total_style = sum(((g - a) ** 2).sum() / (4 * n**2 * m**2) / 5 for g, a, n, m in grams)
        return total_content + 1e3 * total_style
    if preset == "ng":
        total_content = ((f - p) ** 2).sum() / (4 * f.size)
        total_style = sum(0.2 * ((g - a) ** 2).sum() / (2 * n * m) ** 2 for g, a, n, m in grams)
        return 10 * total_content + 40 * total_style
    total_content = ((f - p) ** 2).mean()
    total_style = sum((((g - a) / (n * m)) ** 2).mean() for g, a, n, m in grams)
    pixels = 255 * np.asarray(image, np.float64)
    right, down = pixels[:-1, 1:] - pixels[:-1, :-1], pixels[1:, :-1] - pixels[:-1, :-1]
    return 5 * total_content + 100 * total_style + 1e-3 * 0.5 * ((right**2).sum() + (down**2).sum())


@pytest.mark.parametrize("name", ["gatys", "neural_style", "ng"])
def test_presets_are_their_sources(name):
    backbone = BACKBONES["vgg19"]
    settings = PRESETS[name]
    images = [picture(seed, (32, 48, 3)) for seed in range(3)]
    model = Features(backbone, settings.pooling, settings.padding)
    assert settings.pooling == {"gatys": "average", "neural_style": "max", "ng": "average"}[name]
    params = jax.jit(model.init)(jax.random.key(0), images[0])
    content, style, features = (jax.jit(model.apply)(params, image) for image in images)
    network = weights.Pretrained(backbone, params, "")
    job = transfer.prepare(network, settings, images[0], images[1])
    found, _ = jax.jit(lambda job, image: job.evaluate(image, 0))(job, images[2])
    np.testing.assert_allclose(found, numpy_losses(name, features, content, style, images[2]), rtol=1e-4)


def test_real_vgg19_on_real_pictures(shared, tmp_path):
    convert(shared / "weights" / "vgg19_tfjs", "vgg19", tmp_path / "vgg19.safetensors")
    pretrained = weights.read(tmp_path / "vgg19.safetensors", BACKBONES["vgg19"])
    content = image_io.read(shared / "images" / "tubingen.jpg", size=128).pixels
    style = image_io.read(shared / "images" / "starry_night_google.jpg", size=128).pixels
    settings = dataclasses.replace(PRESETS["gatys"], steps=30)
    job = transfer.prepare(pretrained, settings, content, style)
    image = transfer.initial_image(settings, jnp.asarray(content), seed=0)
    _, history = finish(job, image, settings)
    assert history.loss[-1] < history.loss[0] / 10


def test_remat_needs_less_memory_and_gives_the_same_picture():
    network = weights.load("squeezenet1_1")
    settings = dataclasses.replace(PRESETS["squeezenet"], optimizer="adam", learning_rate=0.02, steps=2, margin=0)
    images = picture(0, (320, 320, 3)), picture(1, (64, 64, 3))
    pictures, bytes_needed = [], []
    for remat in (False, True):
        job = transfer.prepare(network, dataclasses.replace(settings, remat=remat), *images)
        state = transfer.start(job, images[0], settings.learning_rate)
        bytes_needed.append(transfer.compile_steps(job, state).memory_analysis().temp_size_in_bytes)
        *_, (state, _) = transfer.run(job, state, steps=2)
        pictures.append(transfer.picture(job, state))
    # Adam divides by the gradient's size at each pixel: where that is next to nothing, rounding decides its sign.
    assert np.mean(np.abs(pictures[0] - pictures[1]) > 1e-3) < 1e-3
    assert bytes_needed[1] < 0.85 * bytes_needed[0], bytes_needed
