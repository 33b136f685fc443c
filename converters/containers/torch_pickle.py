"""The pickle in both containers of PyTorch: the names of the tensors and their places in storages."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from .. import regions, source
from ..regions import Region
from ..source import Provenance, Tensor, Tensors
from . import palette, pickles, state_dict
from .pickles import Vocabulary

_WRAPPERS = ("state_dict", "model_state_dict", "model")  # usual keys in training checkpoints
_MOST_AXES = 8
_ADVICE = "save the weights alone, with torch.save(model.state_dict(), ...)"


class Kind(NamedTuple):
    """The types of the numbers of a storage, in the file and after loading."""

    stored: np.dtype
    loaded: np.dtype


_STORED = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}
_BFLOAT16 = Kind(np.dtype("<u2"), np.dtype(np.float32))  # the upper halves of single precision; which NumPy lacks
_KINDS = {name: Kind(np.dtype(stored), np.dtype(stored)) for name, stored in _STORED.items()}
_KINDS["BFloat16Storage"] = _BFLOAT16


class Storage(NamedTuple):
    """A sequence of numbers, of which tensors are views.

    Attributes:
        kind: their types.
        length: their number.
    """

    kind: Kind
    length: int

    @property
    def size(self) -> int:
        """Size in the file in bytes."""
        return self.length * self.kind.stored.itemsize


class _Part(NamedTuple):
    """The numbers of a storage from `start` on: all of them, except in some files of 2016 and 2017."""

    key: str
    kind: Kind
    start: int
    length: int


class _View(NamedTuple):
    """A tensor as a pickle describes it, unchecked."""

    part: Any
    start: Any
    shape: Any
    strides: Any


class _OrderedDict(dict[Any, Any]):
    """Stands for `collections.OrderedDict`; forgets its attributes, which are the versions of the layers."""

    def __init__(self, pairs: Any = None) -> None:
        super().__init__()
        if pairs is None:
            return
        # As Python 2 writes it: a list of lists without other references. It is emptied, so that all dictionaries
        # together have no more items than the pickle, even if it makes many from one list.
        taken = pairs.copy()
        pairs.clear()
        for key, value in taken:
            if type(key) is not str:
                raise TypeError
            self[key] = value

    def __setstate__(self, state: Any) -> None:
        pass


# Each takes a fixed number of arguments, as unwanted ones would cost time, too.
def _tensor_v2(
    part: Any, start: Any, shape: Any, strides: Any, _gradient: Any, _hooks: Any, _metadata: Any = None
) -> _View:
    return _View(part, start, shape, strides)


def _parameter(tensor: Any, _gradient: Any, _hooks: Any) -> Any:
    return tensor


_VOCABULARY = Vocabulary(
    globals={
        ("collections", "OrderedDict"): _OrderedDict,
        ("torch._utils", "_rebuild_tensor"): _View,
        ("torch._utils", "_rebuild_tensor_v2"): _tensor_v2,
        ("torch._utils", "_rebuild_parameter"): _parameter,
        **{("torch", name): kind for name, kind in _KINDS.items()},
    },
    what="tensors by name (a state dict)",
    advice=_ADVICE,
)


def load(path: Path, data: bytes) -> tuple[Any, int, dict[str, Storage]]:
    """Reads the pickle at the beginning of `data`.

    Returns:
        The object, which may be anything; the length of the pickle; the storages that it refers to, by key.

    Raises:
        UserError: the pickle is damaged, or there is anything but tensors, dictionaries, lists, numbers and text in it.
    """
    storages: dict[str, Storage] = {}

    def refer(description: Any) -> _Part:
        if type(description) is not tuple or len(description) > 6:
            raise TypeError
        # Where the storage was, on the CPU or on some GPU, does not matter.
        what, kind, key, _, length, *views = description
        if what != "storage" or type(kind) is not Kind or type(key) is not str or not _is_length(length):
            raise TypeError
        if storages.setdefault(key, Storage(kind, length)) != (kind, length):
            raise file_error(path, f"expected one size of storage {one_line(key)}, found two; make it again")
        if views in ([], [None]):
            return _Part(key, kind, 0, length)
        _, start, part = views[0]
        if not _is_length(start) or not _is_length(part) or start + part > length:
            raise file_error(path, f"expected a part of storage {one_line(key)}, found one outside; make it again")
        return _Part(key, kind, start, part)

    return *pickles.load(path, data, _VOCABULARY, refer), storages


def tensors(path: Path, state: Any, storage: Callable[[str], Region]) -> tuple[Tensors, str | None]:
    """Returns the tensors of a state dict, by their names here, and how their numbers came about (see `palette`).

    Args:
        path: the file, for messages.
        state: the object from `load`.
        storage: returns the region of the storage with a key; called when a tensor is read.

    Raises:
        UserError: this is not a state dict, or a tensor is not inside its storage.
    """
    if isinstance(state, dict):
        state = next((state[key] for key in _WRAPPERS if isinstance(state.get(key), dict)), state)
    if not isinstance(state, dict):
        raise file_error(path, f"expected tensors by name (a state dict), found {_title(state)}; {_ADVICE}")
    for key, view in state.items():
        if type(key) is not str or not isinstance(view, _View):
            raise file_error(path, f"{one_line(key)}: expected a tensor with a name, found {_title(view)}; {_ADVICE}")
    stored: Tensors = {}
    for key, view in state.items():
        source.add(stored, path, key, _tensor(path, key, view, storage))
    whole, numbers = palette.expand(path, stored)
    found: Tensors = {}
    for key, name in state_dict.names(whole).items():
        source.add(found, path, name, whole[key])
    source.check_total(path, found)
    return found, numbers


def provenance(path: Path, container: str, numbers: str | None) -> Provenance:
    """Returns the provenance of tensors of PyTorch; the file does not say for which pixels they were trained."""
    sha256 = regions.sha256([path])
    return Provenance(path, sha256, f"PyTorch {container}", layout=state_dict.LAYOUT, numbers=numbers)


def _title(value: Any) -> str:
    return "a tensor" if isinstance(value, _View) else f"something of type {type(value).__name__.strip('_')}"


def _tensor(path: Path, name: str, view: _View, storage: Callable[[str], Region]) -> Tensor:
    part, start, shape, strides = view
    if type(part) is not _Part or not _is_length(start) or not _are_lengths(shape) or not _are_lengths(strides):
        raise file_error(path, f"{one_line(name)}: expected a tensor of at most {_MOST_AXES} axes, found other data")
    if len(shape) != len(strides):
        raise file_error(path, f"{one_line(name)}: expected a stride per axis, found shape {shape}, strides {strides}")
    last = start + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    count = math.prod(shape)
    # Elements could share numbers, so that one number makes a tensor of any size; those of weights never do.
    # NumPy limits the product of the other lengths even if a length is 0.
    if count > part.length or (count and last >= part.length) or math.prod(filter(None, shape)) > regions.LARGEST:
        raise file_error(
            path,
            f"{one_line(name)}: expected a tensor inside its storage of {part.length} numbers, found shape "
            f"{list(shape)}, strides {list(strides)} from {start} on; make the file again",
        )
    return Tensor(shape, part.kind.loaded, lambda: _values(view, last, storage(part.key)))


def _values(view: _View, last: int, storage: Region) -> np.ndarray:
    """Reads the numbers of a tensor up to the `last`: it may be a small part of a large storage."""
    kind = view.part.kind
    size = kind.stored.itemsize
    if not math.prod(view.shape):
        return np.zeros(view.shape, kind.loaded)
    data = storage.part((view.part.start + view.start) * size, (last + 1 - view.start) * size).read()
    # The stride of an axis of length 1 is never used, and may be anything.
    strides = [stride * size * (length > 1) for length, stride in zip(view.shape, view.strides, strict=True)]
    values = np.ndarray(view.shape, kind.stored, data, 0, strides)
    if kind == _BFLOAT16:
        values = (values.astype(np.uint32) << 16).view(kind.loaded)
    return np.asarray(values, order="C")


def _are_lengths(values: Any) -> bool:
    return type(values) is tuple and len(values) <= _MOST_AXES and all(_is_length(value) for value in values)


def _is_length(value: Any) -> bool:
    return type(value) is int and 0 <= value <= regions.LARGEST
