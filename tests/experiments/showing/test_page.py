"""The page of a sweep, as a file."""

import copy
import re

import numpy as np
import pytest
from pages import HOSTILE, SHOWN, data_of, make_manifest, make_single, picture_of, write_picture
from PIL import Image

from experiments.showing import page
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick


def test_the_page_holds_the_manifest_and_its_pictures(tmp_path):
    manifest = make_manifest(tmp_path)
    before = copy.deepcopy(manifest)
    page.write_page(tmp_path / "index.html", manifest)
    assert manifest == before
    held = data_of(tmp_path / "index.html")
    assert held.keys() == manifest.keys() | {"plots", "table"}
    for cell, given in zip(held["cells"], manifest["cells"], strict=True):
        assert given.items() <= cell.items()
        assert cell["link"] == f"./{given['picture']}"
        with Image.open(tmp_path / given["picture"]) as original:
            difference = np.asarray(picture_of(cell), float) - np.asarray(original, float)
        assert np.sqrt(np.mean(difference**2)) < 12  # of 255, for noise, the hardest; 70 between unlike pictures
    assert list(tmp_path.glob(".*")) == []


def test_colours_keep_their_resolution(tmp_path):
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2, 0] = stripes[:, 1::2, 2] = 255  # red and blue, a pixel wide: 4:2:0 makes them one purple
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    page.write_page(tmp_path / "index.html", make_single(tmp_path, picture="stripes.png", sha256=None))
    held = np.asarray(picture_of(data_of(tmp_path / "index.html")["cells"][0]), int)
    assert (held[:, ::2, 0] - held[:, 1::2, 0]).min() > 150


def test_large_pictures_are_held_smaller_and_transparent_ones_stay_so(tmp_path):
    write_picture(tmp_path / "large.png", seed=0, shape=(300, 2000, 4))
    changes = {"picture": "large.png", "sha256": None, "width": None, "height": None}
    page.write_page(tmp_path / "index.html", make_single(tmp_path, **changes))
    (cell,) = data_of(tmp_path / "index.html")["cells"]
    assert (cell["width"], cell["height"], cell["side"]) == (2000, 300, 1024)
    assert picture_of(cell).size == (1024, 154)
    assert picture_of(cell).mode == "RGBA"


def test_many_pictures_share_the_room(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "_MOST_PIXELS", 2 * 48 * 48)
    manifest = make_single(tmp_path)
    manifest["cells"] *= 2
    page.write_page(tmp_path / "index.html", manifest)
    assert [picture_of(cell).size for cell in data_of(tmp_path / "index.html")["cells"]] == [(48, 32)] * 2


def test_a_sweep_without_cells(tmp_path):
    page.write_page(tmp_path / "index.html", {**make_single(tmp_path), "cells": []})
    assert data_of(tmp_path / "index.html")["cells"] == []


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n")])
@pytest.mark.parametrize("sha256", ["0" * 64, None])
def test_a_picture_that_cannot_be_read_is_said_and_costs_only_itself(tmp_path, damage, sha256):
    manifest = make_manifest(tmp_path)
    for index, status in enumerate(["finished", "unfinished", "failed"]):
        manifest["cells"][index] |= {"status": status, "error": "diverged", "sha256": sha256}
        damage(tmp_path / manifest["cells"][index]["picture"])
    page.write_page(tmp_path / "index.html", manifest)
    cells = data_of(tmp_path / "index.html")["cells"]
    assert [cell["status"] for cell in cells[:4]] == ["failed", "unfinished", "failed", "finished"]
    assert [cell["image"] for cell in cells[:3]] == [None] * 3
    assert "cells/000_starry_night.png" in cells[0]["error"]
    assert cells[2]["error"] == "diverged"
    assert picture_of(cells[3])
    assert str(tmp_path) not in (tmp_path / "index.html").read_text("utf-8")  # the page will be passed on


def test_what_was_encoded_is_not_encoded_again(tmp_path, monkeypatch):
    manifest = make_manifest(tmp_path)
    read = []
    original = page.images.read
    monkeypatch.setattr(page.images, "read", lambda path: (read.append(path.name), original(path))[1])
    page.write_page(tmp_path / "index.html", manifest)
    assert len(read) == len(manifest["cells"])
    page.write_page(tmp_path / "index.html", manifest)
    assert len(read) == len(manifest["cells"])
    changed = manifest["cells"][3]
    changed["sha256"] = write_picture(tmp_path / changed["picture"], seed=99)
    page.write_page(tmp_path / "index.html", manifest)
    assert read[len(manifest["cells"]) :] == ["003_scream.png"]
    assert page._encode.cache_info().maxsize is not None


def test_the_page_is_written_whole_or_not_at_all(tmp_path, full_disk):
    path = tmp_path / "index.html"
    manifest = make_single(tmp_path)
    page.write_page(path, manifest)
    whole = path.read_bytes()

    with full_disk(), pytest.raises(UserError, match="cannot be written"):
        page.write_page(path, {**manifest, "title": "Another"})
    assert path.read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["index.html"]


def test_no_text_can_end_the_data_and_no_number_breaks_it(tmp_path):
    losses = {"loss": float("nan"), "style": float("-inf")}
    manifest = make_single(tmp_path, losses=losses, settings={HOSTILE: HOSTILE}, error=HOSTILE, command=HOSTILE)
    manifest |= {"title": HOSTILE, "axes": [{"name": HOSTILE, "values": [HOSTILE]}], "versions": {HOSTILE: HOSTILE}}
    page.write_page(tmp_path / "index.html", manifest)
    held = data_of(tmp_path / "index.html")
    assert held["cells"][0]["losses"] == {"loss": "NaN", "style": "-Infinity"}
    assert held["cells"][0]["settings"] == {SHOWN: SHOWN}
    assert held["title"] == SHOWN
    template = (page.importlib.resources.files("experiments.showing") / "page.html").read_text("utf-8")
    assert (tmp_path / "index.html").read_text("utf-8").count("<") == template.count("<")


def test_no_outside_address_is_in_the_page(tmp_path):
    page.write_page(tmp_path / "index.html", make_manifest(tmp_path))
    text = re.sub(r'data:image/jpeg;base64,[^"]+', "", (tmp_path / "index.html").read_text("utf-8"))
    assert "//" not in re.sub(r"(^|\s)// [^\n]*", "", text)  # an address has it, scheme or not
    assert not re.search(r"(src|href|srcset|action|ping)\s*=\s*[\"'](?!data:)", text)
    assert not re.search(r"@import|url\(|importScripts|import\(|fetch\(|XMLHttp|WebSocket|EventSource|sendBeacon", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(", text)
