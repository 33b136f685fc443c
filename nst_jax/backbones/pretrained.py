"""Weight files: the interchange file (safetensors), the folder of installed files, the embedded default."""

import functools
import hashlib
import importlib.resources
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import platformdirs
import safetensors

from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import Backbone, parameter_shapes, with_head
from nst_jax.commands import command
from nst_jax.errors import UserError, choose, one_line
from nst_jax.io.files import atomic_write, expand_home, file_error, sha256
from nst_jax.io.safetensors_header import header, little_endian

FORMAT_VERSION = 1
FOLDER_VARIABLE = "NST_JAX_WEIGHTS"
EMBEDDED = "squeezenet1_1"
AUTO = "auto"
_AUTO_ORDER = ("vgg19", EMBEDDED)
METADATA_KEY = "nst_jax"
NUMBERS_KEY = "numbers"
_DTYPES = {"F32": np.float32, "F16": np.float16}


class Pretrained(NamedTuple):
    """A backbone with its weights.

    Attributes:
        backbone: the network.
        params: variables for `Features.apply`: `{"params": {"conv1_1/kernel": float32 [h, w, in, out], ...}}`.
        sha256: SHA-256 of the weight file, in hexadecimal.
        numbers: how the numbers came about where they are not quite those of the training, such as `8-bit palette`.
    """

    backbone: Backbone
    params: dict[str, dict[str, np.ndarray]]
    sha256: str
    numbers: str | None = None


def load(name: str = AUTO) -> Pretrained:
    """Loads an installed or the embedded backbone, without its head.

    Args:
        name: name of a backbone, or `auto`: vgg19 if its weights are installed, else the embedded one.

    Raises:
        UserError: there is no such backbone, its weights are not installed, or the file is unusable.
    """
    name = resolve(name)
    return read(_installed(name), BACKBONES[name])


def loaded(network: Pretrained | str | None) -> Pretrained:
    """Returns a network as it is, or loaded by its name; None stands for the best installed one."""
    return network if isinstance(network, Pretrained) else load(network or AUTO)


def load_classifier(name: str = AUTO) -> Pretrained:
    """Loads an installed or the embedded backbone with its head.

    Raises:
        UserError: there is no such backbone, or its weights are not installed, lack the head or are unusable.
    """
    name = resolve(name)
    return read(_installed(name), with_head(BACKBONES[name]))


def load_for(name: str, layers: Iterable[str]) -> Pretrained:
    """Loads a backbone, with its head if one of the layers is in it; raises as `load` and `load_classifier`."""
    head = {layer for row in BACKBONES[resolve(name)].head for layer in row.names}
    return load_classifier(name) if head.intersection(layers) else load(name)


def resolve(name: str) -> str:
    """Returns the name of the backbone that `name` stands for.

    Raises:
        UserError: there is no such backbone; the message lists all.
    """
    if name == AUTO:
        return next(candidate for candidate in _AUTO_ORDER if find(candidate))
    return choose(name, (AUTO, *BACKBONES), what="backbone")


def folder() -> Path:
    """Returns the folder of installed weights: `$NST_JAX_WEIGHTS`, else in the platform's cache folder."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(expand_home(chosen)) if chosen else platformdirs.user_cache_path("nst_jax") / "weights"


def file_name(name: str) -> str:
    """Returns the name of the weight file of a backbone."""
    return f"{name}.safetensors"


def find(name: str) -> Path | None:
    """Returns the weight file of a backbone: the installed one, else the embedded one, else None."""
    installed = folder() / file_name(name)
    if os.path.isfile(installed):  # noqa: PTH113 - False where permission is lacking
        return installed
    return _data_folder() / file_name(name) if name == EMBEDDED else None


def origin(name: str) -> str:
    """Returns where the weights of a backbone come from, in words; `name` is one that `load` can load."""
    path = find(name)
    if path == _data_folder() / file_name(name):
        best = _AUTO_ORDER[0]
        return f"embedded (better pictures with {best}: {command('converters.fetch')} {best})"
    assert path is not None, f"{name} can be loaded"
    return f"installed in {path.parent}"


def read(path: Path, backbone: Backbone) -> Pretrained:
    """Reads a weight file, which must hold the parameters of the backbone and, at most, those of its head.

    Half precision is widened to float32, any other type is refused. The head is read for `with_head(backbone)` only.

    Raises:
        UserError: the file cannot be read or belongs to another backbone.
    """
    expected = parameter_shapes(backbone)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            record = _checked_metadata(path, file.metadata(), backbone)
            names = set(file.keys())
            head = parameter_shapes(with_head(backbone)).keys() - expected.keys()
            _check_names(path, expected.keys(), names - head if head <= names else names, backbone)
            tensors = {name: _tensor(path, file, name, shape) for name, shape in expected.items()}
    except (OSError, safetensors.SafetensorError) as error:
        raise file_error(
            path,
            f"expected a safetensors file with the weights of {backbone.name}, found: {one_line(error)}; "
            f"convert other formats with: {command('converters.convert')} FILE --backbone={backbone.name}",
        ) from error
    numbers = record.get(NUMBERS_KEY)
    return Pretrained(backbone, {"params": tensors}, sha256(path), None if numbers is None else one_line(numbers))


def write(path: Path, tensors: Mapping[str, np.ndarray], backbone: Backbone, metadata: Mapping[str, Any]) -> None:
    """Writes a weight file, atomically; equal arguments make equal bytes.

    Args:
        path: path of the file.
        tensors: `conv1_1/kernel` → `[h, w, in, out]` and so on, all float32 or all float16. Each is read once and
            released, so that a mapping that reads on demand needs memory for the largest one only.
        backbone: the network with these weights.
        metadata: origin of the weights: source file, its sha256, source format, licence, ...

    Raises:
        UserError: the tensors are not those of the backbone, or the file cannot be written.
    """
    shapes = parameter_shapes(backbone)
    _check_names(path, shapes.keys(), tensors.keys(), backbone)
    record = {"format_version": FORMAT_VERSION, "backbone": backbone.name, **metadata}
    digests: dict[str, bytes] = {}
    with atomic_write(path) as file:
        for name in sorted(shapes):
            values = np.ascontiguousarray(tensors[name])
            if not digests:
                dtype = values.dtype
                described = {name: (dtype, shapes[name]) for name in sorted(shapes)}
                file.write(header(described, {METADATA_KEY: json.dumps(record, sort_keys=True)}))
            _check_shape(path, name, values.shape, shapes[name])
            _check_finite(path, name, values)
            assert values.dtype == dtype, f"{name} is {values.dtype}, others are {dtype}"
            file.write(little_endian(values))
            digests[name] = hashlib.sha256(values.data).digest()
        file.flush()
        _check_written(file.name, digests)  # before the new file takes the place of the old one


def _check_written(path: str, digests: Mapping[str, bytes]) -> None:
    """Checks with the safetensors library that a file has tensors with these digests."""
    with safetensors.safe_open(path, framework="numpy") as written:
        if any(hashlib.sha256(written.get_tensor(name)).digest() != digest for name, digest in digests.items()):
            raise AssertionError("the file does not have the tensors that were written")


def _installed(name: str) -> Path:
    path = find(name)
    if path is None:
        raise UserError(
            f"the weights of {name} are not installed: expected {folder() / file_name(name)}; "
            f"install them with: {command('converters.fetch')} {name}, "
            f"or from a file that you have: {command('converters.convert')} FILE --backbone={name}"
        )
    return path


def _tensor(path: Path, file: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    found = file.get_slice(name)
    _check_shape(path, name, tuple(found.get_shape()), shape)
    if found.get_dtype() not in _DTYPES:
        raise file_error(path, f"{name}: expected {' or '.join(_DTYPES)}, found {found.get_dtype()}")
    values = file.get_tensor(name).astype(np.float32)
    _check_finite(path, name, values)
    return values


def _checked_metadata(path: Path, metadata: Mapping[str, str] | None, backbone: Backbone) -> Mapping[str, Any]:
    """Returns the record in the metadata of a weight file of this backbone."""
    try:
        record = json.loads((metadata or {})[METADATA_KEY])
        version, name = record["format_version"], record["backbone"]
    except (KeyError, TypeError, ValueError, RecursionError):
        raise file_error(
            path,
            f"expected a weight file made by nst_jax, found safetensors without its metadata; "
            f"convert it with: {command('converters.convert')} FILE --backbone={backbone.name}",
        ) from None
    if (version, name) != (FORMAT_VERSION, backbone.name):
        raise file_error(
            path,
            f"expected {backbone.name} in format version {FORMAT_VERSION}, "
            f"found {one_line(name)} in format version {one_line(version)}; convert its source again",
        )
    return record


def _check_names(path: Path, expected: Any, found: Any, backbone: Backbone) -> None:
    for what, names in (("without", expected - found), ("with the unknown", found - expected)):
        if names:
            raise file_error(
                path,
                f"expected the {len(expected)} tensors of {backbone.name}, found a file {what} "
                f"{one_line(min(names))}{f' and {len(names) - 1} more' if len(names) > 1 else ''}; "
                "convert or fetch it again, with --classifier if it is the layers of the head that are missing",
            )


def _check_finite(path: Path, name: str, values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise file_error(path, f"{name}: expected finite numbers, found NaN or Inf; make or fetch the file again")


def _check_shape(path: Path, name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if found != expected:
        raise file_error(path, f"{name}: expected shape {list(expected)}, found {list(found)}")


@functools.cache
def _data_folder() -> Path:
    return Path(str(importlib.resources.files("nst_jax.backbones") / "data"))
