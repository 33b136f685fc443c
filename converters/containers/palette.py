"""Tensors that are stored as codes into a palette: `W_q` and `W_table` stand for `W = table[q]`.

K-means leaves each layer 256 numbers or fewer, and a byte per weight says which (Gong et al. 2014, "Compressing Deep
Convolutional Networks using Vector Quantization"). Reading them back is a lookup, no arithmetic.
"""

from pathlib import Path

import numpy as np

from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from ..source import Tensor, Tensors, check_shape

_CODES, _TABLE = "_q", "_table"


def expand(path: Path, tensors: Tensors) -> tuple[Tensors, str | None]:
    """Returns tensors with those that have a palette as what they stand for, in their place.

    Args:
        path: of the file, for messages.
        tensors: by the names of the file.

    Returns:
        The tensors, and how their numbers came about (`8-bit palette`), None if none has a palette.

    Raises:
        UserError: codes that are not whole numbers, a table that is not a row of floating-point numbers, or a name
            that is there in both forms.
    """
    coded = {
        name.removesuffix(_CODES)
        for name in tensors
        if name.endswith(_CODES) and name.removesuffix(_CODES) + _TABLE in tensors
    }
    found: Tensors = {}
    bits = 0
    for name, tensor in tensors.items():
        if name.endswith(_TABLE) and name.removesuffix(_TABLE) in coded:
            continue
        whole = name.removesuffix(_CODES)
        if name == whole or whole not in coded:
            found[name] = tensor
            continue
        if whole in tensors:
            raise file_error(path, f"expected {one_line(whole)} once, found it with and without a palette")
        found[whole] = _looked_up(path, whole, tensor, tensors[whole + _TABLE])
        bits = max(bits, tensor.dtype.itemsize * 8)
    return found, f"{bits}-bit palette" if coded else None


def _looked_up(path: Path, name: str, codes: Tensor, table: Tensor) -> Tensor:
    if codes.dtype.kind != "u":
        raise file_error(
            path, f"{one_line(name + _CODES)}: expected codes as unsigned integers, found {codes.dtype.name}"
        )
    if len(table.shape) != 1 or table.dtype.kind != "f":
        raise file_error(
            path,
            f"{one_line(name + _TABLE)}: expected a palette of floating-point numbers in a row, found "
            f"{table.dtype.name} of shape {list(table.shape)}",
        )
    check_shape(path, name, codes.shape, table.dtype)

    def load() -> np.ndarray:
        values, picked = table.load(), codes.load()
        if picked.size and int(picked.max()) >= len(values):
            raise file_error(
                path,
                f"{one_line(name + _CODES)}: expected codes below {len(values)}, the length of the palette, found "
                f"{int(picked.max())}; fetch or make the file again",
            )
        return values[picked]

    return Tensor(codes.shape, table.dtype, load)
