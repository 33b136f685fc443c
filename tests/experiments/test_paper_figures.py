"""Figure 3 of Gatys et al. 2015: what its cells are, and that one command draws it."""

import json

import pytest

from experiments import paper_figures
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import layers
from nst_jax.errors import UserError

# arXiv:1508.06576, figure 3 and its methods.
ROWS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
RATIOS = (1e-5, 1e-4, 1e-3, 1e-2)


def test_the_cells_are_those_of_the_paper():
    grid = paper_figures.make_grid(paper_figures.Config(backbone="vgg19"))
    assert len(grid.cells) == 20
    for cell in grid.cells:
        row, column = cell.place
        flags = cell.flags
        assert flags.style_layers == ROWS[: row + 1]
        assert sum(flags.style_layer_weights * len(flags.style_layers)) == pytest.approx(1)
        assert flags.content_weight / flags.style_weight == pytest.approx(RATIOS[column])
        assert (flags.preset, flags.init, flags.size, flags.scales) == ("gatys", "noise", 256, (0,))
    assert grid.axes[0].labels == ("A  conv1_1", "B  conv2_1", "C  conv3_1", "D  conv4_1", "E  conv5_1")
    assert grid.axes[1].labels == ("10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²")
    assert (grid.rows, grid.cols) == (("style layers up to",), ("α/β",))


def test_other_scales():
    grid = paper_figures.make_grid(paper_figures.Config(backbone="squeezenet1_1", scales=(128, 256)))
    assert {cell.flags.scales for cell in grid.cells} == {(128, 256)}


def test_other_ratios():
    grid = paper_figures.make_grid(paper_figures.Config(backbone="squeezenet1_1", ratios=(2.5e-7, 1.0, 100.0)))
    assert grid.axes[1].labels == ("2.5e-07", "10⁰", "10²")
    assert [cell.flags.style_weight for cell in grid.cells[:3]] == pytest.approx([4e6, 1, 0.01])
    with pytest.raises(UserError, match="--ratios: expected 1e-30 or more, found 0"):
        paper_figures.Config(ratios=(1.0, 0.0))


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_every_backbone_has_its_layers(backbone, monkeypatch):
    monkeypatch.setattr(paper_figures.pretrained, "resolve", lambda name: name)
    grid = paper_figures.make_grid(paper_figures.Config(backbone=backbone))
    assert set(grid.cells[-1].flags.style_layers) <= set(layers(BACKBONES[backbone]))


def test_one_command_draws_it(tmp_path, count_compilations):
    with count_compilations() as compiled:
        outcome = paper_figures.run(
            paper_figures.Config(backbone="squeezenet1_1", size=48, steps=1, workdir=str(tmp_path))
        )
    assert outcome.finished == 20
    assert sum("chunk" in name for name in compiled) == 1
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    first, last = manifest["cells"][0], manifest["cells"][-1]
    assert first["name"] == "000_style-layers-up-to=A-conv1_α-β=10-3"
    assert list(last["settings"]["style_layers"]) == [
        *("conv1", "fire2/concat", "fire4/concat", "fire6/concat", "fire8/concat")
    ]
    assert (tmp_path / "sheet.png").exists()


def test_no_ratios_are_refused():
    with pytest.raises(UserError, match="--ratios: expected one or more, found none"):
        paper_figures.make_grid(paper_figures.Config(ratios=()))
