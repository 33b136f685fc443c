import zipfile

import pytest
import weight_writers

from converters.formats import keras_archive
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick


def archive(path, **members):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name.replace("_", "."), content)
    return path


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"model_weights_npz": b"x"}, "found model.weights.npz, which is a pickle; save it as .weights.h5"),
        ({"config_json": b"{}"}, "expected model.weights.h5 in the archive, found config.json"),
        ({"model_weights_h5": b"x"}, "expected an intact HDF5 file"),
        ({"model_weights_h5": b""}, "expected an intact HDF5 file"),
    ],
    ids=str,
)
def test_unusable_archives(tmp_path, members, message):
    with pytest.raises(UserError, match=message):
        keras_archive.read(archive(tmp_path / "a.keras", **members))


@pytest.mark.parametrize("metadata", [b"", b"[]", b"{}", b'{"keras_version": "3\n"}', b"[" * 100_000])
def test_an_archive_with_strange_metadata(tmp_path, random_for, metadata):
    arrays = random_for({"conv1/kernel": (3, 3, 3, 2), "conv1/bias": (2,)})
    weights = weight_writers.write_numbered(tmp_path / "a.weights.h5", arrays).read_bytes()
    path = archive(tmp_path / "a.keras", metadata_json=metadata, model_weights_h5=weights)
    assert keras_archive.read(path)[0].keys() == arrays.keys()


def test_a_damaged_archive(tmp_path, random_for):
    arrays = random_for({"conv1/kernel": (3, 3, 3, 2), "conv1/bias": (2,)})
    path = weight_writers.write_keras_archive(tmp_path / "a.keras", arrays)
    path.write_bytes(path.read_bytes().replace(arrays["conv1/bias"].tobytes(), bytes(8)))
    with pytest.raises(UserError, match="CRC"):
        keras_archive.read(path)
