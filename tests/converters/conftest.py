"""A network of two convolutions, its weights, and ways to spoil files."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import weight_writers
from hypothesis import strategies as st

from converters import convert
from nst_jax.backbones import pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.rows import Conv
from nst_jax.backbones.spec import CONVENTIONS, INPUT, Backbone, Provenance, parameter_shapes
from nst_jax.backbones.vgg import FAMILY
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
        family=FAMILY,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, backbone.name, backbone)
        yield backbone


@pytest.fixture
def installed(tmp_path, monkeypatch) -> Path:
    """The folder of installed weights, empty."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv(pretrained.FOLDER_VARIABLE, str(folder))
    return folder


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
def refusal(tiny) -> Callable[..., str | None]:
    """Converts a file with the tiny network; returns why it was refused, None if it was not."""

    def convert_or_explain(path: Path, output: Path, **options: str) -> str | None:
        try:
            convert.convert(path, tiny.name, output, **options)
        except UserError as error:
            return str(error)
        return None

    return convert_or_explain


@pytest.fixture(scope="session")
def random_for() -> Callable[[Mapping[str, tuple[int, ...]]], Arrays]:
    return random_arrays


@pytest.fixture(scope="session")
def write_legacy() -> Callable[..., Path]:
    return weight_writers.write_legacy


@pytest.fixture(scope="session")
def write_tfjs() -> Callable[..., Path]:
    return weight_writers.write_tfjs


@pytest.fixture(scope="session")
def mutations() -> Callable[[bytes], st.SearchStrategy[bytes]]:
    return _mutations


def random_arrays(shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    random = np.random.default_rng(1)
    return {name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}


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
