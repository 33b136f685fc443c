"""The normalised network: unit means, and the output of the network as it was but for the scale."""

import dataclasses
import json
from pathlib import Path

import commands
import jax
import numpy as np
import pytest
import safetensors
import skimage.data

from converters import convert, normalize
from nst_jax.backbones import pretrained
from nst_jax.backbones.features import Features
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.rows import Conv, LocalResponseNorm, RowBase, Window
from nst_jax.backbones.spec import INPUT
from nst_jax.errors import UserError
from nst_jax.io import images
from nst_jax.io.files import sha256
from nst_jax.io.image_folder import list_pictures, read_squares

ROOT = Path(__file__).parents[2]
SIZE = 64


@pytest.fixture(autouse=True)
def home(installed):
    return installed


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Three pictures of different sizes, and files that are none."""
    folder = tmp_path_factory.mktemp("pictures")
    cat, person = skimage.data.chelsea(), skimage.data.astronaut()
    for index, pixels in enumerate([cat, person, person[:, 100:300]]):
        images.write(folder / f"{index}.png", images.Picture(np.float32(pixels / 255)))
    (folder / "README.md").write_text("no picture")
    (folder / ".DS_Store").write_bytes(b"no picture")
    (folder / "._0.png").write_bytes(b"no picture")  # as macOS leaves beside each file on other people's disks
    return folder


@pytest.fixture
def squeezenet(monkeypatch):
    """The embedded network as if it could be normalised: it has what VGG has not, concatenations."""
    backbone = BACKBONES["squeezenet1_1"]
    normalized = dataclasses.replace(backbone, name="squeezenet1_1_normalized")
    monkeypatch.setitem(BACKBONES, normalized.name, normalized)
    monkeypatch.setattr(normalize, "NORMALIZABLE", (backbone.name,))
    return normalized


def assert_unit(found, means):
    """Checks that mean activations are 1 where they were not 0.

    An activation is the rest of large terms that cancel: its error is that of the layer (float32, some hundred terms:
    1e-6 of the larger activations), so that a filter which is hardly ever active has a larger one relative to its mean.
    """
    active = means > 0
    assert active.sum() > len(means) / 4
    assert (np.abs(found - 1)[active] <= 1e-5 * (1 + means.max() / means[active])).all()


def squares(folder):
    return np.stack([pixels for _, pixels in read_squares(list_pictures(folder), SIZE)])


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_mean_activations_are_one_and_the_output_is_the_same(squeezenet, pictures, pooling):
    done = normalize.normalize("squeezenet1_1", pictures, size=SIZE, pooling=pooling)
    assert done.pictures == 3
    assert done.output == pretrained.find(squeezenet.name)
    before, after = pretrained.load("squeezenet1_1"), pretrained.load(squeezenet.name)
    apply = jax.jit(Features(squeezenet, pooling=pooling).apply)
    batch = squares(pictures)
    old, new = apply(before.params, batch), apply(after.params, batch)
    silent = 0
    for row in squeezenet.rows:
        if not isinstance(row, Conv):
            continue
        means = np.asarray(old[row.name], np.float64).mean(axis=(0, 1, 2))
        active = means > 0
        silent += int((~active).sum())
        assert_unit(np.asarray(new[row.name], np.float64).mean(axis=(0, 1, 2)), means)
        np.testing.assert_allclose(
            new[row.name] * np.where(active, means, 1), old[row.name], rtol=1e-3, atol=1e-4 * float(old[row.name].max())
        )
    assert silent == sum(done.silent.values())


def test_the_pictures_are_in_the_metadata(squeezenet, pictures, tmp_path):
    output = tmp_path / "out.safetensors"
    normalize.normalize("squeezenet1_1", pictures, output, size=SIZE)
    with safetensors.safe_open(output, "numpy") as file:
        (record,) = map(json.loads, file.metadata().values())
    assert record["pictures"] == sorted(sha256(pictures / f"{index}.png") for index in range(3))
    assert (record["pictures_size"], record["pictures_pooling"]) == (SIZE, "max")
    assert (record["backbone"], record["source_backbone"]) == (squeezenet.name, "squeezenet1_1")
    assert record["source_sha256"] == pretrained.load("squeezenet1_1").sha256
    first = output.read_bytes()
    normalize.normalize("squeezenet1_1", pictures, output, size=SIZE)
    assert output.read_bytes() == first


def test_what_is_transparent_is_measured_on_white_and_no_value_is_beyond_it(squeezenet, tmp_path, monkeypatch):
    """Stripes overshoot when they are scaled down; what is under full transparency is nobody's picture."""
    (tmp_path / "pictures").mkdir()
    stripes = np.float32(np.indices((100, 100)).sum(axis=0) // 7 % 2)[..., None].repeat(3, axis=-1)
    clear = images.Picture(np.zeros((SIZE, SIZE, 3), np.float32), np.zeros((SIZE, SIZE), np.float32))
    images.write(tmp_path / "pictures" / "clear.png", clear)
    images.write(tmp_path / "pictures" / "stripes.png", images.Picture(stripes))
    seen = []
    measure = normalize._means

    def see(params, image, **how):
        seen.append(image)
        return measure(params, image, **how)

    monkeypatch.setattr(normalize, "_means", see)
    normalize.normalize("squeezenet1_1", tmp_path / "pictures", tmp_path / "out.safetensors", size=SIZE)
    np.testing.assert_array_equal(seen[0], 1)
    assert seen[1].min() == 0
    assert seen[1].max() == 1


def test_vgg19_from_the_command_line(shared, pictures, home):
    convert.convert(shared / "weights/vgg19_tfjs", "vgg19")
    result = commands.run("normalize", f"--images={pictures}", f"--size={SIZE}")
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith(f"normalised vgg19 with 3 images, wrote {home / 'vgg19_normalized.safetensors'}\n")
    before, after = (
        normalize.mean_activations(pretrained.load(name), squares(pictures), pooling="max")
        for name in ("vgg19", "vgg19_normalized")
    )
    for layer, means in before.items():
        assert_unit(after[layer], means)


def test_rows_through_which_no_scale_goes():
    @dataclasses.dataclass(frozen=True)
    class Unknown(RowBase):
        inputs = (INPUT,)
        windows = (Window(), Window())

        def channels(self, *inputs):
            return sum(inputs)

    for row, error in ((LocalResponseNorm("norm", INPUT), UserError), (Unknown("unknown"), AssertionError)):
        backbone = dataclasses.replace(BACKBONES["vgg19"], rows=(row,))
        with pytest.raises(error, match=r"norm: expected layers whose channels can be resc|unreachable.*Unknown"):
            normalize.rescaled(pretrained.Pretrained(backbone, {"params": {}}, ""), {})


def test_what_cannot_be_used(squeezenet, pictures, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.jpg").write_bytes(b"no picture")
    for folder, message in {
        "empty": "expected pictures in the folder, found none",
        "missing": "expected a folder of pictures, found: No such file",
        "broken": "a.jpg: expected a whole picture",
    }.items():
        with pytest.raises(UserError, match=message):
            normalize.normalize("squeezenet1_1", tmp_path / folder)
    with pytest.raises(UserError, match="unknown backbone that can be normalised 'vgg16'"):
        normalize.normalize("vgg16", pictures)
    with pytest.raises(UserError, match="expected the folder"):
        normalize.normalize("squeezenet1_1", pictures, tmp_path / "missing" / "a.safetensors")
    assert pretrained.find(squeezenet.name) is None
