"""A single picture in tiles, which several devices have among them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from experiments import stylize
from nst_jax.io import images

ROOT = Path(__file__).parents[3]
QUICK = {
    "backbone": "squeezenet1_1",
    "size": 96,
    "scales": (0,),
    "style_layers": ("conv1",),
    "content_layers": ("fire2/concat",),
    "margin": 8,
    "shifts": 1,
    "optimizer": "adam",
    "tile": 48,
    "save_every": 2,
}


def test_two_devices_paint_what_one_does_and_go_on(pictures, tmp_path):
    flags = {**QUICK, "content": str(pictures / "photo.png"), "style": str(pictures / "first.png")}
    script = Path(__file__).with_name("two_devices.py")
    found = subprocess.run(
        [sys.executable, script, json.dumps({**flags, "workdir": str(tmp_path / "two")})],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_NUM_CPU_DEVICES": "2", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-2000:]
    two = json.loads(found.stdout.splitlines()[-1])
    assert (two["devices"], set(two["used"])) == (2, {2})
    assert "resuming after step 2" in found.stdout
    one = stylize.run(stylize.Config(**flags, steps=4, workdir=str(tmp_path / "one")))
    # Windows are added up in another order: 5e-7 of the loss after seven steps of a run from coarse to fine.
    np.testing.assert_allclose(two["loss"], one.history.loss, rtol=1e-5)
    pictures_of = [images.read(tmp_path / name / "picture.png").pixels for name in ("one", "two")]
    assert np.quantile(np.abs(np.subtract(*pictures_of)), 0.999) <= 1.01 / 255
