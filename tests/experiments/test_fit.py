"""`experiments.fit` as a person runs it."""

import json

import numpy as np
import pytest

from experiments import fit
from nst_jax.errors import UserError
from nst_jax.io import images

pytestmark = pytest.mark.quick


def test_one_command_learns_a_picture_and_draws_it_larger(tmp_path):
    photograph = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).uniform(size=(3, 4, 3)).astype(np.float32)
    images.write(photograph, images.Picture(np.clip(images.resize(pixels, (48, 64)), 0, 1)))
    config = fit.Config(content=str(photograph), workdir=str(tmp_path / "out"), size=64, steps=3, output_size=96)
    result = fit.run(config)
    assert images.read(result.output).pixels.shape == (72, 96, 3)
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["error"] == result.error < 0.1
    with pytest.raises(UserError, match="expected a file of its own"):
        fit.run(fit.Config(content=str(photograph), workdir=str(tmp_path), output=str(photograph)))
