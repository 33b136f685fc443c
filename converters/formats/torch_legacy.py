"""PyTorch files before version 1.6, and later ones on request: five pickles, followed by the storages.

The pickles are a magic number, the version of the format, a description of the computer, the object, and the keys of
the storages. For each storage follow the count of its numbers, in 8 bytes, and the numbers.
"""

from pathlib import Path
from typing import Any

from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from .. import regions
from ..containers import pickles, torch_pickle
from ..containers.torch_pickle import Storage
from ..regions import Region
from ..source import Provenance, Tensors

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_COUNT = 8
_PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


def recognises(path: Path) -> bool:
    """Returns whether the file begins with a pickle."""
    return regions.first_bytes(path, 2) in _PICKLES


def read(path: Path) -> tuple[Tensors, Provenance]:
    """Reads the names and shapes of all tensors, and checks that their storages are there.

    Raises:
        UserError: this is a pickle of something else, not a state dict, damaged, or from a big-endian computer.
    """
    magic, _, rest = _load(regions.whole(path))
    if magic != _MAGIC:
        raise file_error(path, "expected a file of PyTorch, found a pickle of something else; nothing was executed")
    version, _, rest = _load(rest)
    if version != _VERSION:
        raise file_error(path, f"expected version {_VERSION} of the format, found another; save the weights again")
    computer, _, rest = _load(rest)
    if not isinstance(computer, dict) or computer.get("little_endian") is not True:
        raise file_error(path, "expected little-endian numbers, found others; save the weights on another computer")
    state, storages, rest = _load(rest)
    keys, _, rest = _load(rest)
    places = _regions(keys, storages, rest)
    tensors, numbers = torch_pickle.tensors(path, state, places.__getitem__)
    return tensors, torch_pickle.provenance(path, "legacy archive", numbers)


def _load(rest: Region) -> tuple[Any, dict[str, Storage], Region]:
    """Reads the pickle at the beginning of a region; returns it, its storages, and the region after it."""
    data = rest.part(0, min(rest.length, pickles.LARGEST)).read()
    value, length, storages = torch_pickle.load(rest.path, data)
    return value, storages, rest.part(length, rest.length - length)


def _regions(keys: Any, storages: dict[str, Storage], rest: Region) -> dict[str, Region]:
    """Returns the region of each storage."""
    if not isinstance(keys, list) or not all(type(key) is str for key in keys):
        raise file_error(rest.path, "expected the keys of the storages, found something else; fetch or make it again")
    if len(keys) != len(storages) or set(keys) != storages.keys():
        raise file_error(
            rest.path,
            f"expected the {len(storages)} storages that the tensors are in, found {len(keys)}, or others; "
            "fetch or make it again",
        )
    regions: dict[str, Region] = {}
    for key in keys:
        count = int.from_bytes(rest.part(0, _COUNT).read(), "little", signed=True)
        if count != storages[key].length:
            raise file_error(
                rest.path,
                f"expected {storages[key].length} numbers in storage {one_line(key)}, found {count}; "
                "fetch or make it again",
            )
        regions[key] = rest.part(_COUNT, storages[key].size)
        rest = rest.part(_COUNT + storages[key].size, rest.length - _COUNT - storages[key].size)
    if rest.length:
        raise file_error(rest.path, f"expected the file to end, found {rest.length} bytes more; fetch or make it again")
    return regions
