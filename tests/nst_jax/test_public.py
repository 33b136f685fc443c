import os
import pkgutil
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mypy import api

import nst_jax
from nst_jax.loop import stage
from nst_jax.pyramid import stylize

ROOT = Path(__file__).parents[2]
PACKAGES = ("applications", "backbones", "io", "ops", "rendering")


def names(package):
    return [name for name in dir(package) if not name.startswith("_")]


@pytest.fixture(scope="module")
def modules():
    """The modules in the folders of the library, with dots."""
    paths = {"": nst_jax.__path__} | {f"{name}.": getattr(nst_jax, name).__path__ for name in PACKAGES}
    return [f"{package}{found.name}" for package, path in paths.items() for found in pkgutil.iter_modules(path)]


def run(program):
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def check_types(folder, *lines):
    """Returns what mypy says of a program with these lines, one of its lines each."""
    (folder / "program.py").write_text("\n".join(("import numpy as np", "import nst_jax", *lines)))
    said, problem, _ = api.run(["--config-file", str(ROOT / "pyproject.toml"), str(folder / "program.py")])
    assert not problem
    return said.splitlines()


@pytest.fixture
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)  # where mypy looks for the packages


def test_the_public_names_are_listed(modules):
    assert sorted(names(nst_jax)) == sorted(nst_jax.__all__)
    assert set(nst_jax.__all__) == {*nst_jax._PUBLIC, *(name for name in modules if "." not in name)}
    assert set(names(nst_jax.io)) == {name.removeprefix("io.") for name in modules if name.startswith("io.")}


def test_public_names_are_those_of_the_modules():
    assert nst_jax.stylize is stylize
    assert nst_jax.stage is stage
    assert all(getattr(nst_jax, name) is not None for name in nst_jax.__all__)


def test_unknown_names_are_none():
    with pytest.raises(AttributeError, match="module 'nst_jax' has no attribute 'stylise'"):
        _ = nst_jax.stylise
    with pytest.raises(ImportError, match="stylise"):
        from nst_jax import stylise  # noqa: F401


def test_help_shows_what_is_public():
    text = pydoc.plain(pydoc.render_doc(nst_jax))
    assert "class Transfer(" in text
    assert "stylize(" in text
    assert "Renders the content image in the style of one or more other images" in text


def test_jax_is_loaded_when_it_is_needed():
    listed = "import sys, nst_jax; dir(nst_jax); nst_jax.UserError; nst_jax.Settings; nst_jax.applications; nst_jax.io"
    assert run(f"{listed}; print('jax' in sys.modules)") == "False\n"
    assert run(f"{listed}; nst_jax.stylize; print('jax' in sys.modules)") == "True\n"


def test_modules_need_no_import(modules):
    asked = "; ".join(f"nst_jax.{name}.__name__" for name in modules)
    assert run(f"import nst_jax; {asked}; print(nst_jax.loop.run.__name__)") == "run\n"


def test_no_module_takes_the_name_of_a_function(modules):
    assert set(nst_jax._PUBLIC).isdisjoint(modules)


def test_the_reference_pages_are_made_without_a_warning(tmp_path, modules):
    command = re.search(r"EAGER_IMPORT=1 \S*python (-W error -m pdoc .*)", (ROOT / "README.md").read_text())[1]
    words = [word.replace("reference", str(tmp_path)) for word in command.split()]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "EAGER_IMPORT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for module in modules:
        assert (tmp_path / "nst_jax" / f"{module.replace('.', '/')}.html").is_file()
    assert (
        "Renders the content image in the style of one or more other images" in (tmp_path / "nst_jax.html").read_text()
    )


def test_types_are_seen(tmp_path, in_root):
    image = "np.zeros((8, 8, 3), np.float32)"
    result, prepared, keyword, name = (
        next(line for line in check_types(tmp_path, said) if "program.py:3:" in line)
        for said in (
            f"reveal_type(nst_jax.stylize({image}, {image}))",
            f"reveal_type(nst_jax.prepare(nst_jax.load(), nst_jax.PRESETS['vgg'], {image}, {image}))",
            f"nst_jax.stylize({image}, {image}, sed=1)",
            "nst_jax.stylise",
        )
    )
    assert 'Revealed type is "numpy.ndarray[' in result
    assert 'Revealed type is "nst_jax.problem.Transfer"' in prepared
    assert 'error: Unexpected keyword argument "sed" for "stylize"' in keyword
    assert 'error: Module has no attribute "stylise"' in name


def test_types_of_all_names_are_seen(modules, tmp_path, in_root):
    assert check_types(tmp_path, *(f"nst_jax.{name}" for name in (*nst_jax.__all__, *modules))) == [
        "Success: no issues found in 1 source file"
    ]
