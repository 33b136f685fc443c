"""The images that scripts use if none are given."""

from pathlib import Path
from typing import Any

import skimage

STYLES = Path(__file__).parents[1] / "samples"


def content_image() -> Path:
    """Returns a photograph in the public domain that scikit-image ships: Eileen Collins, by NASA."""
    return Path(skimage.__file__).parent / "data" / "astronaut.png"


def style_image() -> Path:
    """Returns an image that `experiments.make_styles` painted."""
    return STYLES / "flow.jpg"


def doodle() -> dict[str, Any]:
    """Returns a doodle, a style image and its map, by the names of their flags."""
    return {
        "regions": str(STYLES / "doodle.png"),
        "style": str(STYLES / "woodblock.jpg"),
        "style_regions": (str(STYLES / "woodblock_regions.png"),),
    }


def style_images() -> list[Path]:
    """Returns all of them, the one that is used alone first."""
    return sorted(STYLES.glob("*.jpg"), key=lambda path: (path != style_image(), path))


def two_style_images() -> tuple[Path, Path]:
    """Returns two such images that differ as much as possible."""
    return style_image(), STYLES / "woodblock.jpg"
