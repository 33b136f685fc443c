"""Folders that scripts choose themselves: one for each thing asked for, and the same one when it is asked for again."""

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import benchmark, dream, fit, quilting, stylize
from experiments.cli.folders import default_folder
from experiments.cli.transfer_flags import inputs, places
from experiments.sweeping.grid import GridFlags, make_grid
from nst_jax.backbones import pretrained
from nst_jax.errors import UserError

ROOT = Path(__file__).parents[3]
WRITING = {"bits": 16, "save_every": 7, "resume": True, "output": "x.png"}


@pytest.fixture
def twice(pictures, tmp_path):
    """Content images of the same name and with other content, in two folders."""
    for folder, name in (("one", "photo.png"), ("two", "wide.png")):
        (tmp_path / folder).mkdir()
        shutil.copy(pictures / name, tmp_path / folder / "x.png")
    return [str(tmp_path / folder / "x.png") for folder in ("one", "two")]


def folder(config, script="stylize", **options):
    return places(config, inputs(config), script=script, picture="picture.png", **options)[0]


def test_what_makes_another_picture_has_another_folder(twice, pictures):
    base = stylize.Config(content=twice[0], style=str(pictures / "first.png"), backbone="squeezenet1_1")
    found = folder(base, going_on=["steps"])
    assert re.fullmatch(r"results/stylize/x-first-[0-9a-f]{8}", found.as_posix())
    for changes in ({"content": twice[1]}, {"style_weight": 3.0}, {"size": 64}, {"init": twice[1]}, {"seed": 1}):
        assert folder(dataclasses.replace(base, **changes), going_on=["steps"]) != found, changes
    for changes in ({"steps": 9}, {"content": f"{Path(twice[0]).parent}/../one/x.png"}, WRITING):
        assert folder(dataclasses.replace(base, **changes), going_on=["steps"]) == found, changes
    assert folder(dataclasses.replace(base, workdir="mine")) == Path("mine")


def test_a_run_of_another_length_replaces_no_finished_one(tmp_path):
    short, long, more = (
        stylize.Config(steps=steps, resume=resume, backbone="squeezenet1_1")
        for steps, resume in ((5, False), (9, False), (9, True))
    )
    folder = tmp_path / "photo-painting-12345678"
    folder.mkdir()
    assert stylize.of_this_length(folder, short) == folder
    (folder / "run.json").write_text('{"settings": {"steps": 4}, "steps_asked": 5, "steps_done": 3}')
    assert stylize.of_this_length(folder, long) == folder  # nothing is finished yet
    (folder / "run.json").write_text('{"settings": {"steps": 4}, "steps_asked": 5, "steps_done": 4}')  # at two scales
    assert stylize.of_this_length(folder, short) == stylize.of_this_length(folder, more) == folder
    other = stylize.of_this_length(folder, long)
    assert other == tmp_path / "photo-painting-12345678-9"
    other.mkdir()
    assert stylize.of_this_length(folder, more) == stylize.of_this_length(folder, long) == other


def test_the_same_command_finds_its_folder_again(twice):
    find = "from experiments.cli.folders import *; from experiments import fit; import sys; "
    find += "print(default_folder('fit', 'x', asked_for(fit.Config(content=sys.argv[1]), {'content': 'abc'})))"
    found = set()
    for seed in "012":  # Python gives texts other hashes in each process
        command, environment = [sys.executable, "-c", find, twice[0]], {**os.environ, "PYTHONHASHSEED": seed}
        found.add(subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True).stdout)
    assert len(found) == 1


def test_other_weights_have_another_folder(pictures, tmp_path, monkeypatch):
    base = stylize.Config(content=str(pictures / "photo.png"), backbone="vgg19")
    found = set()
    for weights in (None, b"some", b"others"):
        monkeypatch.setenv(pretrained.FOLDER_VARIABLE, str(tmp_path))
        if weights:
            (tmp_path / "vgg19.safetensors").write_bytes(weights)
        found.add(folder(base))
    assert len(found) == 3


def test_each_script_that_names_its_folder_does_so(twice):
    for script, config in (("dream", dream.Config), ("fit", fit.Config)):
        of = {
            places(config(content=path), {"content": Path(path)}, script=script, picture="p.png")[0] for path in twice
        }
        assert len(of) == 2
    of = {folder(quilting.Config(content=twice[0], enlarge=times), "quilting") for times in (2.0, 3.0)}
    assert len(of) == 2
    assert benchmark.folder(benchmark.Config()) != benchmark.folder(benchmark.Config(rounds=6))


def test_long_names_fit(tmp_path):
    many = ",".join(str(tmp_path / f"{'n' * 60}{index}.png") for index in range(5))
    name = folder(stylize.Config(style=many)).name
    assert len(name.encode()) < 140
    assert name.startswith("astronaut-nnn")
    assert default_folder("sweep", "油絵" * 100, []).name.encode().__len__() < 140
    assert default_folder("benchmark", "", []).name == default_folder("benchmark", "/", []).name


def test_a_comma_in_a_name_behind_a_backslash():
    assert list(inputs(stylize.Config(style=r"one\, two.png, three.png")).values())[1:] == [
        Path("one, two.png"),
        Path("three.png"),
    ]


@pytest.mark.parametrize("word", ["image", "random", "nosie"])
def test_an_initial_image_that_is_a_word_is_told_the_words(word):
    with pytest.raises(
        UserError, match=f"--init: expected one of content, noise, blend, instant, or an image file, .*{word}"
    ):
        inputs(stylize.Config(init=word))
    with pytest.raises(
        UserError, match=f"--init: expected one of content, noise, blend, instant, or an image file, .*{word}"
    ):
        inputs(make_grid(GridFlags(init=("noise", word))).cells[1].flags)
    assert inputs(stylize.Config(init=f"{word}.png"))["init"] == Path(f"{word}.png")
