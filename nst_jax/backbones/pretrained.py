"""The weights of backbones: the folder of installed files, the embedded default, which network a name means."""

import functools
import importlib.resources
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import platformdirs

from nst_jax.backbones.folding import fold
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import Backbone, parameter_shapes, with_head
from nst_jax.commands import command
from nst_jax.errors import UserError, choose, one_line
from nst_jax.io import weight_file
from nst_jax.io.files import expand_home, file_error, sha256

FOLDER_VARIABLE = "NST_JAX_WEIGHTS"
EMBEDDED = "squeezenet1_1"
AUTO = "auto"
_AUTO_ORDER = ("vgg19", EMBEDDED)
NUMBERS_KEY = "numbers"
_NAME_KEY = "backbone"
_AGAIN = "convert or fetch it again, with --classifier if it is the layers of the head that are missing"


class Pretrained(NamedTuple):
    """A backbone with its weights.

    Attributes:
        backbone: the network.
        params: variables for `Features.apply`: `{"params": {"conv1_1/kernel": float32 [h, w, in, out], ...}}`, with
            batch normalisations folded in.
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


def installed() -> list[str]:
    """Returns the names of all backbones whose weights are installed or embedded."""
    return [name for name in BACKBONES if find(name)]


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
    with weight_file.opened(path, whose=backbone.name, advice=_convert_to(backbone)) as file:
        if (name := file.record.get(_NAME_KEY)) != backbone.name:
            raise file_error(
                path, f"expected the weights of {backbone.name}, found those of {one_line(name)}; give the right file"
            )
        head = parameter_shapes(with_head(backbone)).keys() - expected.keys()
        names = file.names - head if head <= file.names else file.names
        weight_file.check_names(path, expected.keys(), names, whose=backbone.name, advice=_AGAIN)
        tensors = {name: file.tensor(name, shape) for name, shape in expected.items()}
        numbers = file.record.get(NUMBERS_KEY)
    try:
        params = fold(tensors, backbone)
    except UserError as error:
        raise file_error(path, f"{error}; {_AGAIN}") from None
    return Pretrained(backbone, {"params": params}, sha256(path), None if numbers is None else one_line(numbers))


def write(path: Path, tensors: Mapping[str, np.ndarray], backbone: Backbone, metadata: Mapping[str, Any]) -> None:
    """Writes a weight file, atomically; equal arguments make equal bytes.

    Args:
        path: path of the file.
        tensors: `conv1_1/kernel` → `[h, w, in, out]` and so on, all float32 or all float16, see `weight_file.write`.
        backbone: the network with these weights.
        metadata: origin of the weights: source file, its sha256, source format, licence, ...

    Raises:
        UserError: the tensors are not those of the backbone, or the file cannot be written.
    """
    shapes = parameter_shapes(backbone)
    weight_file.check_names(path, shapes.keys(), tensors.keys(), whose=backbone.name, advice=_AGAIN)
    weight_file.write(path, tensors, shapes, {_NAME_KEY: backbone.name, **metadata})


def _convert_to(backbone: Backbone) -> str:
    return f"convert other formats with: {command('converters.convert')} FILE --backbone={backbone.name}"


def _installed(name: str) -> Path:
    path = find(name)
    if path is None:
        raise UserError(
            f"the weights of {name} are not installed: expected {folder() / file_name(name)}; "
            f"install them with: {command('converters.fetch')} {name}, "
            f"or from a file that you have: {command('converters.convert')} FILE --backbone={name}"
        )
    return path


@functools.cache
def _data_folder() -> Path:
    return Path(str(importlib.resources.files("nst_jax.backbones") / "data"))
