"""Whole models of Keras 3 (`.keras`): a zip archive whose member `model.weights.h5` is read in place."""

from pathlib import Path
from typing import Any

from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from ..containers import keras_config, zips
from ..containers.zips import Member
from ..source import Provenance, Tensors
from . import keras_h5

_WEIGHTS = "model.weights.h5"
_PICKLED = "model.weights.npz"
_METADATA = "metadata.json"
_CONFIG = "config.json"
_LARGEST_JSON = 16 << 20


def recognises(path: Path) -> bool:
    """Returns whether the file is a zip archive with the weights of Keras in it."""
    return zips.recognises(path) and not {_WEIGHTS, _PICKLED}.isdisjoint(zips.names(path))


def read(path: Path) -> tuple[Tensors, Provenance]:
    """Reads the names and shapes of all weights.

    Raises:
        UserError: this is not a Keras model, or it is damaged.
    """
    members = zips.members(path)
    if _WEIGHTS not in members:
        found = (
            f"{_PICKLED}, which is a pickle" if _PICKLED in members else ", ".join(map(one_line, members)) or "nothing"
        )
        raise file_error(path, f"expected {_WEIGHTS} in the archive, found {found}; save it as .weights.h5")
    members[_WEIGHTS].check()
    tensors, provenance = keras_h5.read_region(members[_WEIGHTS].region)
    metadata, config = (_described(members.get(name)) for name in (_METADATA, _CONFIG))
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    dense = keras_config.dense_axes(config) or provenance.layout.dense
    return tensors, provenance._replace(
        format=f"Keras archive, {provenance.format}",
        producer=f"Keras {one_line(version)}" if version else None,
        layout=provenance.layout._replace(dense=dense),
    )


def _described(member: Member | None) -> Any:
    return keras_config.parse(member.read()) if member and member.region.length <= _LARGEST_JSON else None
