"""What the scripts compute in their first steps, as they leave it on disk: name → numbers.

Everything goes through the scripts' `Config` and `run` and the files they write, so that whatever changes within, the
numbers can still be asked for. Pictures are read with Pillow, for the same reason.

A number's name begins with what it is: `loss` (of losses.csv, cells/*.csv or a JSON record; compared by ratio) or
`pixels` (of a PNG, in levels of 0 to 255; compared by difference).
"""

import contextlib
import csv
import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from experiments import (
    blend,
    dream,
    fit,
    paper_figures,
    quilting,
    reconstruct,
    signal_texture,
    stylize,
    sweep,
    texture,
    visualize,
)
from experiments.cli import samples

Numbers = dict[str, list[float]]
Case = Callable[[Path], Numbers]
"""Runs a script in a new folder, in which `make_pictures` has been, and returns what it computed."""

LOSS, PIXELS = "loss", "pixels"
STEPS = 10
SIZE = 48
_POINTS = 2  # along each side of a picture, whose pixels are recorded

_NETWORK = {"backbone": "squeezenet1_1"}
_FEW_LAYERS = {"content_layers": ("fire3/concat",), "style_layers": ("conv1", "fire4/concat")}
"""For presets that name layers of VGG networks, and for what has nothing to do with layers: the fewer, the sooner is it
compiled."""
_LAYERS_OF_PRESET = {"content_layers": None, "style_layers": None}


def make_pictures(folder: Path) -> None:
    """Writes the pictures that all cases read: means of blocks of the samples, larger than what is painted."""
    photograph = _pixels(samples.content_image())
    flow, woodblock = map(_pixels, samples.two_style_images())
    for name, pixels in {
        "photo": photograph[:384],
        "second_photo": photograph[128:, ::-1],
        "painting": flow[:512],
        "second_painting": woodblock[:512, :512],
    }.items():
        height, width, _ = pixels.shape
        means = pixels.reshape(height // 4, 4, width // 4, 4, 3).astype(np.uint32).sum(axis=(1, 3)) // 16
        Image.fromarray(means.astype(np.uint8)).save(folder / f"{name}.png")


def run_stylize(folder: Path, *, workdir: str = "run", **changes: Any) -> Numbers:
    """Paints one picture."""
    given = {**_pair(folder), **_NETWORK, **_FEW_LAYERS, "size": SIZE, "steps": STEPS, "save_every": 0}
    stylize.run(stylize.Config(**{**given, **changes}, workdir=str(folder / workdir)))
    return {**losses(folder / workdir / "losses.csv"), **picture(folder / workdir / "picture.png")}


def run_sweep(folder: Path, *, workdir: str = "run") -> Numbers:
    """Paints a grid of 32 cells in two programs, with everything varied that one program may have varied."""
    config = sweep.Config(
        contents=(str(folder / "photo.png"), str(folder / "second_photo.png")),
        styles=(str(folder / "painting.png"), str(folder / "second_painting.png")),
        backbone=("squeezenet1_1",),
        size=(SIZE,),
        steps=(STEPS,),
        optimizer=("adam", "lbfgs"),
        style_layers=(("conv1", "fire4/concat"), ("fire2/concat", "fire3/concat", "fire5/concat")),
        content_layers=(("fire3/concat",),),
        style_weight=(20.0, 200.0),
        save_every=4,
        cells_per_batch=8,
        workdir=str(folder / workdir),
    )
    sweep.run(config)
    return cells(folder / workdir)


def run_dream(folder: Path, *, octaves: int = 2, frames: int = 1, **changes: Any) -> Numbers:
    """Dreams octave by octave, and the first frames of the zoom into them."""
    given = {"content": str(folder / "photo.png"), **_NETWORK, "layers": ("fire2/concat", "fire4/concat"), "size": 64}
    given |= {"octaves": octaves, "steps": 3, "frames": frames}
    dream.run(dream.Config(**given, **changes, workdir=str(folder / "run")))
    names = [f"octave{index + 1}" for index in range(octaves)] + [f"frame{index:05d}" for index in range(1, frames + 1)]
    return {f"{key}/{name}": of for name in names for key, of in picture(folder / "run" / f"{name}.png").items()}


def run_texture(folder: Path, **changes: Any) -> Numbers:
    """Paints two textures."""
    given = {"style": str(folder / "painting.png"), **_NETWORK, "size": SIZE, "seeds": (0, 1), "steps": STEPS}
    given["style_layers"] = _FEW_LAYERS["style_layers"]
    texture.run(texture.Config(**given, **changes, workdir=str(folder / "run")))
    return cells(folder / "run")


def run_reconstruct(folder: Path) -> Numbers:
    """Paints what two layers know; errors.csv has how wrong that is."""
    given = {**_pair(folder), **_NETWORK, "size": SIZE, "steps": STEPS, "layers": ("conv1", "fire4/concat")}
    reconstruct.run(reconstruct.Config(**given, workdir=str(folder / "run")))
    return cells(folder / "run")


def run_fit(folder: Path) -> Numbers:
    """Teaches a perceptron a picture."""
    fit.run(fit.Config(content=str(folder / "photo.png"), size=SIZE, steps=STEPS, workdir=str(folder / "run")))
    record = json.loads((folder / "run" / "run.json").read_text())
    return {f"{LOSS}/error": [record["error"]], **picture(folder / "run" / "picture.png")}


def run_signal_texture(folder: Path) -> Numbers:
    """Synthesises two signals."""
    small = {"samples": 1024, "seeds": 2, "filters": 8, "filter_size": 8, "scales": 3, "steps": STEPS}
    signal_texture.run(signal_texture.Config(**small, workdir=str(folder / "run")))
    record = json.loads((folder / "run" / "settings.json").read_text())
    return {f"{LOSS}/{when}": _short(values) for when, values in record["losses"].items()}


def run_quilting(folder: Path, **changes: Any) -> Numbers:
    """Makes a quilt, and measures it and the neural picture, or makes more of a painting."""
    given = {**_pair(folder), **_NETWORK, **_FEW_LAYERS, "size": 64, "steps": STEPS}
    quilting.run(quilting.Config(**given, **changes, workdir=str(folder / "run")))
    record = json.loads((folder / "run" / "quilting.json").read_text())
    found = {
        f"{LOSS}/{name}/{term}": _short([value])
        for name, terms in record.get("losses", {}).items()
        for term, value in terms.items()
    }
    for path in sorted((folder / "run").glob("*.png")):
        if path.stem != "sheet":
            found |= {f"{key}/{path.stem}": of for key, of in picture(path).items()}
    return found


def run_paper_figures(folder: Path) -> Numbers:
    """Paints the twenty cells of the figure, two steps each."""
    given = {**_pair(folder), **_NETWORK, "size": SIZE, "steps": 2}
    paper_figures.run(paper_figures.Config(**given, workdir=str(folder / "run")))
    return cells(folder / "run")


def run_blend(folder: Path) -> Numbers:
    """Goes from one painting to another by way of one picture."""
    given = {**_pair(folder), "style": _both_paintings(folder), **_NETWORK, **_FEW_LAYERS, "size": SIZE, "steps": STEPS}
    blend.run(blend.Config(**given, blend_steps=3, workdir=str(folder / "run")))
    return cells(folder / "run")


def run_visualize(folder: Path) -> Numbers:
    """Paints what excites two classes."""
    given = {"classes": ("banana", "ant"), **_NETWORK}
    visualize.run(visualize.Config(**given, size=64, steps=STEPS, workdir=str(folder / "run")))
    return cells(folder / "run")


_STYLIZE: dict[str, dict[str, Any]] = {
    **{f"preset_{name}": {"preset": name} for name in ("gatys", "neural_style", "ng", "vgg", "gatys_highres", "spst")},
    "preset_crowson": {"preset": "crowson", "style_layer_weights": (0.8, 0.2)},
    "preset_nnst": {
        "preset": "nnst",
        "content_layers": (),
        "scales": (32, 48),
        "scale_steps": (4,),
        "finish_steps": 4,
    },
    "preset_squeezenet": {"preset": "squeezenet", **_LAYERS_OF_PRESET},
    "scales": {"scales": (32, 48), "scale_steps": (5, 5)},
    "adam_pixels": {"optimizer": "adam", "parameterization": "pixels"},
    "adam_fourier": {"optimizer": "adam", "parameterization": "fourier"},
    "adam_coordinates": {"optimizer": "adam", "parameterization": "coordinates", "init": "noise"},
    "dream_layers": {"dream_layers": ("fire4/expand3x3",), "dream_weight": 5.0},
    "dream_channels": {
        "dream_layers": ("fire4/squeeze1x1",),
        "dream_channels": (3, 17),
        "dream_channel_weights": (1.0, -0.5),
        "dream_objective": "channel",
        "optimizer": "gradient",
    },
    "remat": {"remat": True, "optimizer": "adam"},
    "bfloat16": {"precision": "bfloat16", "optimizer": "adam"},
    "circular": {"padding": "circular", "margin": 0, "variation_loss": "circular_squared_variation", "size": 64},
    "moved": {
        "content_layers": (),
        "optimizer": "adam",
        "jitter": 4,
        "random_scale": 0.1,
        "random_rotate": 10.0,
    },
}


def _two_paintings(folder: Path, **changes: Any) -> Numbers:
    return run_stylize(folder, style=_both_paintings(folder), **changes)


def _guided_dream(folder: Path) -> Numbers:
    return run_dream(folder, octaves=1, frames=0, guide=str(folder / "painting.png"))


CASES: dict[str, Case] = {
    **{f"stylize/{name}": functools.partial(run_stylize, **changes) for name, changes in _STYLIZE.items()},
    "stylize/blended_losses": functools.partial(_two_paintings, blending="losses"),
    "stylize/blended_targets": functools.partial(
        _two_paintings, blending="targets", blend_weights=(0.25, 0.75), style_size=(56,)
    ),
    "sweep": run_sweep,
    "dream": run_dream,
    "dream/guided": _guided_dream,
    "texture": run_texture,
    "texture/tileable": functools.partial(run_texture, tileable=True),
    "reconstruct": run_reconstruct,
    "fit": run_fit,
    "signal_texture": run_signal_texture,
    "quilting": functools.partial(run_quilting, patch=8, iterations=2),
    "quilting/texture": functools.partial(run_quilting, mode="texture"),
    "paper_figures": run_paper_figures,
    "blend": run_blend,
    "visualize": run_visualize,
}

VGG_CASES: dict[str, Case] = {
    f"vgg19/{name}": functools.partial(run_stylize, preset=name, backbone="vgg19", size=64, **_LAYERS_OF_PRESET)
    for name in ("gatys", "neural_style", "ng", "vgg")
}
"""Those that need the weights of VGG-19, in the folder of installed ones."""


def losses(path: Path) -> Numbers:
    """Returns what a losses.csv says: of each column the values from step 0 on."""
    rows = list(csv.DictReader(path.read_text().splitlines()))
    return {
        f"{LOSS}/{name}": _short([float(row[name]) for row in rows]) for name in rows[0] if name not in (LOSS, "step")
    } | {f"{LOSS}/{LOSS}": _short([float(row[LOSS]) for row in rows])}


def picture(path: Path) -> Numbers:
    """Returns mean and deviation of each channel of a picture, and some of its pixels."""
    pixels = _pixels(path)
    height, width, _ = pixels.shape
    rows, columns = ((np.arange(_POINTS) * 2 + 1) * side // (2 * _POINTS) for side in (height, width))
    return {
        f"{PIXELS}/mean": pixels.mean(axis=(0, 1)).round(4).tolist(),
        f"{PIXELS}/deviation": pixels.std(axis=(0, 1)).round(4).tolist(),
        f"{PIXELS}/some": pixels[np.ix_(rows, columns)].ravel().tolist(),
    }


def cells(workdir: Path) -> Numbers:
    """Returns the losses and pictures of all cells of a sweep."""
    found: Numbers = {}
    for path in sorted((workdir / "cells").glob("*.csv")):
        for key, values in {**losses(path), **picture(path.with_suffix(".png"))}.items():
            kind, name = key.split("/", 1)
            found[f"{kind}/{path.stem}/{name}"] = values
    return found


class Killed(BaseException):
    """A process that ends here and now; nothing may catch it."""


@contextlib.contextmanager
def killed_at_checkpoint(count: int) -> Iterator[None]:
    """A context that is left as a killed process leaves it, when so many checkpoints are on the disk.

    Raises:
        AssertionError: it came to its end.
    """
    replace, written = os.replace, 0

    def replace_and_die(source: Any, target: Any, **options: Any) -> None:
        nonlocal written
        replace(source, target, **options)
        if "checkpoints" in Path(target).parent.parts:
            written += 1
            if written == count:
                raise Killed

    os.replace = replace_and_die
    try:
        yield
    except Killed:
        return
    finally:
        os.replace = replace
    raise AssertionError(f"expected {count} checkpoints, found {written} at the end of the run")


def _pair(folder: Path) -> Mapping[str, str]:
    return {"content": str(folder / "photo.png"), "style": str(folder / "painting.png")}


def _both_paintings(folder: Path) -> str:
    return f"{folder / 'painting.png'},{folder / 'second_painting.png'}"


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _short(values: list[float]) -> list[float]:
    """Returns the shortest decimals that stand for the same single-precision numbers."""
    return [float(str(np.float32(value))) if float(np.float32(value)) == value else value for value in values]
