r"""Flags from a frozen dataclass, and how every script starts and ends.

Each field is a flag: its name, its type, its default. Help and range are in its metadata, from `flag`, or from the
option of a transfer that the flag sets (`option_flag`). Types: str, int, float, bool, `Literal` (a choice),
`tuple[X, ...]` (separated by commas; an empty text is an empty list; `\,` is a comma in a text), `tuple[tuple[X, ...],
...]` (such lists, separated by semicolons; an empty text is one empty list), `X | Y` (the first that fits), `FilePath`,
`FileOrAddress`, each also `| None`.
"""

import contextlib
import dataclasses
import functools
import math
import operator
import os
import re
import shlex
import sys
import types
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar

from absl import app, flags, logging

from nst_jax.backbones.registry import BACKBONES
from nst_jax.commands import as_typed_here, command, help_is_success
from nst_jax.console import any_console
from nst_jax.errors import UserError, choose, is_out_of_memory, one_line
from nst_jax.io.files import expand_home
from nst_jax.io.stores import is_address, located
from nst_jax.ranges import Range
from nst_jax.settings import Settings

from . import stopping
from .compilation_cache import keep_programs

Config = TypeVar("Config", bound="Checked")

MOST_SEED = 2**32 - 1


def local_path(text: str) -> str:
    """Returns a path on this machine, given as one or as a `file://` address.

    Raises:
        UserError: it is an address at a store.
    """
    if is_address(text):
        scheme = text.partition(":")[0].lower()
        raise UserError(f"expected a path on this machine, found {scheme}://; addresses are for sweeps' flags")
    return place(text)


def place(text: str) -> str:
    """Returns a path as `local_path`, or an address at a store as it is; raises UserError for any other address."""
    return text if is_address(text) else expand_home(os.fspath(located(text)) if "://" in text else text)


def expand_each(text: str) -> str:
    """Returns paths, separated by commas, with a `~` at the beginning of each replaced by the home folder."""
    return re.sub(r"(^|(?<!\\),)(\s*)(~[^/\\,]*)", lambda found: found[1] + found[2] + expand_home(found[3]), text)


FilePath = Annotated[str, local_path]
"""The path of a file or folder; a `~` at its beginning is the home folder, `./~` a file of that name. A shell replaces
it at the beginning of a word only, and here a word begins with the name of a flag."""

FileOrAddress = Annotated[str, place]
"""The same, or an address at a store, as `s3://bucket/folder`."""

FilePaths = Annotated[str, expand_each]
"""Paths separated by commas, in one text."""

ESCAPE = r" (\, for a comma in a name)"
"""What the help of a list of files says about commas."""

AUTO = "auto"
"""An empty list of numbers, which options have for what follows from the rest."""

_EXPECTED = {int: "a whole number", float: "a number"}


def flag(default: Any, help: str, *, least: float = -math.inf, most: float = math.inf) -> Any:  # noqa: A002
    """Returns a dataclass field with a default, a help text and, for a number, its range."""
    return dataclasses.field(default=default, metadata={"help": help, "range": Range(least, most)})


def option_flag(option: str, default: Any = None, *, note: str = "") -> Any:
    """Returns a dataclass field for a flag that sets an option of a transfer.

    Args:
        option: a field of `Settings` or `Common`, from which help and range come. The returned field may have
            another name, but must have the same type, or that or None.
        default: the default of the flag.
        note: a sentence that follows the help, on what is special about the flag.
    """
    row = Settings.__dataclass_fields__.get(option) or Common.__dataclass_fields__[option]
    text = f"{row.metadata['help']} {note}".rstrip()
    return dataclasses.field(default=default, metadata={"help": text, "range": row.metadata["range"], "option": option})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checked:
    """A dataclass of flags that checks their numbers."""

    def __post_init__(self) -> None:
        """Raises UserError for a number out of its range."""
        for field in dataclasses.fields(self):
            field.metadata["range"].check(f"--{field.name}", getattr(self, field.name))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Common(Checked):
    """The flags that all scripts for single transfers have in common."""

    workdir: FilePath | None = flag(None, "Folder for everything that the run writes; by default one in results/.")
    output: FilePath | None = flag(None, "File of the resulting picture; by default in --workdir.")
    backbone: str = flag(
        "auto",
        "Network that computes the features; auto means vgg19 if installed, else the embedded SqueezeNet. All: "
        f"{', '.join(BACKBONES)}.",
    )
    size: int = flag(512, "Long side of the picture in pixels.", least=1)
    steps: int | None = option_flag("steps")
    seed: int = flag(0, "Seed of all random numbers.", least=0, most=MOST_SEED)


def define(config: type[Checked], values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines a flag for every field of the dataclass, by default among those of this process."""
    hints = typing.get_type_hints(config, include_extras=True)
    for field in dataclasses.fields(config):
        kind, text = without_none(hints[field.name]), field.metadata["help"]
        default: Any = field.default
        if kind is bool:
            flags.DEFINE_bool(field.name, default, text, values, module_name=sys.argv[0])
        else:
            parser, serializer = _Parser(kind), _Serializer()
            flags.DEFINE(parser, field.name, default, text, values, serializer, module_name=sys.argv[0])


def build(config: type[Config], values: flags.FlagValues = flags.FLAGS) -> Config:
    """Returns the dataclass with the values of flags, by default those of the command line."""
    return config(**{field.name: values[field.name].value for field in dataclasses.fields(config)})


def parsed(config: type[Config], arguments: Sequence[str]) -> Config:
    """Returns the dataclass that arguments of a command line stand for.

    Raises:
        UserError: they cannot be parsed.
    """
    values = flags.FlagValues()
    define(config, values)
    try:
        values(["", *arguments])
    except flags.Error as error:
        raise UserError(one_line(error, longest=2000)) from error
    return build(config, values)


def without_none(hint: Any) -> Any:
    """Returns X for the type `X | None`, X | Y for `X | Y | None`, and every other type as it is."""
    choices = [choice for choice in typing.get_args(hint) if choice is not type(None)]
    return functools.reduce(operator.or_, choices) if type(None) in typing.get_args(hint) else hint


def serialize(value: Any) -> str:
    """Returns a value as a command line gives it: commas between items, semicolons between lists."""
    if not isinstance(value, tuple):
        return str(value)
    if not value:
        return ","  # as good as nothing, and easier to see
    if any(isinstance(item, tuple) for item in value):
        return ";".join(map(serialize, value))
    return ",".join(serialize(item).replace(",", r"\,") for item in value)


def split(text: str, separator: str) -> list[str]:
    """Returns the parts of a list, stripped, without empty ones; behind a backslash a separator is part of a part."""
    parts = re.split(rf"(?<!\\){separator}", text)
    return [part.strip().replace(f"\\{separator}", separator) for part in parts if part.strip()]


def command_line(module: str, config: Any) -> str:
    """Returns the command that gives a script this config, ready for a shell.

    Args:
        module: the script, such as `experiments.stylize`.
        config: its flags.
    """
    return shlex.join([*command(module).split(), *arguments_of(config)])


def arguments_of(config: Any) -> list[str]:
    """Returns the flags that give a script this config: those that are not at their defaults."""
    given = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if getattr(config, field.name) != field.default
    }
    return [f"--{name}={serialize(value)}" for name, value in given.items()]


def run_script(config: type[Config], run: Callable[[Config], Any], *, bare: Sequence[str] = ()) -> None:
    """Parses the command line and runs; unusable input becomes one line on stderr and exit status 1.

    Args:
        config: the flags.
        run: called with them.
        bare: names of flags whose values may be given as positional arguments, in this order: all of them or none.
    """

    def main(_: list[str]) -> None:
        # JAX logs at length, errors with tracebacks; what users need is raised or printed.
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.FATAL)
        keep_programs()
        try:
            run(build(config))
        except UserError as error:
            sys.exit(f"error: {one_line(error, longest=2000)}")
        except Exception as error:
            if problem := _missing_platform():
                sys.exit(f"error: {problem}")
            if not isinstance(error, MemoryError) and not (isinstance(error, RuntimeError) and is_out_of_memory(error)):
                raise
            sys.exit(f"error: expected the run to fit into memory, found: {one_line(error)}; choose a smaller --size")
        except KeyboardInterrupt as stop:  # with what was kept, where the script knows
            print(": ".join(["stopped", *map(str, stop.args)]), file=sys.stderr)
            sys.exit(stopping.status() or stopping.INTERRUPTED)
        sys.stdout.flush()
        sys.exit(stopping.status())

    define(config)
    script = sys.modules["__main__"]
    script.__doc__ = as_typed_here(script.__doc__ or "")
    stopping.forget()
    with any_console(), stopping.handling(stopping.stop_at_once):
        app.run(main, flags_parser=functools.partial(_parse, bare=bare))


def _missing_platform() -> str | None:
    """Returns what is wrong with JAX_PLATFORMS, if it is why JAX has no devices; JAX itself raises many things then."""
    named, jax = os.environ.get("JAX_PLATFORMS"), sys.modules.get("jax")
    if not named or jax is None:
        return None
    try:
        jax.devices()
    except Exception:
        return (
            f"JAX_PLATFORMS: expected platforms that JAX finds here, found {one_line(named)!r}; unset it to use what "
            "there is, or set it to cpu"
        )
    return None


class _Parser(flags.ArgumentParser):
    """Parses text of the command line to a value of a type."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        choices = typing.get_args(kind) if typing.get_origin(kind) is Literal else ()
        self.syntactic_help = f"<{'|'.join(map(str, choices))}>" if choices else ""
        if typing.get_origin(kind) is tuple:
            nested = typing.get_origin(typing.get_args(kind)[0]) is tuple
            self.syntactic_help = "lists, separated by semicolons" if nested else "comma-separated"

    def parse(self, argument: Any) -> Any:
        return parse_value(argument, self.kind) if isinstance(argument, str) else argument

    def flag_type(self) -> str:
        return getattr(self.kind, "__name__", str(self.kind))


class _Serializer(flags.ArgumentSerializer):
    def serialize(self, value: Any) -> str:
        return serialize(value)


def parse_value(text: str, kind: Any) -> Any:
    """Returns the value that a text means for a type, see above.

    Raises:
        ValueError: it means none; the message says what was expected.
    """
    origin = typing.get_origin(kind)
    if origin is Annotated:
        base, read = typing.get_args(kind)
        return read(parse_value(text, base))
    if origin is tuple and not text.strip():
        return ((),) if typing.get_origin(typing.get_args(kind)[0]) is tuple else ()
    if not text.strip():  # an unset variable in a shell: whatever was meant, it was not the default
        raise ValueError("expected a value, found none; leave the flag out for its default")
    if origin in (typing.Union, types.UnionType):
        for choice in typing.get_args(kind):
            with contextlib.suppress(ValueError):
                return parse_value(text, choice)
        expected = " or ".join(
            _EXPECTED.get(choice) or "|".join(typing.get_args(choice)) for choice in typing.get_args(kind)
        )
        raise ValueError(f"expected {expected}, found {one_line(text)!r}")
    if origin is Literal or kind is bool:
        try:
            choices = {str(choice).lower(): choice for choice in typing.get_args(kind) or (True, False)}
            return choices[choose(text.lower(), choices, what="value")]
        except UserError as error:
            raise ValueError(error) from None
    if origin is tuple:
        item = typing.get_args(kind)[0]
        if item in (int, float) and text.strip().lower() == AUTO:
            return ()
        separator = ";" if typing.get_origin(item) is tuple else ","
        return tuple(parse_value(part, item) for part in split(text, separator))
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"expected {_EXPECTED[kind]}, found {one_line(text)!r}") from None


def _parse(argv: list[str], *, bare: Sequence[str]) -> list[str]:
    """Parses flags as absl does, but reports mistakes in one line, with the valid choices."""
    try:
        try:
            with help_is_success():  # only the flags for help exit while flags are parsed
                rest = flags.FLAGS(argv)[1:]
        except flags.UnrecognizedFlagError as error:
            choose(error.flagname, [flag.name for flag in flags.FLAGS.flags_by_module_dict()[argv[0]]], what="flag")
        if rest:
            flags.FLAGS([argv[0], *_as_flags(rest, bare)])
    except (flags.Error, UserError) as error:
        sys.exit(f"error: {one_line(error, longest=2000)}")
    return []


def _as_flags(arguments: Sequence[str], bare: Sequence[str]) -> list[str]:
    """Returns positional arguments as flags."""
    if not bare:
        raise UserError(f"unexpected argument {one_line(arguments[0])!r}; expected only flags: --name=value")
    if len(arguments) != len(bare):
        raise UserError(
            f"expected {' and '.join(bare)}, or only flags (--name=value), found {len(arguments)} of them: "
            f"{one_line(' '.join(arguments))}; see --help"
        )
    for name, value in zip(bare, arguments, strict=True):
        if flags.FLAGS[name].present:
            raise UserError(f"{name}: expected once, found {one_line(value)!r} and --{name} as well; leave out one")
    return [f"--{name}={value}" for name, value in zip(bare, arguments, strict=True)]
