"""The interchange file: tensors by name in float32 or float16, and one JSON record that says what they are.

It is a safetensors file with the record as its metadata. Equal tensors and records make equal bytes.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Set
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
        if found.get_dtype() not in _DTYPES:
            raise file_error(self.path, f"{name}: expected {' or '.join(_DTYPES)}, found {found.get_dtype()}")
        values = self.file.get_tensor(name).astype(np.float32)
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
            yield WeightFile(path, _record(path, file.metadata(), whose, advice), set(file.keys()), file)
    except (OSError, safetensors.SafetensorError) as error:
        raise file_error(
            path, f"expected a safetensors file with the weights of {whose}, found: {one_line(error)}; {advice}"
        ) from error


def write(
    path: Path, tensors: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], record: Mapping[str, Any]
) -> None:
    """Writes a weight file, atomically.

    Args:
        path: path of the file.
        tensors: all float32 or all float16. Each is read once and released, so that a mapping that reads on demand
            needs memory for the largest one only.
        shapes: name → shape of each of them.
        record: what they are, as JSON has it; the version is added.

    Raises:
        UserError: a tensor has another shape or is not finite, or the file cannot be written.
    """
    text = json.dumps({_VERSION_KEY: FORMAT_VERSION, **record}, sort_keys=True)
    digests: dict[str, bytes] = {}
    with atomic_write(path) as file:
        for name in sorted(shapes):
            values = np.ascontiguousarray(tensors[name])
            if not digests:
                dtype = values.dtype
                described = {name: (dtype, shapes[name]) for name in sorted(shapes)}
                file.write(header(described, {METADATA_KEY: text}))
            _check_shape(path, name, values.shape, shapes[name])
            _check_finite(path, name, values)
            assert values.dtype == dtype, f"{name} is {values.dtype}, others are {dtype}"
            file.write(little_endian(values))
            digests[name] = hashlib.sha256(values.data).digest()
        file.flush()
        _check_written(file.name, digests)  # before the new file takes the place of the old one


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
