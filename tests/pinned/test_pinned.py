"""The numbers of the first steps of every script, against the record of this code as it was.

A machine of a kind that has a record gives the recorded numbers but for what another order of additions may change;
`record.py` has the kinds of machines and how the records are made. Other machines are held to what differs between two
kinds of them, case by case, which was measured.
"""

from pathlib import Path

import cases
import pytest
import record

from nst_jax.backbones.pretrained import FOLDER_VARIABLE

pytestmark = pytest.mark.pinned


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the pictures; only embedded weights are installed."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "weights"))
    cases.make_pictures(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def vgg19(shared, tmp_path_factory):
    """A folder with the weights of VGG-19."""
    folder = tmp_path_factory.mktemp("weights")
    record.install_vgg19(folder)
    return folder


@pytest.mark.parametrize("name", cases.CASES)
def test_the_numbers_are_those_of_the_record(name, folder):
    record.check(name, cases.CASES[name](folder))


@pytest.mark.parametrize("name", cases.VGG_CASES)
def test_the_numbers_of_vgg19_are_those_of_the_record(name, folder, vgg19, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(vgg19))
    record.check(name, cases.VGG_CASES[name](folder))


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(optimizer, folder):
    same = {"optimizer": optimizer, "save_every": 4}
    cases.run_stylize(folder, workdir="whole", **same)
    cases.run_stylize(folder, workdir="parts", steps=4, **same)
    cases.run_stylize(folder, workdir="parts", resume=True, **same)
    for name in ("losses.csv", "picture.png", "step00008.png"):
        assert _bytes(folder / "parts" / name) == _bytes(folder / "whole" / name), name


def test_a_sweep_that_was_killed_goes_on_to_the_same_bits(folder):
    whole = cases.run_sweep(folder, workdir="whole")
    with cases.killed_at_checkpoint(5):  # of the first batch's eight: the other three begin anew
        cases.run_sweep(folder, workdir="parts")
    assert not list((folder / "parts" / "cells").glob("*.csv"))
    assert cases.run_sweep(folder, workdir="parts") == whole
    for path in (folder / "whole" / "cells").iterdir():
        if path.suffix in (".csv", ".png"):
            assert _bytes(folder / "parts" / "cells" / path.name) == _bytes(path), path.name


def _bytes(path: Path) -> bytes:
    return path.read_bytes()
