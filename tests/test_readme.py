"""The README's examples in Python, run one after the other as a person types them, with fewer pixels and steps."""

import contextlib
import dataclasses
import io
import re
from pathlib import Path

import numpy as np

import nst_jax
from nst_jax.io.images import Picture

README = Path(__file__).parents[1] / "README.md"


def test_the_examples_run(tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 4
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NST_JAX_WEIGHTS", str(tmp_path / "none"))
    for name, preset in nst_jax.PRESETS.items():
        monkeypatch.setitem(nst_jax.PRESETS, name, dataclasses.replace(preset, steps=2))
    random = np.random.default_rng(0)
    for name in ("photo.jpg", "painting.jpg"):
        pixels = random.uniform(size=(64, 80, 3)).astype(np.float32)
        nst_jax.write_image(Path(name), Picture(pixels))
    typed: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        for block in blocks:
            exec(block.replace("size=512", "size=64"), typed)
    assert nst_jax.read_image(Path("picture.png")).pixels.shape == (51, 64, 3)
    assert np.shape(typed["pictures"]) == (3, 51, 64, 3)
    assert len(printed.getvalue().splitlines()) >= 3
