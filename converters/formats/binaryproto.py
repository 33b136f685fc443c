"""Caffe's mean picture (`mean.binaryproto`): one bare blob, not a network; it shows the mean colour."""

from pathlib import Path

import numpy as np

from .. import regions
from ..containers import caffe_proto
from ..source import Provenance, Tensors


def recognises(path: Path) -> bool:
    """Returns whether the file begins like a blob of Caffe; protobuf has no signature."""
    return caffe_proto.starts_like(path, "BlobProto")


def read(path: Path) -> tuple[Tensors, Provenance]:
    """Reads the shape and the mean of each channel of the picture, which is `[1, channels, height, width]`.

    Raises:
        UserError: this is not a blob of Caffe, or it is damaged.
    """
    picture = caffe_proto.tensor(path, "mean", caffe_proto.parse(path, "BlobProto"))
    notes: tuple[str, ...] = ()
    if len(picture.shape) == 4 and picture.size:
        with np.errstate(all="ignore"):  # a damaged one is shown as it is
            colour = picture.load().mean(axis=(0, 2, 3), dtype=np.float64)
        notes = (f"mean of each channel {' '.join(f'{value:.6g}' for value in colour)}",)
    return {"mean": picture}, Provenance(path, regions.sha256([path]), "Caffe mean picture, no network", notes=notes)
