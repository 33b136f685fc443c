"""Trade-off curves: which cells are on which, how two compare, what is drawn; and the script for them."""

import csv
import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from experiments import tradeoff
from experiments.showing.curves import Curve, curves, plot_curves, ratio
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick

WEIGHTS = ["70", "140", "280"]


def errors(factor, weight):
    """On a power law, style = factor · content^-1.5."""
    content = float(weight) ** 0.3
    return {"content": content, "style": factor * content**-1.5}


def manifest(factors=(1.0, 1.3), images=("photo", "painting"), status="finished"):
    """A sweep over scales and style weights."""
    scales = ["0", "128,256"][: len(factors)]
    axes = {"scales": scales, "style_weight": WEIGHTS} if len(factors) > 1 else {"style_weight": WEIGHTS}
    cells = [
        {
            "place": [row, column] if len(factors) > 1 else [column],
            "status": status,
            "losses": errors(factor, weight),
            "settings": {"content": f"/some/{images[0]}.jpg", "style": f"{images[1]}.png"},
        }
        for row, factor in enumerate(factors)
        for column, weight in enumerate(WEIGHTS)
    ]
    return {"axes": [{"name": name, "values": values} for name, values in axes.items()], "cells": cells}


def sweep(folder, *arguments, **options):
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(manifest(*arguments, **options)))
    return str(folder)


def test_which_cells_are_on_which_curve():
    found = manifest()
    found["cells"][1]["status"] = "failed"
    found["cells"][2]["losses"]["style"] = 0.0
    one, other = curves(found, "style_weight", name="first")
    assert (one.panel, one.label, one.values) == ("photo, painting", "scales 0", ("70",))
    assert (other.label, other.values) == ("scales 128,256", tuple(WEIGHTS))
    np.testing.assert_allclose(other.style, 1.3 * other.content**-1.5)
    (alone,) = curves(manifest((1.0,)), "style_weight", name="first")
    assert alone.label == "first"
    with pytest.raises(UserError, match="unknown axis of first 'seed'; expected one of: scales, style_weight"):
        curves(found, "seed", name="first")


def test_the_ratio_of_power_laws_is_that_of_their_factors():
    one, other = curves(manifest(), "style_weight", name="")
    assert ratio(one, other) == pytest.approx(1.3)
    assert ratio(other, one) == pytest.approx(1 / 1.3)
    shifted = other._replace(
        content=other.content[::-1] * 1.2, style=other.style[::-1] * 1.2**-1.5
    )  # on the same curve
    assert ratio(one, shifted) == pytest.approx(1.3)
    assert ratio(one, other._replace(content=other.content * 100)) is None


def test_a_panel_for_each_pair(monkeypatch, tmp_path):
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *rest, **named: figures.append(figure) or save(figure, *rest, **named)
    )
    hostile = Curve("$a_1$, \ud800", "_hidden $x", ("1", "2"), np.array([2.0, 1.0]), np.array([0.1, 0.2]))
    pairs = (("a", "b"), ("c", "d"), ("e", "f"))
    found = [curve for images in pairs for curve in curves(manifest(images=images), "style_weight", name="")]
    plot_curves(tmp_path / "plot.png", [*found, hostile], "style_weight")
    (figure,) = figures
    assert [len(axes.lines) for axes in figure.axes] == [2, 2, 2, 1]
    np.testing.assert_allclose(figure.axes[0].lines[1].get_ydata(), found[1].style)
    assert figure.axes[0].lines[0].get_color() == figure.axes[2].lines[0].get_color()
    assert len(figure.axes[3].get_legend().get_texts()) == 1
    with Image.open(tmp_path / "plot.png") as image:
        assert image.width > image.height > 400


def test_the_script(tmp_path, capsys):
    folders = sweep(tmp_path / "first"), sweep(tmp_path / "second", (1.0, 0.9), ("c", "d"))
    tradeoff.main(tradeoff.Config(sweeps=folders, workdir=str(tmp_path / "out")))
    printed = capsys.readouterr().out
    assert "photo, painting: scales 128,256: style error " in printed
    assert "1.30 times that of scales 0 at equal content error" in printed
    assert "c, d: scales 128,256: style error " in printed
    assert "0.90 times that of scales 0" in printed
    rows = list(csv.DictReader((tmp_path / "out" / "tradeoff.csv").read_text().splitlines()))
    assert len(rows) == 12
    assert [row["style_weight"] for row in rows[:3]] == WEIGHTS
    assert float(rows[0]["style"]) == errors(1.0, "70")["style"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"tradeoff.png", "tradeoff.csv"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "manifest.json: expected the manifest of a sweep, found none"),
        ("[1]", "manifest.json: expected the manifest of a sweep, found something else"),
        ("{", "manifest.json: expected the manifest of a sweep, found something else"),
        ('{"axes": [{"name": "style_weight", "values": []}], "cells": [{"status": "finished"}]}', "something else"),
        ('{"axes": [{"name": "style_weight", "values": []}], "cells": []}', "expected finished cells, found none"),
    ],
)
def test_what_is_no_sweep(text, message, tmp_path):
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=message):
        tradeoff.run(tradeoff.Config(sweeps=(str(tmp_path),), workdir=str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="--sweeps: expected one folder of a sweep or more, found none"):
        tradeoff.run(tradeoff.Config(workdir=str(tmp_path / "out")))
