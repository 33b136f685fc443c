"""Many transfers as one program: each cell is the single transfer with the same settings."""

import dataclasses

import jax
import numpy as np
import pytest
from runs import finish

from nst_jax import stacking, transfer
from nst_jax.backbones import pretrained
from nst_jax.errors import UserError
from nst_jax.loop import run, stage
from nst_jax.presets import PRESETS

SIZE = (40, 48, 3)
STEPS = 5


@pytest.fixture(scope="module")
def network():
    return pretrained.load("squeezenet1_1")


def picture(seed, shape=SIZE):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


CONTENTS = [picture(0), picture(1)]
STYLES = [picture(2, (36, 44, 3)), picture(3, (50, 33, 3))]


def base(optimizer):
    return dataclasses.replace(
        PRESETS["squeezenet"],
        style_layers=("conv1", "fire2/concat"),
        content_layers=("fire3/concat",),
        margin=2,
        optimizer=optimizer,
        learning_rate={"adam": 0.02, "lbfgs": 1.0}[optimizer],
    )


def prepare(network, settings, *, content=0, styles=(0,), seed=0):
    """Returns a transfer and the picture that it begins with."""
    problem = transfer.prepare(network, settings, CONTENTS[content], [STYLES[index] for index in styles], seed=seed)
    return problem, transfer.initial_image(settings, CONTENTS[content], seed=seed)


def grid(network, optimizer):
    """Transfers that differ in everything that cells of a batch may differ in, with their initial pictures."""
    plain = base(optimizer)
    changes = [
        {},
        {"style_weight": 20.0, "tv_weight": 0.0},
        {"content_weight": 3.0, "blend_weights": (0.3, 0.7), "styles": (0, 1)},
        {"style_layers": ("conv1",), "content_layers": ("fire2/concat", "fire3/concat")},
        {"style_layers": ("conv1", "fire2/concat", "fire3/concat"), "style_layer_weights": (0.5, 0.2, 0.3)},
        {"init": "noise", "learning_rate": plain.learning_rate / 2},
        {"init": "blend", "init_noise": 0.5, "styles": (1,)},
        {"dream_layers": ("fire4/concat",), "dream_weight": 0.5},
        {"laplacian_weight": 20.0, "matting_weight": 100.0},
    ]
    cells = []
    for index, change in enumerate(changes):
        styles = change.pop("styles", (0,))
        settings = dataclasses.replace(plain, **change)
        cells.append(prepare(network, settings, content=index % 2, styles=styles, seed=index))
    return cells


def run_all(cells, *, steps=STEPS, **options):
    problems, images = zip(*cells, strict=True)
    return finish(stacking.stack(problems), np.stack(images), steps=steps, **options)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_cell_is_the_single_transfer_with_its_settings(optimizer, network):
    cells = grid(network, optimizer)
    last, history = run_all(cells)
    assert history.step.tolist() == list(range(STEPS + 1))
    assert last.finite.all()
    for index, (problem, image) in enumerate(cells):
        single, losses = finish(problem, image, steps=STEPS)
        # The same sums in another order: float32 has 1e-7, and L-BFGS divides by differences of gradients.
        np.testing.assert_allclose(history.loss[:, index], losses.loss, rtol=2e-4, err_msg=str(index))
        np.testing.assert_allclose(last.result[index], single.result, atol=2e-3, err_msg=str(index))
        for name, values in losses.terms.items():
            found = history.terms[name][:, index]
            np.testing.assert_allclose(found, values, rtol=1e-3, atol=1e-6, err_msg=f"{index} {name}")


@pytest.mark.parametrize(
    "style_loss",
    [
        pytest.param("relative_wasserstein2", marks=pytest.mark.slow),
        pytest.param("sliced_wasserstein", marks=pytest.mark.slow),
        pytest.param("contextual", marks=pytest.mark.slow),
    ],
)
def test_cells_have_every_kind_of_target(style_loss, network):
    """A distance, tables and samples of style images of two sizes; a cell with one style image and one with both."""
    settings = dataclasses.replace(base("adam"), style_loss=style_loss, blending="losses")
    cells = [prepare(network, settings, styles=styles) for styles in ((0,), (1, 0))]
    _, history = run_all(cells, steps=2)
    for index, (problem, image) in enumerate(cells):
        _, losses = finish(problem, image, steps=2)
        np.testing.assert_allclose(history.loss[:, index], losses.loss, rtol=2e-4)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_batch_of_one_is_the_transfer_itself_to_the_bit(optimizer, network):
    problem, image = grid(network, optimizer)[2]
    batch, history = finish(stacking.stack([problem]), image[None], steps=STEPS)
    single, losses = finish(problem, image, steps=STEPS)
    np.testing.assert_array_equal(history.loss[:, 0], losses.loss)
    jax.tree.map(np.testing.assert_array_equal, stacking.state_of(batch.state, 0), jax.device_get(single.state))


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="elsewhere the host has nothing of it")
def test_the_state_of_a_batch_of_one_is_no_copy_and_the_next_step_works_in_place(network):
    problem, image = grid(network, "lbfgs")[2]
    places = []
    for progress in run([stage(stacking.stack([problem]), image[None], steps=3)], pause_every=1):
        leaves = jax.tree.leaves(progress.state)
        places.append(sorted(leaf.unsafe_buffer_pointer() for leaf in leaves if leaf.size >= image.size))
        views = jax.tree.leaves(stacking.state_of(progress.state, 0))
        assert all(map(np.shares_memory, views, jax.device_get(leaves)))
        del leaves, views  # as what writes a checkpoint does
    assert len(places[0]) > 5
    assert places[1:] == places[:1] * 3


def test_one_program_serves_every_grid(network, count_compilations):
    cells = grid(network, "adam")
    run_all(cells, steps=3)
    others = [
        (
            problem.replace(weights=jax.tree.map(lambda weight, factor=7.0 + index: weight * factor, problem.weights)),
            1 - image,
        )
        for index, (problem, image) in enumerate(cells)
    ]
    with count_compilations() as compiled:
        run_all(others, steps=3)
    assert [name for name in compiled if "chunk" in name or "_init" in name] == []


def test_when_it_pauses_changes_nothing(network):
    cells = grid(network, "lbfgs")[:3]
    whole, history = run_all(cells, steps=6)
    paused, again = run_all(cells, steps=6, pause_every=2)
    jax.tree.map(np.testing.assert_array_equal, whole.state, paused.state)
    jax.tree.map(np.testing.assert_array_equal, history, again)


def test_a_cell_that_diverges_leaves_the_others_alone(network):
    good = prepare(network, base("adam"))
    bad = prepare(
        network, dataclasses.replace(base("adam"), style_weight=3.4e38, tv_weight=3.4e38)
    )  # infinite together
    last, history = run_all([good, bad, good])
    assert last.finite[:, [0, 2]].all()
    assert not last.finite[:, 1].any()
    assert last.state.step.tolist() == [STEPS, 0, STEPS]
    # To the bit, as it is the same program and the same place. Between places of a batch there is no such promise:
    # they may be summed in another order.
    undisturbed, losses = run_all([good, good, good])
    for place in (0, 2):
        np.testing.assert_array_equal(history.loss[:, place], losses.loss[:, place])
        np.testing.assert_array_equal(last.state.variables[place], undisturbed.state.variables[place])


def test_unused_layers_have_targets_that_no_relative_error_is_huge_for(network):
    problems = [problem for problem, _ in grid(network, "adam")]
    cells = stacking.stack(problems).cells
    for term, of in cells.targets.items():
        for layer, target in of.items():
            unused = np.asarray(cells.weights.layers[term][layer]) == 0
            assert all(np.square(leaf[unused]).sum() > 0 for leaf in jax.tree.leaves(target) if unused.any())
    assert cells.weights.style_images.shape == (9, 2)
    assert cells.params is not problems[0].params  # prepared again, for more layers


def test_transfers_that_share_their_parameters_go_on_sharing_them(network):
    problems = [prepare(network, dataclasses.replace(base("adam"), style_weight=weight))[0] for weight in (1.0, 2.0)]
    assert stacking.stack(problems).cells.params is problems[0].params


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pooling": "max"}, "pooling: expected the same in all transfers of a batch, found average and max"),
        ({"optimizer": "lbfgs"}, "solver: expected the same"),
        ({"margin": 3}, "canvas: expected the same in all transfers of a batch, found .44, 52. and .46, 54."),
        ({"style_loss": "gram_error"}, "formulas: expected the same"),
    ],
    ids=str,
)
def test_transfers_of_several_programs_are_refused(changes, message, network):
    problems = [prepare(network, dataclasses.replace(base("adam"), **change))[0] for change in ({}, changes)]
    with pytest.raises(UserError, match=message):
        stacking.stack(problems)


def test_transfers_of_other_weights_are_refused(network):
    kernels = {name: values / 2 for name, values in network.params["params"].items()}
    others = network._replace(params={"params": kernels})
    problems = [prepare(of, base("adam"))[0] for of in (network, others)]
    with pytest.raises(UserError, match="params: expected the same weights of the backbone"):
        stacking.stack(problems)


def test_a_cell_without_a_style_image_beside_one_with(network):
    content = dataclasses.replace(base("adam"), style_layers=(), style_weight=0.0)
    cells = [prepare(network, content, styles=()), prepare(network, base("adam"))]
    last, history = run_all(cells, steps=2)
    assert last.finite.all()
    assert history.terms["style/conv1"].max() < 100  # whose target is that of the other, and none of zeros
    _, losses = finish(*cells[0], steps=2)
    np.testing.assert_allclose(history.loss[:, 0], losses.loss, rtol=1e-5)


def test_a_network_that_is_ready_is_shared(network):
    shared = transfer.ready(network, base("adam"), dataclasses.replace(base("adam"), style_layers=("fire4/concat",)))
    problems = [prepare(shared, dataclasses.replace(base("adam"), style_weight=weight))[0] for weight in (1.0, 2.0)]
    assert problems[0].params is problems[1].params is shared.params


def test_no_transfers_are_no_batch():
    with pytest.raises(UserError, match="transfers: expected one or more, found none"):
        stacking.stack([])
