"""Compiled programs kept from run to run: used again, made anew where they are damaged, never in the way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.cli import compilation_cache

ROOT = Path(__file__).parents[3]
# Each counts what JAX tells of its cache.
STYLIZE = "from experiments.stylize import Config, main as work"
TINY = """
import dataclasses
from experiments.cli.flags import Checked

@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Checked):
    pass

def work(_):
    assert float(jax.numpy.ones((3, 3)).sum()) == 9
"""
COUNTING = """
import collections, json
from experiments.cli.flags import run_script
{}
def main(config):
    global jax
    import jax
    told = collections.Counter()
    jax.monitoring.register_event_listener(lambda event, **_: told.update([event.rpartition("/")[2]]))
    work(config)
    print(json.dumps(told))

run_script(Config, main)
"""

# Prints what JAX warns of: an entry that is damaged, then no folder to write to.
WARNED = """
import json, pathlib, shutil, sys, warnings
import jax

folder = pathlib.Path(sys.argv[1], "programs")
jax.config.update("jax_compilation_cache_dir", str(folder))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
product = jax.jit(lambda x: x @ x)
shape = jax.ShapeDtypeStruct((3, 3), "float32")
product.lower(shape).compile()
entries = list(folder.rglob("*-cache"))
with warnings.catch_warnings(record=True, action="always") as caught:
    for path in entries:
        path.write_bytes(path.read_bytes()[:-100])
    jax.clear_caches()
    product.lower(shape).compile()
    shutil.rmtree(folder)
    folder.write_text("no folder")
    jax.clear_caches()
    product.lower(shape).compile()
print(json.dumps([jax.__version__, [str(warning.message) for warning in caught], [path.name for path in entries]]))
"""


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def run(home):
    """Runs a script of `COUNTING`; returns how many programs it wanted, found, and what it said on stderr."""

    def run(script, *flags, **variables):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
        environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **variables}
        done = subprocess.run(
            [sys.executable, "-c", COUNTING.format(script), *flags],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout.splitlines()[-1])
        return told.get("compile_requests_use_cache", 0), told.get("cache_hits", 0), done.stderr

    return run


def entries(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*-cache")}


def test_the_second_run_compiles_nothing(run, home, pictures, tmp_path):
    flags = [f"--content={pictures / 'photo.png'}", f"--style={pictures / 'first.png'}", "--backbone=squeezenet1_1"]
    small = ["--size=48", "--steps=1", "--style_layers=conv1", "--content_layers=fire2/concat"]
    wanted, found, _ = run(STYLIZE, *flags, *small, f"--workdir={tmp_path / '1'}")
    kept = entries(home)
    assert wanted > found == 0
    assert kept
    wanted, found, _ = run(STYLIZE, *flags, *small, f"--workdir={tmp_path / '2'}")
    assert wanted == found > 0
    assert entries(home) == kept
    for name in ("picture.png", "losses.csv"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_a_damaged_program_is_compiled_anew_and_kept(run, home):
    run(TINY)
    kept = entries(home)
    for path in home.rglob("*-cache"):
        path.write_bytes(path.read_bytes()[:-100])
    wanted, found, said = run(TINY)
    assert (found, said) == (0, "")
    assert entries(home).keys() == kept.keys()
    assert run(TINY) == (wanted, wanted, "")


def test_where_no_folder_can_be_a_run_goes_on(run, home):
    home.write_text("no folder")
    wanted, found, said = run(TINY)
    assert wanted > found == 0
    assert said.startswith("note: the cache of compiled programs cannot be used (")
    assert said.count("\n") == 1


def test_what_jax_says_of_its_cache_is_understood(tmp_path):
    """A canary: `compilation_cache._TROUBLE` takes JAX's warnings apart, whose words no version promises."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    done = subprocess.run(
        [sys.executable, "-c", WARNED, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    version, said, names = json.loads(done.stdout)
    place = "_TROUBLE and _show in experiments/cli/compilation_cache.py"
    look = f"JAX {version} speaks otherwise of its cache: see {place}; {said}"
    understood = [compilation_cache._TROUBLE.fullmatch(text) for text in said]
    assert len(said) == 2, look
    assert all(understood), look
    assert [text.split()[1] for text in said] == ["reading", "writing"], look
    assert any(name.startswith(f"{understood[0][1]}-") for name in names), f"{look}; entries: {names}"


def test_the_environment_has_the_last_word(run, home, tmp_path):
    assert run(TINY, JAX_ENABLE_COMPILATION_CACHE="false") == (0, 0, "")
    run(TINY, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine"))
    assert entries(tmp_path / "mine")
    assert not entries(home)


def test_what_was_not_used_for_long_makes_room(tmp_path, monkeypatch):
    monkeypatch.setattr(compilation_cache, "_ROOM", 250)
    for name, read, written in (("new", 3e8, 3e8), ("old", 1e8, 1e8), ("used", 2e8, 0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "program-cache").write_bytes(bytes(100))
        os.utime(tmp_path / name / "program-cache", (read, written))
    compilation_cache._make_room(tmp_path)
    assert {path.parent.name for path in tmp_path.rglob("*-cache")} == {"new", "used"}
    compilation_cache._make_room(tmp_path / "missing")
