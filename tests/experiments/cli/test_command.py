"""`nst-jax`, as a wheel installs it, from a folder that has nothing of ours."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import nst_jax
from experiments.cli.command import commands
from nst_jax.io import images

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SCRIPTS = {path.stem for path in (ROOT / "experiments").glob("[!_]*.py")}
CONVERTERS = {"convert", "embed_any_style", "embed_imagenet", "embed_squeezenet", "fetch", "inspect", "normalize"}
TINY = ("--size=48", "--steps=1", "--style_layers=conv1", "--content_layers=fire2/concat", "--backbone=squeezenet1_1")


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A folder with the packages where a wheel has them."""
    folder = tmp_path_factory.mktemp("site")
    package = folder / "nst_jax"
    package.mkdir()
    inside = PROJECT["tool"]["setuptools"]["package-dir"]
    for path in (*(ROOT / "nst_jax").iterdir(), *(ROOT / name for name in inside.values())):
        (package / path.name).symlink_to(path)
    return folder


@pytest.fixture
def nst_jax_command(site, tmp_path):
    """Runs `nst-jax` in an empty folder."""
    module, function = PROJECT["project"]["scripts"]["nst-jax"].split(":")
    empty = tmp_path / "empty"
    empty.mkdir()

    def run(*arguments, options=()):
        start = f"from {module} import {function}; {function}()"
        environment = os.environ | {"PYTHONPATH": str(site), "NST_JAX_WEIGHTS": str(tmp_path / "weights")}
        words = [sys.executable, *options, "-c", start, *map(str, arguments)]
        return subprocess.run(words, cwd=empty, env=environment, capture_output=True, text=True, check=False)

    return run


def test_every_package_is_in_the_wheel_and_none_at_its_top():
    settings = PROJECT["tool"]["setuptools"]
    inside = settings["package-dir"]
    found = set()
    for name in ("nst_jax", *inside.values()):
        for path in (ROOT / name).rglob("*.py"):
            package = ".".join(path.parent.relative_to(ROOT).parts)
            found.add(f"nst_jax.{package}" if name in inside.values() else package)
    data = set(settings["package-data"])
    assert set(settings["packages"]) == found | data
    assert {name.partition(".")[0] for name in settings["packages"]} == {"nst_jax"}


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("help",)])
def test_all_are_listed_with_a_line_each(nst_jax_command, arguments):
    done = nst_jax_command(*arguments, options=("-X", "importtime"))
    assert done.returncode == 0
    rows = dict(re.findall(r"^  (\w+) +(.*)$", done.stdout, re.MULTILINE))
    assert rows.keys() == SCRIPTS | CONVERTERS
    for name, summary in rows.items():
        folder = "converters" if name in CONVERTERS else "experiments"
        docstring = ast.get_docstring(ast.parse((ROOT / folder / f"{name}.py").read_text()))
        assert docstring.splitlines()[0] == summary
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "nst_jax.errors" in imported
    assert not {"absl", "jax", "numpy", "matplotlib"} & imported


def test_in_a_clone_it_is_the_same(nst_jax_command):
    arguments = [sys.executable, "-m", "experiments.cli.command"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == nst_jax_command().stdout
    assert commands("experiments")["stylize"].module == "experiments.stylize"


def test_version(nst_jax_command):
    assert nst_jax_command("--version").stdout == f"nst-jax {nst_jax.__version__}\n"


@pytest.mark.parametrize(
    ("typed", "first"),
    [("stylise", "stylize"), ("Fetch", "fetch"), ("make-style", "make_styles"), ("mapping", ""), ("--steps=3", "")],
)
def test_near_matches(nst_jax_command, typed, first):
    done = nst_jax_command(typed, "--size=3")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: unknown script '{typed}'; expected one of: {first}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "example"),
    [
        ("stylize", "nst-jax stylize photo.jpg painting.jpg"),
        ("paper-figures", "nst-jax paper_figures --content="),
        ("paper_figures", "nst-jax paper_figures --content="),
        ("convert", "nst-jax convert FILE --backbone=NAME"),
        ("embed-imagenet", "nst-jax embed_imagenet [--package="),
    ],
)
def test_help_of_one_has_its_examples_as_they_are_typed_here(nst_jax_command, name, example):
    done = nst_jax_command(name, "--help")
    assert done.returncode == 0
    assert example in done.stdout
    assert "python -m" not in done.stdout
    assert done.stderr == ""


def test_two_pictures_are_content_and_style(nst_jax_command, pictures, tmp_path):
    content, style = pictures / "photo.png", pictures / "first.png"
    done = nst_jax_command("stylize", content, style, *TINY, f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [record["settings"][name] for name in ("content", "style")] == [str(content), str(style)]
    assert images.read(tmp_path / "run" / "picture.png").pixels.shape == (36, 48, 3)
    named = (f"--content={content}", f"--style={style}")
    again = nst_jax_command("stylize", *named, *TINY, f"--workdir={tmp_path / 'again'}")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "run" / "picture.png").read_bytes() == (tmp_path / "again" / "picture.png").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.jpg"], "expected content and style, or only flags (--name=value), found 1 of them: a.jpg; see --help"),
        (["a.jpg", "b.jpg", "c.jpg"], "found 3 of them: a.jpg b.jpg c.jpg; see --help"),
        (["a.jpg", "b.jpg", "--style=c.jpg"], "style: expected once, found 'b.jpg' and --style as well; leave out one"),
        (["a.jpg", ""], "expected a value, found none"),
    ],
)
def test_pictures_without_flags_are_two(arguments, message):
    words = [sys.executable, "-m", "experiments.stylize", *arguments]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_a_sweep_says_to_type_is_the_command(nst_jax_command, pictures, tmp_path):
    inputs = (f"--contents={pictures / 'photo.png'}", f"--styles={pictures / 'first.png'}")
    done = nst_jax_command("sweep", *inputs, *TINY, f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads((tmp_path / "run" / "manifest.json").read_text())["cells"]
    assert cell["command"].startswith("nst-jax stylize --")
    assert cell["command"] in (tmp_path / "run" / "index.html").read_text("utf-8")


def test_messages_name_the_command(nst_jax_command, pictures):
    done = nst_jax_command("stylize", pictures / "photo.png", pictures / "first.png", "--backbone=vgg19")
    assert "nst-jax fetch vgg19, or from a file that you have: nst-jax convert FILE --backbone=vgg19" in done.stderr
    assert done.stderr.count("\n") == 1
