"""The images that scripts use if none are given."""

from pathlib import Path

import skimage

STYLES = Path(__file__).parents[1] / "samples"


def content_image() -> Path:
    """Returns a photograph in the public domain that scikit-image ships: Eileen Collins, by NASA."""
    return Path(skimage.__file__).parent / "data" / "astronaut.png"


def style_image() -> Path:
    """Returns an image that `experiments.make_styles` painted."""
    return STYLES / "flow.jpg"


def two_style_images() -> tuple[Path, Path]:
    """Returns two such images that differ as much as possible."""
    return style_image(), STYLES / "woodblock.jpg"
