"""Folders of MATLAB's files with one tensor each, as matcaffe gives them: `conv1_7x7_s2_w.mat`, `conv1_7x7_s2_b.mat`.

MATLAB stores the first axis first, so that Caffe's axes are in reverse order there: kernels are `[width, height, in,
out]`, and dense ones `[in, out]` with the input flattened as Caffe has it. Slashes of Caffe's names are underscores.

Source: BVLC/caffe, matlab/+caffe/private/caffe_.cpp (`blob_to_mx_mat` reverses the shape of a blob).
"""

from pathlib import Path

from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from .. import regions
from ..containers import matlab
from ..source import Layout, Provenance, Tensors

_KERNEL = "_w.mat"
_ENDINGS = (_KERNEL, "_b.mat")
_MOST_FILES = 2000


def recognises(path: Path) -> bool:
    """Returns whether it is a folder with such a kernel."""
    return regions.is_folder(path) and any(name.endswith(_KERNEL) for name in _names(path))


def read(path: Path) -> tuple[Tensors, Provenance]:
    """Reads the kernels and biases in a folder; other files in it are left alone.

    Raises:
        UserError: there are none or far too many, a file is a link or damaged or has more than one variable in it, or
            there is no room for a temporary file.
    """
    if not regions.is_folder(path):
        regions.file_size(path)  # a pipe is told as everywhere
        raise file_error(path, "expected a folder of MATLAB files, found a file")
    files = [path / name for name in _names(path) if name.endswith(_ENDINGS)]
    if not 0 < len(files) <= _MOST_FILES:
        raise file_error(
            path, f"expected 1 to {_MOST_FILES} files that end in {' or '.join(_ENDINGS)}, found {len(files)}"
        )
    for file in files:
        if file.is_symlink():
            raise file_error(path, f"expected a file as {one_line(file.name)}, found a link; copy the file")
    tensors, _ = matlab.read(path, files, "arrays")
    provenance = Provenance(
        path=path,
        sha256=regions.sha256(files),
        format=f"MATLAB files with a tensor each, {len(files)}",
        producer=matlab.producer(files[0]),
        layout=Layout(conv="WHIO", dense="IHWO"),
        convention="caffe",
    )
    return tensors, provenance


def _names(path: Path) -> list[str]:
    """Returns the names of all files in a folder, in order."""
    try:
        return sorted(file.name for file in path.iterdir())
    except OSError as error:
        raise regions.unreadable(path, error) from error
