"""The same numbers on one device and on eight."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from nst_jax import parallel
from nst_jax.errors import UserError

ROOT = Path(__file__).parents[2]
LEARNING_RATE = 0.02


def test_eight_devices_compute_what_one_does():
    result = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("eight_devices.py"))],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_NUM_CPU_DEVICES": "8", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    found = json.loads(result.stdout)
    assert found.pop("devices") == 8
    loss, angle, used = found.pop("tiles")
    assert used == 8
    assert loss < 1e-6
    assert angle < 1e-6  # 1 less the cosine
    assert len(found) == 7
    for name, (most, rest, used) in found.items():
        assert used == 8, name
        # Sums in another order. Adam divides a gradient by its own size: where there is hardly any, rounding decides
        # the direction of a whole step, and two in opposite directions end twice its length apart.
        assert most < 0.005 * LEARNING_RATE, (name, most)
        assert rest < 2 * LEARNING_RATE, (name, rest)


def test_meshes():
    devices = jax.devices()[:1] * 6
    with pytest.raises(UserError, match="rows: expected a divisor of 6 devices, found 4"):
        parallel.make_mesh(rows=4, devices=devices)
    assert dict(parallel.make_mesh().shape) == {"cells": len(jax.devices()), "rows": 1}
