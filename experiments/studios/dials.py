"""The dials: which flags of `stylize` the page has, what they are called there, and what a value of theirs means.

A dial is a flag, so that whatever the dials say there is a command that says the same.
"""

import dataclasses
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from nst_jax import presets
from nst_jax.backbones import pretrained
from nst_jax.errors import UserError, choose, one_line
from nst_jax.settings import WEIGHING, Settings

from ..cli.flags import parse_value, serialize, without_none
from ..cli.run_flags import SingleFlags
from ..cli.transfer_flags import INSTANT, resolve
from .protocol import Dial, Dials, Value

LONGEST = 2000
"""Characters of a value, as text."""

AT_ONCE, STAGE = "at once", "stage"

_MOVABLE = (*WEIGHING, "coarse_content", "colour_finish")
"""What acts at once: weights, that of content at coarse scales too, and what is done with a picture that is written."""

_KEPT_IN = ("laplacian_weight", "matting_weight")
"""Weights of terms that only transfers have which began with them."""

_NUMBERS = (int, float)


@dataclasses.dataclass(frozen=True)
class _Row:
    """What the page adds to a flag; see `protocol.Dial`."""

    name: str
    label: str
    group: str
    slider: tuple[float, float] | None = None
    scale: str = "linear"
    simple: bool = False
    most: float | None = None
    choices: tuple[str, ...] = ()
    help: str = ""


_ROWS = (
    _Row("strength", "Style strength", "balance", (0, 1), simple=True),
    _Row("style_weight", "Style weight", "balance", (1, 10_000), "log"),
    _Row("content_weight", "Content weight", "balance", (0.01, 100), "log", simple=True),
    _Row("tv_weight", "Smoothness", "balance", (0, 300), "power", simple=True),
    _Row("blend_weights", "Share of each style image", "balance", (0, 1), simple=True),
    _Row("laplacian_weight", "Keep outlines", "balance", (0, 200), "power"),
    _Row("matting_weight", "Keep it a photograph", "balance", (0, 100_000), "power"),
    _Row("style_scale", "Stroke size", "strokes", (0.25, 4), "log", simple=True),
    _Row("style_rotate", "Turn the style image", "strokes", choices=("0", "90", "180", "270")),
    _Row("style_flip", "Mirror the style image", "strokes"),
    _Row("style_rotations", "Strokes in any direction", "strokes"),
    _Row("coarse_content", "Content at coarse scales", "strokes", (0.25, 64), "log"),
    _Row("content_detail", "Details kept at finer scales", "strokes", (0, 16)),
    _Row("coarsest", "Coarsest scale", "strokes", (64, 1024), "log"),
    _Row("scales", "Scales", "strokes"),
    _Row("colours", "Colours", "colour", simple=True),
    _Row("colour_match", "Match colours", "colour"),
    _Row("colour_match_to", "Match them to", "colour"),
    _Row("colour_finish", "Finish colours", "colour"),
    _Row("region_styles", "Style image of each region", "regions"),
    _Row("region_weights", "Style in each region", "regions", (0, 4)),
    _Row("keep", "Regions kept as they are", "regions"),
    _Row("region_guides", "Borders of regions", "regions"),
    _Row("size", "Size", "run", (128, 2048), "log", simple=True, most=8192),
    _Row("backbone", "Network", "run", simple=True),
    _Row("preset", "Preset", "run", simple=True),
    _Row("steps", "Steps", "run", (10, 2000), "log", simple=True, most=100_000),
    _Row("seed", "Seed", "start", (0, 100), simple=True),
    _Row(
        "init", "Start from", "start", choices=("content", "noise", "blend", INSTANT), help="What the run starts from."
    ),
    _Row("init_noise", "Noise in a blended start", "start", (0, 1)),
    _Row("optimizer", "Optimiser", "run"),
    _Row("learning_rate", "Learning rate", "run", (0.001, 1), "log"),
    _Row("style_loss", "Style loss", "run"),
    _Row("content_loss", "Content loss", "run"),
    _Row("style_layers", "Style layers", "run"),
    _Row("content_layers", "Content layers", "run"),
    _Row("pooling", "Pooling", "run"),
    _Row("shifts", "Shifts", "run", (1, 16), "log", most=64),
)

_HINTS = typing.get_type_hints(SingleFlags, include_extras=True)
_FIELDS = {field.name: field for field in dataclasses.fields(SingleFlags)}
NAMES = tuple(row.name for row in _ROWS)


def dials(backbones: Sequence[str]) -> list[Dial]:
    """Returns all dials, in the order in which they are shown.

    Args:
        backbones: the networks to choose from.
    """
    return [_dial(row, ("auto", *backbones) if row.name == "backbone" else row.choices) for row in _ROWS]


def _dial(row: _Row, choices: tuple[str, ...]) -> Dial:
    field, hint = _FIELDS[row.name], without_none(_HINTS[row.name])
    of_items = get_origin(hint) is tuple
    item = get_args(hint)[0] if of_items else hint
    if get_origin(item) is Literal:
        kind, choices = "choice", choices or tuple(map(str, get_args(item)))
    elif of_items:
        kind = "numbers" if item in _NUMBERS and row.name != "scales" else "text"
    else:
        kind = "choice" if choices else {bool: "switch", int: "whole", float: "number"}[item]
    allowed = field.metadata["range"]
    bounds = [max(allowed.least, allowed.above), min(allowed.most, allowed.below, row.most or allowed.most)]
    least, most = (None if abs(bound) == float("inf") else bound for bound in bounds)
    return Dial(
        name=row.name,
        label=row.label,
        help=row.help or field.metadata["help"],
        group=row.group,
        kind=kind,
        acts=AT_ONCE if row.name in _MOVABLE and row.name not in _KEPT_IN else STAGE,
        least=least,
        most=most,
        slider=row.slider,
        scale=row.scale,
        choices=choices,
        simple=row.simple,
    )


def flags_of(
    given: Dials,
    content: Path,
    styles: Sequence[Path],
    regions: Path | None = None,
    style_regions: Sequence[Path] = (),
    **others: Any,
) -> SingleFlags:
    """Returns the flags of `stylize` that dials and images mean.

    Args:
        given: the dials.
        content: the content image.
        styles: the style images.
        regions: a map of the content image.
        style_regions: maps of the style images.
        others: further flags, in place of the dials'.

    Raises:
        UserError: a dial is unknown, its value is none of it, or they exclude each other.
    """
    flags = SingleFlags(
        content=str(content),
        style=",".join(str(path).replace(",", r"\,") for path in styles),
        regions=str(regions) if regions else None,
        style_regions=tuple(map(str, style_regions)) or None,
        **{**typed(given), **others},
    )
    resolve(flags, pretrained.resolve(flags.backbone))  # says what excludes each other
    return flags


def typed(given: Dials) -> dict[str, Any]:
    """Returns dials as values of flags, without those that are left to the preset.

    Raises:
        UserError: one is unknown, or its value is none of it.
    """
    values = {}
    rows = {row.name: row for row in _ROWS}
    for name, value in given.items():
        row = rows[choose(str(name), NAMES, what="dial")]
        if value is None:
            continue
        text = _text(value)
        if len(text) > LONGEST:
            raise UserError(f"{name}: expected a short value, found one of {len(text):,} characters")
        try:
            values[name] = found = parse_value(text, without_none(_HINTS[name]))
        except ValueError as error:
            raise UserError(f"{name}: {one_line(error)}") from None
        if row.choices and _FIELDS[name].name == "init":
            choose(text, row.choices, what=name)
        if row.most is not None and found > row.most:
            raise UserError(f"{name}: expected {row.most:g} at most, found {found}")
    return values


def moved(before: Dials, news: Dials) -> Dials:
    """Returns dials after some were moved."""
    both = {**before, **news}
    return {name: value for name, value in both.items() if value is not None}


def acts(begun: SingleFlags, wanted: SingleFlags) -> str:
    """Returns whether a stage that began with some flags goes on with others, `at once`, or a new `stage` has to."""
    differ = {name for name in _FIELDS if getattr(begun, name) != getattr(wanted, name)}
    if not differ <= set(_MOVABLE):
        return STAGE
    backbone = pretrained.resolve(begun.backbone)
    has, wants = resolve(begun, backbone), resolve(wanted, backbone)
    missing = any(getattr(wants, name) and not getattr(has, name) for name in _KEPT_IN)
    return STAGE if missing else AT_ONCE


def defaults(backbone: str, preset: str) -> dict[str, Any]:
    """Returns the value that each dial has where it is left alone, as JSON.

    Raises:
        UserError: there is no such network or preset.
    """
    backbone = pretrained.resolve(backbone)
    choose(preset, ("auto", *presets.PRESETS), what="preset")
    chosen = presets.preset(preset, backbone)
    own = {field.name for field in dataclasses.fields(Settings)}
    return {name: getattr(chosen, name) if name in own else _FIELDS[name].default for name in NAMES}


def as_json(flags: SingleFlags) -> Dials:
    """Returns the dials that flags stand for, those that differ from their defaults."""
    moved = {name: value for name in NAMES if (value := getattr(flags, name)) != _FIELDS[name].default}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in moved.items()}


def _text(value: Value) -> str:
    """Returns a value that came as JSON as the text that a command line has.

    Raises:
        UserError: it is none that a flag can have.
    """
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        return serialize(tuple(map(_whole, value)))
    if isinstance(value, str | int | float):
        return serialize(_whole(value))
    raise UserError(f"expected a number, a text or a list of them, found {one_line(value)}")


def _whole(value: Any) -> Any:
    """Returns 2 for 2.0: JavaScript knows no whole numbers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
