"""A network of two convolutions, its weights, and writers of the formats that no package at hand writes."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import strategies as st

from converters import convert
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import CONVENTIONS, INPUT, Backbone, Conv, Provenance, parameter_shapes
from nst_jax.errors import UserError

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def tiny() -> Iterator[Backbone]:
    """A backbone called `tiny`, known to the converters as long as the tests of a module run."""
    backbone = Backbone(
        name="tiny",
        rows=(Conv("conv1", INPUT, 2, kernel=3), Conv("conv2", "conv1", 5, kernel=1)),
        preprocess=CONVENTIONS["caffe"],
        provenance=Provenance(url="none", licence="none", citation="none"),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, backbone.name, backbone)
        yield backbone


@pytest.fixture(scope="module")
def tiny_arrays(tiny) -> Arrays:
    return random_arrays(parameter_shapes(tiny))


@pytest.fixture(scope="module")
def tiny_layers(tiny_arrays) -> dict[str, Arrays]:
    """The same, layer → kernel and bias."""
    layers: dict[str, Arrays] = {}
    for name, array in tiny_arrays.items():
        layer, _, role = name.rpartition("/")
        layers.setdefault(layer, {})[role] = array
    return layers


@pytest.fixture(scope="module")
def refusal(tiny) -> Callable[[Path, Path], str | None]:
    """Converts a file with the tiny network; returns why it was refused, None if it was not."""

    def convert_or_explain(path: Path, output: Path) -> str | None:
        try:
            convert.convert(path, tiny.name, output)
        except UserError as error:
            return str(error)
        return None

    return convert_or_explain


@pytest.fixture(scope="session")
def random_for() -> Callable[[Mapping[str, tuple[int, ...]]], Arrays]:
    return random_arrays


@pytest.fixture(scope="session")
def write_legacy() -> Callable[..., Path]:
    return _write_legacy


@pytest.fixture(scope="session")
def write_tfjs() -> Callable[..., Path]:
    return _write_tfjs


@pytest.fixture(scope="session")
def mutations() -> Callable[[bytes], st.SearchStrategy[bytes]]:
    return _mutations


def random_arrays(shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    random = np.random.default_rng(1)
    return {name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def _write_legacy(
    path: Path,
    layers: Mapping[str, Mapping[str, np.ndarray]],
    *,
    root: str = "/",
    attributes: Mapping[str, Any] | None = None,
    **options: Any,
) -> Path:
    """Writes a legacy Keras file: layer → name of the weight → values; `options` are those of the datasets."""
    with h5py.File(path, "w") as file:
        group = file.require_group(root)
        group.attrs["layer_names"] = [layer.encode() for layer in layers]
        group.attrs.update(attributes or {})
        for layer, weights in layers.items():
            group.create_group(layer).attrs["weight_names"] = [weight.encode() for weight in weights]
            for weight, values in weights.items():
                group[layer].create_dataset(weight, data=values, **options)
    return path


def _write_tfjs(
    folder: Path,
    groups: Sequence[Sequence[tuple[dict[str, Any], bytes]]],
    *,
    shard_size: int = 1 << 20,
    change: Callable[[dict[str, Any]], None] = lambda model: None,
) -> Path:
    """Writes a TensorFlow.js model: groups of (entry of the manifest, bytes); `change` may spoil the description."""
    manifest = []
    for number, group in enumerate(groups, start=1):
        data = b"".join(content for _, content in group)
        parts = [data[start : start + shard_size] for start in range(0, len(data), shard_size)]
        paths = [f"group{number}-shard{part}of{len(parts)}.bin" for part in range(1, len(parts) + 1)]
        for name, part in zip(paths, parts, strict=True):
            (folder / name).write_bytes(part)
        manifest.append({"paths": paths, "weights": [entry for entry, _ in group]})
    model = {"format": "layers-model", "generatedBy": "a test", "modelTopology": {}, "weightsManifest": manifest}
    change(model)
    (folder / "model.json").write_text(json.dumps(model))
    return folder


@st.composite
def _mutations(draw: st.DrawFn, data: bytes) -> bytes:
    """The data with some bytes changed, and perhaps cut off or with a piece of it in another place."""
    changed = bytearray(data)
    for position in draw(st.lists(st.integers(0, len(data) - 1), max_size=8)):
        changed[position] = draw(st.one_of(st.sampled_from([0, 1, 0x7F, 0xFF]), st.integers(0, 255)))
    match draw(st.sampled_from(["keep", "keep", "cut", "copy"])):
        case "cut":
            del changed[draw(st.integers(0, len(data))) :]
        case "copy":
            start, length, target = (draw(st.integers(0, len(data) - 1)) for _ in range(3))
            piece = changed[start : start + length % 64]
            changed[target : target + len(piece)] = piece
    return bytes(changed)
