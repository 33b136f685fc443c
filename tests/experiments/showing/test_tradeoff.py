"""The front against its definition, and the plot: what is drawn of which cells, and what cannot break it."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from matplotlib.figure import Figure
from PIL import Image

from experiments.showing.tradeoff import pareto_front, plot_tradeoff
from nst_jax.errors import UserError
from nst_jax.io import files

pytestmark = pytest.mark.quick

HOSTILE = ["_hidden", "$x_1$ \\frac{", "日本語\n\0", "$", "$$", "\\$", "", "a" * 500, "\ud800", "% {} \\textbf"]


def brute_force(points):
    finite = [index for index, point in enumerate(points) if np.isfinite(point).all()]

    def has_better(point):
        return ((points[finite] <= point).all(axis=1) & (points[finite] < point).any(axis=1)).any()

    return {index for index in finite if not has_better(points[index])}


@given(
    arrays.arrays(np.int8, st.tuples(st.integers(0, 30), st.just(2)), elements=st.integers(0, 6))
    | arrays.arrays(np.float64, st.tuples(st.integers(0, 12), st.just(2)))
)
def test_front_is_what_no_point_is_better_than(points):
    front = pareto_front(points)
    assert {*front.tolist()} == brute_force(points)
    assert len({*front.tolist()}) == len(front)
    first, second = points[front].T.tolist()
    assert first == sorted(first)
    assert second == sorted(second, reverse=True)


def test_front_of_thousands():
    points = np.random.default_rng(0).lognormal(size=(3000, 2)).round(1)  # with many ties
    assert {*pareto_front(points).tolist()} == brute_force(points)


def test_ties():
    points = np.array([[1.0, 5.0], [1.0, 4.0], [2.0, 4.0], [3.0, 1.0], [1.0, 4.0], [4.0, 1.0], [-0.0, 9.0], [0.0, 9.0]])
    assert pareto_front(points).tolist() == [6, 7, 1, 4, 3]


def manifest(axes, losses, rows=(), cols=(), title="A title", settings=None):
    """Cells in the order of their places, with (content, style) losses; None: not finished."""
    places = itertools.product(*(range(len(values)) for values in axes.values()))
    return {
        "title": title,
        "axes": [{"name": name, "values": values} for name, values in axes.items()],
        "rows": list(rows),
        "cols": list(cols),
        "cells": [
            {
                "place": list(place),
                "status": "failed" if pair is None else "finished",
                "losses": None if pair is None else {"content": pair[0], "style": pair[1], "style/relu1_1": 1.0},
                "settings": settings(place) if settings else {},
            }
            for place, pair in zip(places, losses, strict=True)
        ],
    }


def falling(count):
    return [(1.5**index, 0.7**index) for index in range(count)]


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Plots a manifest and returns the axes, before they become pixels."""

    def draw(*args, **kwargs):
        figures = []
        monkeypatch.setattr(Figure, "savefig", lambda figure, file, **_: figures.append(figure) or file.write(b"x"))
        plot_tradeoff(tmp_path / "plot.png", manifest(*args, **kwargs))
        return figures[0].axes

    return draw


def fronts(axes):
    return sorted(line.get_xydata().tolist() for line in axes.lines)


def labels(axes):
    return [text.get_text() for text in axes.texts]


def test_points_front_labels_and_legend(drawn):
    weights, styles = ["1", "10", "100"], ["starry", "scream"]
    losses = [(1, 9), (1, 10), (2, 5), None, (3, 6), (9, 1)]
    axes, *others = drawn({"style_weight": weights, "style": styles}, losses, ["style"], ["style_weight"])
    assert not others
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    (points,) = axes.collections
    assert points.get_offsets().tolist() == [[1, 9], [1, 10], [2, 5], [3, 6], [9, 1]]
    assert fronts(axes) == [[[1, 9], [2, 5], [9, 1]]]
    assert axes.lines[0].get_drawstyle() == "steps-post"
    assert labels(axes) == ["1", "1", "10", "100", "100"]
    legend = axes.get_legend()
    assert legend.get_title().get_text() == "style"
    assert [text.get_text() for text in legend.get_texts()] == styles
    colours = points.get_facecolors()
    assert (colours[[0, 2, 3]] == colours[0]).all()
    assert (colours[[1, 4]] == colours[1]).all()
    assert (colours[0] != colours[1]).any()
    assert axes.figure.get_suptitle() == "A title"
    assert axes.get_title(loc="left") == "labels: style_weight"


def test_a_legend_with_long_values_is_whole_and_covers_nothing(drawn):
    values = ["astronaut: content at the layer", "flow: style up to the layer", "fire8/expand3x3/linear " * 2]
    axes, *_ = drawn({"reconstruction": values, "b": list("1234")}, falling(12), ["reconstruction"], ["b"])
    figure, legend = axes.figure, axes.get_legend()
    assert [" ".join(text.get_text().split()) for text in legend.get_texts()] == [value.strip() for value in values]
    figure.draw_without_rendering()
    box = legend.get_window_extent()
    assert not box.overlaps(axes.get_window_extent())
    assert figure.bbox.x0 <= box.x0
    assert box.x1 <= figure.bbox.x1
    assert figure.bbox.y0 <= box.y0
    assert box.y1 <= figure.bbox.y1


def test_labels_are_beside_their_points_and_apart(drawn):
    axes, *_ = drawn({"a": list("uvwxyz"), "b": list("1234")}, falling(24), ["a"], ["b"])
    axes.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    for box, point in zip(boxes, axes.transData.transform(axes.collections[0].get_offsets()), strict=True):
        nearest = np.clip(point, [box.x0, box.y0], [box.x1, box.y1])
        assert 3 < np.linalg.norm(nearest - point) < 30


def test_the_only_axis_labels_its_points(drawn):
    axes, *_ = drawn({"style_weight": ["1", "2", "3"]}, falling(3), cols=["style_weight"])
    assert labels(axes) == ["1", "2", "3"]
    assert axes.get_legend().get_title().get_text() == "style_weight"


def test_one_cell_without_axes(drawn):
    axes, *others = drawn({}, [(0.5, 2.0)])
    assert axes.collections[0].get_offsets().tolist() == [[0.5, 2.0]]
    assert not others
    assert axes.get_legend() is None
    assert labels(axes) == []


def test_many_cells_have_no_labels_and_many_values_a_scale(drawn):
    values = [f"{1.3**n:.3g}" for n in range(11)]
    axes, scale = drawn({"weight": values, "seed": list("0123")}, falling(44), ["weight"], ["seed"])
    assert labels(axes) == []
    assert axes.get_legend() is None
    assert scale.get_ylabel() == "weight"
    shown = [tick.get_text() for tick in scale.get_yticklabels()]
    assert shown[0] == values[0]
    assert shown[-1] == values[-1]
    assert len({*map(tuple, axes.collections[0].get_facecolors())}) == 11


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        *((name, 2) for name in ("content_layers", "style_layers", "style_layer_weights", "backbone", "size", "style")),
        *((name, 2) for name in ("blend_weights", "blending", "content", "style_loss", "style_sha256", "pooling")),
        *((name, 1) for name in ("content_weight", "style_weight", "tv_weight", "seed", "learning_rate", "init")),
    ],
)
def test_a_front_for_each_group_that_can_be_compared(drawn, name, groups):
    losses = [(1, 4), (2, 3), (3, 9), (4, 8)]
    found = fronts(
        drawn({"x": list("ab"), "y": list("cd")}, losses, settings=lambda place: {"size": 64, name: [place[0]]})[0]
    )
    assert found == ([[[1, 4], [2, 3]], [[3, 9], [4, 8]]] if groups == 2 else [[[1, 4], [2, 3]]])


def test_a_front_has_the_colour_of_its_points(drawn):
    axes, *_ = drawn(
        {"style": list("ab"), "weight": list("cd")},
        [(1, 4), (2, 3), (3, 9), (4, 8)],
        ["style"],
        ["weight"],
        settings=lambda place: {"style": place[0]},
    )
    points = axes.collections[0].get_facecolors()
    assert [tuple(line.get_color()) for line in axes.lines] == [tuple(points[0]), tuple(points[2])]


def test_losses_that_have_no_place_on_a_logarithmic_axis(drawn):
    odd = [(0.0, 1.0), (1.0, 0.0), (float("nan"), 1.0), (1.0, float("inf")), (None, 1.0), (-1.0, 1.0)]
    axes, *_ = drawn({"x": list("abcdefgh")}, [*odd, (2.0, 3.0), (1e-30, 1e30)], cols=["x"])
    assert axes.collections[0].get_offsets().tolist() == [[2.0, 3.0], [1e-30, 1e30]]
    assert axes.get_title(loc="left") == "labels: x; not drawn, as a loss is 0 or not finite: 6"
    assert np.isfinite([*axes.get_xlim(), *axes.get_ylim()]).all()


@pytest.mark.parametrize("losses", [[], [None, None], [(0.0, 1.0), None]])
def test_without_a_finished_cell_nothing_happens(tmp_path, losses):
    path = tmp_path / "plot.png"
    axes = {"x": list("ab")[: len(losses)]}
    plot_tradeoff(path, manifest(axes, losses, cols=["x"]))
    assert not path.exists()
    path.write_text("old")
    plot_tradeoff(path, manifest(axes, losses, cols=["x"]))
    assert path.read_text() == "old"


@pytest.mark.parametrize("values", [HOSTILE, [*HOSTILE, "one more"]])
def test_hostile_labels(tmp_path, values):
    path = tmp_path / "plot.png"
    axes = {"$\\frac": values, "_b\n": ["$", "_"]}
    plot_tradeoff(path, manifest(axes, falling(2 * len(values)), rows=["$\\frac"], title="$_{" + "title " * 100))
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.size == (840, 600)
        assert len(image.convert("RGB").getcolors(2**20)) > 100


def test_hostile_labels_are_shown_as_they_are(drawn):
    axes, *_ = drawn({"a": ["_x", "$y$", "\\$"], "b": ["$1$ $2$", "z\n"]}, falling(6), ["a"])
    assert [text.get_text().replace("\\$", "$") for text in axes.get_legend().get_texts()] == ["_x", "$y$", "\\$"]
    assert labels(axes)[:2] == [r"\$1\$ \$2\$", "z\\n"]


def test_a_plot_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "plot.png"
    path.write_text("old")

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(UserError, match=r"plot\.png: cannot be written \(No space left on device\)"):
            plot_tradeoff(path, manifest({}, [(1.0, 1.0)]))
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]
    with pytest.raises(UserError, match="expected the folder"):
        plot_tradeoff(tmp_path / "none" / "plot.png", manifest({}, [(1.0, 1.0)]))
