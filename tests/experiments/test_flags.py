"""Flags made from a dataclass: types, defaults, and what a mistake is told."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SCRIPT = textwrap.dedent(
    '''
    """A script for the test."""
    import dataclasses
    from typing import Literal
    from experiments._flags import Common, flag, run_script

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Config(Common):
        colour: Literal["red", "green"] = flag("red", "of the house")
        bits: Literal[8, 16] = flag(8, "of depth")
        layers: tuple[str, ...] | None = flag(None, "some names")
        weights: tuple[float, ...] = flag((1.0, 2.0), "some numbers")
        rate: float | None = flag(None, "a number")
        fast: bool = flag(False, "whether to hurry")

    if __name__ == "__main__":
        run_script(Config, lambda config: print(dataclasses.astuple(config)[6:], config.size))
    '''
)

SCRIPTS = sorted(path.stem for path in (ROOT / "experiments").glob("[a-z]*.py"))
HEAVY = {"flax", "jax", "matplotlib", "optax"}  # a second and more


@pytest.fixture
def run(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    def run(*arguments):
        return subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, check=False)

    return run


def test_values(run):
    done = run(
        "--colour=green", "--bits=16", "--layers=a, b/c", "--weights=3,4.5", "--rate=1e-3", "--fast", "--size=64"
    )
    assert done.stdout.strip() == "('green', 16, ('a', 'b/c'), (3.0, 4.5), 0.001, True) 64", done.stderr


def test_a_list_of_nothing(run):
    assert run("--layers=,").stdout.startswith("('red', 8, (), (1.0, 2.0)")


def test_defaults(run):
    assert run().stdout.strip() == "('red', 8, None, (1.0, 2.0), None, False) 512"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--color=red", "unknown flag 'color'; expected one of: colour, "),
        ("--colour=gren", "flag --colour=gren: unknown value 'gren'; expected one of: green, red"),
        ("--bits=12", "expected one of: 16, 8"),
        ("--rate=fast", "flag --rate=fast: expected a number, found 'fast'"),
        ("--size=big", "flag --size=big: expected a whole number, found 'big'"),
        ("--weights=1,x", "expected a number, found 'x'"),
        ("--rate=", "flag --rate=: expected a value, found none"),
        ("--layers= ", "expected a value, found none"),
        ("photo.jpg", "unexpected argument 'photo.jpg'; expected only flags"),
    ],
)
def test_mistakes(run, argument, message):
    done = run(argument)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not done.stdout


def test_help(run):
    done = run("--help")
    for text in (
        "A script for the test.",
        "--colour: of the house",
        "(<red|green>)",
        "--workdir: folder",
        "--[no]fast",
    ):
        assert text in done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_does_not_wait_for_what_takes_long_to_import(script):
    arguments = [sys.executable, "-X", "importtime", "-m", f"experiments.{script}", "--helpfull"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "--workdir: folder" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "absl.flags" in imported
    assert not HEAVY & imported
