"""MatConvNet networks in MATLAB's .mat files, of both kinds: simplenn, a sequence of layers, and DagNN, a graph."""

from pathlib import Path
from typing import Any

from .. import regions
from ..containers import matlab
from ..source import Layout, Provenance, Tensors


def recognises(path: Path) -> bool:
    """Returns whether the file is a MAT-file of MATLAB 5 or later."""
    return matlab.is_mat_file(path)


def read(path: Path) -> tuple[Tensors, Provenance]:
    """Reads a network, old (before beta 17) or new, as its variables or as a struct `net`.

    Kernels are `layer/kernel` `[height, width, in, out]`, biases `layer/bias` `[out]`; normalisations have mean,
    variance, scale and shift; the weights of other layers are `layer/0`, `layer/1` and so on.

    Raises:
        UserError: this is not such a network, it is damaged, or there is no room for a temporary file.
    """
    tensors, described = matlab.read(path, [path], "network")
    provenance = Provenance(
        path=path,
        sha256=regions.sha256([path]),
        format=f"MatConvNet {'DagNN' if described['dag'] else 'simplenn'} .mat",
        producer=f"MatConvNet ({matlab.producer(path)})",
        # MatConvNet's importer reversed the colours, which Caffe reads as blue, green, red.
        layout=Layout(conv="HWIO", reversed_colours=True),
        convention="caffe",
        ordered=not described["dag"],
        notes=tuple(_notes(described)),
    )
    return tensors, provenance


def _notes(described: dict[str, Any]) -> list[str]:
    notes = ["as MatConvNet wrote it " + ("since beta 17 (meta)" if described["new"] else "before beta 17 (no meta)")]
    if described["mean"]:
        notes.append("mean colour (RGB) " + " ".join(f"{value:.2f}" for value in described["mean"]))
    return notes
