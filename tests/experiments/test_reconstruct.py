"""Figure 1 of Gatys et al. 2015: what its cells are, what one command leaves, and the errors that it tells."""

import csv
import json

import jax
import numpy as np
import pytest

from experiments import reconstruct
from nst_jax.backbones import pretrained
from nst_jax.backbones.features import Features
from nst_jax.errors import UserError
from nst_jax.io import images

LAYERS = ("conv1", "fire3/concat")


def config(pictures, workdir, **changes):
    return reconstruct.Config(
        **{
            "content": str(pictures / "photo.png"),
            "style": str(pictures / "first.png"),
            "backbone": "squeezenet1_1",
            "layers": LAYERS,
            "size": 48,
            "steps": 2,
            "workdir": str(workdir),
            **changes,
        }
    )


def test_the_cells_are_those_of_the_paper():
    # arXiv:1508.06576, figure 1: content from conv1_1 (a) to conv5_1 (e), style from growing sets of the same.
    grid = reconstruct.make_grid(reconstruct.Config(backbone="vgg19"))
    paper = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
    assert grid.axes[1].labels == paper
    assert (grid.rows, grid.cols) == (("reconstruction",), ("layer",))
    for cell in grid.cells:
        (row, column), flags = cell.place, cell.flags
        assert flags.init == "noise"
        assert (flags.content_weight, flags.style_weight) == [(1, 0), (0, 1)][row]
        assert flags.content_layers == (paper[column],)
        assert flags.style_layers == paper[: column + 1]
        assert sum(flags.style_layer_weights * (column + 1)) == pytest.approx(1)


@pytest.fixture(scope="module")
def figure(pictures, tmp_path_factory):
    """What one command leaves."""
    return reconstruct.run(config(pictures, tmp_path_factory.mktemp("figure"))).workdir


def test_one_command_draws_it(figure):
    assert {"sheet.png", "errors.png", "errors.csv", "manifest.json", "index.html"} <= {
        path.name for path in figure.iterdir()
    }
    manifest = json.loads((figure / "manifest.json").read_text())
    assert [cell["status"] for cell in manifest["cells"]] == ["finished"] * 4


def test_the_errors_are_those_of_the_pictures(figure, pictures):
    # From the files as anybody could: they have 8 bits, hence the tolerance.
    manifest = json.loads((figure / "manifest.json").read_text())
    made = [images.read(figure / cell["picture"]).pixels for cell in manifest["cells"]]
    photograph = images.read(pictures / "photo.png", size=48).pixels
    painting = images.read(pictures / "first.png", size=48).pixels
    network = pretrained.load("squeezenet1_1")
    model = Features(network.backbone, "average", "reflect")
    features = jax.jit(lambda image: {layer: model.apply(network.params, image)[layer] for layer in LAYERS})

    def gram(values):
        flat = np.float64(values).reshape(-1, values.shape[-1])
        return flat.T @ flat / len(flat)

    def relative(found, wanted):
        return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)

    rows = list(csv.DictReader((figure / "errors.csv").read_text().splitlines()))
    assert [row["layer"] for row in rows] == list(LAYERS)
    content, style = features(photograph), features(painting)
    for index, (row, layer) in enumerate(zip(rows, LAYERS, strict=True)):
        pixels = np.sqrt(np.mean((made[index] - photograph) ** 2))
        assert float(row["content/pixels"]) == pytest.approx(pixels, rel=1e-5)
        found = relative(features(made[index])[layer], content[layer])
        assert float(row["content/features"]) == pytest.approx(found, rel=0.01)
        grams = features(made[len(LAYERS) + index])
        errors = [relative(gram(grams[name]), gram(style[name])) for name in LAYERS[: index + 1]]
        assert float(row["style/gram_matrices"]) == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=0.01)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((), "--layers: expected one or more, found none"),
        (
            ("conv1", "fire33/concat"),
            "unknown content layer of squeezenet1_1 'fire33/concat'; expected one of 86, such as: fire3/con",
        ),
        (("conv1", "conv1"), "style layers: expected each once, found conv1, conv1"),
    ],
)
def test_layers_that_there_are_not(layers, message, pictures, tmp_path):
    with pytest.raises(UserError, match=message):
        reconstruct.run(config(pictures, tmp_path / "run", layers=layers))
    assert not (tmp_path / "run").exists()
