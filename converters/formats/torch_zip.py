"""PyTorch files since version 1.6: a zip archive of a pickle and of the storages that it refers to."""

import functools
from pathlib import Path

from nst_jax.errors import UserError, one_line
from nst_jax.io.files import file_error

from ..containers import pickles, torch_pickle, zips
from ..regions import Region
from ..source import Provenance, Tensors

_PICKLE = "/data.pkl"
_SCRIPT = ("constants.pkl", "code/")
_BYTE_ORDER = "byteorder"  # little if it is missing, as before version 2.1


def recognises(path: Path) -> bool:
    """Returns whether the file looks like a zip archive of PyTorch, or one too damaged to recognise."""
    if not zips.recognises(path):
        return False
    try:
        return any(name.endswith(_PICKLE) for name in zips.names(path))
    except UserError:
        return True


def read(path: Path) -> tuple[Tensors, Provenance]:
    """Reads the names and shapes of all tensors, and checks that their storages are there.

    Raises:
        UserError: this is not a state dict in an archive of PyTorch, it is damaged, or from a big-endian computer.
    """
    root = _root(path)
    members = zips.members(path)
    order = members.get(root + _BYTE_ORDER)
    if order and (order.region.length > len(b"little") or order.read() != b"little"):
        raise file_error(path, "expected little-endian numbers, found others; save the weights on another computer")
    pickle = members[root + _PICKLE[1:]]
    if pickle.region.length > pickles.LARGEST:
        raise file_error(path, f"expected a pickle of at most {pickles.LARGEST} bytes, found {pickle.region.length}")
    state, length, storages = torch_pickle.load(path, pickle.read())
    if length != pickle.region.length:
        raise file_error(path, f"expected a pickle of {pickle.region.length} bytes, found {length}; fetch it again")
    for key, storage in storages.items():
        member = members.get(f"{root}data/{key}")
        found = f"{member.region.length} bytes" if member else "no such member"
        if not member or member.region.length != storage.size:
            raise file_error(
                path, f"expected {storage.size} bytes as {one_line(f'{root}data/{key}')}, found {found}; fetch it again"
            )

    @functools.cache  # a storage may have many tensors, but is checked once
    def intact(key: str) -> Region:
        member = members[f"{root}data/{key}"]
        member.check()
        return member.region

    tensors, numbers = torch_pickle.tensors(path, state, intact)
    return tensors, torch_pickle.provenance(path, "zip archive", numbers)


def _root(path: Path) -> str:
    """Returns the top folder in the archive, with a slash."""
    names = zips.names(path)
    roots = [name.removesuffix(_PICKLE[1:]) for name in names if name.endswith(_PICKLE)]
    if len(roots) != 1:
        raise file_error(
            path, f"expected an archive of PyTorch with one data.pkl, found {len(roots)} among {len(names)} members"
        )
    if any(name.startswith(tuple(roots[0] + part for part in _SCRIPT)) for name in names):
        raise file_error(
            path,
            "expected tensors by name (a state dict), found a program (TorchScript); load it with torch.jit.load and "
            "save the weights alone, with torch.save(model.state_dict(), ...)",
        )
    return roots[0]
