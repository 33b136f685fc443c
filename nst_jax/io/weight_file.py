"""The interchange file: tensors by name in float32 or float16, and one JSON record that says what they are.

It is a safetensors file with the record as its metadata. Equal tensors and records make equal bytes. Tensors that were
8-bit numbers with a scale for each output channel may be kept as these, in a quarter of the space, and lose nothing.
"""

import contextlib
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Set
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors

from nst_jax.errors import one_line
from nst_jax.io.files import atomic_write, file_error
from nst_jax.io.safetensors_header import header, little_endian

FORMAT_VERSION = 1
METADATA_KEY = "nst_jax"
_VERSION_KEY = "format_version"
_DTYPES = {"F32": np.float32, "F16": np.float16}
_CODES = "I8"
_SCALE = ":scale"
"""What follows the name of a tensor of 8-bit numbers in that of its scales, `[C]` for the last axis."""
_GREATEST_CODE = 127


class WeightFile(NamedTuple):
    """An open weight file.

    Attributes:
        path: its path.
        record: what its metadata says.
        names: the names of its tensors.
        file: the open file.
    """

    path: Path
    record: Mapping[str, Any]
    names: Set[str]
    file: Any

    def tensor(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Returns a tensor, widened to float32.

        Raises:
            UserError: it has another shape or type, or is not finite.
        """
        found = self.file.get_slice(name)
        _check_shape(self.path, name, tuple(found.get_shape()), shape)
        packed = found.get_dtype() == _CODES and name + _SCALE in self.file.keys()  # noqa: SIM118 - no mapping
        if found.get_dtype() not in _DTYPES and not packed:
            raise file_error(self.path, f"{name}: expected {' or '.join(_DTYPES)}, found {found.get_dtype()}")
        values = self.file.get_tensor(name).astype(np.float32)
        if packed:
            scale = self.file.get_slice(name + _SCALE)
            _check_shape(self.path, name + _SCALE, tuple(scale.get_shape()), shape[-1:])
            if scale.get_dtype() != "F32":
                raise file_error(self.path, f"{name}{_SCALE}: expected F32, found {scale.get_dtype()}")
            values *= self.file.get_tensor(name + _SCALE)
        _check_finite(self.path, name, values)
        return values


@contextlib.contextmanager
def opened(path: Path, *, whose: str, advice: str) -> Iterator[WeightFile]:
    """Opens a weight file for a while.

    Args:
        path: path of the file.
        whose: what its weights are of, for messages.
        advice: what to do where it is no such file.

    Raises:
        UserError: there is no such file, it is damaged, or not made by nst_jax in this version.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            names = {name for name in file.keys() if not name.endswith(_SCALE)}  # noqa: SIM118 - no mapping
            yield WeightFile(path, _record(path, file.metadata(), whose, advice), names, file)
    except (OSError, safetensors.SafetensorError) as error:
        raise file_error(
            path, f"expected a safetensors file with the weights of {whose}, found: {one_line(error)}; {advice}"
        ) from error


def write(
    path: Path,
    tensors: Mapping[str, np.ndarray],
    shapes: Mapping[str, tuple[int, ...]],
    record: Mapping[str, Any],
    *,
    packed: Collection[str] = (),
) -> None:
    """Writes a weight file, atomically.

    Args:
        path: path of the file.
        tensors: all float32 or all float16. Each is read once and released, so that a mapping that reads on demand
            needs memory for the largest one only.
        shapes: name → shape of each of them.
        record: what they are, as JSON has it; the version is added.
        packed: the names of those that are kept as 8-bit numbers with scales; the others are float32 then.

    Raises:
        UserError: a tensor has another shape or is not finite, or the file cannot be written.
        ValueError: a tensor that is to be packed would lose something.
    """
    text = json.dumps({_VERSION_KEY: FORMAT_VERSION, **record}, sort_keys=True)
    digests: dict[str, bytes] = {}
    with atomic_write(path) as file:
        for name in sorted(shapes):
            values = np.ascontiguousarray(tensors[name])
            if not digests:
                dtype = values.dtype
                file.write(header(dict(_described(shapes, dtype, packed)), {METADATA_KEY: text}))
            _check_shape(path, name, values.shape, shapes[name])
            _check_finite(path, name, values)
            assert values.dtype == dtype, f"{name} is {values.dtype}, others are {dtype}"
            parts = {name: values}
            if name in packed:
                parts[name], parts[name + _SCALE] = pack(values)
            for part, numbers in parts.items():
                file.write(little_endian(numbers))
                digests[part] = hashlib.sha256(numbers.data).digest()
        file.flush()
        _check_written(file.name, digests)  # before the new file takes the place of the old one


def pack(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns 8-bit numbers `[..., C]` and scales `[C]` whose products are these values, to the bit.

    Args:
        values: float32 `[..., C]`, which came about as such products.

    Raises:
        ValueError: there are no such numbers.
    """
    flat = values.reshape(-1, values.shape[-1])
    largest = np.abs(flat).max(axis=0)
    scales = np.where(largest > 0, np.float32(0), np.float32(1))
    for greatest in range(_GREATEST_CODE, 0, -1):  # mostly the first, in every channel
        near = largest / np.float32(greatest)
        for scale in (near, np.nextafter(near, np.float32(0)), np.nextafter(near, np.float32(np.inf))):
            open_ = np.flatnonzero(scales == 0)
            codes = np.rint(flat[:, open_] / scale[open_])
            exact = (codes.astype(np.float32) * scale[open_] == flat[:, open_]).all(axis=0)
            scales[open_[exact]] = scale[open_[exact]]
        if scales.all():
            return np.rint(values / scales).astype(np.int8), scales
    raise ValueError("expected products of 8-bit numbers and a scale for each channel")


def _described(
    shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype, packed: Collection[str]
) -> Iterator[tuple[str, tuple[np.dtype, tuple[int, ...]]]]:
    """Yields name, type and shape of everything in a file, in its order."""
    for name in sorted(shapes):
        if name in packed:
            yield name, (np.dtype(np.int8), shapes[name])
            yield name + _SCALE, (np.dtype(np.float32), shapes[name][-1:])
        else:
            yield name, (dtype, shapes[name])


def check_names(path: Path, expected: Set[str], found: Set[str], *, whose: str, advice: str) -> None:
    """Checks that a file has the tensors of a network, and no others.

    Raises:
        UserError: it has not; the message names one that is missing or unknown.
    """
    for what, names in (("without", expected - found), ("with the unknown", found - expected)):
        if names:
            raise file_error(
                path,
                f"expected the {len(expected)} tensors of {whose}, found a file {what} "
                f"{one_line(min(names))}{f' and {len(names) - 1} more' if len(names) > 1 else ''}; {advice}",
            )


def _record(path: Path, metadata: Mapping[str, str] | None, whose: str, advice: str) -> Mapping[str, Any]:
    try:
        record = json.loads((metadata or {})[METADATA_KEY])
        version = record[_VERSION_KEY]
    except (KeyError, TypeError, ValueError, RecursionError):
        raise file_error(
            path, f"expected a weight file made by nst_jax, found safetensors without its metadata; {advice}"
        ) from None
    if version != FORMAT_VERSION:
        raise file_error(
            path,
            f"expected {whose} in format version {FORMAT_VERSION}, "
            f"found format version {one_line(version)}; convert its source again",
        )
    return record


def _check_written(path: str, digests: Mapping[str, bytes]) -> None:
    """Checks with the safetensors library that a file has tensors with these digests."""
    with safetensors.safe_open(path, framework="numpy") as written:
        if any(hashlib.sha256(written.get_tensor(name)).digest() != digest for name, digest in digests.items()):
            raise AssertionError("the file does not have the tensors that were written")


def _check_finite(path: Path, name: str, values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise file_error(path, f"{name}: expected finite numbers, found NaN or Inf; make or fetch the file again")


def _check_shape(path: Path, name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if found != expected:
        raise file_error(path, f"{name}: expected shape {list(expected)}, found {list(found)}")
