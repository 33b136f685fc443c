"""What tests of the scripts share: pictures, and a disk that is full."""

import contextlib

import numpy as np
import pytest
from PIL import Image

from nst_jax.io import files


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Two photographs and two paintings, all of noise."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for name, shape in (("photo", (60, 80)), ("wide", (56, 80)), ("first", (70, 50)), ("second", (50, 50))):
        Image.fromarray(random.integers(0, 256, (*shape, 3), np.uint8)).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def full_disk():
    """A context in which nothing can be written to the disk."""

    def full(_):
        raise OSError(28, "No space left on device")

    @contextlib.contextmanager
    def context():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files.os, "fsync", full)
            yield

    return context
