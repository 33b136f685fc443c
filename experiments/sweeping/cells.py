"""The cells of a grid, checked before anything is computed: their images, settings, and identity."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nst_jax import pyramid, stacking
from nst_jax.backbones.pretrained import Pretrained, load_for
from nst_jax.backbones.pretrained import resolve as resolve_name
from nst_jax.checks import check_canvas, check_regions, check_style, why_untiled
from nst_jax.errors import UserError
from nst_jax.free_memory import free_bytes
from nst_jax.io import images, region_maps
from nst_jax.io.files import sha256
from nst_jax.memory import decided, settled
from nst_jax.pyramid import Scale
from nst_jax.regions import Regions, kind_of
from nst_jax.settings import Settings

from ..cli.transfer_flags import (
    CONTENT,
    INIT,
    INIT_NETWORK,
    StyleImage,
    TransferFlags,
    describe,
    identity,
    inputs,
    is_style,
    resolve,
    style_images,
    styles,
)
from ..running.regions import account, regions_of, without_maps
from .grid import Grid, GridCell

_KEPT_PICTURES = 8
_MOST_PROBLEMS = 5


@dataclasses.dataclass(frozen=True)
class PreparedCell:
    """A cell that can be run, or the reason why it cannot.

    Attributes:
        grid: the cell in its grid.
        found_settings: its settings; None if it cannot be run.
        found_network: its backbone; None if it cannot be run.
        paths: its images, see `cli.transfer_flags.inputs`.
        scales: the scales of its picture, from coarse to fine.
        regions: its regions; None if it has none.
        identity: everything that its picture depends on; empty if it cannot be run.
        error: why it cannot be run; None if it can.
    """

    grid: GridCell
    found_settings: Settings | None = None
    found_network: Pretrained | None = None
    paths: dict[str, Path] = dataclasses.field(default_factory=dict)
    scales: tuple[Scale, ...] = ()
    regions: Regions | None = None
    identity: dict[str, Any] = dataclasses.field(default_factory=dict)
    error: str | None = None

    @property
    def name(self) -> str:
        """The name of its files."""
        return self.grid.name

    @property
    def settings(self) -> Settings:
        """The settings of a cell that can be run."""
        assert self.found_settings is not None, self.error
        return self.found_settings

    @property
    def pretrained(self) -> Pretrained:
        """The backbone of a cell that can be run."""
        assert self.found_network is not None, self.error
        return self.found_network

    @property
    def description(self) -> dict[str, Any]:
        """The description for its record."""
        return describe(self.paths, self.identity)

    @property
    def shape(self) -> tuple[int, int] | None:
        """`(H, W)` of its picture."""
        return self.scales[-1].shape if self.scales else None

    @property
    def chosen(self) -> dict[str, Any]:
        """The options that were chosen by the memory that was free, see `memory.settled`."""
        return decided(self.settings)

    @property
    def asked(self) -> dict[str, Any]:
        """The same options as they were asked for."""
        return {name: self.identity[name] for name in self.chosen}

    def choosing(self, chosen: Mapping[str, Any]) -> "PreparedCell":
        """Returns the cell with such options."""
        if chosen == self.chosen:
            return self
        return dataclasses.replace(self, found_settings=dataclasses.replace(self.settings, **chosen))

    @property
    def program(self) -> tuple[Any, ...]:
        """What all cells of one compiled program have in common, if they choose the same; wherever they are run."""
        return (
            self.identity["backbone"],
            self.shape,
            stacking.compiled_settings(dataclasses.replace(self.settings, **self.asked)),
            why_untiled(self.pretrained.backbone, self.settings),
            kind_of(self.regions),
        )


class Pictures:
    """Images and their hashes, each read once while it is in use, and regions, made once."""

    def __init__(self) -> None:
        self.read = functools.lru_cache(_KEPT_PICTURES)(self._read)
        self.sha256 = functools.cache(sha256)
        self.shape = functools.cache(self._shape)
        self.map = functools.cache(region_maps.read)
        self._regions: dict[Any, Regions | None] = {}

    @staticmethod
    def _read(path: Path, size: int | None) -> images.Picture:
        return images.read(path, size=size)

    def regions(
        self,
        flags: TransferFlags,
        paths: Mapping[str, Path],
        content: tuple[int, ...],
        shown: tuple[StyleImage, ...],
        style_shapes: Sequence[tuple[int, ...]],
    ) -> Regions | None:
        """Returns the regions of a cell with images of these shapes; the same for all that have the same maps."""
        maps = tuple(path for name, path in paths.items() if name not in without_maps(paths))
        key = maps, content, shown, tuple(style_shapes), flags.region_styles, flags.keep
        if key not in self._regions:
            self._regions[key] = found = regions_of(flags, paths, content, shown, style_shapes, self.map)
            for line in account(paths, found, content, read=self.map):
                print(line)
        return self._regions[key]

    def _shape(self, path: Path, size: int | None) -> tuple[int, int, int] | UserError:
        """Returns the shape of an image, or what is wrong with it: once, however many cells use it."""
        try:
            return self.read(path, size).pixels.shape
        except UserError as error:
            return error


def prepare(grid: Grid, pictures: Pictures, *, keep_going: bool) -> list[PreparedCell]:
    """Checks everything that the cells need; writes nothing.

    Args:
        grid: the cells.
        pictures: reads the images.
        keep_going: whether to leave out cells whose images or networks cannot be read or used, instead of raising.

    Raises:
        UserError: settings cannot be used, or images or networks cannot be read; the message has the first problems.
    """
    dreamt: dict[str, set[str]] = {}  # cells of one program share a network, with its head if one of them needs it
    for cell in grid.cells:
        dreamt.setdefault(resolve_name(cell.flags.backbone), set()).update(cell.flags.dream_layers or ())
    networks: dict[str, Pretrained | UserError] = {}
    for name, layers in dreamt.items():
        try:
            networks[name] = load_for(name, layers)
        except UserError as error:
            networks[name] = error
    free = free_bytes()  # once, as cells of one program have the same tiles
    cells = []
    for cell in grid.cells:
        network = networks[resolve_name(cell.flags.backbone)]
        try:
            if isinstance(network, UserError):
                raise network
            cells.append(_prepare(cell, pictures, network, free))
        except UserError as error:
            if not keep_going:
                raise
            cells.append(PreparedCell(cell, error=str(error)))
    problems = list(dict.fromkeys(cell.error for cell in cells if cell.error is not None))
    if problems and not (keep_going and any(cell.error is None for cell in cells)):
        more = f"; and {len(problems) - _MOST_PROBLEMS} more" if len(problems) > _MOST_PROBLEMS else ""
        advice = "" if keep_going else "; --keep_going leaves out the cells that need them"
        raise UserError("; ".join(problems[:_MOST_PROBLEMS]) + more + advice)
    return cells


def _prepare(cell: GridCell, pictures: Pictures, pretrained: Pretrained, free: int | None) -> PreparedCell:
    flags = dataclasses.replace(cell.flags, backbone=pretrained.backbone.name)
    cell = dataclasses.replace(cell, flags=flags)
    settings = resolve(flags, pretrained.backbone.name)
    paths = inputs(flags)
    shown = dict(zip(filter(is_style, paths), style_images(flags, styles(paths)), strict=True))
    shapes = {}
    for name, path in without_maps(paths).items():
        if name == INIT_NETWORK:
            continue
        size = shown[name].size if name in shown else {CONTENT: flags.size, INIT: None}[name]
        shape = pictures.shape(path, size)
        if isinstance(shape, UserError):
            return PreparedCell(cell, error=str(shape))
        shapes[name] = shown[name].shape(shape) if name in shown else shape
    # Found now, and not after hours of other cells.
    height, width, _ = shapes[CONTENT]
    check_canvas(pretrained.backbone, settings, height, width)
    style_shapes = [shapes[name] for name in shown]
    try:
        regions = pictures.regions(flags, paths, shapes[CONTENT], tuple(shown.values()), style_shapes)
    except UserError as error:
        return PreparedCell(cell, error=str(error))
    if regions is None:
        paths = without_maps(paths)
    check_regions(settings, regions, shapes[CONTENT], style_shapes)
    check_style(pretrained.backbone, settings, style_shapes)
    scales = pyramid.scales_of(pretrained.backbone, settings, (height, width), style_shapes)
    settings, asked = pyramid.resolved(settings, scales), decided(settings)
    settings = settled(settings, pretrained.backbone, [(height, width), *style_shapes], free, fewer_pairs=False)
    digests = {name: pictures.sha256(path) for name, path in paths.items()}
    about = {**identity(flags, dataclasses.replace(settings, **asked), pretrained, digests), "steps": settings.steps}
    return PreparedCell(cell, settings, pretrained, paths, scales, regions, about)


def groups(cells: Sequence[PreparedCell]) -> list[list[PreparedCell]]:
    """Groups cells by compiled program, in the order of the first of each; within a group, by content image."""
    found: dict[tuple[Any, ...], list[PreparedCell]] = {}
    for cell in cells:
        if cell.error is None:
            found.setdefault(cell.program, []).append(cell)
    return [sorted(group, key=lambda cell: cell.identity["content_sha256"]) for group in found.values()]
