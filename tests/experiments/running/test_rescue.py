"""A picture that cannot be written where it is wanted lands in the folder of the run."""

import pytest

from experiments.running.rescue import SavedElsewhereError, write_or_rescue
from nst_jax.errors import UserError


def writer(full):
    def write(path):
        if path.parent == full:
            raise UserError(f"{path}: cannot be written (No space left on device)")
        path.write_text("picture")

    return write


def test_a_full_disk_does_not_cost_the_picture(tmp_path):
    full, workdir = tmp_path / "full", tmp_path / "run"
    full.mkdir()
    workdir.mkdir()
    (workdir / "picture.tif").write_text("of an earlier run")
    for spare in ("picture2.tif", "picture3.tif"):
        with pytest.raises(SavedElsewhereError, match=r"full.out.tif: cannot be written .*; the picture is saved as "):
            write_or_rescue(full / "out.tif", workdir, writer(full))
        assert (workdir / spare).read_text() == "picture"
    assert (workdir / "picture.tif").read_text() == "of an earlier run"
    write_or_rescue(workdir / "out.tif", workdir, writer(full))
    assert (workdir / "out.tif").read_text() == "picture"


def test_where_nothing_has_room_the_error_is_the_first(tmp_path):
    def write(path):
        raise UserError(f"{path}: no room")

    for workdir in (tmp_path / "run", tmp_path):
        with pytest.raises(UserError, match=r"out\.png: no room$") as caught:
            write_or_rescue(tmp_path / "out.png", workdir, write)
        assert not isinstance(caught.value, SavedElsewhereError)


def test_what_is_saved_elsewhere_is_called_what_it_is(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(SavedElsewhereError, match=r"the network is saved as .*network\.safetensors"):
        write_or_rescue(
            tmp_path / "full" / "a.safetensors", tmp_path / "run", writer(tmp_path / "full"), what="network"
        )
