"""Flags made from a dataclass: types, defaults, and the messages for mistakes."""

import dataclasses
import importlib
import os
import subprocess
import sys
import textwrap
import typing
from pathlib import Path

import pytest

from experiments.cli.flags import Common, FilePath, FilePaths, parse_value, serialize, without_none
from experiments.cli.transfer_flags import TransferFlags, resolve
from experiments.sweeping.grid import GridFlags, make_grid
from nst_jax.errors import UserError
from nst_jax.settings import Settings

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parents[3]

SCRIPT = textwrap.dedent(
    '''
    """A script for the test."""
    import dataclasses
    from typing import Literal
    from experiments.cli.flags import Common, flag, run_script

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
        words, environment = [sys.executable, script, *arguments], os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)

    return run


def test_values(run):
    done = run(
        "--colour=green", "--bits=16", "--layers=a, b/c", "--weights=3,4.5", "--rate=1e-3", "--fast", "--size=64"
    )
    assert done.stdout.strip() == "('green', 16, ('a', 'b/c'), (3.0, 4.5), 0.001, True) 64", done.stderr


def test_a_comma_behind_a_backslash_separates_nothing():
    for text, items in {r"a\,b, c": ("a,b", "c"), r"\,": (",",), r"x\y,z": (r"x\y", "z"), "a;b": ("a;b",)}.items():
        assert parse_value(text, tuple[str, ...]) == items
        assert parse_value(serialize(items), tuple[str, ...]) == items
    assert parse_value(r"a\;b\,c,d;e", tuple[tuple[str, ...], ...]) == (("a;b,c", "d"), ("e",))


@pytest.mark.parametrize("nothing", ["", " ", ","])
def test_an_empty_list(run, nothing):
    done = run(f"--layers={nothing}", f"--weights={nothing}")
    assert done.stdout.startswith("('red', 8, (), (), None"), done.stderr


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
        ("photo.jpg", "unexpected argument 'photo.jpg'; expected only flags"),
    ],
)
def test_mistakes(run, argument, message):
    done = run(argument)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not done.stdout


@pytest.mark.parametrize("flag", ["--help", "--helpfull", "--helpshort", "-?"])
def test_help(run, flag):
    done = run(flag)
    assert (done.returncode, done.stderr) == (0, "")
    for text in (
        "A script for the test.",
        "--colour: of the house",
        "(<red|green>)",
        "--workdir: Folder",
        "--[no]fast",
    ):
        assert text in done.stdout


@pytest.mark.parametrize("module", ["experiments.stylize", "experiments.cli.command", "converters.convert"])
def test_help_into_a_pipe_that_is_closed(module):
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", module, "--help"]
    done = subprocess.run(words, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "name", [field.name for field in dataclasses.fields(Settings) if "empty list" in field.metadata["help"]]
)
def test_what_help_says_of_an_empty_list_holds_for_transfers_and_sweeps(name):
    hints = [typing.get_type_hints(flags)[name] for flags in (TransferFlags, GridFlags)]
    single, swept = (parse_value("", without_none(hint)) for hint in hints)
    assert (single, swept) == ((), ((),))
    (cell,) = make_grid(GridFlags(**{name: swept})).cells
    assert getattr(resolve(cell.flags, "squeezenet1_1"), name) == ()
    assert resolve(cell.flags, "squeezenet1_1") == resolve(TransferFlags(**{name: single}), "squeezenet1_1")


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_does_not_wait_for_what_takes_long_to_import(script):
    arguments = [sys.executable, "-X", "importtime", "-m", f"experiments.{script}", "--helpfull"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "--workdir: Folder" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "absl.flags" in imported
    assert not HEAVY & imported


@pytest.fixture(params=SCRIPTS)
def config(request):
    return importlib.import_module(f"experiments.{request.param}").Config


def test_every_option_of_a_transfer_is_a_flag_and_an_axis():
    rows, flags, axes = (
        {field.name: field for field in dataclasses.fields(of)} for of in (Settings, TransferFlags, GridFlags)
    )
    for name, row in rows.items():
        assert flags[name].metadata["help"].startswith(row.metadata["help"])
        assert axes[name].metadata["range"] == flags[name].metadata["range"] == row.metadata["range"]
        assert flags[name].default is None  # that of the preset
        assert axes[name].default is None


def test_a_flag_that_sets_an_option_has_its_type(config):
    rows = typing.get_type_hints(Common) | typing.get_type_hints(Settings)
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        option = field.metadata.get("option")
        if option and option != "init":  # whose flag may name a file, too
            kind = without_none(rows[option])
            expected = tuple[kind, ...] if issubclass(config, GridFlags) else kind
            assert without_none(hints[field.name]) == expected, field.name


def test_help_is_of_sentences_that_stand_alone(config):
    # absl sorts flags by name, so that "of that" would follow on anything.
    for field in dataclasses.fields(config):
        text = field.metadata["help"]
        assert text[0].isupper(), (field.name, text)
        assert text.endswith("."), (field.name, text)
        assert not text.startswith(("Of ", "That ", "By ", "From ")), (field.name, text)


def test_the_range_of_an_option_is_that_of_its_flags():
    for name, value, expected in (
        ("learning_rate", 0.0, "more than 0"),
        ("random_scale", 1.0, "0 or more and less than 1"),
        ("style_weight", float("inf"), "a finite number"),
    ):
        with pytest.raises(UserError, match=f"^--{name}: expected {expected}, found {value}$"):
            TransferFlags(**{name: value})
        with pytest.raises(UserError, match=f"^--{name}: expected {expected}, found {value}$"):
            GridFlags(**{name: (value,)})


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (FilePath, "~/a b.png", "/home/me/a b.png"),
        (FilePath, "~", "/home/me"),
        (FilePath, "./~", "./~"),
        (FilePath, "x/~/y", "x/~/y"),
        (FilePaths, r"a\,~/b.png", r"a\,~/b.png"),
        (FilePaths, "~/a.png, ~/b.png,c~,./~", "/home/me/a.png, /home/me/b.png,c~,./~"),
        (tuple[FilePath, ...], "~/a.png,b.png, ~/c.png", ("/home/me/a.png", "b.png", "/home/me/c.png")),
    ],
)
def test_a_tilde_at_the_beginning_of_a_path_is_the_home_folder(kind, text, expected, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert parse_value(text, kind) == expected


def test_every_flag_for_a_path_expands_it(config):
    read = {"content", "contents", "guide", "init", "input", "patches", "style", "styles"}
    paths = {*read, "animation", "output", "workdir"}
    hints = typing.get_type_hints(config, include_extras=True)
    if "network" in hints:
        paths.remove("styles")  # those of a network have names
    for name in paths & hints.keys():
        assert "Annotated" in str(hints[name]), name
