"""Parts of sweeps that are too large for one page."""

import functools
import itertools
import sys

import pytest
from sweeps import config

from experiments import sweep
from experiments.benchmarking import large_sweep
from experiments.sweeping import folder, gallery
from experiments.sweeping.outcome import is_output
from experiments.sweeping.pages import numbered, parts
from nst_jax.errors import UserError


def manifest(**lengths):
    axes = [{"name": name, "values": [f"{name}{value}" for value in range(count)]} for name, count in lengths.items()]
    places = itertools.product(*(range(count) for count in lengths.values()))
    cells = [{"name": "-".join(map(str, place)), "place": list(place)} for place in places]
    names = list(lengths)
    return {"title": "t", "axes": axes, "rows": names[:-1], "cols": names[-1:], "cells": cells}


@pytest.mark.parametrize(
    "lengths", [{"a": 7, "b": 3}, {"a": 2, "b": 31, "c": 5}, {"a": 1, "b": 95}, {"a": 10, "b": 10}]
)
def test_parts_have_each_cell_once_where_its_axes_say(lengths):
    whole = manifest(**lengths)
    divided = parts(whole, most=20)
    found = []
    for part in divided:
        assert 1 <= len(part["cells"]) <= 20
        sizes = [len(axis["values"]) for axis in part["axes"]]
        places = [tuple(cell["place"]) for cell in part["cells"]]
        assert sorted(places) == list(itertools.product(*map(range, sizes)))  # full grids, from 0
        for cell in part["cells"]:
            values = [axis["values"][at] for axis, at in zip(part["axes"], cell["place"], strict=True)]
            found.append((cell["name"], values))
    names = [axis["name"] for axis in whole["axes"]]
    expected = [
        (cell["name"], [f"{name}{at}" for name, at in zip(names, cell["place"], strict=True)])
        for cell in whole["cells"]
    ]
    assert sorted(found) == sorted(expected)
    assert len({part["label"] for part in divided}) == len(divided)


def test_what_fits_is_one_part_and_free_positions_are_cut_in_their_order():
    whole = manifest(a=4, b=5)
    assert parts(whole, most=20) == [{**whole, "label": ""}]
    for cell in whole["cells"]:
        cell["at"] = [0, 0]
    divided = parts(whole, most=8)
    assert [part["label"] for part in divided] == ["cells 1 to 6", "cells 7 to 13", "cells 14 to 20"]
    assert [cell for part in divided for cell in part["cells"]] == whole["cells"]


def test_names_of_files(tmp_path):
    assert numbered(tmp_path / "sheet.png", 0).name == "sheet.png"
    assert numbered(tmp_path / "sheet.png", 1).name == "sheet-2.png"


@pytest.fixture
def calls():
    """A clock that counts calls of functions: as busy as the machine may be, they are as many."""
    count = 0

    def called(_, event, __):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(called)
    yield lambda: count
    sys.setprofile(None)


def test_what_a_sweep_costs_beside_its_pictures_grows_no_faster_than_its_cells(tmp_path, calls, monkeypatch):
    # Where few records are missing each is looked for, which is cheaper than a list: at the last 10 of 110 looks of the
    # smaller sweep, but 3 of the larger one, so that its looks would seem to grow by 3.15.
    monkeypatch.setattr(folder, "_FEW", 0)
    found = [
        large_sweep.run(large_sweep.Config(cells=cells, workers=8, workdir=str(tmp_path / name), pages=False), calls)
        for name, cells in (("first", 20), ("few", 110), ("many", 330))
    ]
    _, few, many = found
    for part, count in few["cpu_seconds"].items():
        assert count > 100, part
        assert many["cpu_seconds"][part] < 1.05 * 3 * count, part
    assert many["bytes"]["manifest.json"] < 1.05 * 3 * few["bytes"]["manifest.json"]
    assert (few["tasks"], many["tasks"]) == (28, 30)


def test_a_simulation_that_cannot_be_run(tmp_path):
    with pytest.raises(UserError, match="--cells: expected a multiple of 10, found 25"):
        large_sweep.run(large_sweep.Config(cells=25))
    (tmp_path / "a.txt").touch()
    with pytest.raises(UserError, match="--workdir: expected a folder that is empty or not there, found "):
        large_sweep.run(large_sweep.Config(cells=20, workdir=str(tmp_path)))


def test_a_sweep_with_several_pages(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "parts", functools.partial(parts, most=2))
    flags = {"style_weight": (10.0, 300.0)}
    outcome = sweep.run(config(pictures, tmp_path, **flags))
    drawn = [path for path in tmp_path.glob("*.png") if is_output(path)]
    assert sorted(path.name for path in drawn) == ["sheet-2.png", "sheet.png", "tradeoff.png"]
    pages = [(tmp_path / name).read_text() for name in ("index.html", "index-2.html")]
    for name in outcome.names.values():
        assert [f'"name":"{name}"' in page for page in pages].count(True) == 1
    assert all('"href":"./index-2.html"' in page for page in pages)
    monkeypatch.setattr(gallery, "parts", parts)
    sweep.run(config(pictures, tmp_path, **flags))
    assert not (tmp_path / "index-2.html").exists()  # nothing is left of the other layout
    assert not (tmp_path / "sheet-2.png").exists()
    for name in ("sheet-1.png", "sheet-2.png"):  # of somebody else
        (tmp_path / name).write_bytes(b"a photograph")
        assert not is_output(tmp_path / name)
    sweep.run(config(pictures, tmp_path, **flags))
    assert (tmp_path / "sheet-2.png").exists()
