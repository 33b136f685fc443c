"""Tables of networks as JSON, so that a weight file says itself what network its weights are of.

A table from a file is nobody's promise: it is read by the types of the classes, number by number within ranges, and
then held to what makes a network, before anything is computed by it.
"""

import dataclasses
import re
import types
import typing
from fractions import Fraction
from typing import Any, Literal, assert_never

from nst_jax.applications.feedforward.networks import (
    COLOURS,
    ENCODER,
    PAINTER,
    PREDICTOR,
    Doodle,
    Matched,
    Network,
    Output,
    Predicted,
    Transformer,
    parts,
)
from nst_jax.applications.feedforward.steps import (
    Conv,
    MaxPool,
    Mean,
    Norm,
    Residual,
    Step,
    Transposed,
    layers,
    output_channels,
)
from nst_jax.backbones.spec import Preprocess
from nst_jax.errors import one_line
from nst_jax.vocabulary import MOST_REGIONS

_TYPE = "type"
_CLASSES = {
    found.__name__: found
    for found in (
        Transformer,
        Predicted,
        Matched,
        Doodle,
        Conv,
        Transposed,
        MaxPool,
        Mean,
        Residual,
        Norm,
        Output,
        Preprocess,
    )
}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
_DEEPEST = 8
_MOST_STEPS = 500
_INTEGERS = {
    "features": (1, 4096),
    "kernel": (1, 31),
    "stride": (1, 8),
    "enlarge": (1, 8),
    "size": (2, 8),
    "code": (0, 4096),
    "styles": (0, 4096),
    "side": (16, 1024),
    "noise": (0, 64),
    "regions": (0, 255),
}
_LARGEST = 1e6
_GREATEST_STRIDE = 64


class TableError(ValueError):
    """A table that describes no network; the message says where."""


def to_json(value: Any) -> Any:
    """Returns a network, or a part of one, as what `json` writes."""
    if dataclasses.is_dataclass(value):
        fields = {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {_TYPE: type(value).__name__, **fields}
    return [to_json(part) for part in value] if isinstance(value, tuple) else value


def from_json(value: Any) -> Network:
    """Returns the network that `to_json` made this of, or that somebody else describes in this form.

    Raises:
        TableError: it is none.
    """
    network = _read(value, Network, "network", 0)
    check(network)
    return network


def check(network: Network) -> None:
    """Checks that a table describes a network.

    Raises:
        TableError: it does not.
    """
    for part, (steps, channels) in parts(network).items():
        if not steps:
            raise TableError(f"{part}: expected one step or more, found none")
        _check_steps(steps, channels, part)
        names = [layer.name for layer, _ in layers(steps, channels)]
        if len(set(names)) < len(names) or len(names) > _MOST_STEPS:
            raise TableError(f"{part}: expected at most {_MOST_STEPS} layers with different names")
        if part == PREDICTOR:
            _check_predictor(steps)
    steps, channels = parts(network)[PAINTER]
    if output_channels(steps, channels) != COLOURS:
        raise TableError(f"painter: expected {COLOURS} channels at its end, found {output_channels(steps, channels)}")
    below = _spacing(network.encoder, Fraction(1), ENCODER) if isinstance(network, Matched) else Fraction(1)
    if (end := _spacing(network.steps, below, PAINTER)) != 1:
        raise TableError(f"painter: expected a picture of the content image's size at its end, found 1/{end} of it")
    match network:
        case Transformer():
            _check_codes(network.steps, channels, network.styles)
        case Predicted():
            _check_codes(network.predictor, COLOURS, 0)
            _check_codes(network.steps, channels, output_channels(network.predictor, COLOURS))
        case Matched():
            _check_codes(network.encoder, COLOURS, 0)
            _check_codes(network.steps, channels, 0)
        case Doodle():
            _check_codes(network.steps, channels, 0)
            count = len(network.regions)
            if not 2 <= count <= MOST_REGIONS or len(set(network.regions)) < count:
                raise TableError(f"regions: expected 2 to {MOST_REGIONS} different colours, found {count}")


def _check_steps(steps: tuple[Step, ...], channels: int, where: str) -> None:
    for step in steps:
        match step:
            case Conv() if step.depthwise and step.features != channels:
                raise TableError(f"{where}: {step.name}: expected {channels} features, one a channel")
            case Transposed() if step.border == "reflect" or step.kernel < step.stride:
                raise TableError(f"{where}: {step.name}: expected zeros as border, and a kernel as large as the stride")
            case Residual():
                _check_steps(step.steps, channels, where)
                if step.channels(channels) != channels:
                    raise TableError(f"{where}: expected a residual block that keeps channels and sides")
            case _:
                pass
        channels = step.channels(channels)


def _spacing(steps: tuple[Step, ...], spacing: Fraction, where: str) -> Fraction:
    """Returns the distance in pixels between neighbouring positions at the end of steps; checks it on the way."""
    for step in steps:
        least = spacing
        match step:
            case Conv():
                least = spacing / step.enlarge
                if step.kernel % 2 == 0 and step.border != "same":
                    raise TableError(f"{where}: {step.name}: expected an odd kernel, found {step.kernel}")
            case Mean():
                raise TableError(f"{where}: expected a mean over all positions in a predictor alone")
            case Residual():
                if _spacing(step.steps, spacing, where) != spacing:
                    raise TableError(f"{where}: expected a residual block that keeps channels and sides")
            case Transposed() | MaxPool():
                pass
            case _:
                assert_never(step)
        spacing = step.spacing(spacing)
        if min(least, spacing) < 1 or spacing > _GREATEST_STRIDE:
            raise TableError(
                f"{where}: expected maps of the picture's size to 1/{_GREATEST_STRIDE} of it, found another"
            )
    return spacing


def _check_predictor(steps: tuple[Step, ...]) -> None:
    """Checks that a predictor ends in a single position: a mean, and convolutions of it."""
    means = [index for index, step in enumerate(steps) if isinstance(step, Mean)]
    if len(means) != 1:
        raise TableError(f"predictor: expected one mean over all positions, found {len(means)}")
    behind = steps[means[0] + 1 :]
    if not all(isinstance(step, Conv) and (step.kernel, step.stride, step.enlarge) == (1, 1, 1) for step in behind):
        raise TableError("predictor: expected convolutions of 1 × 1 behind the mean, found others")
    _spacing(steps[: means[0]], Fraction(1), PREDICTOR)


def _check_codes(steps: tuple[Step, ...], channels: int, code: int) -> None:
    for layer, _ in layers(steps, channels):
        if layer.norm is not None and layer.norm.code not in (0, code):
            raise TableError(f"{layer.name}: expected a style code of {code} numbers, found {layer.norm.code}")


def _read(value: Any, expected: Any, where: str, depth: int) -> Any:
    """Returns a value of the expected type."""
    if depth > _DEEPEST:
        raise TableError(f"{where}: expected at most {_DEEPEST} levels")
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _read_one_of(value, [kind for kind in arguments if kind is not type(None)], where, depth)
    if origin is Literal:
        if value not in arguments:
            raise TableError(f"{where}: expected one of {', '.join(arguments)}, found {one_line(value)}")
        return value
    if origin is tuple:
        return _read_tuple(value, arguments, where, depth)
    if dataclasses.is_dataclass(expected):
        return _read_one_of(value, [expected], where, depth)
    return _read_plain(value, expected, where)


def _read_tuple(value: Any, arguments: tuple[Any, ...], where: str, depth: int) -> tuple[Any, ...]:
    open_ended = arguments[-1] is Ellipsis
    if not isinstance(value, list) or (len(value) > _MOST_STEPS if open_ended else len(value) != len(arguments)):
        raise TableError(f"{where}: expected a list of {'steps' if open_ended else len(arguments)}")
    kinds = arguments[:1] * len(value) if open_ended else arguments
    return tuple(
        _read(part, kind, f"{where}[{index}]", depth + 1)
        for index, (part, kind) in enumerate(zip(value, kinds, strict=True))
    )


def _read_one_of(value: Any, kinds: list[Any], where: str, depth: int) -> Any:
    """Returns a value that is of one class of several, or of a plain type."""
    classes = {kind.__name__: kind for kind in kinds if kind in _CLASSES.values()}
    if not classes:
        return _read(value, kinds[0], where, depth)
    name = value.get(_TYPE) if isinstance(value, dict) else None
    if not isinstance(name, str) or name not in classes:
        raise TableError(f"{where}: expected one of {', '.join(classes)}, found {one_line(name or value)}")
    hints = typing.get_type_hints(classes[name])
    fields = {field.name for field in dataclasses.fields(classes[name])}
    if value.keys() != {_TYPE, *fields}:
        wrong = min(value.keys() ^ {_TYPE, *fields})
        raise TableError(f"{where}: expected the fields of {name}, found {one_line(wrong)} missing or unknown")
    return classes[name](
        **{field: _read(value[field], hints[field], f"{where}.{field}", depth + 1) for field in fields}
    )


def _read_plain(value: Any, expected: Any, where: str) -> Any:
    field = where.rpartition(".")[2].partition("[")[0]
    if expected is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TableError(f"{where}: expected a number, found {one_line(value)}")
        # Neither NaN nor an integer that is too long for a float is at most anything.
        if not abs(value) <= _LARGEST or (field in ("epsilon", "std") and value <= 0):
            raise TableError(f"{where}: expected a number up to {_LARGEST:g}, found {one_line(value)}")
        return float(value)
    if type(value) is not expected:
        raise TableError(f"{where}: expected {expected.__name__}, found {one_line(value)}")
    if expected is int and not _INTEGERS[field][0] <= value <= _INTEGERS[field][1]:
        least, most = _INTEGERS[field]
        raise TableError(f"{where}: expected {least} to {most}, found {value}")
    if expected is str and not _NAME.fullmatch(value):
        raise TableError(f"{where}: expected a name of small letters, digits and underscores, found {one_line(value)}")
    return value
