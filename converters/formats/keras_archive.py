"""Whole models of Keras 3 (`.keras`): a zip archive with `model.weights.h5` in it, which is read where it lies."""

import json
from pathlib import Path

from converters.containers import zips
from converters.containers.zips import Member
from converters.formats import keras_h5
from converters.source import Provenance, Tensors
from nst_jax.errors import one_line
from nst_jax.files import file_error

_WEIGHTS = "model.weights.h5"
_PICKLED = "model.weights.npz"
_METADATA = "metadata.json"
_LARGEST_METADATA = 1 << 16


def recognises(path: Path) -> bool:
    """Returns whether the file is a zip archive with the weights of Keras in it."""
    return zips.recognises(path) and not {_WEIGHTS, _PICKLED}.isdisjoint(zips.names(path))


def read(path: Path) -> tuple[Tensors, Provenance]:
    """Reads the names and shapes of all weights.

    Raises:
        UserError: this is no Keras model, or it is damaged.
    """
    members = zips.members(path)
    if _WEIGHTS not in members:
        found = (
            f"{_PICKLED}, which is a pickle" if _PICKLED in members else ", ".join(map(one_line, members)) or "nothing"
        )
        raise file_error(path, f"expected {_WEIGHTS} in the archive, found {found}; save it as .weights.h5")
    members[_WEIGHTS].check()
    tensors, provenance = keras_h5.read_region(members[_WEIGHTS].region)
    version = _version(members.get(_METADATA))
    return tensors, provenance._replace(
        format=f"Keras archive, {provenance.format}", producer=f"Keras {version}" if version else None
    )


def _version(metadata: Member | None) -> str | None:
    """Returns the version of Keras, if there is a description that tells it."""
    if metadata is None or metadata.region.length > _LARGEST_METADATA:
        return None
    try:
        return one_line(json.loads(metadata.read())["keras_version"])
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
