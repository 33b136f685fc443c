"""Regions: which parts of a picture follow which parts of the style images, and which stay the content image's own.

A guide is a map of how much each pixel belongs to a region. Maps that people draw have a colour for each region, equal
ones in the content image and in the style images; without maps of these, regions take whole style images.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from PIL import Image

from nst_jax.errors import UserError
from nst_jax.io.region_maps import RegionMap, hexadecimal
from nst_jax.vocabulary import Colour


@dataclasses.dataclass(frozen=True, eq=False)
class Regions:
    """The regions of a picture and of its style images; equal only to itself, as it is a key by which things are kept.

    Attributes:
        content: `[H, W, R]` in [0, 1], how much each pixel of the content image belongs to each region.
        styles: for each style image `[H', W', R]`, likewise; zeros for a region that takes nothing of it.
        keep: `[H, W]` in [0, 1], how much of each pixel stays the content image's own; None for nothing.
        names: what regions are called in messages; their numbers, from 1, by default.
    """

    content: np.ndarray
    styles: tuple[np.ndarray, ...]
    keep: np.ndarray | None = None
    names: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """R, the number of regions that are painted."""
        return self.content.shape[-1]

    def name(self, region: int) -> str:
        """Returns what a region is called in messages."""
        return self.names[region] if self.names else str(region + 1)

    def at_scale(self, shape: tuple[int, int], style_shapes: Sequence[tuple[int, int]]) -> "Regions":
        """Returns the same regions for images of other heights and widths."""
        return Regions(
            resized(self.content, shape),
            tuple(resized(guide, size) for guide, size in zip(self.styles, style_shapes, strict=True)),
            None if self.keep is None else resized(self.keep[..., None], shape)[..., 0],
            self.names,
        )

    @property
    def has(self) -> np.ndarray:
        """Which style images each region takes something of, `[R, S]`."""
        return np.stack([guide.max(axis=(0, 1)) > 0 for guide in self.styles], axis=-1)

    def shares(self, blend: Sequence[float] | np.ndarray) -> np.ndarray:
        """Returns the share of each style image in each region, `[R, S]`: those of a blend, of the images that have it.

        Raises:
            UserError: a region has no style image with a share.
        """
        found = np.asarray(blend, np.float64) * self.has
        for region, each in enumerate(found):
            if not each.sum() > 0:
                raise UserError(
                    f"blend_weights: expected a style image with a share above 0 for region {self.name(region)}, found "
                    "none"
                )
        return found / found.sum(axis=1, keepdims=True)

    def put_back(self, picture: np.ndarray, content: np.ndarray, *, recoloured: bool = False) -> np.ndarray:
        """Returns a finished picture `[H, W, 3]` with the content image where all of a pixel is to stay.

        Args:
            picture: the picture, which has what is to stay of other pixels.
            content: the content image.
            recoloured: whether it has that in other colours, so that it is painted over.
        """
        if self.keep is None:
            return picture
        share = self.keep[..., np.newaxis]
        picture = share * content + (1 - share) * picture if recoloured else picture
        return np.where(share == 1, content, picture)

    @property
    def areas(self) -> np.ndarray:
        """The share of each region in the picture, `[R]`."""
        return self.content.mean(axis=(0, 1), dtype=np.float64)

    def check(self, content_shape: Sequence[int], style_shapes: Sequence[Sequence[int]]) -> None:
        """Checks that regions suit a content image and style images of these shapes.

        Raises:
            UserError: they do not.
        """
        named: Mapping[str, tuple[np.ndarray, Sequence[int]]] = {
            "content image": (self.content, content_shape),
            **{
                f"style image {number}": (guide, shape)
                for number, (guide, shape) in enumerate(zip(self.styles, style_shapes, strict=False), start=1)
            },
        }
        if len(self.styles) != len(style_shapes):
            raise UserError(
                f"regions: expected guides for each of {len(style_shapes)} style images, found {len(self.styles)}"
            )
        for name, (guide, shape) in named.items():
            if not isinstance(guide, np.ndarray):
                raise UserError(f"regions: expected a NumPy array for the {name}, found {type(guide).__name__}")
            if guide.ndim != 3 or not guide.shape[-1] or guide.shape != (*shape[:2], self.count):
                raise UserError(
                    f"regions: expected guides [{shape[0]}, {shape[1]}, {self.count}] for the {name}, found "
                    f"{list(guide.shape)}"
                )
            if not (guide.min() >= 0 and guide.max() <= 1):
                raise UserError(f"regions: expected guides in [0, 1] for the {name}, found others")
        if self.keep is not None and self.keep.shape != tuple(content_shape[:2]):
            raise UserError(
                f"regions: expected keep [{content_shape[0]}, {content_shape[1]}], found {list(self.keep.shape)}"
            )
        if self.keep is not None and not (self.keep.min() >= 0 and self.keep.max() <= 1):
            raise UserError("regions: expected keep in [0, 1], found others")
        if empty := [number for number, area in enumerate(self.areas, start=1) if not area > 0]:
            raise UserError(f"regions: expected some of the content image in each, found nothing in {empty}")


def kind_of(regions: Regions | None) -> tuple[int, bool]:
    """Returns what transfers of one compiled program have in common: the number of regions, and whether some stays."""
    return (0, False) if regions is None else (regions.count, regions.keep is not None)


def from_maps(
    content: RegionMap,
    styles: Sequence[RegionMap],
    content_shape: Sequence[int],
    style_shapes: Sequence[Sequence[int]],
    *,
    region_styles: Sequence[int] = (),
    keep: Sequence[Colour] = (),
) -> Regions | None:
    """Returns the regions that maps show, in the order in which the content image's map, read as a text is, has them.

    Args:
        content: the map of the content image.
        styles: those of the style images, whose equal colours belong together; without any, regions take whole images.
        content_shape: height and width of the content image in use; the map may have another size.
        style_shapes: likewise, of the style images.
        region_styles: without maps of the style images, the number, from 1, of the style image of each region that is
            painted; by default they take one after the other.
        keep: colours of regions that stay the content image's own.

    Returns:
        The regions; None if there is one alone, which is the whole picture.

    Raises:
        UserError: the maps do not suit the images or each other.
    """
    for each in (content, *styles):
        if not isinstance(each, RegionMap):
            raise UserError(
                f"maps: expected nst_jax.io.region_maps.RegionMap, as its read(path) makes them, found "
                f"{type(each).__name__}"
            )
    for region_map, shape, what in [
        (content, content_shape, "content image"),
        *((each, shape, "style image") for each, shape in zip(styles, style_shapes, strict=False)),
    ]:
        _check_proportions(region_map, shape, what)
    kept = {_named(content, colour) for colour in keep}
    painted = [region for region in range(len(content.colours)) if region not in kept]
    if not painted:
        raise UserError("keep: expected a part of the picture, found all of it; leave a region to be painted")
    if not kept and len(painted) == 1:
        return None
    if styles:
        guides = _of_equal_colours(content, styles, painted, style_shapes)
        if region_styles:
            raise UserError("region_styles: expected none with style_regions, whose colours say the same; choose one")
    else:
        guides = _of_whole_images(content, painted, region_styles, style_shapes)
    return Regions(
        np.stack([content.guide(region, content_shape) for region in painted], axis=-1),
        guides,
        np.sum([content.guide(region, content_shape) for region in kept], axis=0) if kept else None,
        tuple(hexadecimal(content.colours[region]) for region in painted),
    )


def _check_proportions(region_map: RegionMap, shape: Sequence[int], what: str) -> None:
    (high, wide), (height, width) = region_map.labels.shape, shape[:2]
    ratio = max(height, width) / max(high, wide)
    if max(abs(high * ratio - height), abs(wide * ratio - width)) > 1:
        raise UserError(
            f"{region_map.path}: expected a map with the proportions of the {what}, {width}×{height} px here, found "
            f"{wide}×{high} px; draw it on the image itself"
        )


def _named(content: RegionMap, colour: Colour) -> int:
    found = content.find(colour)
    if found is None:
        raise UserError(
            f"keep: expected a colour of {content.path}, {_listed(content, range(len(content.colours)))}, found "
            f"{hexadecimal(colour)}"
        )
    return found


def _listed(region_map: RegionMap, regions: Iterable[int]) -> str:
    """Returns regions with their colours and areas."""
    return ", ".join(
        f"{hexadecimal(region_map.colours[region])} ({region_map.areas[region]:.1%})" for region in regions
    )


def _of_equal_colours(
    content: RegionMap, styles: Sequence[RegionMap], painted: Sequence[int], shapes: Sequence[Sequence[int]]
) -> tuple[np.ndarray, ...]:
    """Returns the guides of the style images that have maps."""
    if len(styles) != len(shapes):
        raise UserError(f"style_regions: expected a map for each of {len(shapes)} style images, found {len(styles)}")
    guides, met = [], set()
    for style, (height, width, *_) in zip(styles, shapes, strict=True):
        places = [content.find(colour) for colour in style.colours]
        strange = [region for region, place in enumerate(places) if place is None]
        if strange:
            raise UserError(
                f"{style.path}: expected colours of {content.path}, {_listed(content, range(len(content.colours)))}, "
                f"found {_listed(style, strange)} as well; give equal regions equal colours"
            )
        guide = np.zeros((height, width, len(painted)), np.float32)
        for region, place in enumerate(places):
            if place in painted:
                guide[..., painted.index(place)] += style.guide(region, (height, width))
        guides.append(guide)
        met.update(places)
    if missing := [region for region in painted if region not in met]:
        raise UserError(
            f"style_regions: expected every colour of {content.path} in a map of a style image, found none of "
            f"{_listed(content, missing)}; draw it there too, or keep that part of a photo"
        )
    return tuple(np.clip(guide, 0, 1) for guide in guides)


def _of_whole_images(
    content: RegionMap, painted: Sequence[int], taken: Sequence[int], shapes: Sequence[Sequence[int]]
) -> tuple[np.ndarray, ...]:
    """Returns the guides of style images that are taken as a whole; a single region takes all of them."""
    count, listed = len(shapes), _listed(content, painted)
    if not taken and len(painted) not in (1, count):
        raise UserError(
            f"style: expected a style image for each of {len(painted)} regions, {listed}, found {count}; give as many, "
            "or region_styles, which say which is whose, or style_regions, maps of the style images"
        )
    if len(taken) not in (0, len(painted)):
        raise UserError(f"region_styles: expected one for each of {len(painted)} regions, {listed}, found {len(taken)}")
    if taken and set(taken) != set(range(1, count + 1)):
        raise UserError(
            f"region_styles: expected each of style images 1 to {count}, found {', '.join(map(str, taken))}"
        )
    has = np.ones((count, 1), np.float32)
    if len(painted) > 1:
        has = np.equal.outer(np.arange(1, count + 1), taken or np.arange(1, count + 1)).astype(np.float32)
    return tuple(np.tile(own, (*shape[:2], 1)) for own, shape in zip(has, shapes, strict=True))


def resized(guides: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Returns guides `[H, W, R]` for another height and width: each pixel has the mean of what it covers."""
    height, width = shape[:2]
    if guides.shape[:2] == (height, width):
        return guides
    each = [
        np.asarray(Image.fromarray(np.ascontiguousarray(guide)).resize((width, height), Image.Resampling.BOX))
        for guide in np.moveaxis(np.asarray(guides, np.float32), -1, 0)
    ]
    return np.clip(np.stack(each, axis=-1), 0, 1)
