"""What a user has set for other programs, in the environment or in files, changes neither picture nor plot."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLAGS = ("--size=48", "--steps=2", "--style_layers=conv1,fire2/concat", "--content_layers=fire2/concat")
NAMES = ("picture.png", "losses.png", "losses.csv")


def stylize(pictures, workdir, **environment):
    command = [
        *(sys.executable, "-m", "experiments.stylize", *FLAGS, "--backbone=squeezenet1_1", f"--workdir={workdir}"),
        *(f"--content={pictures / 'photo.png'}", f"--style={pictures / 'first.png'}"),
    ]
    variables = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    workdir.mkdir()
    return subprocess.run(command, cwd=workdir, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def undisturbed(pictures, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("undisturbed") / "run"
    done = stylize(pictures, workdir)
    assert done.returncode == 0, done.stderr
    return {name: (workdir / name).read_bytes() for name in NAMES}


STRICT = {
    "JAX_ENABLE_X64": "1",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_TRANSFER_GUARD": "disallow",
    "JAX_DEBUG_NANS": "1",
}
PLOTS = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # that of Colab
    "MATPLOTLIBRC": "backend: nosuch\nno.such.option: 3\nlines.linewidth: broken\naxes.facecolor: red\n",
}


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param(STRICT | PLOTS, id="all"),
        *(pytest.param({name: value}, id=name, marks=pytest.mark.slow) for name, value in (STRICT | PLOTS).items()),
    ],
)
def test_results_are_the_same_to_the_bit(environment, undisturbed, pictures, tmp_path):
    if "MATPLOTLIBRC" in environment:
        (tmp_path / "matplotlibrc").write_text(environment["MATPLOTLIBRC"])
        environment = environment | {"MATPLOTLIBRC": str(tmp_path)}
    workdir = tmp_path / "run"
    done = stylize(pictures, workdir, **environment)
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) <= 2, done.stderr  # progress, and no warnings
    assert {name: (workdir / name).read_bytes() for name in NAMES} == undisturbed


def test_a_platform_that_is_not_there_is_one_line(pictures, tmp_path):
    done = stylize(pictures, tmp_path / "run", JAX_PLATFORMS="nonsense")
    assert done.returncode == 1
    assert done.stderr.startswith("error: JAX_PLATFORMS: expected platforms that JAX finds here, found 'nonsense'; ")
    assert len(done.stderr.splitlines()) == 1


def test_names_that_the_console_lacks(pictures, tmp_path):
    picture = tmp_path / "絵.png"
    picture.write_bytes((pictures / "photo.png").read_bytes())
    missing = tmp_path / "無い.png"
    command = [sys.executable, "-m", "experiments.sweep", *FLAGS[:1], "--steps=1", *FLAGS[2:]]
    flags = [f"--contents={picture},{missing}", f"--styles={pictures / 'first.png'}", f"--workdir={tmp_path / 'run'}"]
    done = subprocess.run(
        [*command, *flags, "--backbone=squeezenet1_1", "--keep_going"],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        encoding="cp1252",
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "left out: " in done.stdout
    assert "\\u7121\\u3044" in done.stdout  # 無い
    assert (tmp_path / "run" / "index.html").is_file()
