"""Manifests of sweeps and their pictures, as the page is made of."""

import base64
import io
import json
import re

import numpy as np
from PIL import Image

from nst_jax.io import files

HOSTILE = (
    """</script><img src=x onerror="window.broken=1">'"&amp;<!--<script>${window.broken=1} 画 \u2028 \udc80 #?%41"""
)
SHOWN = HOSTILE.replace("\udc80", "?")  # a byte of a file name that is no text
WEIGHTS, STYLES, PRESETS = ["10", "50", "250"], ["starry_night", "scream"], ["gatys", "ng"]


def write_picture(path, *, seed, shape=(64, 96, 3)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8)).save(path)
    return files.sha256(path)


def make_cell(folder, name, place, *, seed=0, **changes):
    digest = write_picture(folder / "cells" / f"{name}.png", seed=seed)
    return {
        "name": name,
        "place": place,
        "status": "finished",
        "error": None,
        "picture": f"cells/{name}.png",
        "sha256": digest,
        "width": 96,
        "height": 64,
        "seconds": 12.34,
        "steps": 300,
        "settings": {"style_weight": 10.0, "style_layers": ["conv1", "fire2/concat"], "blend_weights": None},
        "losses": {"loss": 1.23456789, "style/conv1": 0.5},
        "command": f"python -m experiments.stylize --output='{name} again.png'",
        **changes,
    }


def make_manifest(folder):
    """Three weights by two styles by two presets; place [2, 1, 0] is missing. Cell 4 · weight + 2 · style + preset."""
    cells = []
    for weight in range(3):
        for style in range(2):
            for preset in range(2):
                index = len(cells)
                if (weight, style, preset) == (2, 1, 0):
                    continue
                settings = {"style_weight": float(WEIGHTS[weight]), "style": STYLES[style], "seed": 7, "none": None}
                place = [weight, style, preset]
                cells.append(make_cell(folder, f"{index:03d}_{STYLES[style]}", place, seed=index, settings=settings))
    return {
        "title": "Tübingen × 2 paintings",
        "axes": [
            {"name": "style_weight", "values": WEIGHTS},
            {"name": "style", "values": STYLES},
            {"name": "preset", "values": PRESETS},
        ],
        "rows": ["style"],
        "cols": ["style_weight"],
        "cells": cells,
        "versions": {"jax": "0.10.2"},
        "device": "abacus",
    }


def make_single(folder, **changes):
    """A sweep without axes."""
    cell = make_cell(folder, "only", [], **changes)
    return {"title": "One", "axes": [], "rows": [], "cols": [], "cells": [cell], "versions": {}, "device": "abacus"}


def data_of(path):
    """The data that a page holds, as a browser reads it."""
    (text,) = re.findall(r'<script type="application/json" id="manifest">(.*?)</script>', path.read_text("utf-8"))
    return json.loads(text)


def picture_of(cell):
    kind, data = re.fullmatch(r"data:image/(\w+);base64,(.*)", cell["image"]).groups()
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert image.format == kind.upper()
    return image
