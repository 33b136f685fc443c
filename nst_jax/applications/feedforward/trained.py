"""Trained networks that paint: their weight files, and those that are installed.

A file holds the tensors by `part/layer/role`, and in its record the table of the network, so that any network that is
converted or trained is read without a line of code for it.
"""

import importlib.resources
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nst_jax.applications.feedforward import tables
from nst_jax.applications.feedforward.networks import Network, Transformer, network_parameters, parts
from nst_jax.backbones.pretrained import file_name, folder
from nst_jax.commands import command
from nst_jax.errors import UserError, choose, one_line
from nst_jax.io import weight_file
from nst_jax.io.files import file_error, sha256

EMBEDDED = "any_style"
"""The network that the package has in it."""

_TABLE_KEY = "network"
_STYLES_KEY = "styles"
_SUFFIX = ".safetensors"
_ADVICE = f"convert other formats with: {command('converters.convert')} FILE --network=NAME"


class Trained(NamedTuple):
    """A network with its weights.

    Attributes:
        network: the table.
        params: part → variables of `interpreter.Painter`: `{"params": {"contract1/kernel": float32, ...}}`.
        styles: names of the styles in it, as many as the network has by number; else empty.
        sha256: SHA-256 of the weight file, in hexadecimal.
        record: what else the file says of its origin: licence, source, ...
    """

    network: Network
    params: dict[str, dict[str, dict[str, np.ndarray]]]
    styles: tuple[str, ...]
    sha256: str
    record: Mapping[str, Any]


def load(name: str) -> Trained:
    """Loads a network by its name, if it is installed, or from the path of its weight file.

    Raises:
        UserError: there is none, or the file is unusable.
    """
    return read(find(name))


def find(name: str) -> Path:
    """Returns the weight file that a name or path means.

    Raises:
        UserError: there is none; the message lists those that are installed.
    """
    if name.endswith(_SUFFIX):
        return Path(name)
    path = folder() / file_name(name)
    if Path(name).name == name and os.path.isfile(path):  # noqa: PTH113 - False where permission is lacking
        return path
    if name == EMBEDDED:
        return embedded()
    names = ", ".join(installed()) or "none"
    raise UserError(
        f"expected the name of an installed network that paints ({names}) or the path of a {_SUFFIX} file, "
        f"found {one_line(name)!r}; {_ADVICE}"
    )


def embedded() -> Path:
    """Returns the path of the embedded weight file."""
    return Path(str(importlib.resources.files("nst_jax.applications.feedforward") / "data")) / file_name(EMBEDDED)


def installed() -> list[str]:
    """Returns the names of the networks that paint and can be loaded by name: the embedded one and the installed."""
    names = [EMBEDDED]
    for path in sorted(folder().glob(f"*{_SUFFIX}")):
        try:
            with weight_file.opened(path, whose="a network", advice=_ADVICE) as file:
                if _TABLE_KEY in file.record:
                    names.append(path.name.removesuffix(_SUFFIX))
        except UserError:
            continue
    return sorted(set(names))


def read(path: Path) -> Trained:
    """Reads a weight file.

    Raises:
        UserError: the file cannot be read, or is not that of a network that paints.
    """
    with weight_file.opened(path, whose="a network that paints", advice=_ADVICE) as file:
        network = _network(path, file.record)
        shapes = network_parameters(network)
        weight_file.check_names(path, shapes.keys(), file.names, whose="its network", advice="make the file again")
        params = grouped({name: file.tensor(name, shape) for name, shape in shapes.items()}, network)
        record = {key: value for key, value in file.record.items() if key not in (_TABLE_KEY, _STYLES_KEY)}
        styles = _styles(file.record.get(_STYLES_KEY), network)
    return Trained(network, params, styles, sha256(path), record)


def network_in(path: Path) -> Network:
    """Reads the table of a network from its weight file, and no weights.

    Raises:
        UserError: see `read`.
    """
    with weight_file.opened(path, whose="a network that paints", advice=_ADVICE) as file:
        return _network(path, file.record)


def write(
    path: Path,
    tensors: Mapping[str, np.ndarray],
    network: Network,
    *,
    styles: tuple[str, ...] = (),
    record: Mapping[str, Any] | None = None,
    packed: Collection[str] = (),
) -> None:
    """Writes a weight file, atomically.

    Args:
        path: path of the file.
        tensors: `part/layer/role` → values, all float32 or all float16.
        network: the table.
        styles: names of the styles in it.
        record: origin of the weights: source, licence, ...
        packed: the names of those that are kept as 8-bit numbers, see `weight_file.write`.

    Raises:
        UserError: the tensors are not those of the network, or the file cannot be written.
    """
    shapes = network_parameters(network)
    weight_file.check_names(path, shapes.keys(), tensors.keys(), whose="the network", advice="give all of them")
    known = {_TABLE_KEY: tables.to_json(network)} | ({_STYLES_KEY: list(styles)} if styles else {})
    weight_file.write(path, tensors, shapes, {**(record or {}), **known}, packed=packed)


def style_index(styles: Sequence[str], style: str) -> int:
    """Returns the index of a style that is given by its name, or by its number from 1.

    Raises:
        UserError: there is no such style; the message lists all.
    """
    if style not in styles and style.isdecimal() and 1 <= int(style) <= len(styles):
        return int(style) - 1
    return list(styles).index(choose(style, styles, what="style"))


def grouped(tensors: Mapping[str, Any], network: Network) -> dict[str, dict[str, dict[str, Any]]]:
    """Returns `part/layer/role` → values as part → variables of `Painter`."""
    return {
        part: {
            "params": {
                name.removeprefix(f"{part}/"): values for name, values in tensors.items() if name.startswith(f"{part}/")
            }
        }
        for part in parts(network)
    }


def _network(path: Path, record: Mapping[str, Any]) -> Network:
    if _TABLE_KEY not in record:
        raise file_error(path, f"expected a network that paints in one pass, found another weight file; {_ADVICE}")
    try:
        return tables.from_json(record[_TABLE_KEY])
    except (tables.TableError, RecursionError) as error:
        raise file_error(path, f"{one_line(error, longest=500)}; make the file again") from None


def _styles(found: Any, network: Network) -> tuple[str, ...]:
    """Returns the names of a network's styles; numbers where the file has none that fit."""
    count = network.styles if isinstance(network, Transformer) else 0
    names = [one_line(name, longest=60) for name in found] if isinstance(found, list) else []
    if len(names) == count:
        return tuple(f"{name} ({number})" if names.count(name) > 1 else name for number, name in enumerate(names, 1))
    return tuple(str(number) for number in range(1, count + 1))
